"""The processes: Celery workers, sweeper, watcher, backfill, HTTP and the command line. `enqueue` is the door for
Python programs; importing it costs nothing, and what it needs is loaded when it is first called."""

from __future__ import annotations

from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.model import Job, Overflow

__all__ = ["enqueue"]


def enqueue(
    recording: str | PathLike[str],
    chat_id: str,
    *,
    key: str | None = None,
    overflow: Overflow | None = None,
    not_before: datetime | float | str | None = None,
) -> Job:
    """Register a recording for a chat and return its job, which is durable then, whether or not Redis or a worker is
    there: the caller may delete the file.

    recording: a path, or `s3://bucket/key` in the inbox bucket or a source bucket. chat_id: Linq's UUID. key: the same
    key with the same input gives the same job. not_before: a time with its zone, Unix seconds, or ISO 8601.
    Settings come from the environment and `.env`. Raises Misuse (`no-such-file`, `is-a-directory`, `unreadable`,
    `bad-recording`, `bucket-not-allowed`, `bad-chat-id`, `bad-key`, `bad-overflow`, `bad-not-before`, `bad-setting`),
    KeyReused, JobFailed (`no-such-object`, `disk-full`), PartUnreachable (`ledger-unreachable`, `s3-unreachable`)."""
    from workers.from_python import submit_from_python

    return submit_from_python(recording, chat_id, key=key, overflow=overflow, not_before=not_before)
