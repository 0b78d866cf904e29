"""What people see of recordings and memos: aligned columns on a terminal, one sentence each elsewhere."""

from __future__ import annotations

import os
import sys

import pytest

from pipeline.audio import Inspection
from workers.cli.audio_rows import INSPECTED, inspected, summary
from workers.cli.listing import Listing, length, size

WHY = "opus in ogg is not an accepted type. About 51.3 minutes of 66.7 minutes fit; the cut is made at a pause."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.04, "0:00.0"), (9.94, "0:09.9"), (59.6, "1:00"), (3_599, "59:59"), (3_723, "1:02:03")],
)
def test_lengths(seconds: float | None, text: str) -> None:
    """Short ones with tenths."""
    assert length(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (96_400, "96 kB"),
        (999_600, "1.00 MB"),
        (9_610_000, "9.61 MB"),
        (10_000_000, "10.0 MB"),
        (262_034_482, "262 MB"),
        (3_100_000_000, "3.10 GB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    """Three digits, in units of 1000."""
    assert size(size_bytes) == text


def _row(path: str) -> Inspection:
    return Inspection(
        path=path, container="ogg", codec="opus", duration_s=4_000.0, sample_rate_hz=48_000, channels=1,
        size_bytes=13_479_150, accepted_as=None, action="transcode", reason=WHY, code="cut",
    )  # fmt: skip


def _text(listing: Listing, name: str) -> str:
    return listing.row(name, inspected(_row(name)), WHY, f"{name}: transcode. {WHY}")


@pytest.mark.parametrize("width", [60, 80, 100, 140, 250])
def test_rows_are_aligned_and_fit_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Whatever the names; the reason is told whole."""
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((width, 24)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    names = ["a.ogg", "a/long/way/" + "x" * 200 + "/end.ogg", "esc\x1b[31m.ogg"]
    listing = Listing("FILE", names, INSPECTED, "WHY")
    lines = "\n".join(_text(listing, name) for name in names).split("\n")
    heads = [line for line in lines if line.startswith("FILE")]
    assert len(heads) == 1 and lines[0] == heads[0]
    assert max(map(len, lines)) <= width or width == 60
    assert len({line.index("transcode") for line in lines if "transcode" in line}) == 1
    assert "\x1b" not in "".join(lines)
    assert " ".join(" ".join(lines).split()).count("pause.") == len(names)
    assert any("end.ogg" in line for line in lines)


def test_a_pipe_gets_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """No columns, no heads."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert _text(Listing("FILE", ["a.ogg"], INSPECTED, "WHY"), "a.ogg") == f"a.ogg: transcode. {WHY}"


def test_the_summary_counts() -> None:
    """In a fixed order, what there is."""
    assert summary(["reject", "transcode", "failed", "transcode"]) == "4 recordings: 2 transcode, 1 reject, 1 failed"
