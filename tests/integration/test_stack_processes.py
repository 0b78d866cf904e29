"""The whole embedded stack, Celery workers included: started, killed, ended."""

from __future__ import annotations

import os
import shutil
import signal
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import stack
from infra.local.processes import identify, members
from infra.local.status import NAMES
from tests.integration.test_stack import listens, pids, ports, started_with
from tests.support.local_stack import part
from tests.support.waiting import eventually
from workers import enqueue


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with a whole stack, ended whatever happens."""
    stack.up({}, tmp_path / "home")
    yield tmp_path / "home"
    stack.down(tmp_path / "home")


def test_down_leaves_neither_process_nor_port(home: Path) -> None:
    """All eleven run; after `down` no process of theirs is left, pool children included."""
    assert set(pids(home)) == set(NAMES)
    assert len(members(pids(home)["audio"])) > 1
    served = ports(home)
    assert stack.down(home)
    assert started_with(home) == []
    assert not any(listens(port) for port in served.values())


def test_a_killed_worker_is_started_again_without_its_old_children(home: Path) -> None:
    """The audio worker's main process, killed while its pool is frozen: the pool goes too, and a new worker comes."""
    old = pids(home)["audio"]
    pool = [pid for pid in members(old) if pid != old]
    for pid in pool:
        os.kill(pid, signal.SIGSTOP)
    os.kill(old, signal.SIGKILL)
    eventually(lambda: part(home, "audio").state == "running" and part(home, "audio").pid != old, "a new worker")
    assert not any(identify(pid) for pid in pool)


def test_everything_ends_with_a_killed_supervisor(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a pool child in the middle of a long transcode, and its ffmpeg, end when the supervisor is killed."""
    monkeypatch.setenv("MEMOLINE_HOME", str(home))
    enqueue(_noise(tmp_path / "long.wav", minutes=60), "5e0d0000-0000-4000-8000-000000000001")
    busy = eventually(lambda: [pid for pid in started_with(home) if _name(pid).startswith("ffmpeg")], "ffmpeg works")
    everything = {*started_with(home), *busy}
    os.kill(pids(home)["supervisor"], signal.SIGKILL)
    eventually(lambda: not any(identify(pid) for pid in everything), "all have ended", deadline_s=5)
    assert not stack.down(home)


def _noise(path: Path, *, minutes: int) -> Path:
    """A WAV file of white noise at 8 kHz: long to encode, quick to make."""
    second = os.urandom(16_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        for _ in range(60 * minutes):
            file.writeframes(second)
    return path


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def test_a_removed_home_ends_its_stack(home: Path) -> None:
    """Whoever deletes the folder without `down` first leaves no processes that nobody can name any more."""
    everything = started_with(home)
    shutil.rmtree(home, ignore_errors=True)
    eventually(lambda: not any(identify(pid) for pid in everything), "all have ended", deadline_s=30)
