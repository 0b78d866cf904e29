"""A disk that fills up while a memo is made: it is told as that, and not as the recording's fault."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import jobs
from pipeline.audio import AudioRunner, convert
from pipeline.disk import writing_in
from pipeline.errors import JobFailed
from pipeline.model import State, StoredRecording
from tests.support.recordings import make, make_ogg
from tests.support.story import build_stage, request
from workers.wiring import work_dir


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB, which only root may make, and not in every container."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", ["encoded", "passed on", "re-wrapped"])
def test_a_full_disk_is_told_as_such_and_nothing_stays(small_disk: Path, tmp_path: Path, kind: str) -> None:
    """Whoever writes, ffmpeg or we."""
    recording = {
        "encoded": lambda: make_ogg(tmp_path / "a.ogg", duration_s=120),
        "passed on": lambda: make(tmp_path / "a.wav", "-ar", "16000", duration_s=30),
        "re-wrapped": lambda: make(tmp_path / "a.mov", "-c:a", "aac", "-b:a", "128k", duration_s=60),
    }[kind]()
    with pytest.raises(JobFailed) as raised:
        convert(recording, small_disk / "out")
    assert raised.value.code == "disk-full"
    assert list((small_disk / "out").iterdir()) == []


@pytest.mark.parametrize("at", ["the fetch", "the encode"])
def test_a_full_disk_burns_no_attempt_of_a_job(small_disk: Path, tmp_path: Path, at: str) -> None:
    """It is nobody's recording's fault: the job waits, however often it is tried, and goes on once there is room."""
    stage = build_stage(tmp_path)
    recording = make_ogg(tmp_path / "a.ogg", duration_s=120)
    ballast = small_disk / "ballast"
    left = {
        "the fetch": recording.stat().st_size // 2,
        "the encode": recording.stat().st_size + 20_000,
        "the folder": 0,
    }

    def fetch(_recording: StoredRecording, to: Path) -> None:
        with writing_in(to.parent), to.open("wb") as file:
            file.write(recording.read_bytes())

    stage.store.fetch = fetch  # type: ignore[method-assign]
    parts = replace(stage.parts, runner=AudioRunner(None), work_dir=work_dir(small_disk))
    ballast.write_bytes(bytes(max(shutil.disk_usage(small_disk).free - left[at] - 4096, 0)))
    job = jobs.register(parts, request("one"))
    for _ in range(4):
        waits = jobs.prepare(parts, job.job_id)
        assert waits is not None
        assert (waits.state, waits.code, waits.audio_attempts) == (State.RECEIVED, "disk-full", 0)
        stage.clock.at += 3_600
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    done = jobs.prepare(parts, job.job_id)
    assert done is not None
    assert done.state is State.HOSTED
