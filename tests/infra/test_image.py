"""The image and the compose file, without an engine: the image's steps in a fresh environment, and each service started
as its entry point says, with the rights, the read-only root and the folders that the compose file gives it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.infra.test_hosts import COMPOSE, DOCKERFILE, PROCESSES
from tests.infra.test_wheel import wheel
from tests.support import postgres
from tests.support.containers import Container, Image, may_mount, read_image
from tests.support.local_stack import s3_client
from tests.support.outside import outside_of_host
from tests.support.recordings import make_ogg
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-for-tests"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or not may_mount(), reason="a root of its own takes root's rights"),
    pytest.mark.skipif(postgres.binaries() is None, reason="PostgreSQL is not installed"),
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder outside of `/tmp`, which each container has for itself."""
    made = Path(tempfile.mkdtemp(prefix="memoline-image-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def image(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the first stage of the image file builds."""
    venv = folder / "opt"
    made = wheel(tmp_path_factory.mktemp("sources"))
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "-r", ROOT / "requirements" / "run.txt"], check=True)
    subprocess.run([*pip, "--no-deps", made], check=True)
    return read_image(DOCKERFILE, venv)


def test_five_containers_send_a_memo_and_end_as_they_are_told(folder: Path, image: Image, tmp_path: Path) -> None:
    """Each with a home of its own: what one hands to another goes through the ledger, the broker and the bucket."""
    port, chats = postgres.free_port(), [str(uuid.uuid4()), str(uuid.uuid4())]
    with outside_of_host(folder) as outside:
        env = outside.env | {"MEMOLINE_API_TOKEN": TOKEN, "MEMOLINE_HTTP_PORT": str(port)}
        services: dict[str, Container] = {}
        try:
            for name in sorted(PROCESSES):
                home = folder / f"home-{name}"
                home.mkdir()
                services[name] = Container(image, COMPOSE["services"][name], env, home=home, log=folder / f"{name}.log")
            for name, service in services.items():
                eventually(service.is_healthy, f"{name} is healthy", deadline_s=90, every_s=0.5)
            recording = make_ogg(tmp_path / "note.ogg")
            bucket = outside.cloud.need("inbox_bucket")
            s3_client(outside.cloud).upload_file(str(recording), bucket, f"{chats[0]}/{recording.name}")
            with recording.open("rb") as file:
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/v1/memos",
                    headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "by-http"},
                    data={"chat_id": chats[1]},
                    files={"recording": (recording.name, file)},
                    trust_env=False,
                    timeout=30,
                )
            assert answer.status_code == 202, answer.text
            eventually(lambda: all(map(outside.memos, chats)), "both memos are in their chats", deadline_s=90)
            assert [outside.memos(chat_id) for chat_id in chats] == [1, 1]
            told = services["audio"].run("doctor", "--json")
            assert b'"part":"containment","level":"ok"' in told.stdout, told
        finally:
            with ThreadPoolExecutor(len(PROCESSES)) as stopping:
                statuses = dict(zip(services, stopping.map(Container.stop, services.values()), strict=True))
    assert statuses == dict.fromkeys(services, 0)
    assert not any(any((folder / f"home-{name}").iterdir()) for name in services), "a home was not its own"
