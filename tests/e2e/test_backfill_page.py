"""The page about backfills, as it is written; and its commands beside a running stack."""

from __future__ import annotations

import csv
import uuid
from pathlib import Path

from tests.support.embedded import Embedded
from tests.support.pages import run_with_stack
from tests.support.recordings import make_ogg, make_wav


def test_the_page_runs_as_written(embedded: Embedded, tmp_path: Path) -> None:
    """Plan, run, report: two memos arrive, a duplicate and an absent file are told."""
    samples = tmp_path / ".memoline-demo" / "recordings"
    samples.mkdir(parents=True)
    make_ogg(samples / "browser.ogg", duration_s=2)
    make_wav(samples / "dictaphone.wav", duration_s=1)
    planned = run_with_stack("docs/backfill.md", "plan", tmp_path, embedded)
    assert "the same as line 2" in planned and "[no-such-file]" in planned
    run_with_stack("docs/backfill.md", "run", tmp_path, embedded)
    with (tmp_path / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["state"], row["duplicate_of"]) for row in rows] == [
        ("2", "DELIVERED", ""),
        ("3", "DELIVERED", ""),
        ("4", "DELIVERED", "2"),
        ("5", "", ""),
    ]
    assert rows[3]["code"] == "no-such-file"


def test_a_backfill_is_paused_resumed_and_cancelled(embedded: Embedded, tmp_path: Path) -> None:
    """By its commands; cancelled, all that was not sent is CANCELLED, and nothing of it can go on."""
    chat_id = str(uuid.uuid4())
    for number in range(3):
        make_wav(tmp_path / f"{number}.wav", duration_s=1 + number / 10)
    rows = "".join(f"{number}.wav,{chat_id},2030-01-01T00:00:00Z\n" for number in range(3))
    (tmp_path / "m.csv").write_text("recording,chat_id,not_before\n" + rows)
    embedded.run("backfill", str(tmp_path / "m.csv"), "--max-failures", "5%")
    one = embedded.run("backfills").rows[-1]["backfill_id"]
    paused = embedded.run("backfills", "pause", one).row
    assert (paused["state"], paused["rows"], paused["open"]) == ("paused", {"registered": 3}, 3)
    assert embedded.run("backfills", "resume", one[:5]).row["state"] == "running"
    cancelled = embedded.run("backfills", "cancel", one).row
    assert (cancelled["state"], cancelled["jobs"]) == ("cancelled", {"CANCELLED": 3})
    late = embedded.run("backfills", "resume", one)
    assert (late.status, late.row["error"]["code"]) == (1, "illegal-move")
    assert embedded.memos(chat_id) == []
