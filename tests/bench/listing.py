"""`make bench-listing`: what a listing of an inbox of 100,000 objects costs the watcher and an SQLite ledger.

S3 itself is a list in memory that answers in pages of 1,000, so that what is measured is ours; beside the time stands
how often S3 is asked. The objects are known to the ledger, as after a day's work, but for those of one chat."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.hosting.s3 import Head, Listed
from pipeline.settings import Settings
from tests.conftest import pytest_configure
from workers.arrivals import Arrivals
from workers.doors import open_desk
from workers.hints import Hints
from workers.inbox_listing import Listing, as_seen
from workers.wiring import open_inbox_book

CHAT = "5e0d0000-0000-4000-8000-{:012}"
PUT_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Shelf:
    """An S3 with versions and small objects. asked: how often."""

    def __init__(self, objects: int) -> None:
        keys = sorted(f"{CHAT.format(n % 1_000)}/{n:06}.ogg" for n in range(objects))
        self._listed = [Listed(key=key, size_bytes=5, etag="e", last_modified=PUT_AT) for key in keys]
        self.asked = 0

    def pages(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[tuple[Listed, ...]]:
        """All objects, a page at a time."""
        for start in range(0, len(self._listed), 1_000):
            self.asked += 1
            yield tuple(self._listed[start : start + 1_000])

    def head(self, bucket: str, key: str, version_id: str | None = None) -> Head:
        """One object."""
        self.asked += 1
        return Head(size_bytes=5, etag="e", version_id="v", last_modified=PUT_AT, content_type="audio/ogg", metadata={})

    def read(self, bucket: str, key: str, max_bytes: int | None = None) -> None:
        """No object has a note."""
        self.asked += 1


def main() -> None:
    """Print the figures of the first listing, which finds a few new objects, and of the next one."""
    objects = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as folder, ThreadPoolExecutor(8) as looking:
        settings = Settings.model_validate({"MEMOLINE_HOME": folder, "MEMOLINE_INBOX_BUCKET": "inbox"})
        shelf, book = Shelf(objects), open_inbox_book(settings)
        for page in shelf.pages("inbox"):
            book.note({item.key: as_seen(item) for item in page if not item.key.startswith(CHAT.format(7))})
        desk = replace(open_desk(settings, "bench"), s3=shelf)  # type: ignore[arg-type]
        listing = Listing(desk.s3, "inbox", book, Arrivals(desk, Hints(None), looking))
        for what in ("with what is new in one chat", "once more"):
            shelf.asked, began_s, began = 0, time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
            tally = listing.take(older_than_s=0, now=desk.parts.clock.now())
            took_s, used = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_SELF)
            cpu_s = used.ru_utime + used.ru_stime - began.ru_utime - began.ru_stime
            print(
                f"{what}: {tally.objects} objects, {tally.looked_at} looked at, {shelf.asked} requests, "
                f"{took_s:.2f} s, {cpu_s:.2f} s CPU, next in {tally.next_in_s:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    pytest_configure()
    main()
