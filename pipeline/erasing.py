"""Erasing a job: what is known of somebody goes, and that it was sent stays known.

The wish is durable before anything is removed. What may be on its way settles first; what waits is cancelled; then
every copy is removed, and last, in one commit, all that is personal in the ledger. Whoever dies on the way leaves the
wish, and the sweeper carries it out. What is left is a tombstone: the identity and the time, so that the same request
is never registered, nor sent, again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from pipeline.decisions import cancel
from pipeline.errors import Fenced, NoSuchJob, NotNow
from pipeline.hosting.names import identity_of_object, identity_of_part, job_id_for, memo_name
from pipeline.messages import Attempt
from pipeline.model import AuditLine, Job, State
from pipeline.ports import Parts
from pipeline.recall import ERASED_BEFORE
from pipeline.settling import names_of

AGAIN_S = (3_600.0, 86_400.0)
"""When an erased job is looked at again: an attempt that had lost it may have stored its memo late."""
_AT_ITS_END = (State.SENT, State.DELIVERED, State.REJECTED, State.FAILED, State.CANCELLED)
_TRIES = 10
_AT_ONCE = 500


def want(parts: Parts, job: Job, why: str) -> Job:
    """Note durably that a job is to be erased, of a part the whole, and end it if it was not sent yet. Returns it as it
    is then."""
    job = parts.ledger.want_erased(job.parent_id or job.job_id, by=parts.by, why=why)
    return job if job.state is State.ERASED else _ended(parts, job) or job


def carry_out(parts: Parts, job: Job) -> Job:
    """One try to erase a job that is wanted erased. Returns it as it is then: ERASED, or still on its way.

    Raises what the parts raise where a copy could not be removed: the wish stays."""
    wish = parts.ledger.erase_wish(job.job_id)
    for _ in range(_TRIES):
        if job.state is State.ERASED:
            return _looked_again(parts, job)
        if not _parts_erased(parts, job, wish):
            break
        with suppress(Fenced):
            if (ended := _ended(parts, job)) is None:
                break
            _bury(parts, ended, wished=wish is not None)
            is_other = _others(parts, ended) if wish else None
            alone = ended.parent_id is None and parts.ledger.is_alone(ended)
            names = _names_of_parts(parts, ended)
            removed = parts.store.erase(ended, is_other=is_other, alone=alone, names=names)
            return parts.ledger.erase(
                ended,
                by=wish.by if wish else parts.by,
                why=(wish.why or "") if wish else None,
                removed=[*removed, "ledger"],
                file_stems=names_of(parts, ended),
                again_at=parts.clock.now() + AGAIN_S[0],
            )
        job = parts.ledger.get(job.job_id)
    return job


def _names_of_parts(parts: Parts, job: Job) -> frozenset[str]:
    """The names of all memos that were stored for parts of a job, also of those that never became jobs. Raises what the
    journal raises."""
    return frozenset(
        memo_name(parts.secret, job_id_for(parts.secret, identity_of_part(job.job_id, part_no)), epoch)
        for epochs in parts.journal.divided(job.job_id)
        for part_no, epoch in enumerate(epochs, start=1)
    )


def _parts_erased(parts: Parts, job: Job, wish: AuditLine | None) -> bool:
    """Whether all parts of a split, or of one that was made anew, are erased; the last first, so that none goes
    meanwhile."""
    erased = True
    for part in reversed(parts.ledger.parts_of(job.job_id)):
        if part.state is State.ERASED:
            continue
        if wish:
            parts.ledger.want_erased(part.job_id, by=wish.by, why=wish.why or "")
        erased = carry_out(parts, part).state is State.ERASED and erased
    return erased


def _ended(parts: Parts, job: Job) -> Job | None:
    """The job at an end; None as long as its memo may be on its way."""
    if job.spans:
        ended = [_ended(parts, part) for part in reversed(parts.ledger.parts_of(job.job_id))]
        return parts.ledger.get(job.job_id) if all(ended) else None
    for _ in range(_TRIES):
        if job.state in (*_AT_ITS_END, State.ERASED):
            return job
        if job.state in (State.SENDING, State.UNCONFIRMED):
            return None
        with suppress(Fenced, NotNow):
            return _given_up(parts, job) if job.state is State.HELD else cancel(parts, job)
        job = parts.ledger.get(job.job_id)
    return None


def _given_up(parts: Parts, job: Job) -> Job:
    """HELD waits for a person, and a person has spoken."""
    with suppress(NotNow):
        if job.code == "no-chat":
            return cancel(parts, job)
    text = "Given up, as it is to be erased."
    return parts.ledger.move(job, State.FAILED, by=parts.by, code="resolved-given-up", message=text)


def _bury(parts: Parts, job: Job, *, wished: bool) -> None:
    """Remember outside the ledger that it is erased: an older copy of the ledger, put back, would send it, or send it
    again, by an attempt that is closed here; and it must be told to erase it, but for what it finds too old itself."""
    attempts, now = parts.journal.attempts(job.job_id), parts.clock.now()
    if not any(one.erased for one in attempts):
        number = max(job.send_attempts, *(one.number for one in attempts), 0) + 1
        parts.journal.begin(job.job_id, Attempt(number=number, at=now, epoch=job.epoch, closed=True, erased=True))
    if wished:
        parts.journal.bury(job.job_id, now)


def erase_buried(parts: Parts) -> int:
    """Want all jobs erased that were before this ledger, an older copy, was put back. Returns how many. Raises what the
    journal raises."""
    found, buried = 0, iter(parts.journal.buried())
    while some := tuple(islice(buried, _AT_ONCE)):
        for job_id in parts.ledger.unerased(some):
            parts.ledger.want_erased(job_id, by=parts.by, why=ERASED_BEFORE)
            found += 1
    return found


def _looked_again(parts: Parts, job: Job) -> Job:
    parts.store.erase(job, is_other=None, names=_names_of_parts(parts, job))
    later = [at for at in (job.updated_at + wait_s for wait_s in AGAIN_S) if at > parts.clock.now()]
    parts.ledger.erase_later(job.job_id, later[0] if later else 0.0)
    return parts.ledger.get(job.job_id)


def _others(parts: Parts, job: Job) -> Callable[[str, str, str], bool]:
    """Whether an object of the inbox, in a version, is the recording of another job that is not erased."""

    def is_other(bucket: str, key: str, version: str) -> bool:
        try:
            other = parts.ledger.get(job_id_for(parts.secret, identity_of_object(bucket, key, version)))
        except NoSuchJob:
            return False
        return other.job_id != job.job_id and other.state is not State.ERASED

    return is_other
