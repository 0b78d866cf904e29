"""Calls of the Celery task that could not become a job: nobody is answered, so they are kept where one can look."""

from __future__ import annotations

from sqlalchemy import delete, select

from pipeline.ledger.door_tables import refusals
from pipeline.ledger.engine import Database
from pipeline.ledger.rows import plain
from pipeline.ledger.upsert import insert_new
from pipeline.model import Refusal

_LONGEST = 1_024


class RefusalBook:
    """Refusals in the ledger's database. All methods raise PartUnreachable (`ledger-unreachable`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, refusal: Refusal) -> bool:
        """Durable on return; False where this call was refused before."""
        texts = ("task_id", "key", "chat_id", "recording", "code", "message")
        row = {name: _short(getattr(refusal, name)) for name in texts}
        with self._database.write() as connection:
            return insert_new(connection, refusals, row | {"at": refusal.at})

    def latest(self, limit: int) -> tuple[Refusal, ...]:
        """The newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(refusals).order_by(refusals.c.at.desc()).limit(limit)).mappings()
            return tuple(Refusal(**row) for row in rows)

    def forget(self, before: float) -> int:
        """Remove those of before a moment (Unix seconds). Returns how many."""
        with self._database.write() as connection:
            return int(connection.execute(delete(refusals).where(refusals.c.at < before)).rowcount)


def _short(text: str | None) -> str | None:
    return plain(text and text[:_LONGEST])
