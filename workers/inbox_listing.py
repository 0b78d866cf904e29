"""The periodic listing of the inbox: finds objects whose event never came.

S3 lists a bucket in the order of its keys and by nothing else, so a listing reads every page. What keeps it cheap: the
ledger remembers each object that needs no second look, in the same order, so a page of 1,000 costs one request and one
question to the ledger; and the more pages there are, the rarer it is listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.hosting.s3 import S3, Head, Listed
from pipeline.ledger.inbox import InboxBook
from workers.arrivals import Arrivals
from workers.s3_events import NOT_READ, ObjectSeen, is_recording, is_side_car

LIST_EVERY_S = 60.0
_LAST = "\U0010ffff"
PAGES_A_MINUTE = 10
"""A large inbox is listed so often that it comes to this many requests a minute: 100,000 objects every 10 minutes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What a listing met. looked_at: objects that were not known."""

    pages: int = 0
    objects: int = 0
    looked_at: int = 0

    @property
    def next_in_s(self) -> float:
        """Seconds until it should be listed again."""
        return LIST_EVERY_S * max(1.0, self.pages / PAGES_A_MINUTE)


class Listing:
    """Lists one inbox bucket."""

    def __init__(self, s3: S3, bucket: str, book: InboxBook, arrivals: Arrivals) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._book = book
        self._arrivals = arrivals

    def take(self, *, older_than_s: float, now: float) -> Tally:
        """Register every object that has no job yet, and take up every note that came late. Objects younger than
        older_than_s are left to their events. Raises PartUnreachable, Misuse."""
        tally, after = Tally(), ""
        for page, last in _with_last(self._pages()):
            to = None if last else page[-1].key
            known = self._book.seen(after, to)
            new = {
                item.key: as_seen(item)
                for item in page
                if now - item.last_modified.timestamp() >= older_than_s
                and known.get(item.key) != as_seen(item)
                and (is_recording(item.key) or is_side_car(item.key))
            }
            failed = self._take(new)
            self._book.note(
                {key: how for key, how in new.items() if key not in failed}, known.keys() - {item.key for item in page}
            )
            tally = Tally(
                pages=tally.pages + 1, objects=tally.objects + len(page), looked_at=tally.looked_at + len(new)
            )
            after = to or after
        return tally

    def _pages(self) -> Iterator[tuple[Listed, ...]]:
        """All pages, jumping over what is ours, of which there may be much."""
        after: str | None = ""
        while after is not None:
            here, after = after, None
            for page in self._s3.pages(self._bucket, after=here):
                ours = next((item.key for item in page if item.key.startswith(NOT_READ)), None)
                yield tuple(item for item in page if ours is None or item.key < ours)
                if ours is not None:
                    after = f"{ours.partition('/')[0]}/{_LAST}"
                    break

    def _take(self, new: dict[str, str]) -> frozenset[str]:
        recordings = [ObjectSeen(bucket=self._bucket, key=key) for key in new if is_recording(key)]
        failed = self._arrivals.take(recordings).failed if recordings else frozenset()
        # A note that is new together with its recording was read with it.
        late = [key for key in new if is_side_car(key)]
        return failed | self._arrivals.mend(late) if late else failed

    def remember(self, seen: Mapping[str, str]) -> None:
        """Objects that were registered by their events need no look from the listing. seen: `as_seen`, by key."""
        self._book.note(seen)


def as_seen(one: Head | Listed) -> str:
    """What tells an object from what is put under its key later; HEAD shows times to the second, a listing finer."""
    return f"{one.etag} {int(one.last_modified.timestamp())}"


def _with_last(pages: Iterator[tuple[Listed, ...]]) -> Iterator[tuple[tuple[Listed, ...], bool]]:
    """Each page that holds something, and whether it is the last one, which may be empty."""
    waiting: tuple[Listed, ...] = ()
    for page in filter(None, pages):
        if waiting:
            yield waiting, False
        waiting = page
    yield waiting, True
