"""What the metrics ask of the ledger. Every question is bounded: by the open jobs, by an index, or by a limit.

The moves of all processes on all hosts are in the history already; who reads on from where he stopped counts each of
them, and no worker keeps figures of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, and_, bindparam, case, func, select

from pipeline.ledger.engine import Database
from pipeline.ledger.states import OPEN
from pipeline.ledger.tables import ZERO, fixed, history, in_states, jobs
from pipeline.model import State

ENDED: Final = tuple(state for state in State if state not in OPEN and state is not State.HELD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The jobs of one state. oldest_s: since the live one that has waited longest was registered, or since the time
    that its requester wished for: neither what is wanted later nor a backfill, which may take days, is late."""

    jobs: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A line of the history. lasted_s: since the job's line before. hosted: of a memo that was made by this move, what
    is known of how. of: a job, the whole of a split, or one of its parts."""

    from_state: State | None
    to_state: State
    code: str | None
    lasted_s: float = 0.0
    hosted: Mapping[str, Any] | None = None
    recording_bytes: int = 0
    of: Literal["job", "split", "part"] = "job"


class FigureLedger:
    """The part of the ledger that is asked for metrics. Raises as the ledger does."""

    database: Database

    def waiting_by_state(self, now: float) -> dict[State, Standing]:
        """The jobs that are not at their end, and those that wait for a person, a split as one; every such state is
        named."""
        found: dict[State, Standing] = dict.fromkeys((*OPEN, State.HELD), Standing())
        with self.database.read() as connection:
            open_jobs = connection.execute(_OPEN_JOBS, {"now": now}).all()
            held = connection.execute(_HELD_JOBS).one()
            firsts = [row.first for row in (*open_jobs, held) if row.first]
            born = _born(connection, firsts)
        for row in open_jobs:
            since = [moment for moment in (born.get(row.first), row.due) if moment]
            state, oldest_s = State(row.state), max(0.0, now - min(since, default=now))
            found[state] = Standing(jobs=row.jobs, oldest_s=oldest_s)
        oldest_s = max(0.0, now - born.get(held.first, now))
        found[State.HELD] = Standing(jobs=held.jobs or 0, oldest_s=oldest_s)
        return found

    def held_for(self) -> dict[str, int]:
        """How many jobs are HELD, by code."""
        counted = select(jobs.c.code, func.count()).where(jobs.c.state == fixed(State.HELD)).group_by(jobs.c.code)
        with self.database.read() as connection:
            return {str(code): int(count) for code, count in connection.execute(counted).all()}

    def ended(self) -> dict[State, int]:
        """How many jobs stand in each state that is an end. Reads an index from end to end: a tenth of a second for a
        million jobs."""
        counted = select(jobs.c.state, func.count()).where(in_states(ENDED)).group_by(jobs.c.state)
        with self.database.read() as connection:
            counts = _by_state(connection.execute(counted).all())
            parts = _by_state(connection.execute(_PARTS).all())
        return {state: counts.get(state, 0) - parts.get(state, 0) for state in ENDED}

    def newest_move(self) -> int:
        """The number of the history's last line; 0 where there is none."""
        with self.database.read() as connection:
            return int(connection.execute(select(func.max(history.c.id))).scalar() or 0)

    def moves_after(self, number: int, *, now: float, limit: int) -> tuple[int, Sequence[Move]]:
        """The moves after a line of the history, at most `limit`, and the number of the last of them.

        On PostgreSQL lines become visible out of order for as long as a transaction lasts, so the youngest wait."""
        settled = now if self.database.url.get_backend_name() == "sqlite" else now - SETTLED_S
        moves: list[Move] = []
        with self.database.read() as connection:
            for row in connection.execute(_MOVES, {"after": number, "most": limit}):
                if row.at > settled:
                    break
                number = row.id
                moves.append(_move(row))
        return number, moves


SETTLED_S: Final = 5.0
"""Longer than any transaction of ours lasts."""


def _by_state(rows: Sequence[Any]) -> dict[State, int]:
    return {State(state): int(count) for state, count in rows}


def _born(connection: Connection, numbers: Sequence[int]) -> dict[int, float]:
    """When these jobs were registered, by their number."""
    rows = connection.execute(select(jobs.c.seq, jobs.c.created_at).where(jobs.c.seq.in_(numbers))).all()
    return {int(seq): float(at) for seq, at in rows}


def _open_jobs() -> Any:
    """One pass over the open jobs, all of it inside one index."""
    c, now = jobs.c, bindparam("now", type_=jobs.c.not_before.type)
    live = c.lane == fixed("live")
    first = func.min(case((and_(live, c.not_before == ZERO), c.seq))).label("first")
    due = func.min(case((and_(live, c.not_before > ZERO, c.not_before <= now), c.not_before))).label("due")
    return select(c.state, _WHOLE.label("jobs"), first, due).where(in_states(OPEN)).group_by(c.state)


def _moves() -> Any:
    h, before = history.c, history.alias("before")
    last = (
        select(func.max(before.c.at))
        .where(before.c.job_id == h.job_id, before.c.id < h.id)
        .scalar_subquery()
        .label("before")
    )
    of_job, of_line = jobs.c.job_id == h.job_id, (h.id, h.at, h.from_state, h.to_state, h.code)
    moves = select(*of_line, last, *(jobs.c[name] for name in _OF_JOB))
    return (
        moves.select_from(history.outerjoin(jobs, of_job))
        .where(h.id > bindparam("after"))
        .order_by(h.id)
        .limit(bindparam("most"))
    )


def _move(row: Any) -> Move:
    made = row.to_state == State.HOSTED and row.from_state in (State.PREPARING, None)
    since = max(row.before or row.at, row.not_before or 0.0)
    return Move(
        from_state=State(row.from_state) if row.from_state else None,
        to_state=State(row.to_state),
        code=row.code,
        lasted_s=max(0.0, row.at - since),
        hosted=_read(row.hosted) if made else None,
        recording_bytes=int(_read(row.recording).get("size_bytes") or 0) if made and row.parent_id is None else 0,
        of="part" if row.parent_id else "split" if row.spans else "job",
    )


def _read(value: Any) -> Mapping[str, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, Mapping) else {}


_OF_JOB: Final = ("not_before", "hosted", "recording", "parent_id", "spans")
_WHOLE: Final = func.sum(case((jobs.c.parent_id.is_(None), 1), else_=0))
"""A split counts as one, not by its parts, of which the past is full: so these are told apart among what is counted."""
_OPEN_JOBS: Final = _open_jobs()
_STATE: Final = jobs.c.state.concat("")  # grouped by the column itself, SQLite would read its index from end to end
_PARTS: Final = select(_STATE, func.count()).where(jobs.c.parent_id.is_not(None)).group_by(_STATE)
_HELD_JOBS: Final = select(_WHOLE.label("jobs"), func.min(jobs.c.seq).label("first")).where(
    jobs.c.state == fixed(State.HELD)
)
_MOVES: Final = _moves()
