"""The processes: Celery workers, sweeper, watcher, backfill, HTTP and the command line. `enqueue`, `aenqueue` and
`enqueue_many` are the door for Python programs; importing them costs nothing, and what they need is loaded when one is
first called."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from pipeline.errors import MemolineError
    from pipeline.model import Job
    from pipeline.recordings import Overflow

__all__ = ["Wanted", "aenqueue", "enqueue", "enqueue_many"]


class Wanted(TypedDict):
    """One recording of `enqueue_many`: what `enqueue` takes, by the same names."""

    recording: str | PathLike[str]
    chat_id: str
    key: NotRequired[str | None]
    overflow: NotRequired[Overflow | None]
    not_before: NotRequired[datetime | float | str | None]
    hold_s: NotRequired[float]
    callback_url: NotRequired[str | None]


def enqueue(
    recording: str | PathLike[str],
    chat_id: str,
    *,
    key: str | None = None,
    overflow: Overflow | None = None,
    not_before: datetime | float | str | None = None,
    hold_s: float = 0,
    callback_url: str | None = None,
) -> Job:
    """Register a recording for a chat and return its job, which is durable then, whether or not Redis or a worker is
    there: the caller may delete the file.

    recording: a path, or `s3://bucket/key` in the inbox bucket or a source bucket. chat_id: Linq's UUID. key: the same
    key with the same input gives the same job. not_before: a time with its zone, Unix seconds, or ISO 8601; hold_s:
    seconds from now. callback_url: told what becomes of the job, see docs/program.md.
    Settings come from the environment and `.env`. Raises Misuse (`no-such-file`, `is-a-directory`, `unreadable`,
    `bad-recording`, `bucket-not-allowed`, `bad-chat-id`, `bad-key`, `bad-overflow`, `bad-not-before`, `bad-hold`,
    `bad-callback-url`, `bad-setting`), KeyReused, JobFailed (`no-such-object`, `disk-full`), PartUnreachable
    (`ledger-unreachable`, `s3-unreachable`)."""
    from workers.from_python import submit_from_python

    options = {"overflow": overflow, "not_before": not_before, "hold_s": hold_s, "callback_url": callback_url}
    return submit_from_python(recording, key, {"chat_id": chat_id, **options})


async def aenqueue(
    recording: str | PathLike[str],
    chat_id: str,
    *,
    key: str | None = None,
    overflow: Overflow | None = None,
    not_before: datetime | float | str | None = None,
    hold_s: float = 0,
    callback_url: str | None = None,
) -> Job:
    """`enqueue` for a program with an event loop: it copies and commits on another thread, and the loop goes on.

    Cancelled while it waits, the job may be registered all the same: ask again with the same key."""
    import asyncio

    return await asyncio.to_thread(
        enqueue,
        recording,
        chat_id,
        key=key,
        overflow=overflow,
        not_before=not_before,
        hold_s=hold_s,
        callback_url=callback_url,
    )


def enqueue_many(wanted: Iterable[Wanted]) -> list[Job | MemolineError]:
    """Register many recordings, a few hundred a commit. Returns one result for each, in their order: its job, durable
    as with `enqueue`, or the error that `enqueue` would raise for it; an item that is wrong keeps no other one out.

    Where it matters that a repeated call sends nothing twice, give each its `key`. Raises Misuse (`bad-setting`) and
    PartUnreachable (`ledger-unreachable`) where nothing could be begun."""
    from workers.from_python import submit_many_from_python

    return submit_many_from_python(wanted)
