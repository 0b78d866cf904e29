"""Backfills in the ledger: the tables `backfills` and `backfill_rows`, and the jobs that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, delete, func, select, update

from pipeline.backfills import ENDED_WELL, FAILURES, HELD_BACK, MOVES, Backfill, BackfillState, Counts, RowEnd, RowKept
from pipeline.errors import JobFailed, NotNow
from pipeline.ledger.door_tables import backfill_rows, backfills
from pipeline.ledger.engine import Database
from pipeline.ledger.rows import plain, to_job
from pipeline.ledger.states import OPEN, WAITING
from pipeline.ledger.tables import chats, fixed, in_states, jobs
from pipeline.ledger.upsert import insert_new, put_many
from pipeline.model import Job, State
from pipeline.ports import Clock

_PAGE = 1_000
_B, _R = backfills.c, backfill_rows.c


class BackfillLedger:
    """The part of the ledger that is about backfills. Raises as the ledger does."""

    database: Database
    _clock: Clock

    def begin_backfill(
        self, backfill_id: str, source: str, options: Mapping[str, object], max_failures: str | None
    ) -> Backfill:
        """A backfill that runs from now on."""
        row: dict[str, object] = {"backfill_id": backfill_id, "source": plain(source), "options": dict(options)}
        row |= {"max_failures": max_failures, "state": BackfillState.RUNNING, "created_at": self._clock.now()}
        with self.database.write() as connection:
            insert_new(connection, backfills, row)
        return self.backfill(backfill_id)

    def backfill(self, text: str) -> Backfill:
        """The one backfill whose id begins with `text`. Raises JobFailed (`no-such-backfill`, `ambiguous-id`)."""
        begins = _B.backfill_id.startswith(text, autoescape=True)
        with self.database.read() as connection:
            found = connection.execute(select(backfills).where(begins).limit(2)).mappings().all()
        if not found or not text:
            raise JobFailed("no-such-backfill", f"There is no backfill {text!r}: `memoline backfills` lists them.")
        if len(found) > 1:
            raise JobFailed("ambiguous-id", f"Several backfills begin with {text!r}: give more of the id.")
        return _backfill(found[0])

    def backfills(self, *states: BackfillState) -> tuple[Backfill, ...]:
        """All backfills, or those in some states, oldest first."""
        found = select(backfills).order_by(_B.created_at, _B.backfill_id)
        if states:
            found = found.where(_B.state.in_(states))
        with self.database.read() as connection:
            return tuple(map(_backfill, connection.execute(found).mappings()))

    def unfinished_backfill(self, source: str, options: Mapping[str, object]) -> Backfill | None:
        """The last backfill of the same source with the same options whose rows were not all registered; None where
        there is none, or where it was cancelled."""
        for one in reversed(self.backfills(BackfillState.RUNNING, BackfillState.PAUSED, BackfillState.STOPPED)):
            if one.registered_at == 0 and (one.source, one.options) == (plain(source), options):
                return one
        return None

    def move_backfill(self, one: Backfill, to: BackfillState, message: str | None = None) -> Backfill:
        """Move a backfill; one that is there already stays as it is. Raises NotNow (`illegal-move`)."""
        now = self.backfill(one.backfill_id)
        if now.state is to:
            return now
        here = (_B.backfill_id == one.backfill_id) & _B.state.in_(MOVES[to])
        ended_at = self._clock.now() if to in (BackfillState.DONE, BackfillState.CANCELLED) else 0.0
        with self.database.write() as connection:
            values = {"state": to, "message": message, "ended_at": ended_at}
            moved = connection.execute(update(backfills).where(here).values(**values)).rowcount == 1
        if not moved:
            text = f"Backfill {one.backfill_id} is {now.state}: it cannot become {to} any more."
            raise NotNow("illegal-move", text, backfill_id=one.backfill_id, state=str(now.state))
        return self.backfill(one.backfill_id)

    def all_registered(self, one: Backfill, last_line: int) -> Backfill:
        """Every row is registered or reported. Rows behind the last line were of an earlier, longer reading."""
        with self.database.write() as connection:
            old = (_R.backfill_id == one.backfill_id) & (_R.line > last_line)
            connection.execute(delete(backfill_rows).where(old))
            here = _B.backfill_id == one.backfill_id
            connection.execute(update(backfills).where(here).values(registered_at=self._clock.now()))
        return self.backfill(one.backfill_id)

    def keep_rows(self, backfill_id: str, rows: Sequence[RowKept]) -> None:
        """Write down what became of rows; a line that is read a second time is written anew."""
        values = [
            {
                "backfill_id": backfill_id,
                "line": row.line,
                "recording": plain(row.recording),
                "status": row.status,
                "job_id": row.job_id,
                "code": row.code,
                "message": plain(row.message),
            }
            for row in rows
        ]
        with self.database.write() as connection:
            put_many(connection, backfill_rows, values, by=("backfill_id", "line"))

    def first_lines(self, backfill_id: str, job_ids: Sequence[str]) -> dict[str, int]:
        """The line of this backfill that named each of these jobs first."""
        with self.database.read() as connection:
            return _first_lines(connection, backfill_id, job_ids)

    def known_jobs(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Those of these ids that are jobs, and their jobs."""
        with self.database.read() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.job_id.in_(job_ids))).mappings()
            return {row["job_id"]: to_job(row) for row in rows}

    def row_ends(self, backfill_id: str) -> Iterator[RowEnd]:
        """Every row with its job as it is now, in the order of the lines; read page by page."""
        last = -1
        while True:
            with self.database.read() as connection:
                rows = connection.execute(_rows_after(backfill_id, last)).mappings().all()
                named = sorted({row["job_id"] for row in rows if row["job_id"]})
                firsts = _first_lines(connection, backfill_id, named)
            for row in rows:
                first = firsts.get(row["job_id"], row["line"])
                values = {name: row[name] for name in RowEnd.__dataclass_fields__ if name in row}
                values |= {"parts": len(row["spans"] or ()), "url": _url(row)}
                yield RowEnd(**values, duplicate_of=first if first < row["line"] else None)
            if len(rows) < _PAGE:
                return
            last = rows[-1]["line"]

    def counts_of(self, backfill_id: str) -> Counts:
        """Rows by what became of them, and the jobs that the backfill registered by state."""
        by_status = select(_R.status, func.count()).where(_R.backfill_id == backfill_id).group_by(_R.status)
        mine = jobs.c.backfill_id == backfill_id
        by_state = select(jobs.c.state, func.count()).where(mine).group_by(jobs.c.state)
        with self.database.read() as connection:
            rows = {str(status): int(count) for status, count in connection.execute(by_status)}
            states = {State(state): int(count) for state, count in connection.execute(by_state)}
        return Counts(rows=rows, jobs=states)

    def failures_of(self, backfill_id: str) -> int:
        """Rows without a job, and jobs that came to nothing; reads no more than these."""
        with self.database.read() as connection:
            counts = (bad_rows(backfill_id), jobs_in(backfill_id, FAILURES))
            return sum(int(connection.execute(count).scalar_one()) for count in counts)

    def see_ended(self, backfill_id: str) -> int:
        """Count the rows about which nothing remains to be done, and write down how many there were."""
        failures = self.failures_of(backfill_id)
        with self.database.read() as connection:
            ended = failures + int(connection.execute(jobs_in(backfill_id, ENDED_WELL)).scalar_one())
        with self.database.write() as connection:
            connection.execute(update(backfills).where(_B.backfill_id == backfill_id).values(ended_seen=ended))
        return ended

    def resume_backfill(self, one: Backfill) -> Backfill:
        """Let a backfill run on, whatever fails from now on. Raises NotNow (`illegal-move`)."""
        moved = self.move_backfill(one, BackfillState.RUNNING)
        with self.database.write() as connection:
            here = _B.backfill_id == one.backfill_id
            connection.execute(update(backfills).where(here).values(max_failures=None))
        return replace(moved, max_failures=None)

    def lines_of(self, chat_ids: Sequence[str]) -> dict[str, str]:
        """The line that each of these chats is on, where that is known."""
        known = select(chats.c.chat_id, chats.c.line).where(chats.c.chat_id.in_(chat_ids), chats.c.line.is_not(None))
        with self.database.read() as connection:
            return {str(chat_id): str(line) for chat_id, line in connection.execute(known)}

    def open_by_chat(self, chat_ids: Sequence[str]) -> dict[str, int]:
        """How many jobs of each of these chats are not at their end."""
        c = jobs.c
        waiting = select(c.chat_id, func.count()).where(c.chat_id.in_(chat_ids), in_states(OPEN)).group_by(c.chat_id)
        with self.database.read() as connection:
            return {str(chat_id): int(count) for chat_id, count in connection.execute(waiting)}

    def rows_in(self, backfill_id: str, *states: State) -> int:
        """Rows whose job, of this backfill or known before, is in one of these states."""
        join = backfill_rows.join(jobs, jobs.c.job_id == _R.job_id)
        waits = select(func.count()).select_from(join).where(_R.backfill_id == backfill_id, in_states(states))
        with self.database.read() as connection:
            return int(connection.execute(waits).scalar_one())

    def has_open_jobs(self, backfill_id: str) -> bool:
        """Whether any job that the backfill registered is not at its end."""
        mine = select(jobs.c.seq).where(jobs.c.backfill_id == backfill_id, in_states(OPEN)).limit(1)
        with self.database.read() as connection:
            return connection.execute(mine).first() is not None

    def waiting_of(self, backfill_id: str, limit: int) -> tuple[Job, ...]:
        """Jobs of a backfill of which nothing is on its way."""
        mine = and_(jobs.c.backfill_id == backfill_id, in_states(WAITING))
        with self.database.read() as connection:
            rows = connection.execute(select(jobs).where(mine).order_by(jobs.c.seq).limit(limit)).mappings()
            return tuple(map(to_job, rows))

    def leave_cancelled(self, job: Job) -> None:
        """Let a job, for a part the whole, leave its backfill where that was cancelled. `rev` stays."""
        if job.backfill_id is None and job.parent_id is None:
            return
        cancelled = select(_B.backfill_id).where(_B.state == BackfillState.CANCELLED)
        here = (jobs.c.job_id == (job.parent_id or job.job_id)) & jobs.c.backfill_id.in_(cancelled)
        with self.database.write() as connection:
            connection.execute(update(jobs).where(here).values(backfill_id=None))

    def is_held_back(self, job: Job) -> bool:
        """Whether the job's backfill, for a part that of the whole, is paused, stopped or cancelled."""
        if job.backfill_id is None and job.parent_id is None:
            return False
        its = select(jobs.c.backfill_id).where(jobs.c.job_id == (job.parent_id or job.job_id)).scalar_subquery()
        held = select(_B.backfill_id).where(_B.backfill_id == its, _B.state.in_(HELD_BACK))
        with self.database.read() as connection:
            return connection.execute(held).first() is not None


def bad_rows(backfill_id: str) -> Select[Any]:
    """How many rows of a backfill became no job."""
    return select(func.count()).where(_R.backfill_id == backfill_id, _R.status == fixed("reported"))


def jobs_in(backfill_id: str, states: Sequence[State]) -> Select[Any]:
    """How many jobs of a backfill are in one of these states."""
    return select(func.count()).where(jobs.c.backfill_id == backfill_id, in_states(states))


def _first_lines(connection: Connection, backfill_id: str, job_ids: Sequence[str]) -> dict[str, int]:
    first = select(_R.job_id, func.min(_R.line)).where(_R.backfill_id == backfill_id, _R.job_id.in_(job_ids))
    return {str(job_id): int(line) for job_id, line in connection.execute(first.group_by(_R.job_id))}


def _rows_after(backfill_id: str, line: int) -> Select[Any]:
    c = jobs.c
    wanted = select(
        _R.line,
        _R.recording,
        _R.status,
        _R.job_id,
        c.chat_id,
        c.state,
        c.hosted,
        c.spans,
        c.message_id,
        func.coalesce(c.code, _R.code).label("code"),
        func.coalesce(c.message, _R.message).label("message"),
    )
    join = backfill_rows.outerjoin(jobs, c.job_id == _R.job_id)
    here = (_R.backfill_id == backfill_id) & (_R.line > line)
    return wanted.select_from(join).where(here).order_by(_R.line).limit(_PAGE)


def _url(row: RowMapping) -> str | None:
    return row["hosted"]["url"] if row["hosted"] else None


def _backfill(row: RowMapping) -> Backfill:
    return Backfill(**{**row, "state": BackfillState(row["state"])})
