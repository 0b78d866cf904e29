"""All that a host of ours finds outside: PostgreSQL, Redis, a bucket with its queue, a CDN and Linq."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.broker import server_binary
from infra.local.sandbox.config import SandboxConfig
from infra.local.sandbox.pytest_plugin import LinqSandbox, running_sandbox
from pipeline.settings import Settings
from tests.support import postgres
from tests.support.local_stack import running_stack

SHORT = {
    "MEMOLINE_SWEEP_EVERY_S": "0.5",
    "MEMOLINE_SEND_TIMEOUT_S": "6",
    "MEMOLINE_CONFIRM_AFTER_S": "1.5",
    "MEMOLINE_AUDIO_LEASE_S": "4",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """What runs. env: the settings by which a host reaches it. cloud: the same for a test's own S3 client."""

    env: dict[str, str]
    cloud: Settings
    linq: LinqSandbox

    def memos(self, chat_id: str) -> int:
        """How many are in a chat."""
        return len(self.linq.state()["messages"]["by_chat"].get(chat_id, []))


@contextmanager
def outside_of_host(folder: Path) -> Iterator[Outside]:
    """All of it, for as long as the block lasts. folder: other users may pass through it."""
    binaries = postgres.binaries()
    assert binaries is not None
    with (
        postgres.private_server(binaries) as database,
        redis_server(folder) as broker_url,
        running_stack(folder / "cloud", "s3", "cdn") as cloud,
    ):
        bundle = folder / "ca.pem"  # where other users may read it
        shutil.copy(cloud.need("ca_bundle"), bundle)
        with running_sandbox(SandboxConfig(port=0, api_key="a-key-for-tests", ca_bundle=bundle)) as linq:
            env = {name: value for name, value in cloud.as_environment().items() if name != "MEMOLINE_HOME"} | SHORT
            env |= {"MEMOLINE_DATABASE_URL": database.url, "MEMOLINE_BROKER_URL": broker_url}
            env |= {"LINQ_API_V3_BASE_URL": linq.base_url, "LINQ_API_V3_API_KEY": linq.api_key}
            yield Outside(env=env | {"MEMOLINE_CA_BUNDLE": str(bundle)}, cloud=cloud, linq=linq)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Debian's Redis where it is installed, else the Valkey of the embedded stack, as the page configures it."""
    port, password = postgres.free_port(), "a-password"
    program = shutil.which("redis-server") or str(server_binary())
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", password, "--appendonly", "yes"]
    options += ["--maxmemory-policy", "noeviction", "--save", "", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"redis://:{password}@127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(20)
