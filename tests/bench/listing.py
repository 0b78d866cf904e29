"""`make bench-listing`: what it costs to list an inbox of 100,000 objects, on the embedded S3 and an SQLite ledger.

The objects are known to the ledger already, as after a day's work; a restart of the watcher is part of it."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.conftest import pytest_configure
from tests.support.inbox import Inbox, make_inbox
from tests.support.local_stack import running_stack
from workers.inbox_listing import as_seen
from workers.wiring import open_inbox_book

CHAT = "5e0d0000-0000-4000-8000-{:012}"
NEW = 20


def main() -> None:
    """Print the figures of a listing that finds nothing, of one by a new watcher, and of one with a few new objects."""
    objects = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as name, running_stack(Path(name) / "s", "s3") as stack:
        inbox = make_inbox(stack, Path(name) / "ledger", versioned=True, events=False)
        fill(inbox, objects)
        counted = inbox.with_s3(CountingHeads(inbox.desk.s3))
        measure(counted, "by a watcher that has just begun")
        measure(counted, "once more")
        fill(inbox, objects + NEW, objects, known=False)
        measure(counted, f"with {NEW} new objects")


class CountingHeads:
    """S3 that counts the objects that are looked at closely."""

    def __init__(self, real: Any) -> None:
        self._real, self.heads = real, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def head(self, bucket: str, key: str, version_id: str | None = None) -> Any:
        self.heads += 1
        return self._real.head(bucket, key, version_id)


def fill(inbox: Inbox, to: int, start: int = 0, *, known: bool = True) -> None:
    """Put small objects of 1,000 chats, and let the ledger know them."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: inbox.drop(f"{CHAT.format(n % 1_000)}/{n:06}.ogg"), range(start, to)))
    if known:
        book = open_inbox_book(inbox.settings)
        for page in inbox.desk.s3.pages(inbox.bucket):
            book.note({item.key: as_seen(item) for item in page})


def measure(inbox: Inbox, what: str) -> None:
    """One listing."""
    heads, began_s, began = inbox.desk.s3.heads, time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    tally = inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = used.ru_utime + used.ru_stime - began.ru_utime - began.ru_stime
    print(
        f"{what}: {tally.objects} objects in {tally.pages} pages, {inbox.desk.s3.heads - heads} looked at, "
        f"{time.perf_counter() - began_s:.1f} s, {cpu_s:.1f} s CPU, at most {used.ru_maxrss / 1e3:.0f} MB, "
        f"next in {tally.next_in_s:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    pytest_configure()
    main()
