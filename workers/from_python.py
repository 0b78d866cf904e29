"""The program door: what `workers.enqueue`, `aenqueue` and `enqueue_many` do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from os import PathLike
from typing import TYPE_CHECKING

from pipeline.errors import MemolineError, Misuse
from pipeline.model import Job
from pipeline.settings import Settings, load_settings
from workers.batch import BATCH_JOBS, Result, submit_many
from workers.doors import Desk, open_desk, submit
from workers.hints import Hints
from workers.hints_aside import open_hints_aside
from workers.wishes import OPTIONS, Wish, wish_of

if TYPE_CHECKING:
    from workers import Wanted

COPYING_THREADS = 8
_FIELDS = frozenset({"recording", "chat_id", "key", *OPTIONS})


def submit_from_python(recording: str | PathLike[str], key: str | None, options: Mapping[str, object]) -> Job:
    """Register, and hint. The hint may be lost: the sweeper gives another."""
    wish = wish_of(options, key, now=time.time())
    desk, hints = _door(load_settings(), os.getpid())
    job = submit(desk, os.fspath(recording), wish)
    hints.wake(job)
    return job


def submit_many_from_python(wanted: Iterable[Wanted]) -> list[Result]:
    """Register in batches, and hint what is new."""
    desk, hints = _door(load_settings(), os.getpid())
    results: list[Result] = []
    with ThreadPoolExecutor(COPYING_THREADS) as copying:
        for batch in _batches(iter(wanted)):
            done = submit_many(desk, [_checked(one) for one in batch], copying)
            results += done
            for job in done:
                if isinstance(job, Job) and job.rev == 1:
                    hints.wake(job)
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
        return os.fspath(recording), wish_of(wanted, wanted.get("key"), now=time.time())
    except MemolineError as error:
        return error


@lru_cache(maxsize=4)
def _door(settings: Settings, pid: int) -> tuple[Desk, Hints]:
    """One desk for each process and settings; a forked child opens its own."""
    return open_desk(settings, f"enqueue:{pid}"), open_hints_aside(settings.broker_url)
