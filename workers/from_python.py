"""The program door: what `workers.enqueue`, `aenqueue` and `enqueue_many` do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from itertools import islice
from os import PathLike
from typing import TYPE_CHECKING

from pipeline.errors import MemolineError, Misuse
from pipeline.model import Job
from pipeline.settings import Settings, load_settings
from workers.batch import BATCH_JOBS, Result, submit_many
from workers.doors import Desk, open_desk, submit
from workers.hints import Hints, open_hints
from workers.wishes import Wish, check_chat_id, check_key, check_overflow, parse_not_before

if TYPE_CHECKING:
    from workers import Wanted

COPYING_THREADS = 8
_FIELDS = frozenset({"recording", "chat_id", "key", "overflow", "not_before"})


def submit_from_python(
    recording: str | PathLike[str],
    chat_id: str,
    *,
    key: str | None,
    overflow: str | None,
    not_before: datetime | float | str | None,
) -> Job:
    """Register, and hint. The hint may be lost: the sweeper gives another."""
    wish = _wish(chat_id, key, overflow, not_before)
    desk, hints = _door(load_settings(), os.getpid())
    job = submit(desk, os.fspath(recording), wish)
    hints.wake(job)
    return job


def submit_many_from_python(wanted: Iterable[Wanted]) -> list[Result]:
    """Register in batches, and hint what is new; after the first hint that nobody takes, the rest is the sweeper's."""
    desk, hints = _door(load_settings(), os.getpid())
    results: list[Result] = []
    heard = True
    with ThreadPoolExecutor(COPYING_THREADS) as copying:
        for batch in _batches(iter(wanted)):
            done = submit_many(desk, [_checked(one) for one in batch], copying)
            results += done
            for job in done:
                heard = heard and (not isinstance(job, Job) or job.rev > 1 or hints.wake(job))
    return results


def _batches(wanted: Iterator[Wanted]) -> Iterator[list[Wanted]]:
    while batch := list(islice(wanted, BATCH_JOBS)):
        yield batch


def _checked(wanted: Wanted) -> tuple[str, Wish] | MemolineError:
    unknown = wanted.keys() - _FIELDS
    try:
        if unknown:
            known = ", ".join(sorted(_FIELDS))
            raise Misuse("unknown-field", f"{str(sorted(unknown)[0])[:100]!r} is not known: say {known}.")
        recording = wanted.get("recording")
        if not isinstance(recording, str | PathLike):
            raise Misuse("bad-recording", f"{str(recording)[:100]!r} is neither a path nor an s3:// URI.")
        options = (wanted.get("key"), wanted.get("overflow"), wanted.get("not_before"))
        return os.fspath(recording), _wish(wanted.get("chat_id"), *options)
    except MemolineError as error:
        return error


def _wish(chat_id: object, key: str | None, overflow: str | None, not_before: datetime | float | str | None) -> Wish:
    return Wish(
        chat_id=check_chat_id(str(chat_id)),
        key=check_key(key),
        overflow=check_overflow(overflow),
        not_before=parse_not_before(not_before),
    )


@lru_cache(maxsize=4)
def _door(settings: Settings, pid: int) -> tuple[Desk, Hints]:
    """One desk for each process and settings; a forked child opens its own."""
    return open_desk(settings, f"enqueue:{pid}"), open_hints(settings.broker_url)
