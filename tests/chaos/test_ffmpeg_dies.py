"""Whatever ends a Celery worker or its task, no ffmpeg outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import stack
from pipeline.settings import load_settings
from tests.chaos.ffmpeg_worker import make_app
from tests.integration.audio.test_cage import child_writing
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey."""
    home = tmp_path_factory.mktemp("stack")
    explicit = {"MEMOLINE_HOME": str(home)}
    stack.up(explicit, home, only=frozenset({"broker"}))
    yield load_settings(explicit, home).need("broker_url")
    stack.down(home)


def parent_of(pid: int) -> int:
    """The process that started another."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


WAYS = {
    "soft-time-limit": ("prefork", None),
    "hard-time-limit": ("prefork", None),
    "cold-shutdown": ("prefork", signal.SIGQUIT),
    "pool-child-killed": ("prefork", signal.SIGKILL),
    "main-killed": ("prefork", signal.SIGKILL),
    "threads-worker-killed": ("threads", signal.SIGKILL),
}


@pytest.mark.parametrize("way", WAYS)
def test_ffmpeg_dies_with_its_worker(way: str, broker_url: str, tmp_path: Path) -> None:
    """The five ways in which a worker loses its task, and a worker of threads."""
    pool, number = WAYS[way]
    to, log = tmp_path / "out.wav", tmp_path / "worker.log"
    with log.open("wb") as sink:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.ffmpeg_worker", broker_url, pool],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
    try:
        limits = {"soft-time-limit": {"soft_time_limit": 5}, "hard-time-limit": {"time_limit": 5}}.get(way, {})
        make_app(broker_url).send_task("endless", args=[str(to)], **limits)
        child = eventually(lambda: child_writing(to), "ffmpeg at work")
        pool_child = parent_of(int(child.name))
        assert (pool_child == worker.pid) == (pool == "threads")
        if number:
            os.kill(pool_child if way == "pool-child-killed" else worker.pid, number)
        eventually(lambda: child_writing(to) is None, f"ffmpeg gone after {way}")
    finally:
        worker.kill()
        worker.wait()
    eventually(lambda: child_writing(to) is None, "ffmpeg gone in the end")
