"""What a report from Linq means for a job: a webhook or a poll, in any order, any number of times."""

from __future__ import annotations

from contextlib import suppress

from pipeline.errors import Fenced, MemolineError
from pipeline.model import Job, State, StatusReport
from pipeline.ports import Parts

_AFTER_SENT = (State.SENT, State.DELIVERED, State.ERASED)


def after_sent(parts: Parts, job: Job) -> Job:
    """The recording is not needed any more, and a webhook may have been faster than the answer."""
    with suppress(MemolineError):  # a copy left over costs space; the memo is sent all the same
        parts.store.discard(job.recording)
    for report in parts.ledger.reports_for(job):
        job = apply_report(parts, job, report) or job
    return job


def apply_report(parts: Parts, job: Job, report: StatusReport) -> Job | None:
    """Move a job by what Linq reports. None where somebody else moved it meanwhile, or where it is too early.

    A report that overtakes the sender's own commit (the job is still SENDING) waits in the ledger until that is
    done."""
    if job.state is State.SENDING:
        return None
    known: dict[str, object] = {
        "message_id": job.message_id or report.message_id,
        "trace_id": job.trace_id or report.trace_id,
    }
    try:
        if job.message_id is None and job.send_attempts and job.state not in _AFTER_SENT:
            job = parts.ledger.move(job, State.SENT, by=parts.by, code=None, message=None, **known)
        if report.status in ("delivered", "read") and job.state in (State.SENT, State.FAILED):
            return parts.ledger.move(
                job, State.DELIVERED, by=parts.by, code=None, message=None, next_look_at=0.0, **known
            )
        if report.status == "failed" and job.state is State.SENT:
            why = f"Linq could not deliver it: {report.reason or 'no reason given'} ({report.code})."
            return parts.ledger.move(job, State.FAILED, by=parts.by, code="not-delivered", message=why, **known)
    except Fenced:
        return None
    return job
