"""What Linq says, applied after it was kept: messages, chats, lines; and polls where it says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import jobs
from pipeline.messages import Outcome, OutcomeKind, StatusReport
from pipeline.model import Job, State
from tests.support.story import CHAT, Stage, build_stage, request


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A ledger and fakes."""
    return build_stage(tmp_path)


def sent(stage: Stage) -> Job:
    """A job whose memo Linq took as m-1."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    job = jobs.deliver(stage.parts, job.job_id)  # type: ignore[assignment]
    assert job.state is State.SENT
    return job


def polled(stage: Stage, job: Job, status: str) -> Job:
    """The job after Linq was asked for it, when that was due."""
    now = stage.ledger.get(job.job_id)
    stage.clock.at = max(stage.clock.at, now.next_look_at)
    stage.linq.statuses["m-1"] = StatusReport(status=status, message_id="m-1")
    jobs.deliver(stage.parts, job.job_id)
    return stage.ledger.get(job.job_id)


def test_an_outage_of_the_receiver_hides_nothing(stage: Stage) -> None:
    """No webhook at all: polls find the failure, and that it was delivered after all."""
    job = sent(stage)
    assert polled(stage, job, "sent").state is State.SENT
    failed = polled(stage, job, "failed")
    assert (failed.state, failed.code) == (State.FAILED, "not-delivered")
    assert "None" not in (failed.message or "")
    again = polled(stage, job, "failed")
    assert again.state is State.FAILED
    assert again.next_look_at > stage.clock.at, "asked again later, not at every sweep"
    assert polled(stage, job, "delivered").state is State.DELIVERED


def test_polls_grow_rarer_and_end(stage: Stage) -> None:
    """SMS never tells of a delivery: after a day SENT is the end, and nobody asks any more."""
    job, begun, gaps = sent(stage), stage.clock.at, []
    while (now := polled(stage, job, "sent")).next_look_at:
        gaps.append(now.next_look_at - stage.clock.at)
    assert now.state is State.SENT
    assert gaps == sorted(gaps)
    assert 86_400 <= stage.clock.at - begun <= 200_000
    assert len(gaps) < 50
    assert stage.ledger.due(stage.clock.at + 1e6, 10) == ()


def test_a_failed_message_is_asked_for_until_the_day_is_over(stage: Stage) -> None:
    """And is due for it; a refusal, which no message stands for, is not."""
    job = sent(stage)
    polled(stage, job, "failed")
    assert [one.job_id for one in stage.ledger.due(stage.clock.at + 200_000, 10)] == [job.job_id]
    while polled(stage, job, "failed").next_look_at:
        pass
    assert stage.ledger.due(stage.clock.at + 1e6, 10) == ()
    stage.linq.outcomes = [Outcome(kind=OutcomeKind.REFUSED, code="chat-not-found", message="no")]
    refused = jobs.register(stage.parts, request("two"))
    jobs.prepare(stage.parts, refused.job_id)
    assert jobs.deliver(stage.parts, refused.job_id).state is State.FAILED  # type: ignore[union-attr]
    assert stage.ledger.due(stage.clock.at + 1e6, 10) == ()


def test_a_report_that_is_too_early_waits(stage: Stage) -> None:
    """While the job is SENDING it stays noted; once that is over it is applied, and noted no more."""
    early = StatusReport(status="failed", message_id=None, trace_id="t-1", event_id="e-1", code="4001")
    job = jobs.register(stage.parts, request("one"))
    job = jobs.prepare(stage.parts, job.job_id)  # type: ignore[assignment]
    job = stage.ledger.move(job, State.SENDING, by="test", send_attempts=1, trace_id="t-1", deadline=stage.clock.at + 9)
    jobs.settle(stage.parts, early)
    assert stage.ledger.waiting_reports(10) == (early,)
    stage.ledger.move(job, State.SENT, by="test", message_id="m-1", trace_id="t-1")
    assert [one and one.state for one in jobs.settle_kept(stage.parts, (early,))] == [State.FAILED]
    assert stage.ledger.waiting_reports(10) == ()


def test_a_report_about_nobody_known_waits_no_longer(stage: Stage) -> None:
    """It is kept, and found when a job comes to know its message."""
    delivered = StatusReport(status="delivered", message_id="m-1", event_id="e-1")
    assert jobs.settle(stage.parts, delivered) is None
    assert stage.ledger.waiting_reports(10) == ()
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    assert jobs.deliver(stage.parts, job.job_id).state is State.DELIVERED  # type: ignore[union-attr]


def about_chat(status: str, at: float) -> StatusReport:
    return StatusReport(status=status, message_id=None, chat_id=CHAT, event_id=f"{status}-{at}", occurred_at=at)


def test_an_opt_out_ends_when_they_write(stage: Stage) -> None:
    """By the order in which it happened, not by that in which it was heard."""
    jobs.settle(stage.parts, about_chat("opted-out", 100))
    assert stage.ledger.standing(f"chat:{CHAT}") == "opted-out"
    jobs.settle(stage.parts, about_chat("wrote", 200))
    jobs.settle(stage.parts, about_chat("opted-out", 150))
    assert stage.ledger.standing(f"chat:{CHAT}") == "wrote"
    assert stage.ledger.waiting_reports(10) == ()


def test_the_standing_of_a_line_is_kept(stage: Stage) -> None:
    """Flagged, then active again."""
    for number, status in enumerate(("line-flagged", "line-active")):
        report = StatusReport(status=status, message_id=None, line="+1", event_id=status, occurred_at=float(number + 1))
        jobs.settle(stage.parts, report)
        assert stage.ledger.standing("line:+1") == status
