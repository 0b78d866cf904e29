"""Finding out what became of a send whose outcome nobody knows. Nothing is sent again on a guess.

A memo's file name is unique to its job, and Linq's message list very likely shows it. After a quiet time the list is
read; a second complete look that finds nothing decides: an answer that means "probably not sent" goes back to HOSTED,
at most three times; everything else waits for a person.
"""

from __future__ import annotations

from pipeline.errors import PartUnreachable
from pipeline.model import Job, State
from pipeline.ports import Parts
from pipeline.sending.matching import Found, match
from pipeline.sending.outcomes import probably_not_sent
from pipeline.sending.pacing import poll_after_s
from pipeline.settling import after_sent, apply_report

LOOKS = 2
MAX_RETURNS = 3


def confirm_later(parts: Parts, job: Job, *, code: str, message: str, trace_id: str | None = None) -> Job:
    """SENDING → UNCONFIRMED; the first look is after the quiet time."""
    return parts.ledger.move(
        job,
        State.UNCONFIRMED,
        by=parts.by,
        code=code,
        message=message,
        trace_id=trace_id or job.trace_id,
        looks=0,
        next_look_at=parts.clock.now() + parts.rules.confirm_after_s,
    )


def look(parts: Parts, job: Job) -> Job:
    """One look at the chat's messages for an UNCONFIRMED job; returns it as it is then."""
    for report in parts.ledger.reports_for(job):
        if (settled := apply_report(parts, job, report)) and settled.state is not State.UNCONFIRMED:
            return settled
    try:
        listed = parts.messenger.own_messages(job.chat_id or "", since=job.sending_since)
    except PartUnreachable:
        return _look_again(parts, job, looks=job.looks)
    verdict = match(job.hosted.file_name if job.hosted else "", listed)
    if verdict.found is Found.YES:
        return _found(parts, job, verdict.message_id or "")
    if verdict.found is Found.CANNOT_KNOW:
        return _hold(parts, job, "the list shows messages without their files")
    if not listed.complete:
        return _look_again(parts, job, looks=job.looks)
    if job.looks + 1 < LOOKS:
        return _look_again(parts, job, looks=job.looks + 1)
    return _absent(parts, job)


def _found(parts: Parts, job: Job, message_id: str) -> Job:
    sent = parts.ledger.move(
        job,
        State.SENT,
        by=parts.by,
        code="found",
        message="The answer was lost; the memo was found in the chat.",
        message_id=message_id,
        next_look_at=parts.clock.now() + poll_after_s(0),
    )
    return after_sent(parts, sent)


def _absent(parts: Parts, job: Job) -> Job:
    """Two complete looks found nothing."""
    if probably_not_sent(job.code) and job.returns < MAX_RETURNS:
        return parts.ledger.move(
            job,
            State.HOSTED,
            by=parts.by,
            code=job.code,
            message="Linq very likely did not take it and the chat does not show it: sent again.",
            returns=job.returns + 1,
            retry_at=0.0,
        )
    return _hold(parts, job, "the chat does not show it, but that is no proof")


def _hold(parts: Parts, job: Job, why: str) -> Job:
    text = (
        f"Nobody knows whether Linq took it ({job.code}); {why}. Look in the chat, then "
        f"`memoline resolve {job.job_id}` with --sent MESSAGE_ID, --resend or --give-up."
    )
    return parts.ledger.move(job, State.HELD, by=parts.by, code="outcome-unknown", message=text)


def _look_again(parts: Parts, job: Job, *, looks: int) -> Job:
    return parts.ledger.move(
        job,
        State.UNCONFIRMED,
        by=parts.by,
        code=job.code,
        message=job.message,
        looks=looks,
        next_look_at=parts.clock.now() + parts.rules.confirm_after_s,
    )
