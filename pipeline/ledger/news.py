"""What a place has to be told of its jobs: an outbox, fed from the history of the ledger.

Nothing is written beside the moves themselves, so they cost no more. A reader follows the history by its numbers,
notes each job that moved, and crosses it off once the news is out: whoever dies in between is followed by somebody who
does it again. On PostgreSQL a number may be committed after a higher one; so there the end is read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, update

from pipeline.ledger.door_tables import news
from pipeline.ledger.engine import Database
from pipeline.ledger.rows import to_job
from pipeline.ledger.tables import ZERO, history, install, jobs
from pipeline.ledger.upsert import put, put_many
from pipeline.model import Job, State

PAGE: Final = 1_000
LATE_S: Final = 30.0
"""On PostgreSQL, lines of the history this young are read again: a lower number may still be committed."""
AGAIN_S: Final = 3_600.0
"""And once in so long all since the time before, for a transaction that hung."""


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """A job that moved. told, done: what was noted for it last, empty at first. newest: no later job has this name."""

    job: Job
    name: str
    told: str
    done: str
    newest: bool
    tries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reached:
    """How far the history was read. mark: where to read from again, after `marked_at` + AGAIN_S."""

    line: int
    mark: int
    marked_at: float


class NewsBook:
    """The outbox of one place. name_of: the name of a job's result, None for a job that is not of this place. Every
    method raises PartUnreachable (`ledger-unreachable`)."""

    def __init__(self, database: Database, place: str, name_of: Callable[[Job], str | None]) -> None:
        self._database = database
        self._place = place
        self._name_of = name_of
        self._flag = f"news:{place}"

    def begin(self, now: float) -> None:
        """Follow the history from here on, unless it is followed already."""
        with self._database.write() as connection:
            if self._known(connection) is None:
                end = connection.execute(select(func.max(history.c.id))).scalar() or 0
                self._keep(connection, _Reached(line=end, mark=end, marked_at=now))

    def follow(self, now: float) -> int:
        """Note the jobs that moved since the last time. Returns how many are due by that."""
        start, noted = self._start(now), 0
        while True:
            with self._database.read() as connection:
                lines = _lines_after(connection, start)
            if not lines:
                return noted
            with self._database.write() as connection:
                noted += self._note(connection, [line.job_id for line in lines], now)
                reached = self._reached(connection)
                young_from = now - LATE_S if connection.dialect.name == "postgresql" else now + AGAIN_S
                line = _settled(lines, reached.line, start, young_from)
                if line != reached.line:
                    self._keep(connection, replace(reached, line=line))
            if len(lines) < PAGE:
                return noted
            start = lines[-1].id

    def _start(self, now: float) -> int:
        """The line of the history after which to read: once in a while one that was reached long ago."""
        with self._database.read() as connection:
            reached, late = self._reached(connection), connection.dialect.name == "postgresql"
        if late and now - reached.marked_at > AGAIN_S:
            again = _Reached(line=reached.mark, mark=reached.line, marked_at=now)
            with self._database.write() as connection:
                self._keep(connection, again)
            return again.line
        return reached.line

    def due(self, now: float, limit: int) -> tuple[News, ...]:
        """Jobs whose news are to be told, the longest waiting first."""
        c = news.c
        there = (c.place == self._place) & (c.due_at > ZERO) & (c.due_at <= now)
        found = select(news.c.name.label("of_name"), c.told, c.done, c.tries, jobs).join(
            jobs, jobs.c.job_id == c.job_id
        )
        with self._database.read() as connection:
            rows = connection.execute(found.where(there).order_by(c.due_at, c.seq).limit(limit)).mappings().all()
            last = self._last_of(connection, [row["of_name"] for row in rows])
        return tuple(
            News(
                job=to_job(row),
                name=row["of_name"],
                told=row["told"],
                done=row["done"],
                newest=row["seq"] >= last[row["of_name"]],
                tries=row["tries"],
            )
            for row in rows
        )

    def out(self, told: Sequence[News], now: float) -> None:
        """Cross off news with what was told and done; a job that moved meanwhile stays due."""
        with self._database.write() as connection:
            for one in told:
                if one.job.state is State.ERASED:
                    mine = (news.c.place == self._place) & (news.c.job_id == one.job.job_id)
                    connection.execute(delete(news).where(mine))
                    continue
                rev = connection.execute(select(jobs.c.rev).where(jobs.c.job_id == one.job.job_id)).scalar()
                due_at = 0.0 if rev == one.job.rev else now
                values = {
                    "name": one.name,
                    "rev": one.job.rev,
                    "told": one.told,
                    "done": one.done,
                    "due_at": due_at,
                    "tries": 0,
                }
                self._change(connection, one, values)

    def later(self, one: News, at: float) -> None:
        """Put news off that could not be told."""
        with self._database.write() as connection:
            self._change(connection, one, {"due_at": at, "tries": one.tries + 1})

    def _change(self, connection: Connection, one: News, values: dict[str, Any]) -> None:
        mine = (news.c.place == self._place) & (news.c.job_id == one.job.job_id)
        connection.execute(update(news).where(mine).values(**values))

    def _note(self, connection: Connection, job_ids: Sequence[str], now: float) -> int:
        ids, c = set(job_ids), news.c
        # A part of a split is news of the whole, which moves with it.
        these = select(jobs).where(jobs.c.job_id.in_(ids), jobs.c.parent_id.is_(None))
        moved = [to_job(row) for row in connection.execute(these).mappings()]
        mine = select(c.job_id, c.rev, c.name, c.due_at).where(c.place == self._place, c.job_id.in_(ids))
        known = {row.job_id: row for row in connection.execute(mine)}
        rows = []
        for job in moved:
            row = known.get(job.job_id)
            name = row.name if row else self._name_of(job)  # what is told of an erased job is found by its old name
            due = row is not None and row.due_at > 0  # then its newest state is told when it is
            if name is not None and not due and (row.rev if row else 0) < job.rev:
                rows.append({"place": self._place, "job_id": job.job_id, "name": name, "seq": job.seq})
        fresh = {"rev": 0, "told": "", "done": "", "due_at": now, "tries": 0}
        put_many(
            connection, news, [row | fresh for row in rows], by=("place", "job_id"), keep=("rev", "told", "done", "seq")
        )
        return len(rows)

    def _last_of(self, connection: Connection, names: Sequence[str]) -> dict[str, int]:
        if not names:
            return {}
        c = news.c
        last = select(c.name, func.max(c.seq)).where(c.place == self._place, c.name.in_(set(names))).group_by(c.name)
        return {name: int(seq) for name, seq in connection.execute(last).all()}

    def _reached(self, connection: Connection) -> _Reached:
        kept = self._known(connection)
        return _Reached(line=0, mark=0, marked_at=0.0) if kept is None else _Reached(**json.loads(kept))

    def _known(self, connection: Connection) -> str | None:
        return connection.execute(select(install.c.value).where(install.c.name == self._flag)).scalar()

    def _keep(self, connection: Connection, reached: _Reached) -> None:
        value = json.dumps({"line": reached.line, "mark": reached.mark, "marked_at": reached.marked_at})
        put(connection, install, {"name": self._flag, "value": value}, by=("name",))


@dataclass(frozen=True, slots=True)
class _Line:
    id: int
    at: float
    job_id: str


def _lines_after(connection: Connection, line: int) -> list[_Line]:
    c = history.c
    found = connection.execute(select(c.id, c.at, c.job_id).where(c.id > line).order_by(c.id).limit(PAGE))
    return [_Line(*row) for row in found]


def _settled(lines: Sequence[_Line], reached: int, start: int, young_from: float) -> int:
    """How far the history need not be read again: to the first line that is young."""
    if start > reached:  # an earlier page ended in young ones
        return reached
    settled = takewhile(lambda line: line.at <= young_from, lines)
    return max([reached, *(line.id for line in settled)])
