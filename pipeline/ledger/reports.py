"""What Linq reported: kept before it is answered, also where no job is known for it yet."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from pipeline.ledger.queries import message_of
from pipeline.ledger.rows import to_job
from pipeline.ledger.tables import reports
from pipeline.ledger.upsert import insert_new
from pipeline.model import Job, StatusReport


def keep(connection: Connection, report: StatusReport, *, now: float) -> bool:
    """Keep a report; False where it is known. What a poll found has no event id and is not kept."""
    if report.event_id is None:
        return True
    row = {name: getattr(report, name) for name in ("event_id", "message_id", "trace_id", "chat_id", "status")}
    row |= {"file_name": next(iter(report.file_names), None), "payload": asdict(report), "received_at": now}
    return insert_new(connection, reports, row)


def counts(connection: Connection) -> dict[str, int]:
    """How many reports there are of each status; the usual ones are always named."""
    found = connection.execute(select(reports.c.status, func.count()).group_by(reports.c.status)).all()
    return dict.fromkeys(("sent", "delivered", "read", "failed"), 0) | {str(status): int(n) for status, n in found}


def of_job(connection: Connection, job: Job) -> tuple[StatusReport, ...]:
    """The reports about a job's message, in the order in which they came."""
    c, signs = reports.c, []
    if job.message_id:
        signs.append(c.message_id == job.message_id)
    fits = or_(c.message_id.is_(None), c.message_id == job.message_id) if job.message_id else c.event_id.is_not(None)
    if job.trace_id:
        signs.append(and_(c.trace_id == job.trace_id, fits))
    if job.hosted and job.chat_id:
        signs.append(and_(c.file_name == job.hosted.file_name, c.chat_id == job.chat_id, fits))
    if not signs:
        return ()
    found = connection.execute(select(c.payload).where(or_(*signs)).order_by(c.received_at, c.event_id)).scalars()
    return tuple(_report(payload) for payload in found)


def job_of(connection: Connection, report: StatusReport) -> Job | None:
    """The job whose message a report is about: by message id, else by trace id, else by file name and chat."""
    for way in message_of(report):
        row = connection.execute(way).mappings().first()
        if row:
            return to_job(row)
    return None


def _report(payload: dict[str, Any]) -> StatusReport:
    return StatusReport(**{**payload, "file_names": tuple(payload["file_names"])})
