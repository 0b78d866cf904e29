"""Connections to the ledger's database, made as each database needs it, and the door where its exceptions end.

SQLite: WAL, `synchronous=FULL` (NORMAL may lose the last commits in a power cut: sqlite.org/pragma.html), every write
begins IMMEDIATE, so that two writers queue for the lock and none fails half way. PostgreSQL: psycopg 3.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pipeline.errors import JobFailed, MemolineError, Misuse, PartUnreachable
from pipeline.ledger.group import GroupCommit

BUSY_TIMEOUT_S: Final = 10
CONNECT_TIMEOUT_S: Final = 5
_DISK_FULL_STATE: Final = "53100"  # PostgreSQL's SQLSTATE disk_full


class Database:
    """One database for one process and its forked children: each builds its own engine when it first needs one.

    Connections never cross a fork: SQLite's locks belong to a process, and two processes on one PostgreSQL socket
    garble each other. The parent's engine stays referenced in the child, because collecting it would close them."""

    def __init__(self, url_or_engine: str | Engine) -> None:
        self._given = url_or_engine if isinstance(url_or_engine, Engine) else None
        self.url = url_or_engine.url if isinstance(url_or_engine, Engine) else parse_url(url_or_engine)
        self._engines: dict[int, Engine] = {}
        self._groups: dict[int, GroupCommit] = {}
        self._shared = threading.local()

    @property
    def engine(self) -> Engine:
        """This process's engine. Two threads that ask at once get the same one."""
        if self._given is not None:
            return self._given
        pid = os.getpid()
        return self._engines.get(pid) or self._engines.setdefault(pid, open_engine(self.url))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading, in one transaction. Raises PartUnreachable (`ledger-unreachable`)."""
        if (shared := self._of_group()) is not None:
            yield shared
            return
        with translated(self.url), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection for writing; committed and on disk when the block ends. Raises PartUnreachable
        (`ledger-unreachable`), JobFailed (`disk-full`)."""
        if (shared := self._of_group()) is not None:
            yield shared
            return
        with translated(self.url), self._writer() as connection:
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction, and one wait for the disk, for all that this thread reads and writes within the block. Other
        writers wait meanwhile, so nothing in it may take long, and on SQLite nothing may wait for another thread."""
        with self.write() as connection:
            self._shared.connection = connection
            try:
                yield
            finally:
                self._shared.connection = None

    def _of_group(self) -> Connection | None:
        return getattr(self._shared, "connection", None)

    def _writer(self) -> AbstractContextManager[Connection]:
        if self.url.get_backend_name() != "sqlite":
            return self.engine.begin()
        pid = os.getpid()
        group = self._groups.get(pid)
        if group is None:
            writing = self.engine.execution_options(memoline_write=True)
            group = self._groups.setdefault(pid, GroupCommit(writing))
        return group.part()

    def close(self) -> None:
        """Close the connections of this process."""
        self._groups.pop(os.getpid(), None)
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()


def parse_url(text: str) -> URL:
    """The database that a setting names. Raises Misuse (`bad-setting`)."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _bad_url("is no database URL") from None
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise _bad_url(f"must be a sqlite:/// or postgresql:// URL, not {url.drivername}://")
    if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
        raise _bad_url("must name a file: sqlite:////path/to/ledger.db")
    return url


def shown(url: URL) -> str:
    """A database's address for people. Without its options: a password may be one of them too."""
    return url.set(query={}).render_as_string(hide_password=True)


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database; None for another kind."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def open_engine(url: URL) -> Engine:
    """An engine for this process. Nothing is connected yet."""
    return _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _postgresql_engine(url)


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=10, max_overflow=40)
    event.listen(engine, "do_connect", _private_file)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _private_file(_dialect: Any, _record: Any, arguments: Any, _options: Any) -> None:
    """Make the file, if there is none, readable by its owner only; SQLite gives its -wal and -shm files the same mode.

    It is made elsewhere and linked to its name: closing a descriptor of the file itself would drop every lock that this
    process holds on it (sqlite.org/howtocorrupt.html, 2.2), and others would remove the log under our connections."""
    file = Path(arguments[0])
    if file.exists():
        return
    made = file.with_name(f"{file.name}.new-{os.getpid()}-{threading.get_ident()}")
    with suppress(OSError):  # SQLite says better what is wrong
        try:
            os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            os.link(made, file)
        finally:
            made.unlink(missing_ok=True)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_sqlite` does
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("memoline_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL) -> Engine:
    try:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": 15_000, "keepalives_idle": 10},
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=40,
        )
    except ModuleNotFoundError:
        raise _bad_url("names PostgreSQL, whose driver is missing: pip install 'memoline[postgresql]'") from None
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    connection.autocommit = True
    connection.execute("SET synchronous_commit TO on")
    connection.execute(f"SET lock_timeout TO '{BUSY_TIMEOUT_S}s'")
    connection.autocommit = False


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn what SQLAlchemy raises into our own errors."""
    try:
        yield
    except SQLAlchemyError as error:
        raise as_ours(error, url) from error


def as_ours(error: SQLAlchemyError, url: URL) -> MemolineError:
    """What an exception of the database means."""
    cause = getattr(error, "orig", None) or error
    said = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    place = shown(url)
    if "disk is full" in said or getattr(cause, "sqlstate", None) == _DISK_FULL_STATE:
        return JobFailed("disk-full", f"The disk of the ledger {place} is full: make room; nothing was changed.")
    return PartUnreachable("ledger-unreachable", f"The ledger {place} cannot be used: {said}.", url=place)


def _bad_url(why: str) -> Misuse:
    return Misuse("bad-setting", f"MEMOLINE_DATABASE_URL {why}.", setting="MEMOLINE_DATABASE_URL")
