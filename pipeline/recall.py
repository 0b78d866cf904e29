"""What is remembered of a job's attempts outside the ledger, and what that means for it.

A sender that did not come back may have died before it sent anything: closing its attempt proves that, for then it
never can. And a ledger that was restored from an older copy does not know what was sent since: the attempt that it
takes for new was begun before, and nothing is sent until it is known what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.copies import let_go
from pipeline.hosting.names import identity_of_part, job_id_for
from pipeline.messages import Attempt, Outcome, OutcomeKind
from pipeline.model import Job, State
from pipeline.ports import Parts
from pipeline.sending.pacing import poll_after_s

NOT_BEGUN = "not-begun"
"""Code of a job whose sender could not write its intent."""
ERASED_BEFORE = "It was erased before this ledger was put back."
_NOT_BEGUN = Outcome(kind=OutcomeKind.WAIT, code=NOT_BEGUN, message="S3 failed before anything was sent.")
_NOT_SENT = (OutcomeKind.WAIT, OutcomeKind.REFUSED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What all attempts come to. accepted: Linq took one. doubtful: of one nobody knows. code: of the last one."""

    number: int
    epoch: int
    first_at: float
    last_at: float
    accepted: Outcome | None
    doubtful: bool
    code: str | None


def remembered(attempts: Sequence[Attempt], job: Job) -> Memory:
    """Sum up a job's attempts. Without any (somebody removed them) the one that was begun is doubtful. Pure."""
    doubtful = [one for one in attempts if not _not_sent(one)]
    accepted = [one.outcome for one in attempts if one.outcome and one.outcome.kind is OutcomeKind.ACCEPTED]
    last = max(attempts, key=lambda one: one.number, default=None)
    in_doubt = max(doubtful, key=lambda one: one.number, default=None)
    return Memory(
        number=max(job.send_attempts, last.number if last else 0),
        epoch=max(job.epoch, *(one.epoch for one in attempts), 0),
        first_at=min((one.at for one in doubtful), default=job.sending_since),
        last_at=max((one.at for one in doubtful), default=job.sending_since),
        accepted=accepted[0] if accepted else None,
        doubtful=bool(doubtful) or not attempts,
        code=in_doubt.outcome.code if in_doubt and in_doubt.outcome else None,
    )


def _not_sent(attempt: Attempt) -> bool:
    return attempt.closed or (attempt.outcome is not None and attempt.outcome.kind in _NOT_SENT)


def lost(parts: Parts, job: Job) -> Job:
    """Move on a job whose sender did not come back: HOSTED where it sent nothing, else as `recalled`.

    Raises what the journal raises."""
    closing = Attempt(number=job.send_attempts, at=parts.clock.now(), epoch=job.epoch, closed=True)
    if not parts.journal.begin(job.job_id, closing):
        return recalled(parts, job)
    why = "The worker that was to send it ended before it sent anything."
    return parts.ledger.move(job, State.HOSTED, by=parts.by, code=NOT_BEGUN, message=why, retry_at=0.0, deadline=0.0)


def recalled(parts: Parts, job: Job) -> Job:
    """Move a job whose attempt was begun before: SENT where Linq took it, HOSTED where it is proven that nothing was
    sent, else UNCONFIRMED. Raises what the journal raises."""
    attempts = _attempts(parts, job)
    unnoticed = [one for one in attempts if _is_unsent(one, job)]
    for one in unnoticed:
        parts.journal.end(job.job_id, one.number, _NOT_BEGUN)
    if unnoticed:
        attempts = _attempts(parts, job)
    return _as_remembered(parts, job, remembered(attempts, job))


def _is_unsent(attempt: Attempt, job: Job) -> bool:
    """Whether S3 kept the intent of a sender, who was told that it failed, and so sent nothing. Pure."""
    mine = (attempt.number, attempt.at, attempt.epoch) == (job.send_attempts, job.sending_since, job.epoch)
    return mine and job.code == NOT_BEGUN and attempt.outcome is None


def any_part_begun(parts: Parts, job: Job, count: int) -> bool:
    """Whether one of so many parts of a job may have been sent. Raises what the journal raises."""
    ids = (job_id_for(parts.secret, identity_of_part(job.job_id, part_no)) for part_no in range(1, count + 1))
    return any(not _not_sent(one) for part_id in ids for one in parts.journal.attempts(part_id))


def forgotten(parts: Parts, job: Job, *, in_parts: bool = False) -> Job | None:
    """Move a job that is about to end unsent, where an older copy of the ledger has forgotten that it was sent, or may
    have been; None where it was not. in_parts: it is about to be sent in parts, which know their own attempts. One that
    may have been and has no chat stays as it is: nobody can look for it, and its attempt is asked about again once it
    has one. Raises what the journal raises."""
    known = _attempts(parts, job)
    unknown = [one for one in known if one.number > job.send_attempts and not (in_parts and one.parts)]
    if all(_not_sent(one) for one in unknown):
        return None
    memory = remembered(unknown, job)
    if job.chat_id is None and memory.accepted is None:
        return job
    # In one move: a worker that died between two of them would leave a job whose attempt seems to be settled.
    return _as_remembered(parts, replace(job, send_attempts=memory.number), memory)


def _attempts(parts: Parts, job: Job) -> tuple[Attempt, ...]:
    """All attempts of a job. One that was erased, which this older copy of the ledger does not know, is again; that it
    was to be sent in parts is one that was given up, where none of them was begun."""
    attempts = parts.journal.attempts(job.job_id)
    if any(one.erased for one in attempts):
        parts.ledger.want_erased(job.job_id, by=parts.by, why=ERASED_BEFORE)
    return tuple(
        replace(one, closed=True) if one.parts and not any_part_begun(parts, job, one.parts) else one
        for one in attempts
    )


def _as_remembered(parts: Parts, job: Job, memory: Memory) -> Job:
    now = parts.clock.now()
    changed: dict[str, object] = {"send_attempts": memory.number, "epoch": memory.epoch}
    if memory.accepted is not None:
        known = {name: getattr(memory.accepted, name) for name in ("message_id", "attachment_id", "trace_id")}
        text = "Linq took it, as the receipt of the attempt says."
        changed |= known | {"next_look_at": now + poll_after_s(0)}
        return let_go(parts, parts.ledger.move(job, State.SENT, by=parts.by, code="receipt", message=text, **changed))
    if not memory.doubtful:
        text = "Earlier attempts of it, which this ledger did not know, were not taken: tried again."
        changed |= {"retry_at": 0.0, "deadline": 0.0}
        return parts.ledger.move(job, State.HOSTED, by=parts.by, code="recalled", message=text, **changed)
    text = "An attempt was begun, and nobody wrote down what came of it."
    changed |= {"first_sending_at": memory.first_at, "sending_since": memory.last_at, "looks": 0}
    changed |= {"next_look_at": now + parts.rules.confirm_after_s, "deadline": now}
    return parts.ledger.move(
        job, State.UNCONFIRMED, by=parts.by, code=memory.code or "answer-lost", message=text, **changed
    )
