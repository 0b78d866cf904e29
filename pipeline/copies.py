"""Our own copies of recordings, and when they go."""

from __future__ import annotations

from contextlib import suppress

from pipeline.errors import MemolineError
from pipeline.model import Job, State
from pipeline.ports import Parts

_NEEDS_NONE = (State.SENT, State.DELIVERED, State.CANCELLED, State.ERASED)


def let_go(parts: Parts, job: Job) -> Job:
    """Remove our own copy of a recording that no step needs any more: that of a split, when none of its parts may have
    to be made again."""
    with suppress(MemolineError):  # a copy left over costs space; nothing else depends on it
        if job.parent_id is None or parts.ledger.get(job.parent_id).state in _NEEDS_NONE:
            parts.store.discard(job.recording)
    return job
