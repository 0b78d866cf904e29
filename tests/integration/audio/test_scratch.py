"""What a killed `convert` leaves is removed by the next one there; what others made is never touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.audio import convert
from pipeline.audio.scratch import MARK, NOTE, PREFIX, scratch
from tests.integration.audio.conftest import Make
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
CONVERT = "import sys; from pipeline.audio import convert; convert(sys.argv[1], sys.argv[2])"


def test_the_next_run_removes_what_a_killed_one_left(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 amid an encode: one folder beside the memos, nothing in the folder for temporary files."""
    out, temporary = tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    long = make("long.flac", source="anoisesrc=d=1200:r=48000")
    process = subprocess.Popen([sys.executable, "-c", CONVERT, str(long), str(out)], cwd=ROOT)
    try:
        # The file is there before the child is; once it grows, the child's own folder has no name any more.
        eventually(lambda: any(memo.stat().st_size for memo in out.glob(f"{PREFIX}*/*.m4a")), "an encode at work")
    finally:
        process.kill()
        process.wait()
    assert len(list(out.iterdir())) == 1 and list(temporary.iterdir()) == []
    convert(make("short.wav"), out)
    assert [path.name for path in out.iterdir()] == ["short.wav"]


def test_nobody_elses_folder_is_touched(tmp_path: Path) -> None:
    """Not one of the same name without our mark, with another file as the mark, behind a link, or in use."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / MARK).write_bytes(NOTE)
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere")
    for name, mark in (("plain", None), ("other", b"mine"), ("empty", b"")):
        folder = tmp_path / f"{PREFIX}{name}"
        folder.mkdir()
        (folder / "precious").write_text("kept")
        if mark is not None:
            (folder / MARK).write_bytes(mark)
    (tmp_path / f"{PREFIX}file").write_text("kept")
    before = sorted(path for path in tmp_path.rglob("*"))
    with scratch(tmp_path) as busy, scratch(tmp_path) as second:
        assert busy.is_dir() and second.is_dir() and busy != second
    assert sorted(path for path in tmp_path.rglob("*")) == before
