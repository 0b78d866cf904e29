"""The ledger on SQL: the truth about every job. Implements `pipeline.ports.Ledger`.

Every method is one short transaction, safe for any number of threads and processes. All raise PartUnreachable
(`ledger-unreachable`) and, where they write, JobFailed (`disk-full`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, select, update

from pipeline.errors import JobFailed, KeyReused, NoSuchJob, NotNow, PartUnreachable
from pipeline.ledger import changes, queries, splits, tombstones
from pipeline.ledger.backfills import BackfillLedger
from pipeline.ledger.batch import add_batch
from pipeline.ledger.callbacks import note_move
from pipeline.ledger.chats import ChatLedger
from pipeline.ledger.engine import Database
from pipeline.ledger.erasing import EraseLedger
from pipeline.ledger.figures import FigureLedger
from pipeline.ledger.rows import to_job
from pipeline.ledger.states import is_late, why_not
from pipeline.ledger.tables import install, jobs
from pipeline.ledger.turns import at_turn
from pipeline.ledger.upsert import insert_new, put
from pipeline.model import HistoryEntry, Job, NewJob, NewPart, Reason, Request, State
from pipeline.ports import Clock

SHORTEST_PREFIX = 6
CLOCKS_APART_S = 300.0
"""More than the clocks of two hosts differ."""
_SECRET = "secret"  # noqa: S105 (the name of a row)


class SqlLedger(EraseLedger, ChatLedger, BackfillLedger, FigureLedger):
    """The jobs in a database whose schema `migrate` has brought up to date.

    url_or_engine: `sqlite:////path`, `postgresql://…`, or an engine to use as it is. Connects when first used, in each
    process anew. Raises Misuse (`bad-setting`) for another URL."""

    def __init__(self, url_or_engine: str | Engine, clock: Clock) -> None:
        self.database = Database(url_or_engine)
        self._clock = clock
        self._secret: bytes | None = None

    # ------------------------------------------------------------------------------------------------- one job

    def add(
        self, request: Request, *, job_id: str, state: State, code: str | None, message: str | None, by: str
    ) -> Job:
        """The job for a request: inserted, or the one that the same id and input made before. Durable on return.

        Raises KeyReused where the id or the key belongs to other input."""
        new = NewJob(request=request, job_id=job_id, state=state, code=code, message=message)
        keys, secret = [request.key] if request.key else [], self.install_secret()
        with self.database.write() as connection:
            erased = tombstones.owners(connection, secret, keys).get(request.key or "")
            return changes.add_or_find(connection, new, now=self._clock.now(), by=by, erased=erased)

    def add_many(self, new_jobs: Sequence[NewJob], *, by: str) -> tuple[Job | KeyReused, ...]:
        """`add` for a batch in one transaction; where the id or key belongs to other input, the error is the result.

        Batches of a few hundred: on SQLite other writers wait meanwhile, 0.1 ms a job as measured, 10 s at most."""
        now, secret = self._clock.now(), self.install_secret()
        keys = [new.request.key for new in new_jobs if new.request.key]
        with self.database.write() as connection:
            erased = tombstones.owners(connection, secret, keys)
            return add_batch(connection, new_jobs, now=now, by=by, erased=erased)

    def get(self, job_id: str) -> Job:
        """The job with this id. Raises NoSuchJob."""
        with self.database.read() as connection:
            return changes.get(connection, job_id)

    def resolve_id(self, text: str) -> str:
        """The full id of the one job whose id begins with `text` (6 characters or more, or the whole id).

        Raises NoSuchJob, JobFailed (`ambiguous-id`)."""
        c = jobs.c.job_id
        begins = (c == text) if len(text) < SHORTEST_PREFIX else (c >= text) & (c < text + "\x7f")
        with self.database.read() as connection:
            found = connection.execute(select(c).where(begins).order_by(c).limit(2)).scalars().all()
        if not found:
            raise NoSuchJob(text)
        if len(found) > 1 and found[0] != text:
            raise JobFailed("ambiguous-id", f"Several jobs begin with {text!r}: give more of the id.", job_id=text)
        return str(found[0])

    def move(
        self, job: Job, to: State, *, by: str, code: str | None = None, message: str | None = None, **changed: object
    ) -> Job:
        """Move a job that is still as it was read; `changed` are fields of Job. Returns it as it is then.

        Raises Fenced where somebody was faster, NotNow (`illegal-move`). Late news of a delivered job is a no-op."""
        if is_late(job.state, to):
            return self.get(job.job_id)
        if forbidden := why_not(job, to):
            raise NotNow("illegal-move", forbidden, job_id=job.job_id, state=str(job.state), to=str(to))
        with self.database.write() as connection:
            return changes.move(
                connection, job, to, now=self._clock.now(), by=by, code=code, message=message, changes=changed
            )

    def note(self, job: Job, **changed: object) -> Job:
        """Change bookkeeping of a job that is still as it was read: no move, no history, `updated_at` stays.

        Raises Fenced."""
        with self.database.write() as connection:
            return changes.note(connection, job, changed, now=self._clock.now(), by="ledger")

    def split(self, job: Job, new_parts: Sequence[NewPart], *, by: str, send_attempts: int) -> Job:
        """Make a claimed job a split: its parts are there, HOSTED, and hold its place together; it is never sent
        itself, and has the state that they come to. All in one commit. Raises Fenced."""
        now = self._clock.now()
        with self.database.write() as connection:
            return splits.split(connection, job, new_parts, now=now, by=by, send_attempts=send_attempts)

    def rejoin(self, job: Job, *, by: str, message: str, **changed: object) -> Job:
        """Make a split, of which nothing was sent, RECEIVED again as one job; its parts end. `changed` as for `move`.
        Raises Fenced."""
        now = self._clock.now()
        with self.database.write() as connection:
            return splits.rejoin(connection, job, now=now, by=by, message=message, given=changed)

    def parts_of(self, job_id: str) -> tuple[Job, ...]:
        """The parts of a split, in their order, as jobs; none for a job that is not split."""
        with self.database.read() as connection:
            return splits.parts_of(connection, job_id)

    def with_key(self, key: str) -> tuple[Job, ...]:
        """The job that has this key: one or none."""
        return self._select(select(jobs).where(jobs.c.key == key))

    def give_key(self, job_id: str, key: str) -> Job:
        """Let a job that has no key be known by one from now on; one that has a key keeps it. `rev` stays: no step in
        work is disturbed. Raises KeyReused where another job has the key, NoSuchJob."""
        with self.database.write() as connection:
            owner = connection.execute(select(jobs.c.job_id).where(jobs.c.key == key)).scalar()
            if owner not in (None, job_id):
                raise KeyReused(key, str(owner))
            unnamed = (jobs.c.job_id == job_id) & jobs.c.key.is_(None) & (jobs.c.state != str(State.ERASED))
            connection.execute(update(jobs).where(unnamed).values(key=key))
            return changes.get(connection, job_id)

    def give_callback(self, job_id: str, url: str) -> Job:
        """Let a job that tells nobody tell this URL from now on, of where it stands too; one that has a URL keeps it.
        Raises NoSuchJob."""
        with self.database.write() as connection:
            untold = (jobs.c.job_id == job_id) & jobs.c.callback_url.is_(None) & (jobs.c.state != str(State.ERASED))
            given = connection.execute(update(jobs).where(untold).values(callback_url=url)).rowcount == 1
            job = changes.get(connection, job_id)
            if given:
                note_move(connection, job, self._clock.now())
            return job

    def renew(self, job: Job, lease_until: float) -> bool:
        """Lengthen the lease of a claim; False where it is lost. The job's `rev` stays as the holder read it."""
        with self.database.write() as connection:
            return changes.renew(connection, job, lease_until)

    def history(self, job_id: str) -> tuple[HistoryEntry, ...]:
        """Every move of a job, oldest first."""
        with self.database.read() as connection:
            return changes.history_of(connection, job_id)

    # ------------------------------------------------------------------------------------------------ many jobs

    def heads(self, chat_id: str, now: float) -> tuple[Job, ...]:
        """The job at the head of each lane of a chat, live first; none to two. One whose own `not_before` lies ahead
        is passed over until it is due; one that backs off (`retry_at`) is not; one that may be on its way is first.
        In place of a split stands the part whose turn it is."""
        with self.database.read() as connection:
            found = _jobs(connection, queries.heads(), {"chat_id": chat_id, "now": now})
            parts = [splits.parts_of(connection, head.job_id)[: len(head.spans)] for head in found]
        return at_turn(found, parts, now)

    def waiting(self, chat_id: str, limit: int) -> tuple[Job, ...]:
        """Jobs of a chat of which nothing is on its way, oldest first."""
        return self._select(queries.waiting(chat_id, limit))

    def last_taken(self) -> Job | None:
        """The newest job of which Linq itself said that it took it, and as what."""
        return next(iter(self._select(queries.last_taken())), None)

    def due(self, now: float, limit: int) -> tuple[Job, ...]:
        """Jobs that should be hinted, at most `limit`, fairly mixed: RECEIVED and due; PREPARING with a lease that ran
        out; HOSTED, due and the head of its lane; SENDING past its deadline; UNCONFIRMED with a look due; SENT with a
        poll due."""
        with self.database.read() as connection:
            running = list(connection.execute(queries.running_backfills()).scalars())
            asked = (*queries.due(now, limit), *queries.waiting_by_backfill(now, running, limit))
            kinds = [connection.execute(statement).mappings().all() for statement in asked]
        # Only of those that are taken a job is made: that costs more than reading a row.
        return tuple(to_job(row) for row in queries.fair(kinds, limit))

    def jobs(
        self,
        *,
        states: Sequence[State] = (),
        chat_id: str | None = None,
        code: str | None = None,
        key: str | None = None,
        since: float = 0.0,
        after_seq: int = 0,
        limit: int | None = None,
        parts: bool = True,
    ) -> tuple[Job, ...]:
        """Jobs that fit all that is given, oldest first. since: registered then or later, Unix seconds. after_seq: for
        paging, the `seq` of the last one seen. parts: those of splits too."""
        if since:
            after_seq = max(after_seq, self._last_before(since - CLOCKS_APART_S))
        found = queries.listed(
            states, chat_id, code, key=key, since=since, after_seq=after_seq, limit=limit, parts=parts
        )
        return self._select(found)

    def _last_before(self, moment: float) -> int:
        """A number up to which all jobs were registered before a moment, found by halving: they are numbered in about
        the order of their times, and an index of these would cost every registration."""
        with self.database.read() as connection:
            low, high = 0, connection.execute(select(func.max(jobs.c.seq))).scalar() or 0
            while low < high:
                middle = (low + high + 1) // 2
                found = connection.execute(queries.first_at_or_after(middle)).first()
                if found is not None and found.created_at < moment:
                    low = max(middle, int(found.seq))
                else:
                    high = middle - 1
        return low

    def reasons(self, states: Sequence[State]) -> tuple[Reason, ...]:
        """How many jobs stand in these states for the same reason, the most frequent first."""
        return tuple(Reason(**row) for row in self._rows(queries.reasons(states)))

    def counts(self) -> dict[State, int]:
        """How many jobs stand in each state, a split as one; every state is named."""
        with self.database.read() as connection:
            rows, of_parts = (connection.execute(statement).all() for statement in queries.counts())
        found, parts = ({State(state): int(count) for state, count in some} for some in (rows, of_parts))
        return {state: found.get(state, 0) - parts.get(state, 0) for state in State}

    def recordings_needed(self, ended_after: float) -> frozenset[str]:
        """URIs of recordings that may still be read: of jobs that are not at their end, and of those that ended
        unsent after a moment (Unix seconds)."""
        with self.database.read() as connection:
            kinds = queries.recordings_needed(ended_after)
            return frozenset(uri for statement in kinds for uri in connection.execute(statement).scalars())

    # -------------------------------------------------------------------------------------------------- install

    def install_secret(self) -> bytes:
        """The 32 bytes from which ids and names are made: made once, the same for every process ever after."""
        if self._secret is None:
            self._secret = self._read_secret()
        return self._secret

    def _read_secret(self) -> bytes:
        if (known := self._value(_SECRET)) is None:
            with self.database.write() as connection:
                insert_new(connection, install, {"name": _SECRET, "value": secrets.token_hex(32)})
            known = self._value(_SECRET)
        return bytes.fromhex(known or "")

    def flag(self, name: str) -> str | None:
        """What `set_flag` kept under this name."""
        return self._value(f"flag:{name}")

    def set_flag(self, name: str, value: str) -> None:
        """Keep a small value for all processes."""
        with self.database.write() as connection:
            put(connection, install, {"name": f"flag:{name}", "value": value}, by=("name",))

    def drop_flag(self, name: str) -> bool:
        """Forget a value that `set_flag` kept; False where there is none."""
        with self.database.write() as connection:
            return connection.execute(delete(install).where(install.c.name == f"flag:{name}")).rowcount == 1

    def together(self) -> AbstractContextManager[None]:
        """One transaction for all that this thread does with the ledger within a `with` block: a group of small moves
        then costs one commit. Nothing in it may take long."""
        return self.database.together()

    def ping(self) -> None:
        """Return if the ledger answers and has its tables."""
        with self.database.read() as connection:
            connection.execute(select(jobs.c.seq).limit(1)).first()

    def writable(self) -> None:
        """Return if the ledger takes writes now; nothing is changed. Raises PartUnreachable, also where a failover left
        a copy that can only be read."""
        with self.database.write() as connection:
            connection.execute(select(jobs.c.seq).limit(1)).first()
            if connection.dialect.name == "postgresql":
                read_only = connection.exec_driver_sql("SHOW transaction_read_only").scalar()
                if read_only == "on":
                    raise PartUnreachable("ledger-unreachable", "The ledger can only be read: is it a standby?")

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        self.database.close()

    def _value(self, name: str) -> str | None:
        with self.database.read() as connection:
            return connection.execute(select(install.c.value).where(install.c.name == name)).scalar()

    def _rows(self, statement: Select[Any]) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def _select(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> tuple[Job, ...]:
        with self.database.read() as connection:
            return _jobs(connection, statement, values)


def _jobs(connection: Connection, statement: Select[Any], values: Mapping[str, Any] | None = None) -> tuple[Job, ...]:
    return tuple(to_job(row) for row in connection.execute(statement, values).mappings())
