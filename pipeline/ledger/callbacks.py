"""Moves that a caller asked to be told of: written in the transaction of the move, and kept until they were told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, Select, func, select, update

from pipeline.ledger.door_tables import callbacks
from pipeline.ledger.engine import Database
from pipeline.ledger.tables import ZERO, jobs
from pipeline.ledger.upsert import insert_new
from pipeline.model import Callback, Job, State

if TYPE_CHECKING:
    from pipeline.ledger.ledger import SqlLedger

TOLD_OF: Final = frozenset({State.SENT, State.DELIVERED, State.HELD, State.REJECTED, State.FAILED, State.CANCELLED})
"""Where a job has come to something, or waits for a person."""


def note_move(connection: Connection, job: Job, now: float) -> None:
    """Have the caller told of the move that a job has just made, if that is wanted."""
    if job.callback_url is None or job.state not in TOLD_OF:
        return
    row = {
        "event_id": f"{job.job_id}.{job.rev}",
        "job_id": job.job_id,
        "receiver": receiver_of(job.callback_url),
        "state": str(job.state),
        "code": job.code,
        "message": job.message,
        "at": now,
        "rev": job.rev,
        "next_at": now,
    }
    insert_new(connection, callbacks, row)


def receiver_of(url: str) -> str:
    """Scheme, host and port: what answers, or does not, for all callbacks to it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


class CallbackBook:
    """The callbacks in the ledger's database. All methods raise PartUnreachable (`ledger-unreachable`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: float, limit: int, without: Sequence[str] = ()) -> tuple[Callback, ...]:
        """Those to tell now, the longest waiting first: of each job the oldest one that is open, so that its moves are
        told in order. without: receivers that have enough to do."""
        return self._select(due(now, limit, without))

    def claim(self, callback: Callback, until: float) -> bool:
        """Take one for an attempt, which is counted; False where another process has it. It is due again at `until`,
        should its teller die."""
        as_read = (callbacks.c.id == callback.id) & (callbacks.c.attempts == callback.attempts)
        taken = update(callbacks).where(as_read, callbacks.c.done_at == ZERO)
        with self._database.write() as connection:
            changed = connection.execute(taken.values(attempts=callback.attempts + 1, next_at=until))
            return changed.rowcount == 1

    def again(self, callback: Callback, *, at: float, outcome: str) -> None:
        """Not told: it is due again at a moment, and what its job's caller is to be told later not before that."""
        self._note(callback, next_at=at, outcome=outcome)
        later = (callbacks.c.job_id == callback.job_id) & (callbacks.c.done_at == ZERO) & (callbacks.c.next_at < at)
        with self._database.write() as connection:
            connection.execute(update(callbacks).where(later, callbacks.c.id > callback.id).values(next_at=at))

    def close(self, callback: Callback, *, now: float, outcome: str) -> None:
        """Told, or given up."""
        self._note(callback, done_at=now, outcome=outcome)

    def of_job(self, job_id: str) -> tuple[Callback, ...]:
        """All of a job, oldest first."""
        return self._select(_all().where(callbacks.c.job_id == job_id).order_by(callbacks.c.id))

    def latest(self, limit: int, *, waiting: bool) -> tuple[Callback, ...]:
        """The newest first. waiting: only those that were neither told nor given up."""
        found = _all().order_by(callbacks.c.id.desc()).limit(limit)
        return self._select(found.where(callbacks.c.done_at == ZERO) if waiting else found)

    def _note(self, callback: Callback, **values: object) -> None:
        still_open = (callbacks.c.id == callback.id) & (callbacks.c.done_at == ZERO)
        with self._database.write() as connection:
            connection.execute(update(callbacks).where(still_open).values(**values))

    def _select(self, statement: Select[Any]) -> tuple[Callback, ...]:
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings()
            return tuple(Callback(**{**row, "state": State(row["state"])}) for row in rows)


def due(now: float, limit: int, without: Sequence[str]) -> Select[Any]:
    """The oldest open callback of each job, of those that are due; within the index of what is open, by its time."""
    earlier = callbacks.alias("earlier")
    first = select(func.min(earlier.c.id)).where(earlier.c.job_id == callbacks.c.job_id, earlier.c.done_at == ZERO)
    ready = _all().where(callbacks.c.done_at == ZERO, callbacks.c.next_at <= now)
    ready = ready.where(callbacks.c.id == first.scalar_subquery(), callbacks.c.receiver.not_in(without))
    return ready.order_by(callbacks.c.next_at, callbacks.c.id).limit(limit)


def callbacks_of(ledger: SqlLedger, job: Job) -> tuple[Callback, ...]:
    """What a job's caller was told, or is to be; nothing is asked where nobody wants to be told."""
    return CallbackBook(ledger.database).of_job(job.job_id) if job.callback_url else ()


def _all() -> Select[Any]:
    return select(callbacks, jobs.c.callback_url.label("url")).join(jobs, jobs.c.job_id == callbacks.c.job_id)
