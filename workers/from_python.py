"""The program door: what `workers.enqueue` does."""

from __future__ import annotations

import os
from datetime import datetime
from functools import lru_cache
from os import PathLike

from pipeline.model import Job
from pipeline.settings import Settings, load_settings
from workers.doors import Desk, Wish, check_chat_id, check_key, check_overflow, open_desk, parse_not_before, submit
from workers.hints import Hints, open_hints


def submit_from_python(
    recording: str | PathLike[str],
    chat_id: str,
    *,
    key: str | None,
    overflow: str | None,
    not_before: datetime | float | str | None,
) -> Job:
    """Register, and hint. The hint may be lost: the sweeper gives another."""
    wish = Wish(
        chat_id=check_chat_id(str(chat_id)),
        key=check_key(key),
        overflow=check_overflow(overflow),
        not_before=parse_not_before(not_before),
    )
    desk, hints = _door(load_settings(), os.getpid())
    job = submit(desk, os.fspath(recording), wish)
    hints.wake(job)
    return job


@lru_cache(maxsize=4)
def _door(settings: Settings, pid: int) -> tuple[Desk, Hints]:
    """One desk for each process and settings; a forked child opens its own."""
    return open_desk(settings, f"enqueue:{pid}"), open_hints(settings.broker_url)
