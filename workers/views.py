"""A job as the outside sees it: the same fields in the CLI, over HTTP and in results."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pipeline.backfills import Backfill, BackfillState, Counts
from pipeline.ledger.states import OPEN
from pipeline.model import AuditLine, Callback, HistoryEntry, Job, Refusal, Span
from pipeline.ports import Ledger


def iso(at: float) -> str | None:
    """An ISO 8601 time in UTC, to the millisecond; None for 0."""
    if not at:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_json(job: Job, parts: Iterable[Job] = ()) -> dict[str, object]:
    """The fields that outsiders rely on. parts: of a split; they have its id as `parent_id`, and no `parts`."""
    return {
        "job_id": job.job_id,
        "key": job.key,
        "state": str(job.state),
        "chat_id": job.chat_id,
        "source": job.source,
        "url": job.url,
        "message_id": job.message_id,
        "code": job.code,
        "message": job.message,
        "attempts": job.attempts,
        "erasing": job.erasing,
        "created_at": iso(job.created_at),
        "updated_at": iso(job.updated_at),
        "parent_id": job.parent_id,
        "part": job.part_no or None,
        "parts": [_part_json(part, span) for part, span in zip(parts, job.spans, strict=False)],
    }


def told(ledger: Ledger, job: Job) -> dict[str, object]:
    """The fields that outsiders rely on, of a split with those of its parts."""
    return job_json(job, parts_of(ledger, job))


def parts_of(ledger: Ledger, job: Job) -> tuple[Job, ...]:
    """The parts of a split; the ledger is not asked about other jobs."""
    return ledger.parts_of(job.job_id)[: len(job.spans)] if job.spans else ()


def _part_json(part: Job, span: Span) -> dict[str, object]:
    """What a split says of one of its parts; the part's own job says the rest."""
    return {
        "job_id": part.job_id,
        "part": part.part_no,
        "key": part.key,
        "state": str(part.state),
        "url": part.url,
        "message_id": part.message_id,
        "code": part.code,
        "message": part.message,
        "starts_at_s": span.starts_at_s,
        "duration_s": span.duration_s,
    }


def job_with_history(
    job: Job,
    history: Iterable[HistoryEntry],
    *,
    parts: Iterable[Job] = (),
    callbacks: Iterable[Callback] = (),
    audit: Iterable[AuditLine] = (),
) -> dict[str, object]:
    """A job with its timeline, its memo or its parts, what it waits for, whom it told, and who had it erased."""
    hosted = job.hosted
    memo = None
    if hosted:
        memo = {
            "url": hosted.url,
            "mime_type": hosted.mime_type,
            "size_bytes": hosted.size_bytes,
            "duration_s": hosted.duration_s,
            "bitrate_kbps": hosted.bitrate_kbps,
            "sha256": hosted.sha256,
            "action": hosted.action,
            "trimmed": hosted.trimmed,
            "truncated": hosted.truncated,
            "reason": hosted.reason,
            "plan": hosted.plan,
            "ffmpeg": hosted.ffmpeg,
        }
    return job_json(job, parts) | {
        "rev": job.rev,
        "lane": job.lane,
        "backfill_id": job.backfill_id,
        "time_zone": job.time_zone,
        "overflow": job.overflow,
        "not_before": iso(max(job.not_before, job.retry_at)),
        "trace_id": job.trace_id,
        "memo": memo,
        "history": [entry_json(entry) for entry in history],
        "callback_url": job.callback_url,
        "callbacks": [callback_json(callback) for callback in callbacks],
        "audit": [audit_json(line) for line in audit],
    }


def audit_json(line: AuditLine) -> dict[str, object]:
    """A line of the audit."""
    known = {"at": iso(line.at), "action": line.action, "by": line.by, "job_id": line.job_id}
    return known | {"why": line.why, "removed": list(line.removed)}


def entry_json(entry: HistoryEntry) -> dict[str, object]:
    """One move of a job."""
    return {
        "at": iso(entry.at),
        "from": str(entry.from_state) if entry.from_state else None,
        "to": str(entry.to_state),
        "code": entry.code,
        "message": entry.message,
        "by": entry.by,
        "attempt": entry.attempt,
    }


def refusal_json(refusal: Refusal) -> dict[str, object]:
    """A call of the Celery task that was refused."""
    return {
        "at": iso(refusal.at),
        "task_id": refusal.task_id,
        "key": refusal.key,
        "chat_id": refusal.chat_id,
        "recording": refusal.recording,
        "code": refusal.code,
        "message": refusal.message,
    }


def callback_json(callback: Callback) -> dict[str, object]:
    """How far a callback came."""
    return {
        "webhook_id": callback.event_id,
        "job_id": callback.job_id,
        "state": str(callback.state),
        "at": iso(callback.at),
        "attempts": callback.attempts,
        "outcome": callback.outcome,
        "done_at": iso(callback.done_at),
        "next_at": None if callback.done_at else iso(callback.next_at),
    }


def callback_body(callback: Callback, job: Job, parts: Iterable[Job] = ()) -> dict[str, object]:
    """What a receiver is told: the job, in the state of the move that this is about."""
    moved: dict[str, object] = {"state": str(callback.state), "code": callback.code, "message": callback.message}
    data = job_json(job, parts) | moved | {"updated_at": iso(callback.at), "rev": callback.rev}
    return {"type": f"memo.{str(callback.state).lower()}", "timestamp": iso(callback.at), "data": data}


def backfill_json(one: Backfill, counts: Counts) -> dict[str, object]:
    """A backfill with what its rows and jobs have come to. open: jobs that are not at their end."""
    registering = one.state is BackfillState.RUNNING and not one.registered_at
    return {
        "backfill_id": one.backfill_id,
        "source": one.source,
        "state": "registering" if registering else str(one.state),
        "message": one.message,
        "rows": dict(counts.rows),
        "jobs": {str(state): count for state, count in counts.jobs.items()},
        "open": sum(counts.jobs.get(state, 0) for state in OPEN),
        "failures": counts.failures,
        "max_failures": one.max_failures,
        "options": dict(one.options),
        "created_at": iso(one.created_at),
        "registered_at": iso(one.registered_at),
        "ended_at": iso(one.ended_at),
    }
