"""The values of a backfill, and the rule by which too many failures stop it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import Misuse
from pipeline.model import State

ENOUGH_TO_JUDGE = 100
"""Rows that must have ended before a share of failures says anything."""


FAILURES = (State.REJECTED, State.FAILED)
ENDED_WELL = (State.SENT, State.DELIVERED, State.CANCELLED, State.ERASED)
"""What a job of a backfill has come to that needs nothing any more."""


class BackfillState(StrEnum):
    """Where a backfill stands. RUNNING also while its rows are registered. STOPPED: too many failures."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    DONE = "done"


HELD_BACK = (BackfillState.PAUSED, BackfillState.STOPPED, BackfillState.CANCELLED)
"""No step of a job begins whose backfill is in one of these; what is on its way goes on."""

MOVES: Mapping[BackfillState, tuple[BackfillState, ...]] = {
    BackfillState.RUNNING: (BackfillState.PAUSED, BackfillState.STOPPED),
    BackfillState.PAUSED: (BackfillState.RUNNING, BackfillState.STOPPED),
    BackfillState.STOPPED: (BackfillState.RUNNING, BackfillState.PAUSED),
    BackfillState.CANCELLED: (
        BackfillState.RUNNING,
        BackfillState.PAUSED,
        BackfillState.STOPPED,
        BackfillState.CANCELLED,
    ),
    BackfillState.DONE: (BackfillState.RUNNING,),
}
"""From which states each one is reached."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfill:
    """One run of the backfill door. options: what it was asked for, by name; they decide whether another run is the
    same one. max_failures: as `MaxFailures` reads it. registered_at: when its last row was registered, 0 until then.
    ended_seen: rows that had ended when they were counted last."""

    backfill_id: str
    source: str
    options: Mapping[str, object]
    max_failures: str | None
    state: BackfillState
    message: str | None
    created_at: float
    registered_at: float
    ended_at: float
    ended_seen: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RowKept:
    """What became of one row when it was read. status: registered, known (its job was there before) or reported (no
    job; code and message say why)."""

    line: int
    recording: str
    status: str
    job_id: str | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RowEnd:
    """A row with its job as that is now. chat_id, state, url, message_id: of the job; code and message: of the job, or
    of the row where it has none. parts: memos of a split (`memoline show JOB` lists them), else 0. duplicate_of: the
    earlier line of the same job."""

    line: int
    recording: str
    status: str
    job_id: str | None
    chat_id: str | None
    state: str | None
    url: str | None
    message_id: str | None
    code: str | None
    message: str | None
    parts: int
    duplicate_of: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Rows of a backfill by what became of them when they were read, and its jobs by their state now."""

    rows: Mapping[str, int]
    jobs: Mapping[State, int]

    @property
    def failures(self) -> int:
        """Rows without a job, and jobs that came to nothing."""
        return self.rows.get("reported", 0) + sum(self.jobs.get(state, 0) for state in FAILURES)

    @property
    def ended(self) -> int:
        """Rows about which nothing remains to be done."""
        return self.failures + sum(self.jobs.get(state, 0) for state in ENDED_WELL)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaxFailures:
    """How many failures stop a backfill: a number, or a share of the rows that have ended."""

    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> MaxFailures:
        """`100`, or `5%`. Raises Misuse (`bad-max-failures`)."""
        found = re.fullmatch(r"(\d{1,9})|(\d{1,3}(?:\.\d+)?)%", text.strip(), re.ASCII)
        if found and found[1]:
            return cls(count=int(found[1]))
        if found and float(found[2]) <= 100:
            return cls(share=float(found[2]) / 100)
        raise Misuse("bad-max-failures", f"{text[:100]!r} is neither a number nor a share such as 5%.")

    def exceeded(self, failures: int, ended: int) -> bool:
        """Whether there were more failures than that. A share is judged from 100 ended rows on."""
        if self.count is not None:
            return failures > self.count
        return ended >= ENOUGH_TO_JUDGE and failures > (self.share or 0.0) * ended

    def may_be_exceeded(self, failures: int, ended_at_least: int) -> bool:
        """The same where it is only known that so many rows have ended: False is certain."""
        return self.exceeded(failures, max(ended_at_least, ENOUGH_TO_JUDGE))
