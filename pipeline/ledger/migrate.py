"""Bringing the ledger's schema up to date: at the start of every process, done by one of them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from pipeline.errors import Misuse, PartUnreachable
from pipeline.ledger.engine import Database, sqlite_file

HEAD: Final = "0012"
"""The newest revision in `migrations/versions`; a test holds the two together."""

OLDEST: Final = "oldest-revision"
"""Row of the table `install`: the oldest HEAD of a program that may use the ledger. Without it any may."""

_LOCK_KEY: Final = 0x6D656D6F  # any number that no other program on the database uses: "memo"


def migrate(url: str) -> None:
    """Bring the database to the newest schema; returns at once where it has it. Safe in many processes at once.

    A ledger that a newer Memoline has migrated is used as it is, so that old and new processes work side by side while
    one replaces the other, and one can go back: migrations only add. The one that one day removes what an older program
    needs names the oldest revision whose program still works, under OLDEST in the table `install`.

    Raises Misuse (`bad-setting`, or `ledger-newer` for a program that is too old for it), PartUnreachable
    (`ledger-unreachable`), JobFailed (`disk-full`)."""
    database = Database(url)
    try:
        if (revision := revision_of(database)) != HEAD and not _is_newer(database, revision):
            _upgrade(database)
    finally:
        database.close()


def _is_newer(database: Database, revision: str | None) -> bool:
    """Whether a newer program made the ledger so, and this one may use it. Raises Misuse (`ledger-newer`)."""
    if revision is None or revision <= HEAD:
        return False
    with database.read() as connection:
        needed = connection.execute(text("SELECT value FROM install WHERE name = :name"), {"name": OLDEST}).scalar()
    if needed is not None and str(needed) > HEAD:
        why = f"MEMOLINE_DATABASE_URL names a ledger that needs the Memoline of revision {needed}: update this one."
        raise Misuse("ledger-newer", why, setting="MEMOLINE_DATABASE_URL")
    return True


def revision_of(database: Database) -> str | None:
    """The revision that a database has; None for an empty one."""
    file = sqlite_file(database.url)
    if file is not None and not file.exists():
        return None
    with database.read() as connection:
        return _revision(connection)


def _upgrade(database: Database) -> None:
    file = sqlite_file(database.url)
    with _file_lock(file) if file else _no_lock(), database.write() as connection:
        if file is None:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        if _revision(connection) != HEAD:
            _run_alembic(connection)


def _revision(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _run_alembic(connection: Connection) -> None:
    """All steps in the caller's transaction, so that a process killed half way leaves nothing behind."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        why = f"MEMOLINE_DATABASE_URL names a ledger of a newer Memoline ({error}): update this one."
        raise Misuse("ledger-newer", why, setting="MEMOLINE_DATABASE_URL") from error


@contextmanager
def _file_lock(file: Path) -> Iterator[None]:
    """A lock beside the file, which the kernel frees when its holder ends, however it ends."""
    try:
        lock = file.with_name(f"{file.name}.lock").open("w")
    except OSError as error:
        why = f"The ledger {file} cannot be made: {error.strerror}."
        raise PartUnreachable("ledger-unreachable", why, url=f"sqlite:///{file}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_lock() -> Iterator[None]:
    yield
