"""A job's story for people."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.model import HistoryEntry, Job, State
from workers.views import iso


def timeline(job: Job, history: Sequence[HistoryEntry], now: float) -> str:
    """Head and one line a move, with the seconds since the job was registered. now: Unix seconds."""
    head = [
        f"job      {job.job_id}",
        f"state    {job.state}{f' ({job.code})' if job.code else ''}",
        f"chat     {job.chat_id or '-'}",
        f"source   {job.source}",
    ]
    if job.key:
        head.append(f"key      {job.key}")
    until = max(job.not_before, job.retry_at)
    if job.state in (State.RECEIVED, State.HOSTED) and until > now:
        head.append(f"waits    until {iso(until)}")
    if job.hosted:
        memo = job.hosted
        head.append(f"memo     {memo.url}")
        head.append(f"         {memo.action}, {memo.size_bytes} bytes, {memo.duration_s:.1f} s, {memo.mime_type}")
    if job.message_id:
        head.append(f"message  {job.message_id}")
    if job.message:
        head.append(f"         {job.message}")
    return "\n".join([*head, "", *(_line(entry, job.created_at) for entry in history)])


def _line(entry: HistoryEntry, begun: float) -> str:
    why = " ".join(text for text in (f"[{entry.code}]" if entry.code else "", entry.message or "") if text)
    return f"{iso(entry.at)}  +{entry.at - begun:8.2f} s  {entry.to_state!s:<11}  {entry.by:<22}  {why}".rstrip()
