"""Our own copies of recordings, and when they go."""

from __future__ import annotations

from contextlib import suppress

from pipeline.errors import MemolineError
from pipeline.model import Job
from pipeline.ports import Parts


def let_go(parts: Parts, job: Job) -> Job:
    """Remove our own copy of a recording that no step needs any more."""
    with suppress(MemolineError):  # a copy left over costs space; nothing else depends on it
        parts.store.discard(job.recording)
    return job
