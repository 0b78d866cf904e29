"""Finding out what became of a send whose outcome nobody knows. Nothing is sent again on a guess.

A memo's file name is unique to its job, and Linq's message list very likely shows it. After a quiet time the list is
read; a second complete look that finds nothing decides: an answer that means "probably not sent" goes back to HOSTED,
at most three times, and so does every other where the setting `resend-if-absent` prefers a double to a loss; everything
else waits for a person. So does a job whose list cannot be read for a day.
"""

from __future__ import annotations

from pipeline.copies import let_go
from pipeline.errors import Fenced, MemolineError
from pipeline.messages import MessageList, StatusReport
from pipeline.model import Job, State
from pipeline.ports import Parts
from pipeline.recall import NOT_BEGUN, lost
from pipeline.sending.matching import Found, match
from pipeline.sending.outcomes import probably_not_sent
from pipeline.sending.pacing import look_after_s, poll_after_s
from pipeline.settling import MATCHING_OFF, names_of, settled, verify_matching

SENDER_LOST = "sender-lost"
LOOKS = 2
MAX_RETURNS = 3
LONGEST_DOUBT_S = 86_400
"""How long the chat of an unconfirmed job waits for a list that cannot be read."""


def sender_lost(parts: Parts, job: Job) -> Job:
    """Move on a SENDING job whose deadline is over: its sender did not come back."""
    try:
        return settled(parts, lost(parts, job))
    except Fenced:
        raise
    except MemolineError:  # the journal is away; the first look asks it again
        return confirm_later(parts, job, code=SENDER_LOST, message="The worker that was to send it did not come back.")


def confirm_later(
    parts: Parts, job: Job, *, code: str, message: str, trace_id: str | None = None, wait_s: float | None = None
) -> Job:
    """SENDING → UNCONFIRMED; the first look is after the quiet time, or after wait_s. `deadline` says since when it is
    in doubt, from now on."""
    return parts.ledger.move(
        job,
        State.UNCONFIRMED,
        by=parts.by,
        code=code,
        message=message,
        trace_id=trace_id or job.trace_id,
        looks=0,
        next_look_at=parts.clock.now() + (parts.rules.confirm_after_s if wait_s is None else wait_s),
        deadline=parts.clock.now(),
    )


def look(parts: Parts, job: Job) -> Job:
    """One look at the chat's messages for an UNCONFIRMED job; returns it as it is then."""
    known = settled(parts, job)
    if known.state is not State.UNCONFIRMED:
        return known
    # A report that came while the list was read counts too.
    return settled(
        parts, _asked_again(parts, known) if known.code in (SENDER_LOST, NOT_BEGUN) else _looked(parts, known)
    )


def _asked_again(parts: Parts, job: Job) -> Job:
    try:
        return lost(parts, job)
    except Fenced:
        raise
    except MemolineError as error:
        return _not_seen(parts, job, error.message)


def _looked(parts: Parts, job: Job) -> Job:
    try:
        since = min(job.first_sending_at or job.sending_since, job.sending_since)
        listed = parts.messenger.own_messages(job.chat_id or "", since=since)
    except MemolineError as error:
        return _not_seen(parts, job, error.message)
    if listed is None:
        return _hold(parts, job, "Linq does not show the chat's messages")
    verdict = match(names_of(parts, job), listed)
    if verdict.found is Found.YES:
        return _found(parts, job, verdict.message_id or "")
    if verdict.found is Found.CANNOT_KNOW:
        return _hold(parts, job, "the list shows messages without their files")
    if parts.ledger.flag(MATCHING_OFF):
        return _hold(parts, job, "Linq was seen to rename files, so the list proves nothing")
    if not listed.complete:
        return _not_seen(parts, job, "the list has no end")
    if job.looks + 1 < LOOKS:
        return _look_again(parts, job, looks=job.looks + 1, wait_s=parts.rules.confirm_after_s)
    return _absent(parts, job, listed)


def _found(parts: Parts, job: Job, message_id: str) -> Job:
    sent = parts.ledger.move(
        job,
        State.SENT,
        by=parts.by,
        code="found",
        message="Its outcome was unknown; the memo was found in the chat.",
        message_id=message_id,
        next_look_at=parts.clock.now() + poll_after_s(0),
    )
    return let_go(parts, sent)


def _absent(parts: Parts, job: Job, listed: MessageList) -> Job:
    """Two complete looks found nothing."""
    likely = probably_not_sent(job.code)
    if (likely or parts.rules.resend_if_absent) and job.returns < MAX_RETURNS:
        try:
            if not _names_hold(parts, listed):
                return _hold(
                    parts, job, "the chat shows files that nobody here sent, and one may be it under another name"
                )
        except MemolineError as error:
            return _not_seen(parts, job, error.message)
        why = "Linq very likely did not take it" if likely else "MEMOLINE_RESEND_IF_ABSENT is set"
        return parts.ledger.move(
            job,
            State.HOSTED,
            by=parts.by,
            code=job.code,
            message=f"{why}, and the chat does not show it: sent again.",
            returns=job.returns + 1,
            retry_at=0.0,
        )
    return _hold(parts, job, "the chat does not show it, but that is no proof")


def _names_hold(parts: Parts, listed: MessageList) -> bool:
    """Whether an absent name proves that the memo is absent: the chat shows no file that is not known to be another
    job's; or the last memo that Linq took has its name there. Raises what the messenger raises."""
    strange = False
    for message in listed.messages:
        report = StatusReport(status="", message_id=message.message_id, file_names=message.file_names or ())
        owner = parts.ledger.find_message(report) if report.file_names else None
        if owner is not None:
            verify_matching(parts, owner, report)
        strange |= owner is None and bool(report.file_names)
    if strange and (witness := parts.ledger.last_taken()) is not None:
        report = parts.messenger.status(witness.message_id or "") or StatusReport(status="", message_id=None)
        verify_matching(parts, witness, report)
        strange = not report.file_names
    return not strange and not parts.ledger.flag(MATCHING_OFF)


def _hold(parts: Parts, job: Job, why: str) -> Job:
    text = (
        f"Nobody knows whether Linq took it ({job.code}); {why}. Look in the chat, then "
        f"`memoline resolve {job.job_id}` with --sent MESSAGE_ID, --resend or --give-up."
    )
    return parts.ledger.move(job, State.HELD, by=parts.by, code="outcome-unknown", message=text)


def _not_seen(parts: Parts, job: Job, why: str) -> Job:
    """The list could not be read to its end: no look at all, and tried again ever more rarely."""
    # A time in which nobody was there to look proves nothing.
    doubt_s = parts.clock.now() - max(job.sending_since, job.deadline)
    if doubt_s > LONGEST_DOUBT_S:
        return _hold(parts, job, f"for a day its chat could not be read: {why.rstrip('.')}")
    return _look_again(parts, job, looks=job.looks, wait_s=look_after_s(doubt_s, parts.rules.confirm_after_s))


def _look_again(parts: Parts, job: Job, *, looks: int, wait_s: float) -> Job:
    return parts.ledger.move(
        job,
        State.UNCONFIRMED,
        by=parts.by,
        code=job.code,
        message=job.message,
        looks=looks,
        next_look_at=parts.clock.now() + wait_s,
    )
