"""Recordings made by the shipped ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio.child import find_ffmpeg

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The shipped ffmpeg."""
    return find_ffmpeg(None)


@pytest.fixture
def make(tmp_path: Path, ffmpeg: str) -> Make:
    """Make a recording: `make("a.ogg", "-c:a", "libopus", source="sine=440:d=2")`."""

    def run(name: str, *args: str, source: str = "sine=440:d=3:r=48000", inputs: tuple[str, ...] = ()) -> Path:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        to = folder / name
        subprocess.run(
            [ffmpeg, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source, *inputs, *args, f"file:{to}"],
            check=True,
        )
        return to

    return run
