"""What Linq reported: kept before it is answered, applied afterwards, also where no job is known for it yet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

from pipeline.ledger.engine import Database
from pipeline.ledger.queries import message_of
from pipeline.ledger.rows import to_job
from pipeline.ledger.tables import ZERO, reports, standings
from pipeline.ledger.tombstones import drop_reports
from pipeline.ledger.upsert import insert_many_new, put
from pipeline.messages import StatusReport
from pipeline.model import Job
from pipeline.ports import Clock

_MOST_A_CALL = 1_000
"""Rows that one call deletes: more would keep other writers waiting."""


class ReportLedger(ABC):
    """The part of the ledger that is about what Linq says. Raises as the ledger does."""

    database: Database
    _clock: Clock

    @abstractmethod
    def install_secret(self) -> bytes:
        """The ledger's own."""

    def keep_report(self, report: StatusReport) -> bool:
        """Keep what a webhook said, durably; False where its event id is known."""
        return self.keep_reports([report])[0]

    def keep_reports(self, many: Iterable[StatusReport]) -> tuple[bool, ...]:
        """`keep_report` for a group in one commit. They wait until `applied` names them. What a poll found has no event
        id and is not kept, nor is what is about an erased job."""
        group, now = tuple(many), self._clock.now()
        numbered = reversed(list(enumerate(group)))
        # Within a group, too, they stay in the order in which they came.
        rows = {one.event_id: _row(one, now + n * 1e-6) for n, one in numbered if one.event_id is not None}
        fresh: set[object] = set()
        if rows:
            secret = self.install_secret()
            with self.database.write() as connection:
                fresh = set(insert_many_new(connection, reports, list(rows.values()), reports.c.event_id))
                fresh -= drop_reports(connection, secret, [one for one in group if one.event_id in fresh])
        return tuple(one.event_id is None or _taken(fresh, one.event_id) for one in group)

    def waiting_reports(self, limit: int, *, behind: int = 0) -> tuple[StatusReport, ...]:
        """Reports that were kept and not applied yet, in the order in which they came, but for the first `behind`."""
        c = reports.c
        waiting = select(c.payload).where(c.waiting > ZERO).order_by(c.received_at, c.event_id)
        waiting = waiting.limit(limit).offset(behind)
        with self.database.read() as connection:
            return tuple(_report(payload) for payload in connection.execute(waiting).scalars())

    def waiting_count(self) -> int:
        """How many reports wait to be applied."""
        counted = select(func.count()).select_from(reports).where(reports.c.waiting > ZERO)
        with self.database.read() as connection:
            return int(connection.execute(counted).scalar_one())

    def applied(self, done: Mapping[str, str | None]) -> None:
        """These reports (event id, and the id of the job where there is one) need not be applied again."""
        if not done:
            return
        c = reports.c
        statement = update(reports).where(c.event_id == bindparam("event")).values(waiting=0, job_id=bindparam("job"))
        with self.database.write() as connection:
            connection.execute(statement, [{"event": event, "job": job} for event, job in sorted(done.items())])

    def forget_reports(self, *, before: float, most_orphans: int) -> int:
        """Delete applied reports that came before a moment, and the oldest of those that fit no job where there are
        more than so many; some thousand rows at most, so call it again. Returns how many went."""
        c = reports.c
        orphan = and_(c.job_id.is_(None), c.waiting == ZERO)
        newest = select(c.received_at).where(orphan).order_by(c.received_at.desc()).offset(most_orphans).limit(1)
        with self.database.write() as connection:
            too_many = connection.execute(newest).scalar()
            gone = _forget(connection, and_(c.received_at < before, c.waiting == ZERO))
            if too_many is not None:
                gone += _forget(connection, and_(orphan, c.received_at <= too_many))
        return gone

    def report_counts(self) -> dict[str, int]:
        """How many reports are kept, by status; the usual ones are always named."""
        counted = select(reports.c.status, func.count()).group_by(reports.c.status)
        with self.database.read() as connection:
            found = {str(status): int(n) for status, n in connection.execute(counted).all()}
        return dict.fromkeys(("sent", "delivered", "read", "failed"), 0) | found

    def last_report_at(self) -> float | None:
        """When the newest report that is kept came in."""
        with self.database.read() as connection:
            return connection.execute(select(func.max(reports.c.received_at))).scalar()

    def reports_for(self, job: Job) -> tuple[StatusReport, ...]:
        """The kept reports about a job's message, in the order in which they came."""
        with self.database.read() as connection:
            return _of_job(connection, job)

    def find_message(self, report: StatusReport) -> Job | None:
        """The job whose message a report is about: by message id, else trace id, else file name and chat."""
        with self.database.read() as connection:
            for way in message_of(report):
                row = connection.execute(way).mappings().first()
                if row:
                    return to_job(row)
        return None

    def stand(self, scope: str, standing: str, since: float) -> bool:
        """Note what Linq said of a chat (`chat:ID`) or a line (`line:NUMBER`). False where newer news is known."""
        row = {"scope": scope, "standing": standing, "since_at": since}
        with self.database.write() as connection:
            return put(connection, standings, row, by=("scope",), larger="since_at")

    def standing(self, scope: str) -> str | None:
        """What Linq last said of a chat or a line."""
        with self.database.read() as connection:
            return connection.execute(select(standings.c.standing).where(standings.c.scope == scope)).scalar()


def _row(report: StatusReport, now: float) -> dict[str, Any]:
    row = {name: getattr(report, name) for name in ("event_id", "message_id", "trace_id", "chat_id", "status")}
    row |= {"file_name": next(iter(report.file_names), None), "payload": asdict(report)}
    return row | {"received_at": now, "waiting": 1}


def _taken(fresh: set[object], event_id: str) -> bool:
    """Whether an event is new; the second of its kind in a group is not."""
    new = event_id in fresh
    fresh.discard(event_id)
    return new


def _forget(connection: Connection, which: Any) -> int:
    oldest = select(reports.c.event_id).where(which).order_by(reports.c.received_at).limit(_MOST_A_CALL)
    return connection.execute(delete(reports).where(reports.c.event_id.in_(oldest))).rowcount


def _of_job(connection: Connection, job: Job) -> tuple[StatusReport, ...]:
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


def _report(payload: dict[str, Any]) -> StatusReport:
    return StatusReport(**{**payload, "file_names": tuple(payload["file_names"])})
