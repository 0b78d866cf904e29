"""The real SQL ledger on a SQLite in memory, behind a door at which calls fail, and from which old copies come back."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import StaticPool

from pipeline.errors import PartUnreachable
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.model import Job
from tests.simulate.auditor import Auditor
from tests.simulate.world import World

READS = frozenset(
    {
        "get",
        "heads",
        "due",
        "jobs",
        "counts",
        "find_message",
        "reports_for",
        "flag",
        "waiting",
        "last_taken",
        "parts_of",
    }
)


@functools.cache
def _empty() -> bytes:
    """A database with all tables, made by the real migrations."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        migrate(f"sqlite:///{file}")
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("PRAGMA journal_mode=DELETE").close()
        content = connection.serialize()
        connection.close()
    return content


class Storage:
    """The ledger's database: one connection, since no transaction spans a step of the scheduler."""

    def __init__(self, world: World) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.restore(_empty())
        engine = create_engine("sqlite://", poolclass=StaticPool, creator=lambda: self._connection)
        event.listen(engine, "begin", _begin)
        self.ledger = SqlLedger(engine, world.sim)
        self._engine = engine

    def copy(self) -> bytes:
        """A back-up, as it is now."""
        return self._connection.serialize()

    def restore(self, content: bytes) -> None:
        """Put a back-up in its place."""
        self._connection.deserialize(content)
        self._connection.execute("PRAGMA synchronous=OFF").close()

    def rows(self, statement: str, *values: object) -> list[Any]:
        """What the auditor wants to see, by plain SQL."""
        return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        self._engine.dispose()
        self._connection.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


class Door:
    """The port `Ledger` (and all else that the real one has) for one process: every call may find the ledger away, be
    the last thing that its process does, or be done without the caller knowing."""

    def __init__(self, world: World, ledger: SqlLedger, auditor: Auditor) -> None:
        self._world, self._ledger, self._auditor = world, ledger, auditor

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._ledger, name)
        if not callable(real):
            return real
        call = functools.partial(self._call, name, real)
        self.__dict__[name] = call
        return call

    def _call(self, name: str, real: Any, *args: Any, **kwargs: Any) -> Any:
        sim, weather = self._world.sim, self._world.weather
        sim.pause(f"ledger.{name}")
        if sim.chance(weather.ledger_away):
            self._auditor.on_trouble(sim.task.process)
            raise PartUnreachable("ledger-unreachable", "simulated: away")
        before = args[0] if args and isinstance(args[0], Job) else None
        result = real(*args, **kwargs)
        if name in ("move", "split", "rejoin"):
            sim.note(
                f"  {before and before.job_id[:6]} {before and before.state} -> {result.state} {result.code or ''}"
            )
            self._auditor.on_move(before, result)
        if name not in READS:
            sim.pause(f"ledger.{name} is done")
            if sim.chance(weather.commit_unsure):
                self._auditor.on_trouble(sim.task.process)
                raise PartUnreachable("ledger-unreachable", "simulated: committed, and the connection broke")
        return result
