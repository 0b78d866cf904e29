"""What a report from Linq means for a job: a webhook or a poll, in any order, any number of times."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pipeline.copies import let_go
from pipeline.errors import Fenced
from pipeline.hosting.names import memo_names
from pipeline.messages import StatusReport
from pipeline.model import Job, State
from pipeline.optouts import OPTED_OUT, heard_from, they_opted_out
from pipeline.ports import Parts
from pipeline.sending.matching import shows
from pipeline.sending.pacing import poll_after_s
from pipeline.standing import chat_health, line_status

MATCHING_OFF = "matching-off"
"""The flag of the ledger by which lost sends are not looked for by file name any more."""

WROTE = "wrote"
"""Standing of a chat, as `opted-out` is: what they did last."""
LINE_ACTIVE, LINE_FLAGGED = "line-active", "line-flagged"
"""Standings of a line."""

_AFTER_SENT = (State.SENT, State.DELIVERED, State.ERASED)
_TRIES = 10


def names_of(parts: Parts, job: Job) -> frozenset[str]:
    """Every name, without extension, that a memo of this job may have been sent under."""
    return memo_names(parts.secret, job.job_id, job.epoch)


def settled(parts: Parts, job: Job) -> Job:
    """The job after all that Linq is known to have reported about its message: a report may have come at a moment when
    nobody could apply it."""
    now = job
    for report in parts.ledger.reports_for(job):
        now = apply_report(parts, now, report) or now
    return let_go(parts, now) if _adopted(job, now) else now


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What became of a kept report. done: it need not be looked at again. job: whose it is, where one is known.
    adopted: only by it did the job learn that Linq took the memo. blocked: the chat whose recipient opted out by it."""

    done: bool
    job: Job | None = None
    adopted: bool = False
    blocked: str | None = None


def apply_kept(parts: Parts, report: StatusReport) -> Applied:
    """Apply a report that is kept. One that fits no job yet is found by `settled` once there is one."""
    if scope := scope_of(report):
        at = report.occurred_at or parts.clock.now()
        news = parts.ledger.stand(scope, report.status, at)
        if news:
            _heard(parts, report, at)
        return Applied(done=True, blocked=report.chat_id if news and report.status == OPTED_OUT else None)
    if report.health and report.chat_id:
        chat_health(parts, report.chat_id, report.health)
    job = parts.ledger.find_message(report)
    moved = apply_report(parts, job, report) if job else None
    adopted = job is not None and moved is not None and _adopted(job, moved)
    return Applied(done=job is None or moved is not None, job=moved, adopted=adopted)


def _adopted(was: Job, now: Job) -> bool:
    return was.state not in _AFTER_SENT and now.state is not was.state


def scope_of(report: StatusReport) -> str | None:
    """The chat or line that a report is about; None where it is about a message."""
    if report.status in (WROTE, OPTED_OUT):
        return f"chat:{report.chat_id}"
    return f"line:{report.line}" if report.status in (LINE_ACTIVE, LINE_FLAGGED) else None


def _heard(parts: Parts, report: StatusReport, at: float) -> None:
    """Let the newest news of a chat or a line have its effect."""
    if report.status == WROTE:
        heard_from(parts, report.chat_id or "", at)
    elif report.status == OPTED_OUT:
        they_opted_out(parts, report.chat_id or "", at)
    else:
        line_status(parts, report.line or "", may_send=report.status == LINE_ACTIVE)


def apply_report(parts: Parts, job: Job, report: StatusReport) -> Job | None:
    """Move a job by what Linq reports; where somebody else moved it meanwhile, as it is then.

    None where it is too early: a report that overtakes the sender's own commit (the job is still SENDING) waits in the
    ledger until that is done."""
    verify_matching(parts, job, report)
    for _ in range(_TRIES):
        if job.spans:
            return job  # about an attempt to send it whole
        if job.state is State.SENDING:
            return None
        if report.message_id and job.message_id not in (None, report.message_id):
            return job  # about another attempt than the one that Linq took
        with suppress(Fenced):
            return _moved(parts, job, report)
        job = parts.ledger.get(job.job_id)
    return None


def _moved(parts: Parts, job: Job, report: StatusReport) -> Job:
    known: dict[str, object] = {
        "message_id": job.message_id or report.message_id,
        "trace_id": job.trace_id or report.trace_id,
    }
    if report.status == "failed" and job.state is State.FAILED:
        return job
    if job.message_id is None and job.send_attempts and job.state not in _AFTER_SENT:
        later = parts.clock.now() + poll_after_s(0)
        job = parts.ledger.move(job, State.SENT, by=parts.by, code=None, message=None, next_look_at=later, **known)
    if report.status in ("delivered", "read") and job.state in (State.SENT, State.FAILED):
        return parts.ledger.move(job, State.DELIVERED, by=parts.by, code=None, message=None, next_look_at=0.0, **known)
    if report.status == "failed" and job.state is State.SENT:
        which = f" ({report.code})" if report.code else ""
        why = f"Linq could not deliver it: {report.reason or 'no reason given'}{which}."
        return parts.ledger.move(job, State.FAILED, by=parts.by, code="not-delivered", message=why, **known)
    return job


def verify_matching(parts: Parts, job: Job, report: StatusReport) -> None:
    """That Linq keeps a memo's file name is likely, not proven. The first message of ours that has another one proves
    the opposite: from then on an absent name says nothing. Only a message that Linq itself named in its answer (which
    gives an attachment's id too) counts, not one that a person named."""
    ours = report.message_id is not None and report.message_id == job.message_id and job.attachment_id is not None
    if ours and report.file_names and not shows(report.file_names, names_of(parts, job)):
        parts.ledger.set_flag(MATCHING_OFF, f"job {job.job_id}: {', '.join(report.file_names)[:200]}")
