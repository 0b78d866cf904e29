"""A job in one row for people."""

from __future__ import annotations

from pipeline.model import Job, State
from workers.views import iso

JOBS = (("STATE", 11), ("CHAT", 9), ("SINCE", 10), ("RECORDING", 20))
ID_WIDTH = 8
"""So much of an id is shown; commands take it as the whole."""


def cells(job: Job, now: float) -> list[str]:
    """For JOBS. now: Unix seconds."""
    chat = f"{job.chat_id[:4]}…{job.chat_id[-4:]}" if job.chat_id else "-"
    name = job.recording.name
    return [str(job.state), chat, ago(now - job.created_at), name if len(name) <= 20 else f"{name[:9]}…{name[-10:]}"]


def says(job: Job, now: float) -> str:
    """What there is to know: why it stands where it stands, until when it waits, or where its memo is."""
    until = max(job.not_before, job.retry_at)
    if job.state in (State.RECEIVED, State.HOSTED) and until > now:
        why = f" [{job.code}] {job.message or ''}".rstrip() if job.code else ""
        return f"waits until {iso(until)}{why}"
    if job.spans:
        return f"{f'[{job.code}] ' if job.code else ''}{job.message or f'{len(job.spans)} parts'}"
    if job.code:
        return f"[{job.code}] {job.message or ''}".rstrip()
    part = f"part {job.part_no} of {job.parent_id[:ID_WIDTH]} " if job.parent_id else ""
    return f"{part}{job.url or ''}".rstrip()


def ago(seconds: float) -> str:
    """In the unit that fits: 5 s, 3 min, 2 h, 4 d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (size == 60 and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
