"""Who is next: the heads of a chat's lanes, and what the sweeper should wake."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job, State
from tests.support.ledger import CHAT, OTHER_CHAT, add, bring

NOW = 1_000.0


def heads(ledger: SqlLedger, now: float = NOW) -> list[str]:
    return [job.job_id for job in ledger.heads(CHAT, now)]


def due(ledger: SqlLedger, now: float = NOW, limit: int = 100) -> set[str]:
    return {job.job_id for job in ledger.due(now, limit)}


def hosted(ledger: SqlLedger, name: str, **changes: Any) -> Job:
    return bring(ledger, add(ledger, name, **changes), State.HOSTED)


def test_live_goes_before_backfill_and_each_lane_in_order(ledger: SqlLedger) -> None:
    """One head a lane, live first, whatever was registered first."""
    for name, lane in (("a", "backfill"), ("b", "live"), ("c", "live"), ("d", "backfill")):
        add(ledger, name, lane=lane)
    add(ledger, "e", chat_id=OTHER_CHAT)
    assert heads(ledger) == ["job-b", "job-a"]


def test_a_chat_without_open_jobs_has_no_head(ledger: SqlLedger) -> None:
    """Finished jobs and other chats do not count."""
    bring(ledger, add(ledger, "a"), State.DELIVERED)
    add(ledger, "b", chat_id=OTHER_CHAT)
    add(ledger, "c", state=State.HELD, chat_id=None)
    assert heads(ledger) == []


@pytest.mark.parametrize("state", ["RECEIVED", "PREPARING", "HOSTED", "SENDING", "UNCONFIRMED"])
def test_an_open_job_keeps_its_place(ledger: SqlLedger, state: str) -> None:
    """Later jobs of the lane wait while an earlier one is open."""
    first = add(ledger, "a")
    add(ledger, "b")
    if state != "RECEIVED":
        bring(ledger, first, State(state))
    assert heads(ledger) == ["job-a"]


@pytest.mark.parametrize("state", ["HELD", "REJECTED", "FAILED", "SENT", "DELIVERED", "CANCELLED"])
def test_an_ended_or_held_job_frees_its_place(ledger: SqlLedger, state: str) -> None:
    """The next job of the lane becomes the head at once."""
    first = add(ledger, "a")
    add(ledger, "b")
    bring(ledger, first, State(state))
    assert heads(ledger) == ["job-b"]


def test_a_wish_for_later_steps_aside_until_it_is_due(ledger: SqlLedger) -> None:
    """`not_before` frees the place until then; from then on the job is first again."""
    add(ledger, "a", not_before=NOW + 60)
    add(ledger, "b")
    assert heads(ledger) == ["job-b"]
    assert heads(ledger, NOW + 60) == ["job-a"]


def test_a_back_off_keeps_its_place(ledger: SqlLedger) -> None:
    """`retry_at` makes the whole lane wait, so that order holds."""
    job = hosted(ledger, "a")
    hosted(ledger, "b")
    ledger.move(job, State.HOSTED, by="test", retry_at=NOW + 60)
    assert heads(ledger) == ["job-a"]
    assert due(ledger) == set()
    assert due(ledger, NOW + 60) == {"job-a"}


@pytest.mark.parametrize("state", [State.SENDING, State.UNCONFIRMED])
def test_one_that_may_be_on_its_way_is_first(ledger: SqlLedger, state: State) -> None:
    """An earlier job whose time has come meanwhile waits until it is known what became of the one in flight."""
    hosted(ledger, "a")
    bring(ledger, add(ledger, "b"), state, deadline=NOW + 900, next_look_at=NOW + 900)
    ledger.note(ledger.get("job-a"), not_before=NOW + 60)
    assert heads(ledger) == ["job-b"]
    assert heads(ledger, NOW + 60) == ["job-b"]
    assert due(ledger, NOW + 60) == set()


def test_received_jobs_are_due_when_their_back_off_is_over(ledger: SqlLedger) -> None:
    """What is wanted later is prepared now; a job without a chat is never due."""
    add(ledger, "a")
    add(ledger, "b", not_before=NOW + 10)
    ledger.note(add(ledger, "c"), retry_at=NOW + 20)
    add(ledger, "d", state=State.HELD, chat_id=None)
    assert due(ledger) == {"job-a", "job-b"}
    assert due(ledger, NOW + 20) == {"job-a", "job-b", "job-c"}


def test_a_lost_lease_is_due(ledger: SqlLedger) -> None:
    """PREPARING is left alone until its lease has run out."""
    bring(ledger, add(ledger), State.PREPARING, lease_until=NOW)
    assert due(ledger, NOW) == set()
    assert due(ledger, NOW + 0.001) == {"job-a"}


def test_of_a_lane_only_the_head_is_due_to_send(ledger: SqlLedger) -> None:
    """One hint a lane and chat; a head that is not hosted yet makes its lane wait."""
    for name in "abc":
        hosted(ledger, name)
    hosted(ledger, "d", lane="backfill")
    add(ledger, "e", chat_id=OTHER_CHAT, not_before=NOW - 1)
    hosted(ledger, "f", chat_id=OTHER_CHAT)
    ledger.move(ledger.get("job-e"), State.PREPARING, by="test", lease_until=NOW + 60)
    assert due(ledger) == {"job-a", "job-d"}


def test_sends_and_looks_are_due_at_their_time(ledger: SqlLedger) -> None:
    """SENDING past its deadline, UNCONFIRMED at its look, SENT at its poll, and not a second earlier."""
    bring(ledger, add(ledger, "a"), State.SENDING, deadline=NOW)
    bring(ledger, add(ledger, "b", chat_id="2"), State.UNCONFIRMED, next_look_at=NOW + 10)
    bring(ledger, add(ledger, "c", chat_id="3"), State.SENT, message_id="m-1", next_look_at=NOW + 20)
    bring(ledger, add(ledger, "d", chat_id="4"), State.SENT)
    bring(ledger, add(ledger, "e", chat_id="5"), State.DELIVERED, next_look_at=NOW - 10)
    assert due(ledger, NOW) == set()
    assert due(ledger, NOW + 1) == {"job-a"}
    assert due(ledger, NOW + 10) == {"job-a", "job-b"}
    assert due(ledger, NOW + 20) == {"job-a", "job-b", "job-c"}


def test_a_crowd_of_one_kind_does_not_hide_the_others(ledger: SqlLedger) -> None:
    """With more due than asked for, every kind gets its share, and live recordings come before a backfill's."""
    for n in range(20):
        add(ledger, f"old-{n}", lane="backfill")
    add(ledger, "live")
    bring(ledger, add(ledger, "polled", chat_id="2"), State.SENT, message_id="m-1", next_look_at=NOW)
    hosted(ledger, "hosted", chat_id="3")
    found = ledger.due(NOW, 4)
    assert len(found) == 4
    assert {"job-live", "job-polled", "job-hosted"} < {job.job_id for job in found}
