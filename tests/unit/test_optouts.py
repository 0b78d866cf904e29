"""Opt-outs at bad moments: ledgers that forgot what was sent, webhooks that were lost, parts that are away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import jobs, optouts
from pipeline.errors import PartUnreachable
from pipeline.messages import Attempt, ChatSeen, Outcome, OutcomeKind, StatusReport
from pipeline.model import Job, State
from tests.support.story import ACCEPTED, CHAT, Stage, build_stage, request

REFUSED = Outcome(kind=OutcomeKind.REFUSED, code="opted-out", message="403/2024", status=403)
AWAY = PartUnreachable("s3-unreachable", "away")
STOP = StatusReport(status="opted-out", message_id=None, chat_id=CHAT, event_id="e-stop", occurred_at=1_000_000.0)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A fresh stage."""
    return build_stage(tmp_path)


def waiting(stage: Stage, identity: str) -> Job:
    """A job whose memo is ready."""
    job = jobs.register(stage.parts, request(identity))
    return jobs.prepare(stage.parts, job.job_id) or job


def sent(stage: Stage, identity: str) -> Job:
    """A new job, hinted."""
    return jobs.deliver(stage.parts, waiting(stage, identity).job_id)  # type: ignore[return-value]


def sent_in_a_former_life(stage: Stage, job: Job) -> None:
    """What the journal knows of a job, and a ledger that was put back to an older copy does not."""
    stage.journal.begin(job.job_id, Attempt(number=1, at=stage.clock.at, epoch=1))
    stage.journal.end(job.job_id, 1, ACCEPTED)


def test_what_was_sent_before_is_not_said_to_be_stopped(stage: Stage) -> None:
    """By a webhook, by a refusal: of the waiting jobs only those that were never sent FAIL."""
    arrived, never = waiting(stage, "one"), waiting(stage, "two")
    sent_in_a_former_life(stage, arrived)
    jobs.settle(stage.parts, STOP)
    assert stage.ledger.get(arrived.job_id).state is State.SENT
    assert (stage.ledger.get(never.job_id).state, stage.ledger.get(never.job_id).code) == (State.FAILED, "opted-out")


def test_a_refusal_asks_as_well(stage: Stage) -> None:
    """403/2024 for one job: the others of the chat are asked about before they end."""
    first, arrived = waiting(stage, "one"), waiting(stage, "two")
    sent_in_a_former_life(stage, arrived)
    stage.linq.outcomes = [REFUSED]
    jobs.deliver(stage.parts, first.job_id)
    assert [stage.ledger.get(job.job_id).state for job in (first, arrived)] == [State.FAILED, State.SENT]


def test_an_outage_puts_the_end_off(stage: Stage) -> None:
    """Nobody can say now whether they were sent: they wait, and nothing is sent to who opted out."""
    job = waiting(stage, "one")
    stage.journal.fails["attempts"] = [AWAY]
    jobs.settle(stage.parts, STOP)
    assert stage.ledger.get(job.job_id).state is State.HOSTED
    assert jobs.deliver(stage.parts, job.job_id).code == "opted-out"  # type: ignore[union-attr]
    assert not stage.linq.posts


def test_what_waited_then_does_not_go_when_they_write(stage: Stage) -> None:
    """An outage let it wait on, and they wrote before it was its turn: the block lifts for new jobs only."""
    job = waiting(stage, "one")
    stage.clock.at += 10
    stage.journal.fails["attempts"] = [AWAY]
    jobs.settle(stage.parts, replace(STOP, occurred_at=stage.clock.at))
    optouts.heard_from(stage.parts, CHAT, stage.clock.at + 1)
    stage.clock.at += 2
    assert jobs.deliver(stage.parts, job.job_id).code == "opted-out"  # type: ignore[union-attr]
    assert sent(stage, "new").state is State.SENT


def test_a_lost_message_of_theirs_is_found_out(stage: Stage) -> None:
    """No webhook told that they wrote: Linq is asked, at most once in ten minutes, for what comes after the block."""
    stage.linq.outcomes = [REFUSED, ACCEPTED]
    asked: list[str] = []
    stage.linq.chats[CHAT] = ChatSeen(line="+1", health="OPTED_OUT")
    stage.linq.chat = lambda chat_id: asked.append(chat_id) or stage.linq.chats[chat_id]  # type: ignore[method-assign,func-returns-value]
    before = waiting(stage, "before")
    assert sent(stage, "one").code == "opted-out"
    assert (stage.ledger.get(before.job_id).code, asked) == ("opted-out", [])
    stage.clock.at += 1
    assert [sent(stage, name).code for name in ("two", "three")] == ["opted-out"] * 2
    assert len(asked) == 1
    stage.linq.chats[CHAT] = ChatSeen(line="+1", health="HEALTHY")
    stage.clock.at += 600
    assert [sent(stage, name).state for name in ("four", "five")] == [State.SENT] * 2
    assert (len(asked), len(stage.linq.posts)) == (2, 3)


def test_a_mark_that_is_narrower_than_the_block_costs_one_refusal_in_a_while(stage: Stage) -> None:
    """They said STOP in another chat: Linq shows this one healthy and refuses all the same."""
    stage.linq.outcomes = [REFUSED]
    stage.linq.chats[CHAT] = ChatSeen(line="+1", health="HEALTHY")
    sent(stage, "one")
    for n in range(10):
        stage.clock.at += 1
        assert sent(stage, f"later {n}").code == "opted-out"
    assert len(stage.linq.posts) == 2


def test_an_unreadable_chat_stays_blocked(stage: Stage) -> None:
    """An outage of Linq, or an answer without a word about health, lifts nothing."""
    stage.linq.outcomes = [REFUSED, ACCEPTED]
    sent(stage, "one")
    for name, seen in (("two", None), ("three", ChatSeen(line="+1", health=None))):
        stage.clock.at += 600
        if seen:
            stage.linq.chats[CHAT] = seen
        assert sent(stage, name).code == "opted-out"
    assert len(stage.linq.posts) == 1


def test_what_they_wrote_while_linq_was_asked_does_not_lift_a_later_stop(stage: Stage) -> None:
    """The answer is of the time of the question: an opt-out that comes meanwhile is newer."""
    stage.linq.outcomes = [REFUSED, ACCEPTED]
    sent(stage, "one")
    stage.clock.at += 600

    def asks(_chat_id: str) -> ChatSeen:
        stage.clock.at += 1
        jobs.settle(stage.parts, replace(STOP, occurred_at=stage.clock.at))
        return ChatSeen(line="+1", health="HEALTHY")

    stage.linq.chat = asks  # type: ignore[method-assign]
    sent(stage, "two")
    stage.clock.at += 1
    assert optouts.opted_out(stage.ledger.chat(CHAT), waiting(stage, "three"))
