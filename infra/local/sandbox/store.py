"""The sandbox's memory: shelves of values, written through to one SQLite file when a folder is given.

A change is committed before anything is answered, so that ending the process at any point loses nothing that a client
was told (WAL with synchronous=NORMAL: a committed change survives the process, though not a power cut).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import TypeAdapter

from .model import Attachment, Chat, Delivery, Message, Post, Subscription


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Identified)


class Journal:
    """The SQLite file, or nothing at all when `folder` is None."""

    def __init__(self, folder: Path | None) -> None:
        self._depth = 0
        self._db: sqlite3.Connection | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(folder / "sandbox.sqlite3", isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS item (kind TEXT, id TEXT, body BLOB, PRIMARY KEY (kind, id))")

    def rows(self, kind: str) -> list[bytes]:
        """All bodies of one kind, oldest first."""
        if self._db is None:
            return []
        return [body for (body,) in self._db.execute("SELECT body FROM item WHERE kind=? ORDER BY rowid", (kind,))]

    def put(self, kind: str, item_id: str, body: bytes) -> None:
        if self._db is not None:
            upsert = "INSERT INTO item VALUES (?,?,?) ON CONFLICT (kind, id) DO UPDATE SET body=excluded.body"
            self._db.execute(upsert, (kind, item_id, body))

    def delete(self, kind: str, item_id: str) -> None:
        if self._db is not None:
            self._db.execute("DELETE FROM item WHERE kind=? AND id=?", (kind, item_id))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Changes inside are kept together or not at all. Must not contain an `await`."""
        if self._db is None or self._depth:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._depth -= 1

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


class Shelf(Generic[T]):
    """All values of one kind, by id, in the order they came."""

    def __init__(self, journal: Journal, kind: str, cls: type[T]) -> None:
        self._journal, self._kind = journal, kind
        self._adapter: TypeAdapter[T] = TypeAdapter(cls)
        self._items: dict[str, T] = {}
        for body in journal.rows(kind):
            item = self._adapter.validate_json(body)
            self._items[item.id] = item

    def put(self, item: T) -> T:
        """Keeps the value, in place of one with the same id."""
        self._journal.put(self._kind, item.id, self._adapter.dump_json(item))
        self._items[item.id] = item
        return item

    def get(self, item_id: str) -> T | None:
        return self._items.get(item_id)

    def delete(self, item_id: str) -> None:
        self._journal.delete(self._kind, item_id)
        self._items.pop(item_id, None)

    def all(self) -> Iterable[T]:
        return self._items.values()

    def __len__(self) -> int:
        return len(self._items)

    def clear(self) -> None:
        for item_id in list(self._items):
            self.delete(item_id)


class Store:
    """Everything that outlives a request."""

    def __init__(self, folder: Path | None) -> None:
        self.journal = Journal(folder)
        self.chats = Shelf(self.journal, "chat", Chat)
        self.messages = Shelf(self.journal, "message", Message)
        self.attachments = Shelf(self.journal, "attachment", Attachment)
        self.subscriptions = Shelf(self.journal, "subscription", Subscription)
        self.deliveries = Shelf(self.journal, "delivery", Delivery)
        self.posts = Shelf(self.journal, "post", Post)

    def clear(self) -> None:
        """Back to the first day."""
        with self.journal.together():
            for shelf in (self.chats, self.messages, self.attachments, self.deliveries, self.posts):
                shelf.clear()
            self.subscriptions.clear()
