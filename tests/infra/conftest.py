"""An emulated AWS account, empty, that checks signatures and policies."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from infra.local.probes import http_ok
from infra.local.s3 import REGION, S3Access, ministack_python, server_environment
from tests.support.postgres import free_port
from tests.support.waiting import eventually

SERVICES = "s3,sqs,iam,sts,cloudformation,cloudfront"
MakeClient = Callable[..., Any]


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Access]:
    """A running emulator with nothing in it."""
    home = tmp_path_factory.mktemp("account")
    access = S3Access(port=free_port(), access_key_id="AKIAROOTOFTHETEST000", secret_access_key="s" * 40)
    (home / "s3").mkdir()
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [ministack_python(), "-m", "ministack"],
            env=server_environment(home, access) | {"SERVICES": SERVICES, "PATH": "/usr/bin:/bin"},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: http_ok(f"{access.url}/_ministack/health"), "the emulator answers", deadline_s=60)
        yield access
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def client(account: S3Access) -> MakeClient:
    """Makes clients of that account, as its root or with the credentials of a role."""

    def make(service: str, credentials: dict[str, str] | None = None) -> Any:
        keys = credentials or {
            "aws_access_key_id": account.access_key_id,
            "aws_secret_access_key": account.secret_access_key,
        }
        config = Config(proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        session = boto3.session.Session()
        return session.client(service, endpoint_url=account.url, region_name=REGION, config=config, **keys)  # type: ignore[call-overload]

    return make


def template(name: str) -> str:
    """The text of a template."""
    return (Path(__file__).parents[2] / "infra" / "aws" / name).read_text()
