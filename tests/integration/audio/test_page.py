"""What the page about the audio step shows is what happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.pages import run_example
from tests.support.recordings import make, make_ogg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The recordings that the page speaks of."""
    make_ogg(tmp_path / "note.ogg")
    make(tmp_path / "lecture.webm", "-c:a", "libopus")
    (tmp_path / "archive").mkdir()
    make(tmp_path / "archive" / "old.wav", "-c:a", "pcm_s16le")
    make(tmp_path / "one.wav", "-c:a", "pcm_s16le")
    return tmp_path


def test_the_commands_run_as_written(folder: Path) -> None:
    """Inspect, then convert, into one folder."""
    run_example("docs/convert.md", "commands", folder)
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["lecture.m4a", "old.wav"]


def test_the_program_runs_as_written(folder: Path) -> None:
    """It prints what was seen, the progress, and the memo."""
    told = run_example("docs/convert.md", "python", folder).splitlines()
    assert told[0].startswith("transcode opus ")
    assert "/out/note.m4a " in told[-1] and told[-1].endswith(" 3.0 False")
    assert all(0 <= json.loads(line) <= 1 for line in told[1:-1])
