"""What a person may do to a job: cancel it, try it again, say which chat it is for, decide what nobody knows. What is
asked of a split is done to those of its parts that it concerns."""

from __future__ import annotations

from contextlib import suppress

from pipeline.copies import let_go
from pipeline.errors import Fenced, JobFailed, Misuse, NotNow, PartUnreachable
from pipeline.ledger.states import MAY_BE_TAKEN
from pipeline.ledger.turns import PART_MISSING, may_be_taken, stands_before
from pipeline.model import Job, State
from pipeline.ports import Parts
from pipeline.recall import forgotten
from pipeline.recordings import Overflow

_RETRYABLE = (State.REJECTED, State.FAILED)
_CANCELLABLE = (State.RECEIVED, State.PREPARING, State.HELD, State.HOSTED)
_TRIES = 10
_GIVEN_UP = State.FAILED, "resolved-given-up"
_ON_REQUEST = "Tried again on request."


def cancel(parts: Parts, job: Job) -> Job:
    """End a job that was not sent yet, whoever works on it. Raises NotNow (`too-late`) once it may be on its way."""
    for _ in range(_TRIES):
        if job.state is State.CANCELLED:
            return job
        if job.spans:
            return _cancel_parts(parts, job)
        unknown = job.state is State.HELD and job.code == "outcome-unknown"
        if job.state not in _CANCELLABLE or unknown:
            break
        with suppress(Fenced):  # a worker moved it at this moment: what is true of it now?
            if sent_before := _forgotten(parts, job):
                job = sent_before
                break
            ended = parts.ledger.move(
                job, State.CANCELLED, by=parts.by, code="cancelled", message="Cancelled on request.", lease_until=0.0
            )
            return let_go(parts, ended)
        job = parts.ledger.get(job.job_id)
    raise NotNow("too-late", _too_late(job), job_id=job.job_id, state=str(job.state))


def _cancel_parts(parts: Parts, job: Job) -> Job:
    """End what was not sent yet, from the end, so that no part goes without those before it."""
    ended = False
    for part in reversed(parts.ledger.parts_of(job.job_id)):
        with suppress(NotNow):
            ended = cancel(parts, part).state is State.CANCELLED or ended
    now = parts.ledger.get(job.job_id)
    if ended:
        return now
    raise NotNow("too-late", _too_late(now), job_id=job.job_id, state=str(now.state))


def _forgotten(parts: Parts, job: Job) -> Job | None:
    """An outage of S3 keeps nobody from cancelling."""
    with suppress(PartUnreachable, Misuse):
        return forgotten(parts, job)
    return None


def retry(parts: Parts, job: Job, *, overflow: Overflow | None = None) -> Job:
    """Start a REJECTED job, or a FAILED one that Linq never took, anew: with the settings of now, and another overflow
    where one is given. Its memo gets a new name. Of a split, all begins anew where Linq took none of it, else what
    is missing. Raises NotNow (`not-retryable`)."""
    _stays(parts, job)
    if job.spans and job.state in _RETRYABLE:
        return _retry_parts(parts, job, overflow)
    if job.state not in _RETRYABLE or job.message_id or job.code in MAY_BE_TAKEN:
        raise NotNow("not-retryable", _not_retryable(job), job_id=job.job_id, state=str(job.state))
    if job.parent_id is not None:
        return _retry_part(parts, job, overflow)
    return _anew(parts, job, None, _ON_REQUEST, overflow or job.overflow)


def _retry_parts(parts: Parts, job: Job, overflow: Overflow | None) -> Job:
    siblings = parts.ledger.parts_of(job.job_id)
    if not any(map(may_be_taken, siblings)):
        how = overflow or job.overflow
        return parts.ledger.rejoin(job, by=parts.by, message=_ON_REQUEST, **_fresh(parts, job), overflow=how)
    missing = [part for part in siblings if part.state in _RETRYABLE and not may_be_taken(part)]
    if not missing:
        raise NotNow("not-retryable", _not_retryable(job), job_id=job.job_id, state=str(job.state))
    for part in missing:
        _retry_part(parts, part, overflow)
    return parts.ledger.get(job.job_id)


def _retry_part(parts: Parts, part: Job, overflow: Overflow | None) -> Job:
    if overflow not in (None, part.overflow):
        why = f"Other parts of job {part.parent_id} may have been sent: how it is divided cannot be changed any more."
        raise NotNow("not-retryable", why, job_id=part.job_id, state=str(part.state))
    if missing := stands_before(parts.ledger.parts_of(part.parent_id or ""), part):
        why = f"Part {missing.part_no} comes first: `memoline retry {part.parent_id}` sends all that is missing."
        raise NotNow("not-retryable", why, job_id=part.job_id, state=str(part.state))
    if part.code != PART_MISSING:
        return _anew(parts, part, None, _ON_REQUEST, part.overflow)
    # It only waited: there is nothing wrong with its memo.
    given = _fresh(parts, part) | {"hosted": part.hosted}
    return parts.ledger.move(part, State.RECEIVED, by=parts.by, code=None, message=_ON_REQUEST, **given)


def _anew(parts: Parts, job: Job, code: str | None, message: str, overflow: Overflow | None) -> Job:
    given = _fresh(parts, job) | {"overflow": overflow}
    return parts.ledger.move(job, State.RECEIVED, by=parts.by, code=code, message=message, **given)


def _fresh(parts: Parts, job: Job) -> dict[str, object]:
    """What of a job is as in the beginning when it begins anew."""
    return {
        "audio_attempts": 0,
        "returns": 0,
        "retry_at": 0.0,
        "sending_since": 0.0,
        "not_before": _starts_now(parts, job),
        "hosted": None,
    }


def assign(parts: Parts, job: Job, chat_id: str, *, overflow: Overflow | None = None, not_before: float = 0.0) -> Job:
    """Give a job that is HELD for want of a chat its chat, and other options where they are given. Raises NotNow
    (`not-held`)."""
    _stays(parts, job)
    if job.state is not State.HELD or job.code != "no-chat":
        why = f"Job {job.job_id} is {job.state} and has its chat: only one that is HELD with no-chat takes one."
        raise NotNow("not-held", why, job_id=job.job_id, state=str(job.state))
    return parts.ledger.move(
        job,
        State.RECEIVED,
        by=parts.by,
        code=None,
        message=None,
        chat_id=chat_id,
        overflow=overflow or job.overflow,
        not_before=max(_starts_now(parts, job), not_before),
    )


def resolve(
    parts: Parts, job: Job, *, sent: str | None = None, resend: bool = False, give_up: bool = False, why: str = ""
) -> Job:
    """Decide about a job that is HELD because its outcome is unknown, or anew about one that was given up then. Exactly
    one of sent (a message id), resend and give_up. Raises NotNow (`not-held`), JobFailed (`one-decision`)."""
    if (sent is not None) + resend + give_up != 1:
        raise JobFailed("one-decision", "Say exactly one of --sent MESSAGE_ID, --resend and --give-up.")
    if job.spans and (part := _in_doubt(parts, job)):
        resolve(parts, part, sent=sent, resend=resend, give_up=give_up, why=why)
        return parts.ledger.get(job.job_id)
    given_up = (job.state, job.code) == _GIVEN_UP
    if given_up and give_up:
        return job
    if not given_up and (job.state, job.code) != (State.HELD, "outcome-unknown"):
        text = f"Job {job.job_id} is {job.state}: only one that is HELD with outcome-unknown can be resolved."
        raise NotNow("not-held", text, job_id=job.job_id, state=str(job.state))
    if resend:
        _stays(parts, job)
    note = f"Decided by a person{': ' + why if why else '.'}"
    if sent is not None:
        later = parts.clock.now() + 1
        known = parts.ledger.move(
            job, State.SENT, by=parts.by, code="resolved-sent", message=note, message_id=sent, next_look_at=later
        )
        return let_go(parts, known)
    if resend and given_up:
        return _anew(parts, job, "resolved-resend", note, job.overflow)
    if resend:
        return parts.ledger.move(
            job,
            State.HOSTED if job.hosted else State.RECEIVED,
            by=parts.by,
            code="resolved-resend",
            message=note,
            retry_at=0.0,
            sending_since=0.0,
            looks=0,
            not_before=_starts_now(parts, job),
        )
    return parts.ledger.move(job, State.FAILED, by=parts.by, code="resolved-given-up", message=note)


def _stays(parts: Parts, job: Job) -> None:
    """Raises NotNow (`erase-wanted`) where somebody wants it erased, or the whole of which it is a part."""
    if job.erasing or (job.parent_id is not None and parts.ledger.get(job.parent_id).erasing):
        text = f"Job {job.job_id} is to be erased: it is not sent any more."
        raise NotNow("erase-wanted", text, job_id=job.job_id, state=str(job.state))


def _in_doubt(parts: Parts, job: Job) -> Job | None:
    """The part of a split about which a person has to decide, or, where there is none, decided to give it up."""
    held = State.HELD, "outcome-unknown"
    found = [p for p in parts.ledger.parts_of(job.job_id) if (p.state, p.code) in (held, _GIVEN_UP)]
    return min(found, key=lambda part: part.state is not State.HELD, default=None)


def _starts_now(parts: Parts, job: Job) -> float:
    """The `not_before` of a job that a person starts anew, from when its age counts. The later word counts: a backfill
    that was cancelled before is left, which would cancel it again."""
    parts.ledger.leave_cancelled(job)
    return max(job.not_before, parts.clock.now())


def _too_late(job: Job) -> str:
    if job.state is State.HELD and job.chat_id is None:
        how = f"`memoline assign {job.job_id} --chat ID`, with the chat that it had, lets it be looked for."
        return f"Job {job.job_id} may have been sent before this ledger was put back: {how}"
    if job.state in (State.SENDING, State.UNCONFIRMED, State.HELD):
        return f"Job {job.job_id} may have been sent already ({job.state}): it cannot be cancelled any more."
    return f"Job {job.job_id} is {job.state}: there is nothing left to cancel."


def _not_retryable(job: Job) -> str:
    if job.message_id or job.code == "not-delivered":
        which = f" as message {job.message_id}" if job.message_id else ""
        return f"Linq took job {job.job_id}{which}: sending it again would make two memos."
    if job.code == "resolved-given-up":
        how = f"if it did not arrive, `memoline resolve {job.job_id} --resend` sends it again."
        return f"Job {job.job_id} was given up, and Linq may have taken it: {how}"
    if job.state is State.HELD:
        verb = "assign" if job.code == "no-chat" else "resolve"
        return f"Job {job.job_id} is HELD ({job.code}): `memoline {verb} {job.job_id}` decides about it."
    return f"Job {job.job_id} is {job.state}: only REJECTED and FAILED jobs can be tried again."
