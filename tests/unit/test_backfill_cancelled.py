"""A backfill was cancelled, and then a person wants one of its memos sent: the later word counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import decisions, jobs
from pipeline.backfills import Backfill, BackfillState
from pipeline.model import Job, State
from tests.support.splitting import LENGTHS_S, REFUSED, UNKNOWN, parts_of, settle, taken
from tests.support.story import CHAT, Stage, build_stage, request
from workers.backfill_care import cancel_jobs

Decide = Callable[[Stage, Job], Job]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path)


def registered(stage: Stage, name: str, chat_id: str | None = CHAT) -> Job:
    wish = replace(request(name, chat_id=chat_id, lane="backfill"), backfill_id="b1")
    return jobs.register(stage.parts, wish)


def cancelled(stage: Stage) -> Backfill:
    """The backfill, after its cancel was carried out."""
    one = stage.ledger.move_backfill(stage.ledger.backfill("b1"), BackfillState.CANCELLED)
    while cancel_jobs(stage.parts, stage.ledger, one):
        pass
    return one


def ends(stage: Stage, job: Job, one: Backfill, decided: Job) -> Job:
    """The job after the sweeper has carried out the cancel once more, and all that is due was done."""
    assert decided.job_id == job.job_id
    cancel_jobs(stage.parts, stage.ledger, one)
    return settle(stage, job)


def retry(stage: Stage, job: Job) -> Job:
    return decisions.retry(stage.parts, job)


def resend(stage: Stage, job: Job) -> Job:
    return decisions.resolve(stage.parts, job, resend=True)


def assign(stage: Stage, job: Job) -> Job:
    return decisions.assign(stage.parts, job, CHAT)


@pytest.mark.parametrize(
    ("first", "chat_id", "decide"), [(REFUSED, CHAT, retry), (UNKNOWN, CHAT, resend), (None, None, assign)]
)
def test_a_persons_later_word_counts(stage: Stage, first: object, chat_id: str | None, decide: Decide) -> None:
    """Failed and tried again, held and sent again, or given its chat at last; what waited stays cancelled."""
    stage.ledger.begin_backfill("b1", "/archive", {}, None)
    stage.linq.outcomes = [*([first] if first else []), taken(1)]  # type: ignore[list-item]
    job = registered(stage, "one", chat_id)
    job = settle(stage, job)
    assert job.state in (State.FAILED, State.HELD)
    other = registered(stage, "two")
    one = cancelled(stage)
    assert ends(stage, job, one, decide(stage, job)).state is State.SENT
    assert stage.ledger.get(other.job_id).state is State.CANCELLED
    assert len(stage.linq.posts) == (2 if first else 1)


def test_a_part_that_is_tried_again_goes_too(stage: Stage) -> None:
    """By the id of the part: it is the whole that belongs to the backfill."""
    stage.ledger.begin_backfill("b1", "/archive", {}, None)
    stage.runner.lengths_s = LENGTHS_S
    stage.linq.outcomes = [taken(1), REFUSED, *[taken(n) for n in range(2, 9)]]
    job = settle(stage, registered(stage, "one"))
    assert job.state is State.FAILED
    one = cancelled(stage)
    part = parts_of(stage, job)[1]
    ends(stage, part, one, retry(stage, part))
    assert parts_of(stage, job)[1].state is State.SENT


@pytest.mark.parametrize("state", [BackfillState.PAUSED, BackfillState.STOPPED])
def test_what_only_waits_waits_on(stage: Stage, state: BackfillState) -> None:
    """A backfill that may go on keeps its job, and a cancel that comes later is the later word."""
    backfill = stage.ledger.begin_backfill("b1", "/archive", {}, None)
    stage.linq.outcomes = [REFUSED, taken(1)]
    job = settle(stage, registered(stage, "one"))
    stage.ledger.move_backfill(backfill, state)
    retry(stage, job)
    assert settle(stage, job).state is State.RECEIVED
    cancelled(stage)
    assert settle(stage, job).state is State.CANCELLED
