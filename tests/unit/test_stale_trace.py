"""News of an earlier attempt says nothing of a later one."""

from __future__ import annotations

from pathlib import Path

from pipeline import jobs
from pipeline.messages import Outcome, OutcomeKind, StatusReport
from pipeline.model import State
from tests.support.story import build_stage, request

PROBABLY = Outcome(
    kind=OutcomeKind.PROBABLY_NOT_SENT, code="linq-store-failed", message="not kept", status=500, trace_id="t-1"
)
UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message="the connection broke")


def test_a_failure_of_the_first_attempt_does_not_fail_the_second(tmp_path: Path) -> None:
    """Attempt 1 was not taken, and Linq reports so late, by trace id alone; attempt 2 may have been taken."""
    stage = build_stage(tmp_path)
    stage.linq.outcomes = [PROBABLY, UNKNOWN]
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    for _ in range(20):
        job = jobs.deliver(stage.parts, job.job_id) or job
        if len(stage.linq.posts) == 2:
            break
        stage.clock.at = max(stage.clock.at + 1, job.retry_at, job.next_look_at)
    assert (job.state, job.code, len(stage.linq.posts)) == (State.UNCONFIRMED, "answer-lost", 2)
    report = StatusReport(status="failed", message_id=None, trace_id="t-1", event_id="e-1", code="4001")
    jobs.settle(stage.parts, report)
    assert stage.ledger.get(job.job_id).state is State.UNCONFIRMED
