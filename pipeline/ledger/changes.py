"""The writes: a new job, and the compare-and-set by which every job changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from pipeline.errors import Fenced, KeyReused, NoSuchJob
from pipeline.ledger import splits
from pipeline.ledger.callbacks import note_move
from pipeline.ledger.rows import changed_columns, new_row, plain, to_job
from pipeline.ledger.tables import history, jobs
from pipeline.ledger.upsert import inserted
from pipeline.model import HistoryEntry, Job, NewJob, Request, State

# Built once: building a statement takes longer than running it.
_OF_JOB: Final = jobs.c.job_id == bindparam("of_job")
_ONE: Final = select(jobs).where(_OF_JOB)
_CHANGE: Final = update(jobs).where(_OF_JOB, jobs.c.rev == bindparam("as_read")).returning(jobs)
_LINE: Final = insert(history)


def add_or_find(connection: Connection, new: NewJob, *, now: float, by: str, erased: str | None = None) -> Job:
    """The job for a request, inserted or found. erased: the job that had its key and was erased; it stands for the
    request. Raises KeyReused where its id or key belongs to other input."""
    if erased is not None:
        return get(connection, erased)
    values = new_row(new.request, job_id=new.job_id, state=new.state, code=new.code, message=new.message, now=now)
    row = inserted(connection, jobs, values)
    found = to_job(row) if row else _by_id(connection, new.job_id)
    if row and found:
        remember(connection, None, found, now=now, by=by)
    if found is None or not stands_for(found, new.request):
        raise KeyReused(new.request.key, found.job_id if found else _owner_of(connection, new.request.key))
    return found


def stands_for(job: Job, request: Request) -> bool:
    """Whether the job with a request's identity has its input; of an erased one nothing is known but that. Pure."""
    return job.fingerprint == request.fingerprint or job.state is State.ERASED


def get(connection: Connection, job_id: str) -> Job:
    """The job with this id. Raises NoSuchJob."""
    found = _by_id(connection, job_id)
    if found is None:
        raise NoSuchJob(job_id)
    return found


def compare_and_set(connection: Connection, job: Job, columns: Mapping[str, Any]) -> Job:
    """Change a job that is still as it was read. Raises Fenced where somebody was faster."""
    values = {**columns, "rev": job.rev + 1, "of_job": job.job_id, "as_read": job.rev}
    row = connection.execute(_CHANGE, values).mappings().first()
    if row is None:
        raise Fenced(job.job_id)
    return to_job(row)


def move(
    connection: Connection,
    job: Job,
    to: State,
    *,
    now: float,
    by: str,
    code: str | None,
    message: str | None,
    changes: Mapping[str, object],
) -> Job:
    """One compare-and-set and its line of history, in one transaction; where it is about a part, the whole follows.
    Nothing is begun of what is to be erased: Fenced, as if somebody had ended it already."""
    whole = splits.lock(connection, job.parent_id) if job.parent_id else None
    moved = put(connection, job, to, changed_columns(changes), now=now, by=by, code=code, message=message)
    if to is State.SENDING and (moved.erasing or (whole is not None and whole.erasing)):
        raise Fenced(job.job_id)
    if whole is not None:
        splits.follow(connection, whole, now=now, by=by)
    return moved


def note(connection: Connection, job: Job, changes: Mapping[str, object], *, now: float, by: str) -> Job:
    """A compare-and-set without a move; where it is about a part, the whole follows."""
    whole = splits.lock(connection, job.parent_id) if job.parent_id else None
    noted = compare_and_set(connection, job, changed_columns(changes))
    if whole is not None:
        splits.follow(connection, whole, now=now, by=by)
    return noted


def put(
    connection: Connection,
    job: Job,
    to: State,
    columns: Mapping[str, Any],
    *,
    now: float,
    by: str,
    code: str | None,
    message: str | None,
) -> Job:
    """A compare-and-set of one row alone, and its line of history."""
    told = {"state": str(to), "code": code, "message": plain(message), "updated_at": now}
    moved = compare_and_set(connection, job, {**columns, **told})
    remember(connection, job.state, moved, now=now, by=by)
    return moved


def renew(connection: Connection, job: Job, lease_until: float) -> bool:
    """Lengthen the lease of a claim that still holds. `rev` stays, so that the holder's own move still fits."""
    c = jobs.c
    held = (c.job_id == job.job_id) & (c.epoch == job.epoch) & (c.state == str(State.PREPARING))
    return connection.execute(update(jobs).where(held).values(lease_until=lease_until)).rowcount == 1


def history_of(connection: Connection, job_id: str) -> tuple[HistoryEntry, ...]:
    """Every move of a job, oldest first."""
    rows = connection.execute(select(history).where(history.c.job_id == job_id).order_by(history.c.id)).mappings()
    return tuple(
        HistoryEntry(
            at=row["at"],
            from_state=State(row["from_state"]) if row["from_state"] else None,
            to_state=State(row["to_state"]),
            code=row["code"],
            message=row["message"],
            by=row["actor"],
            attempt=row["attempt"],
        )
        for row in rows
    )


def remember(connection: Connection, was: State | None, job: Job, *, now: float, by: str) -> None:
    """Write the line of history of a move."""
    line = {"job_id": job.job_id, "at": now, "from_state": was and str(was), "to_state": str(job.state)}
    line |= {"code": job.code, "message": job.message, "actor": by}
    connection.execute(_LINE, line | {"attempt": job.attempts})
    if was is not job.state:
        note_move(connection, job, now)


def _by_id(connection: Connection, job_id: str) -> Job | None:
    row = connection.execute(_ONE, {"of_job": job_id}).mappings().first()
    return to_job(row) if row else None


def _owner_of(connection: Connection, key: str | None) -> str:
    return str(connection.execute(select(jobs.c.job_id).where(jobs.c.key == key)).scalar_one())
