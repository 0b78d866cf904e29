"""What a backfill's jobs wait for: its pause, quiet hours; and what they do not fear: their age."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import jobs
from pipeline.backfills import BackfillState, Counts, MaxFailures
from pipeline.errors import Misuse
from pipeline.model import Job, Lane, State
from pipeline.sending.pacing import for_backfills
from pipeline.sending.quiet import quiet_hours
from tests.support.story import CHAT, Stage, build_stage, request

NIGHT = datetime(2026, 11, 24, 22, 0, tzinfo=UTC).timestamp()
MORNING = datetime(2026, 11, 25, 8, 0, tzinfo=UTC).timestamp()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A stage where it is night and nobody is to be woken by a backfill."""
    built = build_stage(tmp_path, quiet=quiet_hours("21:00-08:00", "UTC", ("backfill",)))  # type: ignore[arg-type]
    built.clock.at = NIGHT
    return built


def one(stage: Stage, name: str, lane: Lane = "backfill", **more: str) -> Job:
    """A job of the backfill `b1`, whose memo is ready where it may be made."""
    wish = replace(request(name, lane=lane), **more)  # type: ignore[arg-type]
    job = jobs.register(stage.parts, wish)
    return jobs.prepare(stage.parts, job.job_id) or job


def deliver(stage: Stage, job: Job) -> Job:
    return jobs.deliver(stage.parts, job.job_id) or job


def test_quiet_hours_are_waited_for_with_the_place_kept(stage: Stage) -> None:
    """HOSTED with the code `quiet-hours` until they end; the later memo of the lane stays behind."""
    first, second = one(stage, "a"), one(stage, "b")
    waiting = deliver(stage, first)
    assert (waiting.state, waiting.code, waiting.retry_at) == (State.HOSTED, "quiet-hours", MORNING)
    assert deliver(stage, second).state is State.HOSTED and stage.linq.posts == []
    stage.clock.at = MORNING
    assert deliver(stage, first).state is State.SENT
    assert stage.ledger.get(second.job_id).state is State.SENT


def test_a_live_memo_does_not_wait_for_a_backfills_morning(stage: Stage) -> None:
    """Each lane has its head."""
    deliver(stage, one(stage, "a"))
    assert deliver(stage, one(stage, "b", "live")).state is State.SENT


def test_quiet_hours_are_those_of_the_person(stage: Stage) -> None:
    """Where they are it is the afternoon."""
    assert deliver(stage, one(stage, "a", time_zone="America/New_York")).state is State.SENT


def test_quiet_hours_for_all(stage: Stage) -> None:
    """Where the setting says so, live memos wait too."""
    hours = quiet_hours("21:00-08:00", "UTC", ("live", "backfill"))
    parts = replace(stage.parts, rules=replace(stage.parts.rules, quiet=hours))
    job = one(stage, "a", "live")
    assert jobs.deliver(parts, job.job_id).code == "quiet-hours"  # type: ignore[union-attr]


def test_a_paused_backfill_is_neither_prepared_nor_sent(stage: Stage) -> None:
    """A hint that is still under way does nothing; resumed, all goes on."""
    stage.clock.at = MORNING
    backfill = stage.ledger.begin_backfill("b1", "/archive", {}, None)
    made = one(stage, "a", backfill_id="b1")
    stage.ledger.move_backfill(backfill, BackfillState.PAUSED)
    waiting = one(stage, "b", backfill_id="b1")
    assert (waiting.state, stage.runner.runs) == (State.RECEIVED, 1)
    assert deliver(stage, made).state is State.HOSTED and stage.linq.posts == []
    stage.ledger.move_backfill(backfill, BackfillState.RUNNING)
    jobs.prepare(stage.parts, waiting.job_id)
    assert deliver(stage, made).state is State.SENT
    assert stage.ledger.get(waiting.job_id).state is State.SENT


def test_a_backfill_may_take_longer_than_a_live_memo(stage: Stage) -> None:
    """A million rows take weeks under the pacing rules: their age does not end them."""
    old, live = one(stage, "a"), one(stage, "b", "live", chat_id=CHAT.replace("1", "2"))
    stage.clock.at = MORNING + 30 * 86_400
    assert deliver(stage, old).state is State.SENT
    assert deliver(stage, live).code == "too-old"


@pytest.mark.parametrize(("limit", "most"), [(30, 27), (1, 1), (2, 1), (3, 2), (10, 9), (1_000, 900)])
def test_what_a_backfill_leaves_to_live_memos(limit: int, most: int) -> None:
    """A tenth, and one at least, unless there is but one."""
    assert for_backfills(limit) == most


@pytest.mark.parametrize(
    ("text", "reported", "failed", "sent", "stops"),
    [
        ("0", 0, 0, 500, False),
        ("0", 1, 0, 0, True),
        ("3", 2, 1, 0, False),
        ("3", 2, 2, 0, True),
        ("5%", 50, 0, 49, False),  # too few to judge
        ("5%", 5, 0, 95, False),
        ("5%", 3, 3, 94, True),
        ("0%", 0, 1, 99, True),
        ("100%", 100, 0, 0, False),
    ],
)
def test_how_many_failures_stop_it(text: str, reported: int, failed: int, sent: int, stops: bool) -> None:
    """A number, or a share of what has ended; rows without a job count as failures."""
    counts = Counts(rows={"reported": reported}, jobs={State.FAILED: failed, State.SENT: sent, State.HOSTED: 1_000})
    assert MaxFailures.parse(text).exceeded(counts.failures, counts.ended) is stops
    for known in range(0, counts.ended + 1, 25):  # whatever had ended at an earlier look, no stop is missed
        assert MaxFailures.parse(text).may_be_exceeded(counts.failures, known) or not stops


@pytest.mark.parametrize("text", ["", "-1", "5 %%", "101%", "many", "1e3", "٣"])
def test_numbers_of_failures_that_are_none(text: str) -> None:
    """Refused by one sentence."""
    with pytest.raises(Misuse) as caught:
        MaxFailures.parse(text)
    assert caught.value.code == "bad-max-failures"
