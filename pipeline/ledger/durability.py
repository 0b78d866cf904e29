"""Whether what the database calls committed would survive a power cut, and whether its clock is ours."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline.ledger.engine import Database
from pipeline.ledger.migrate import HEAD, revision_of

_SQLITE_SYNC = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Durability:
    """revision: of the schema. settings: what was found, for people. wrong: what may lose commits. skew_s: how far the
    database's clock is ahead of ours; None where it has none of its own."""

    revision: str | None
    settings: str
    wrong: tuple[str, ...]
    skew_s: float | None = None

    @property
    def migrated(self) -> bool:
        """Whether the schema has all that this program needs."""
        return self.revision is not None and self.revision >= HEAD


def durability(database: Database) -> Durability:
    """Look, as our own connections have it. Raises PartUnreachable (`ledger-unreachable`)."""
    revision = revision_of(database)
    return _sqlite(database, revision) if database.url.get_backend_name() == "sqlite" else _postgres(database, revision)


def _sqlite(database: Database, revision: str | None) -> Durability:
    with database.read() as connection:
        journal = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar()
        sync = _SQLITE_SYNC.get(int(level or 0), str(level))
    wrong = [] if journal == "wal" else [f"journal_mode is {journal}, not WAL: is its folder on a network file system?"]
    wrong += [] if sync in ("FULL", "EXTRA") else [f"synchronous is {sync}, not FULL"]
    return Durability(
        revision=revision, settings=f"SQLite, journal_mode={journal}, synchronous={sync}", wrong=tuple(wrong)
    )


def _postgres(database: Database, revision: str | None) -> Durability:
    names = ("server_version", "fsync", "full_page_writes", "synchronous_commit")
    with database.read() as connection:
        found = {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in names}
        asked_s = time.time()
        there = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar()
    wrong = [f"{name} is off: a power cut may lose or break it" for name in names[1:3] if found[name] == "off"]
    commit = found["synchronous_commit"]
    wrong += [] if commit not in ("off", "local") else [f"synchronous_commit is {commit}, not on"]
    said = ", ".join(f"{name}={value}" for name, value in found.items() if name != "server_version")
    return Durability(
        revision=revision,
        settings=f"PostgreSQL {found['server_version']}, {said}",
        wrong=tuple(wrong),
        skew_s=float(there or asked_s) - asked_s,
    )
