"""What a watcher has seen of its inbox: so that a listing of 100,000 objects looks closely at the new ones alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import delete, select

from pipeline.ledger.door_tables import seen_objects
from pipeline.ledger.engine import Database
from pipeline.ledger.upsert import put_many


class InboxBook:
    """Objects of one place (a bucket, a folder) by key. Both methods raise PartUnreachable (`ledger-unreachable`)."""

    def __init__(self, database: Database, place: str) -> None:
        self._database = database
        self._place = place

    def seen(self, after: str, to: str | None) -> dict[str, str]:
        """How the known objects with `after` < key <= `to` (None: to the end) were when they were last looked at."""
        c = seen_objects.c
        found = select(c.key, c.seen).where(c.place == self._place, c.key > after)
        with self._database.read() as connection:
            rows = connection.execute(found if to is None else found.where(c.key <= to)).all()
        return {str(key): str(seen) for key, seen in rows}

    def note(self, seen: Mapping[str, str], gone: Iterable[str] = ()) -> None:
        """Remember objects that need no second look, and forget those that are gone."""
        rows = [{"place": self._place, "key": key, "seen": how} for key, how in seen.items()]
        lost = list(gone)
        if not rows and not lost:
            return
        c = seen_objects.c
        with self._database.write() as connection:
            put_many(connection, seen_objects, rows, by=("place", "key"))
            if lost:
                connection.execute(delete(seen_objects).where(c.place == self._place, c.key.in_(lost)))
