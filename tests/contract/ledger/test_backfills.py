"""Backfills in the ledger: their states, their rows, and what a pause keeps from going."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.backfills import Backfill, BackfillState, RowKept
from pipeline.errors import JobFailed, NotNow
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job, State
from tests.support.ledger import CHAT, add, bring

NOW = 1_000.0
RUNNING, PAUSED, STOPPED = BackfillState.RUNNING, BackfillState.PAUSED, BackfillState.STOPPED
CANCELLED, DONE = BackfillState.CANCELLED, BackfillState.DONE


def begin(ledger: SqlLedger, name: str = "b1", source: str = "/archive") -> Backfill:
    return ledger.begin_backfill(name, source, {"chat_id": CHAT}, "5%")


def of(ledger: SqlLedger, name: str, backfill_id: str, **changes: Any) -> Job:
    return add(ledger, name, lane="backfill", backfill_id=backfill_id, **changes)


def heads(ledger: SqlLedger) -> list[str]:
    return [job.job_id for job in ledger.heads(CHAT, NOW)]


def due(ledger: SqlLedger) -> set[str]:
    return {job.job_id for job in ledger.due(NOW, 100)}


@pytest.mark.parametrize("state", [PAUSED, STOPPED, CANCELLED])
def test_what_is_held_back_steps_aside(ledger: SqlLedger, state: BackfillState) -> None:
    """Neither prepared nor sent, and nobody behind it waits for it; resumed, it has its place again."""
    one = begin(ledger)
    bring(ledger, of(ledger, "a", "b1"), State.HOSTED)
    mine = of(ledger, "b", "b1")
    bring(ledger, add(ledger, "other", lane="backfill"), State.HOSTED)
    assert heads(ledger) == ["job-a"] and due(ledger) == {"job-a", "job-b"}
    ledger.move_backfill(one, state)
    assert heads(ledger) == ["job-other"] and due(ledger) == {"job-other"}
    assert ledger.is_held_back(mine)
    if state is not CANCELLED:
        ledger.move_backfill(one, RUNNING)
        assert heads(ledger) == ["job-a"] and not ledger.is_held_back(mine)


def test_what_is_on_its_way_goes_on(ledger: SqlLedger) -> None:
    """A send under way keeps its place and is looked after, whoever pauses."""
    one = begin(ledger)
    bring(ledger, of(ledger, "a", "b1"), State.SENDING, deadline=NOW - 1)
    of(ledger, "b", "b1")
    ledger.move_backfill(one, PAUSED)
    assert heads(ledger) == ["job-a"] and due(ledger) == {"job-a"}


def test_an_abandoned_claim_waits_too(ledger: SqlLedger) -> None:
    """The worker died, and then the backfill was paused."""
    one = begin(ledger)
    bring(ledger, of(ledger, "a", "b1"), State.PREPARING)
    assert due(ledger) == {"job-a"}
    ledger.move_backfill(one, PAUSED)
    assert due(ledger) == set()


def test_a_long_backfill_does_not_hide_a_later_one(ledger: SqlLedger) -> None:
    """Each running one has its share of what is hinted."""
    begin(ledger, "long")
    begin(ledger, "short")
    for number in range(30):
        of(ledger, f"long-{number}", "long")
    of(ledger, "short-0", "short")
    found = [job.job_id for job in ledger.due(NOW, 10)]
    assert "job-short-0" in found and len(found) == 10


def test_its_moves(ledger: SqlLedger) -> None:
    """Twice is as once; what has ended stays so."""
    one = begin(ledger)
    assert ledger.move_backfill(one, PAUSED).state is PAUSED
    assert ledger.move_backfill(one, PAUSED).state is PAUSED
    assert ledger.move_backfill(one, STOPPED, "5 of 6 failed").message == "5 of 6 failed"
    ended = ledger.move_backfill(one, CANCELLED)
    assert ended.state is CANCELLED and ended.ended_at > 0
    with pytest.raises(NotNow) as caught:
        ledger.move_backfill(one, RUNNING)
    assert caught.value.code == "illegal-move"
    with pytest.raises(NotNow):
        ledger.move_backfill(begin(ledger, "b2"), DONE) and ledger.move_backfill(ledger.backfill("b2"), PAUSED)


def test_it_is_found_by_the_beginning_of_its_id(ledger: SqlLedger) -> None:
    """As a job is."""
    begin(ledger, "abc1")
    begin(ledger, "abd2")
    assert ledger.backfill("abc").backfill_id == "abc1"
    assert [one.backfill_id for one in ledger.backfills()] == ["abc1", "abd2"]
    for text, code in (
        ("ab", "ambiguous-id"),
        ("x", "no-such-backfill"),
        ("%", "no-such-backfill"),
        ("", "no-such-backfill"),
    ):
        with pytest.raises(JobFailed) as caught:
            ledger.backfill(text)
        assert caught.value.code == code


def test_an_unfinished_one_is_found_again(ledger: SqlLedger) -> None:
    """By source and options, until all its rows are registered."""
    one = begin(ledger)
    assert ledger.unfinished_backfill("/archive", {"chat_id": CHAT}) == one
    assert ledger.unfinished_backfill("/archive", {"chat_id": None}) is None
    assert ledger.unfinished_backfill("/other", {"chat_id": CHAT}) is None
    ledger.all_registered(one, 0)
    assert ledger.unfinished_backfill("/archive", {"chat_id": CHAT}) is None


def test_its_rows_and_their_ends(ledger: SqlLedger) -> None:
    """A row read twice is one row; duplicates name the first; rows of a longer reading before are gone."""
    one = begin(ledger)
    job = of(ledger, "a", "b1")
    known = add(ledger, "b")
    rows = [
        RowKept(line=2, recording="a.ogg", status="registered", job_id=job.job_id),
        RowKept(line=3, recording="a.ogg", status="known", job_id=job.job_id),
        RowKept(line=4, recording="b\0\udcff.ogg", status="known", job_id=known.job_id),
        RowKept(line=5, recording="", status="reported", code="bad-row", message="The line is no JSON."),
        RowKept(line=9, recording="old.ogg", status="reported", code="x", message="y"),
    ]
    ledger.keep_rows("b1", rows)
    ledger.keep_rows("b1", rows)
    ledger.keep_rows("b1", [])
    assert ledger.first_lines("b1", [job.job_id, known.job_id, "none"]) == {job.job_id: 2, known.job_id: 4}
    ledger.all_registered(one, 5)
    bring(ledger, job, State.REJECTED, code="no-audio-stream", message="No sound.")
    ends = list(ledger.row_ends("b1"))
    assert [(end.line, end.state, end.code, end.duplicate_of) for end in ends] == [
        (2, "REJECTED", "no-audio-stream", None),
        (3, "REJECTED", "no-audio-stream", 2),
        (4, "RECEIVED", None, None),
        (5, None, "bad-row", None),
    ]
    counts = ledger.counts_of("b1")
    assert counts.rows == {"registered": 1, "known": 2, "reported": 1} and counts.jobs == {State.REJECTED: 1}
    assert (counts.failures, counts.ended) == (2, 2)
    assert (ledger.failures_of("b1"), ledger.see_ended("b1"), ledger.backfill("b1").ended_seen) == (2, 2, 2)
    assert ledger.failures_of("b2") == 0
    assert ledger.rows_in("b1", State.RECEIVED, State.HOSTED) == 1 and not ledger.has_open_jobs("b1")
    assert ledger.known_jobs([job.job_id, "none"]).keys() == {job.job_id}


def test_a_report_is_read_in_pages(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row once, in order, whatever the size of a page."""
    monkeypatch.setattr("pipeline.ledger.backfills._PAGE", 3)
    begin(ledger)
    for count in (6, 7):
        rows = [RowKept(line=n, recording=f"{n}", status="reported") for n in range(count)]
        ledger.keep_rows("b1", rows)
        assert [end.line for end in ledger.row_ends("b1")] == list(range(count))


def test_what_a_cancel_has_to_end(ledger: SqlLedger) -> None:
    """All of which nothing is on its way."""
    begin(ledger)
    of(ledger, "a", "b1")
    bring(ledger, of(ledger, "b", "b1", chat_id="2"), State.HOSTED)
    bring(ledger, of(ledger, "c", "b1", chat_id="3"), State.SENDING)
    add(ledger, "d", chat_id="4")
    assert [job.job_id for job in ledger.waiting_of("b1", 10)] == ["job-a", "job-b"]
    assert ledger.has_open_jobs("b1")
