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

SERVICES = "s3,sqs,iam,sts,cloudformation,cloudfront,ec2"
SOURCES = ("archive-one", "archive-two")
"""Further buckets that recordings may lie in."""
MakeClient = Callable[..., Any]
Outputs = dict[str, str]


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


def deploy(client: MakeClient, stack: str, name: str, parameters: dict[str, str], *, update: bool = False) -> Outputs:
    """Create or update a stack of a template (its name, or its text); wait until it stands. Returns its outputs."""
    cfn = client("cloudformation")
    act = cfn.update_stack if update else cfn.create_stack
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    body = template(name) if name.endswith(".yaml") else name
    act(StackName=stack, TemplateBody=body, Parameters=given, Capabilities=["CAPABILITY_IAM"])
    wanted = "UPDATE_COMPLETE" if update else "CREATE_COMPLETE"

    def done() -> dict[str, Any] | None:
        found: dict[str, Any] = cfn.describe_stacks(StackName=stack)["Stacks"][0]
        assert "ROLLBACK" not in found["StackStatus"], cfn.describe_stack_events(StackName=stack)["StackEvents"][:5]
        assert "FAILED" not in found["StackStatus"], found
        return found if found["StackStatus"] == wanted else None

    found = eventually(done, f"{stack} is {wanted}", deadline_s=90)
    return {row["OutputKey"]: row["OutputValue"] for row in found.get("Outputs", [])}


@pytest.fixture(scope="session")
def storage(client: MakeClient) -> Outputs:
    """The outputs of the deployed storage."""
    return deploy(client, "memo-storage", "storage.yaml", {"RequireTls": "false"})


@pytest.fixture(scope="session")
def roles(client: MakeClient, storage: Outputs) -> Outputs:
    """The outputs of the deployed roles."""
    for name in SOURCES:
        client("s3").create_bucket(Bucket=name)
    parameters = {
        "MemoBucket": storage["MemolineBucket"],
        "InboxBucket": storage["MemolineInboxBucket"],
        "InboxQueueArn": storage["InboxQueueArn"],
        "InboxDeadQueueArn": storage["InboxDeadQueueArn"],
        "DistributionId": storage["MemolineCdnDistributionId"],
        "SecretArns": "arn:aws:secretsmanager:us-east-1:000000000000:secret:memo-x",
        "SourceBuckets": ",".join(SOURCES),
    }
    return deploy(client, "memo-roles", "roles.yaml", parameters)


@pytest.fixture(scope="session")
def assume(client: MakeClient, roles: Outputs) -> Callable[[str, str], Any]:
    """Makes a client of a service in a role."""

    def make(role: str, service: str) -> Any:
        got = client("sts").assume_role(RoleArn=roles[f"{role}RoleArn"], RoleSessionName="test")["Credentials"]
        keys = {
            "aws_access_key_id": got["AccessKeyId"],
            "aws_secret_access_key": got["SecretAccessKey"],
            "aws_session_token": got["SessionToken"],
        }
        return client(service, keys)

    return make
