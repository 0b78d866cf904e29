"""A job's story for people."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.model import AuditLine, Callback, HistoryEntry, Job, Span, State
from workers.cli.listing import folded, length, size
from workers.views import iso


def timeline(
    job: Job,
    history: Sequence[HistoryEntry],
    now: float,
    *,
    parts: Sequence[Job] = (),
    callbacks: Sequence[Callback] = (),
    audit: Sequence[AuditLine] = (),
) -> str:
    """Head, one line for each of its parts, one line a move with the seconds since the job was registered, and who
    erased it. now: Unix seconds."""
    head = [
        f"job      {job.job_id}",
        f"state    {job.state}{f' ({job.code})' if job.code else ''}",
        f"chat     {job.chat_id or '-'}",
        f"source   {job.source or '-'}",
    ]
    if job.key:
        head.append(f"key      {job.key}")
    until = max(job.not_before, job.retry_at)
    if job.state in (State.RECEIVED, State.HOSTED) and until > now:
        head.append(f"waits    until {iso(until)}")
    if job.erasing:
        head.append("erasing  as soon as it may be: nothing of it is sent any more")
    if job.hosted:
        memo = job.hosted
        head.append(f"memo     {memo.url}")
        cut = ", its end cut off" if memo.trimmed else ""
        facts = (memo.action, size(memo.size_bytes), length(memo.duration_s), f"{memo.bitrate_kbps:.0f} kb/s")
        head.append(f"         {', '.join(facts)}, {memo.mime_type}{cut}")
        if memo.reason:
            head.append(f"         {memo.reason}")
    if job.parent_id:
        head.append(f"part     {job.part_no} of job {job.parent_id}")
    head += [f"part {part.part_no:<3} {_part(part, span)}" for part, span in zip(parts, job.spans, strict=False)]
    if job.message_id:
        head.append(f"message  {job.message_id}")
    if job.message:
        head.append(f"why      {job.message}")
    if job.callback_url:
        head.append(f"tells    {job.callback_url}")
        head += [f"         {_callback(one)}" for one in callbacks]
    told = [_line(entry, job) for entry in history]
    told += [_audited(line) for line in audit]
    return "\n".join(folded(line, 9) for line in [*head, "", *told])


def _audited(line: AuditLine) -> str:
    what = f"{', '.join(line.removed)} gone" if line.removed else ""
    why = "; ".join(text for text in (what, line.why or "") if text)
    return f"{iso(line.at)}  audit: {line.action}  {line.by:<22}  {why}".rstrip()


def _part(part: Job, span: Span) -> str:
    code = f" ({part.code})" if part.code else ""
    return f"{part.job_id}  {part.state}{code}, {length(span.duration_s)} from {length(span.starts_at_s)}"


def _line(entry: HistoryEntry, job: Job) -> str:
    # What stands above need not be said again.
    message = entry.message if entry.message != job.message else None
    why = " ".join(text for text in (f"[{entry.code}]" if entry.code else "", message or "") if text)
    return (
        f"{iso(entry.at)}  +{entry.at - job.created_at:8.2f} s  {entry.to_state!s:<11}  {entry.by:<22}  {why}".rstrip()
    )


def _callback(one: Callback) -> str:
    """How far telling one move came."""
    tries = f"{one.attempts} {'attempt' if one.attempts == 1 else 'attempts'}"
    if one.done_at:
        return f"{one.state}: {one.outcome} ({tries})"
    return f"{one.state}: {one.outcome or 'not told yet'} ({tries}, next {iso(one.next_at)})"
