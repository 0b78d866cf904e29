"""Erasing in the ledger: the wish, which is durable, and its end, one transaction after which nothing personal is left.

A job's `erase_at` says when its erasing is due: 0 where nobody wants it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, Connection, Text, delete, insert, or_, select, text, update

from pipeline.errors import NotNow
from pipeline.ledger import changes, queries, tombstones
from pipeline.ledger.door_tables import backfill_rows, backfills, callbacks, news, refusals
from pipeline.ledger.reports import ReportLedger
from pipeline.ledger.rows import to_job
from pipeline.ledger.states import why_not
from pipeline.ledger.tables import audit, chats, history, jobs, marks, pauses, reports, standings
from pipeline.model import AuditLine, Job, State

WISHED: Final = "erase-wanted"
ERASED: Final = "erased"
OUTLIVED: Final = "outlived"
CHAT_ERASED: Final = "chat-erased"
"""Actions in the audit. OUTLIVED: the retention's time was over."""

_STAYS: Final = frozenset({"backfill_id"})
_NOTHING: Final[Mapping[str, Any]] = {
    "fingerprint": "",
    "source": "",
    "recording": {"uri": "", "name": "", "size_bytes": 0},
}
"""What stands for a text that a job must have."""


class EraseLedger(ReportLedger):
    """The part of the ledger that is about erasing. Raises as the ledger does."""

    def want_erased(self, job_id: str, *, by: str, why: str) -> Job:
        """Note that a job is to be erased, and who wants it; a second wish only makes it due now. `rev` stays: no step
        in work is disturbed. Raises NoSuchJob."""
        wanted = (jobs.c.job_id == job_id) & (jobs.c.state != str(State.ERASED))
        wished = select(audit.c.id).where(audit.c.job_id == job_id, audit.c.action == WISHED)
        now = self._clock.now()
        with self.database.write() as connection:
            due_now = connection.execute(update(jobs).where(wanted).values(erase_at=now)).rowcount
            if due_now and connection.execute(wished.limit(1)).first() is None:
                _note(connection, AuditLine(at=now, action=WISHED, by=by, job_id=job_id, why=why, removed=()))
            return changes.get(connection, job_id)

    def unerased(self, job_ids: Sequence[str]) -> tuple[str, ...]:
        """Those of a few hundred ids that are jobs, neither erased nor wanted to be."""
        c = jobs.c
        left = c.job_id.in_(job_ids) & (c.state != str(State.ERASED)) & (c.erase_at == 0)
        with self.database.read() as connection:
            return tuple(connection.execute(select(c.job_id).where(left)).scalars())

    def want_outlived_erased(self, ended_before: float, limit: int) -> int:
        """Note that jobs are to be erased that were sent, or came to nothing, before a moment (Unix seconds); a FAILED
        one that Linq took counts from when it failed. Returns how many, at most `limit`."""
        now, marked = self._clock.now(), 0
        for outlived in queries.outlived(ended_before, limit):
            with self.database.read() as connection:
                if connection.execute(outlived.limit(1)).first() is None:
                    continue
            if marked < limit:
                which = jobs.c.seq.in_(outlived.limit(limit - marked))
                with self.database.write() as connection:
                    marked += connection.execute(update(jobs).where(which).values(erase_at=now)).rowcount
        return marked

    def erase_due(self, now: float, limit: int) -> tuple[Job, ...]:
        """Jobs whose erasing is due, or, of the erased, another look for what came late; the longest waiting first."""
        with self.database.read() as connection:
            return tuple(to_job(row) for row in connection.execute(queries.erasing(now, limit)).mappings())

    def erase_later(self, job_id: str, at: float) -> None:
        """Say when a job's erasing is due again; 0: never. `rev` stays."""
        wanted = (jobs.c.job_id == job_id) & (jobs.c.erase_at > 0)
        with self.database.write() as connection:
            connection.execute(update(jobs).where(wanted).values(erase_at=at))

    def is_alone(self, job: Job) -> bool:
        """Whether no other job that is not erased was made of an inbox object of the same name."""
        other, mine = news.alias("other"), news.c
        alike = (other.c.place == mine.place) & (other.c.name == mine.name) & (other.c.job_id != mine.job_id)
        with self.database.read() as connection:
            found = select(mine.job_id).join(other, alike).where(mine.job_id == job.job_id).limit(1)
            return connection.execute(found).first() is None

    def erase_wish(self, job_id: str) -> AuditLine | None:
        """Who wants a job erased; None where its retention is over, or nobody wants it."""
        return next((line for line in self.audit(job_id=job_id) if line.action == WISHED), None)

    def erase(
        self,
        job: Job,
        *,
        by: str,
        why: str | None,
        removed: Sequence[str],
        file_stems: Collection[str],
        again_at: float,
    ) -> Job:
        """End a job that is still as it was read: ERASED, without anything personal, in one commit with the line of the
        audit. why: None where its retention is over. file_stems: names of its memos, without extension.

        Raises Fenced, NotNow (`illegal-move`)."""
        if forbidden := why_not(job, State.ERASED):
            raise NotNow("illegal-move", forbidden, job_id=job.job_id, state=str(job.state), to=str(State.ERASED))
        secret, now = self.install_secret(), self._clock.now()
        text_now = "Erased on request." if why is not None else "Erased: it was kept as long as it should be."
        columns = _emptied() | {"state": str(State.ERASED), "code": "erased", "message": text_now, "updated_at": now}
        columns |= {"next_look_at": 0.0, "erase_at": again_at}
        rows = self._rows_of(job)
        with self.database.write() as connection:
            _prepare(connection)
            erased = changes.compare_and_set(connection, job, columns)
            changes.remember(connection, job.state, erased, now=now, by=by)
            _empty_what_names(connection, job.job_id, rows, now)
            connection.execute(delete(reports).where(_about(job, file_stems)))
            tombstones.remember(connection, secret, job, file_stems, reported=why is not None)
            action = OUTLIVED if why is None else ERASED
            _note(
                connection, AuditLine(at=now, action=action, by=by, job_id=job.job_id, why=why, removed=tuple(removed))
            )
            if job.chat_id is not None:
                _forget_chat(connection, job.chat_id)
        return erased

    def _rows_of(self, job: Job) -> list[tuple[str, int]]:
        """The rows of backfills that named a job, looked up in one backfill after the other, as their index is made."""
        c = backfill_rows.c
        if job.lane != "backfill" and job.backfill_id is None:
            return []
        with self.database.read() as connection:
            named = c.backfill_id.in_(select(backfills.c.backfill_id)) & (c.job_id == job.job_id)
            found = connection.execute(select(c.backfill_id, c.line).where(named)).all()
        return [(str(backfill_id), int(line)) for backfill_id, line in found]

    def forget_chat(self, chat_id: str, *, by: str, why: str) -> bool:
        """Forget what is known of a chat that no job is about any more, reports about its messages too; an opt-out that
        stands is kept. False where jobs are left."""
        c = reports.c
        with self.database.read() as connection:  # no index serves this: it must keep no writer waiting
            events = connection.execute(select(c.event_id).where(c.chat_id == chat_id)).scalars().all()
        with self.database.write() as connection:
            forgotten = _forget_chat(connection, chat_id)
            if forgotten:
                connection.execute(delete(refusals).where(refusals.c.chat_id == chat_id))
                for begin in range(0, len(events), 500):
                    connection.execute(delete(reports).where(c.event_id.in_(events[begin : begin + 500])))
                now = self._clock.now()
                line = AuditLine(at=now, action=CHAT_ERASED, by=by, job_id=None, why=why, removed=("ledger",))
                _note(connection, line)
            return forgotten

    def audit_mark(self, line: int | None = None) -> tuple[int, float, str | None] | None:
        """A line of the audit, or the newest, as (number, time, job): where it is another one later, or gone, this
        ledger was put back meanwhile."""
        marks = select(audit.c.id, audit.c.at, audit.c.job_id).order_by(audit.c.id.desc()).limit(1)
        with self.database.read() as connection:
            row = connection.execute(marks if line is None else marks.where(audit.c.id == line)).one_or_none()
        return (int(row.id), float(row.at), row.job_id) if row else None

    def audit(self, *, job_id: str | None = None, limit: int = 1_000) -> tuple[AuditLine, ...]:
        """Lines of the audit, of one job or the newest of all, oldest first."""
        lines = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if job_id is not None:
            lines = lines.where(audit.c.job_id == job_id)
        with self.database.read() as connection:
            rows = connection.execute(lines).mappings().all()
        return tuple(
            AuditLine(
                at=row["at"],
                action=row["action"],
                by=row["actor"],
                job_id=row["job_id"],
                why=row["why"],
                removed=tuple(row["removed"]),
            )
            for row in reversed(rows)
        )


def _emptied() -> dict[str, Any]:
    """Every text and every JSON value of a job without its content, also those that a later version adds."""
    texts = [c for c in jobs.columns if isinstance(c.type, Text | JSON) and c.name not in _STAYS]
    return {column.name: _NOTHING.get(column.name) if not column.nullable else None for column in texts}


def _empty_what_names(connection: Connection, job_id: str, rows: Sequence[tuple[str, int]], now: float) -> None:
    """Empty, or remove, what other tables say of a job. What its caller was still to be told of is not told."""
    connection.execute(update(history).where(history.c.job_id == job_id).values(message=None))
    told = update(callbacks).where(callbacks.c.job_id == job_id)
    connection.execute(told.values(message=None))
    connection.execute(told.where(callbacks.c.done_at == 0).values(done_at=now, outcome="erased"))
    # Its result in the bucket is gone; one in a folder is removed by who watches it, and then this row.
    connection.execute(delete(news).where(news.c.job_id == job_id, news.c.place.startswith("s3://")))
    connection.execute(update(news).where(news.c.job_id == job_id).values(due_at=now, told="", done=""))
    for backfill_id, line in rows:
        one = (backfill_rows.c.backfill_id == backfill_id) & (backfill_rows.c.line == line)
        connection.execute(update(backfill_rows).where(one).values(recording="", message=None))


def _about(job: Job, file_stems: Collection[str]) -> Any:
    c, extension = reports.c, (job.hosted.file_name if job.hosted else "").partition(".")[2]
    names = [f"{stem}.{extension}" for stem in file_stems]
    signs: list[ColumnElement[bool]] = [c.file_name.in_(names)] if extension else []
    signs += [
        column == value for column, value in ((c.message_id, job.message_id), (c.trace_id, job.trace_id)) if value
    ]
    return or_(*signs) if signs else c.event_id.is_(None)


def _prepare(connection: Connection) -> None:
    """On PostgreSQL, let those who are about to keep a report of this job come before, or see that it is erased; on
    SQLite, where nobody else writes now, have the freed bytes overwritten."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE reports IN SHARE ROW EXCLUSIVE MODE"))
    else:
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def _forget_chat(connection: Connection, chat_id: str) -> bool:
    """Whether no job names the chat any more: then what is known of it goes, but for an opt-out that stands."""
    if connection.execute(select(jobs.c.seq).where(jobs.c.chat_id == chat_id).limit(1)).first():
        return False
    scope, c = f"chat:{chat_id}", chats.c
    connection.execute(delete(pauses).where(pauses.c.scope == scope))
    connection.execute(delete(marks).where(marks.c.who == chat_id))
    connection.execute(delete(standings).where(standings.c.scope == scope, standings.c.standing != "opted-out"))
    connection.execute(delete(chats).where(c.chat_id == chat_id, c.opted_out_at <= c.heard_at))
    return True


def _note(connection: Connection, line: AuditLine) -> None:
    known = {"at": line.at, "action": line.action, "actor": line.by, "job_id": line.job_id}
    connection.execute(insert(audit), known | {"why": line.why or None, "removed": list(line.removed)})
