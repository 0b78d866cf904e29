"""A disk that fills up while a memo is made: it is told as that, and not as the recording's fault."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.audio import convert
from pipeline.errors import JobFailed
from tests.support.recordings import make, make_ogg


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
