"""What a plan has seen of its rows so far, on disk and not in memory: a million rows take no more of it than ten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import JobFailed
from pipeline.sending.forecast import Load
from workers.plans import Outlook


class Notes:
    """Which line named a job first, and how many memos each chat gets. All methods raise JobFailed (`disk-full`)."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "plan.db"
        self._opened: sqlite3.Connection | None = None
        with self._asked() as say:
            say.execute("CREATE TABLE jobs (job_id TEXT PRIMARY KEY, line INTEGER, fingerprint TEXT)")
            columns = "chat_id TEXT, zone TEXT, line TEXT, memos INTEGER, PRIMARY KEY (chat_id, zone)"
            say.execute(f"CREATE TABLE chats ({columns})")
        self.close()

    def close(self) -> None:
        """Hold nothing open, until somebody asks again."""
        if self._opened:
            with self._asked() as say:
                say.commit()
            self._opened.close()
            self._opened = None

    def first(self, one: Outlook, fingerprint: str) -> tuple[int, bool]:
        """The line that named the row's job first, and whether it asked for the same."""
        with self._asked() as say:
            say.execute("INSERT OR IGNORE INTO jobs VALUES (?, ?, ?)", (one.job_id, one.line, fingerprint))
            found = say.execute("SELECT line, fingerprint FROM jobs WHERE job_id = ?", (one.job_id,)).fetchone()
        return int(found[0]), found[1] == fingerprint

    def count(self, one: Outlook, line: str | None, ahead: int) -> None:
        """Count the memos of a row for its chat. line: on which that is; ahead: memos that wait there already."""
        zone = one.time_zone or ""
        with self._asked() as say:
            say.execute("INSERT OR IGNORE INTO chats VALUES (?, ?, ?, ?)", (one.chat_id, zone, line, ahead))
            add = "UPDATE chats SET memos = memos + ? WHERE chat_id = ? AND zone = ?"
            say.execute(add, (one.parts or 0, one.chat_id, zone))

    def loads(self) -> Iterator[Load]:
        """Chats that are alike, together."""
        alike = "SELECT memos, COUNT(*), line, zone FROM chats GROUP BY memos, line, zone"
        with self._asked() as say:
            for memos, chats, line, zone in say.execute(alike):
                yield Load(memos=memos, chats=chats, line=line, zone=zone or None)

    def chats(self) -> tuple[int, int]:
        """How many chats there are, and of how many the line is not known."""
        count = "SELECT COUNT(DISTINCT chat_id), COUNT(DISTINCT CASE WHEN line IS NULL THEN chat_id END) FROM chats"
        with self._asked() as say:
            every, unknown = say.execute(count).fetchone()
        return int(every), int(unknown)

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._opened is None:
                self._opened = sqlite3.connect(self._file)
                for pragma in ("journal_mode=OFF", "synchronous=OFF"):
                    self._opened.execute(f"PRAGMA {pragma}").close()
            yield self._opened
        except sqlite3.Error as error:
            text = f"The plan's notes in {self._file.parent} cannot be kept ({error}): make room there."
            raise JobFailed("disk-full", text) from None
