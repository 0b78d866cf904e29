"""Group commit for SQLite: writers of one process share transactions.

A durable commit waits for the disk, and on SQLite only one writer at a time can wait. So each writer does its part in
turn, in a savepoint of its own, and whoever finds nobody waiting commits for all who did theirs. Nobody returns before
his part is on disk. PostgreSQL does the same by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

_PATIENCE_S = 1.0
"""How long a writer waits for another one to commit before it sees to that itself."""


@dataclass(slots=True, eq=False)
class _Group:
    """One transaction of several writers. error: why its commit failed, for all of them."""

    connection: Connection
    over: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class GroupCommit:
    """Transactions of one process on one engine, whose `begin` takes the write lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._queued = 0
        self._group: _Group | None = None

    @contextmanager
    def part(self) -> Iterator[Connection]:
        """A connection to write with; on disk when the block ends. What the block raises undoes this part alone."""
        group: _Group | None = None
        with self._in_turn():
            try:
                group = self._group = self._group or self._begun()
                with _savepoint(group):
                    yield group.connection
            finally:
                # Into a transaction that SQLite has ended nobody else may come.
                if self._queued == 0 or (group is not None and group.error is not None):
                    self._commit()
        while not group.over.wait(_PATIENCE_S):  # whoever was to commit ended amid it
            with self._in_turn():
                self._commit()
        if group.error is not None:
            raise group.error

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        self._count(1)
        try:
            self._turn.acquire()
        finally:
            self._count(-1)
        try:
            yield
        finally:
            self._turn.release()

    def _count(self, change: int) -> None:
        with self._counting:
            self._queued += change

    def _begun(self) -> _Group:
        connection = self._engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return _Group(connection=connection)

    def _commit(self) -> None:
        group, self._group = self._group, None
        if group is None:
            return
        try:
            if group.error is None:
                group.connection.commit()
        except Exception as error:  # each of its writers raises it
            group.error = error
        except BaseException:
            group.error = OperationalError("COMMIT", None, InterruptedError("its writer was interrupted"))
            raise
        finally:
            if group.error is not None:
                _quietly(group.connection.invalidate)  # whatever is left of the transaction goes with its connection
            _quietly(group.connection.close)
            group.over.set()


@contextmanager
def _savepoint(group: _Group) -> Iterator[None]:
    """Undo what the block wrote if it raises. Where SQLite ended the whole transaction with it, as on a full disk
    (sqlite.org/lang_transaction.html, section 2.1), the parts before it are undone too, and their writers are told."""
    say = group.connection.exec_driver_sql
    try:
        say("SAVEPOINT part")
        yield
        say("RELEASE part")
    except BaseException as error:
        try:
            say("ROLLBACK TO part")
            say("RELEASE part")
        except Exception as lost:
            group.error = error if isinstance(error, Exception) else lost
        raise


def _quietly(close: Callable[[], None]) -> None:
    try:
        close()
    except Exception:  # the commit's own error is told
        return
