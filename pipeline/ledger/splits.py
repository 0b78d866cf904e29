"""The writes that keep a split and its parts together: each change of a part, and what it means for the whole, is one
commit. Where several rows change, that of the whole is locked first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from pipeline.errors import Fenced
from pipeline.ledger import changes
from pipeline.ledger.rows import changed_columns, new_row, plain, to_job
from pipeline.ledger.states import ENDED_UNSENT
from pipeline.ledger.tables import jobs
from pipeline.ledger.turns import PART_MISSING, left_behind, may_be_taken, speaker, turn
from pipeline.ledger.upsert import inserted
from pipeline.model import Job, NewPart, Request, State

_PARTS: Final = select(jobs).where(jobs.c.parent_id == bindparam("of_job")).order_by(jobs.c.part_no)
_WHOLE: Final = select(jobs).where(jobs.c.job_id == bindparam("of_job")).with_for_update()
_TIMES: Final = ("retry_at", "lease_until", "deadline", "next_look_at")


def parts_of(connection: Connection, job_id: str) -> tuple[Job, ...]:
    """The parts of a split in their order; none for another job."""
    return tuple(map(to_job, connection.execute(_PARTS, {"of_job": job_id}).mappings()))


def lock(connection: Connection, parent_id: str) -> Job:
    """The whole of a part, which nobody else changes until the commit."""
    return to_job(connection.execute(_WHOLE, {"of_job": parent_id}).mappings().one())


def split(
    connection: Connection, job: Job, new_parts: Sequence[NewPart], *, now: float, by: str, send_attempts: int
) -> Job:
    """Make a claimed job a split, with its parts HOSTED. Raises Fenced. Parts of an earlier division are used again, so
    that no attempt is forgotten."""
    spans = [asdict(new.span) for new in new_parts]
    columns: dict[str, Any] = {"spans": spans, "hosted": None, "file_name": None, "send_attempts": send_attempts}
    columns |= {"lease_until": 0.0, "retry_at": 0.0}
    why = f"Part 1 of {len(new_parts)}."
    whole = changes.put(connection, job, State.HOSTED, columns, now=now, by=by, code=None, message=why)
    for new in new_parts:
        _begin(connection, whole, new, now=now, by=by)
    return follow(connection, whole, now=now, by=by)


def rejoin(connection: Connection, job: Job, *, now: float, by: str, message: str, given: Mapping[str, object]) -> Job:
    """Let a split of which nothing was sent begin anew; its parts end. Raises Fenced."""
    parts = parts_of(connection, job.job_id)
    if any(map(may_be_taken, parts)):
        raise Fenced(job.job_id)
    columns = changed_columns(given) | {"spans": None}
    whole = changes.put(connection, job, State.RECEIVED, columns, now=now, by=by, code=None, message=message)
    for part in parts:
        if part.state is not State.CANCELLED:
            why = "The recording it was a part of was taken up anew."
            changes.put(connection, part, State.CANCELLED, {}, now=now, by=by, code="made-anew", message=why)
    return whole


def follow(connection: Connection, whole: Job, *, now: float, by: str) -> Job:
    """Let a split have the state that its parts come to, and end those that wait for nothing; as it is then."""
    if not whole.spans:
        return whole  # made anew meanwhile
    # Of an earlier division into more parts there may be further ones, which are nothing to this one.
    parts = parts_of(connection, whole.job_id)[: len(whole.spans)]
    for part in left_behind(parts):
        why = f"An earlier part could not be sent: `memoline retry {whole.job_id}` sends what is missing."
        changes.put(connection, part, State.FAILED, {}, now=now, by=by, code=PART_MISSING, message=why)
    told = speaker(parts)
    times = {name: getattr(told, name) for name in _TIMES}
    times["sending_since"] = max(part.sending_since for part in parts)
    said = f": {told.message}" if told.message else "."
    message = plain(f"Part {told.part_no} of {len(parts)}{said}") if turn(parts) or told.message else None
    if (whole.state, whole.code, whole.message) != (told.state, told.code, message):
        return changes.put(connection, whole, told.state, times, now=now, by=by, code=told.code, message=message)
    if any(getattr(whole, name) != value for name, value in times.items()):
        connection.execute(update(jobs).where(jobs.c.job_id == whole.job_id).values(**times))
    return whole


def _begin(connection: Connection, whole: Job, new: NewPart, *, now: float, by: str) -> None:
    row = _row(whole, new, now)
    known = connection.execute(select(jobs).where(jobs.c.job_id == new.job_id)).mappings().first()
    if known is not None:
        part = to_job(known)
        if part.state in ENDED_UNSENT and not may_be_taken(part):
            again = {name: row[name] for name in ("recording", "hosted", "file_name", "epoch", "not_before", "chat_id")}
            again |= {"looks": 0, "returns": 0, "retry_at": 0.0, "sending_since": 0.0}
            changes.put(connection, part, State.HOSTED, again, now=now, by=by, code=None, message=None)
        return
    made = inserted(connection, jobs, row) or inserted(connection, jobs, row | {"key": None})
    if made is not None:
        changes.remember(connection, None, to_job(made), now=now, by=by)


def _row(whole: Job, new: NewPart, now: float) -> dict[str, Any]:
    """A part as it is born. Its age is that of the whole, whose backfill counts them as one. A key that somebody else
    has is left out."""
    request = Request(
        identity="",
        fingerprint=whole.fingerprint,
        recording=whole.recording,
        source=whole.source,
        chat_id=whole.chat_id,
        key=f"{whole.key}#{new.part_no}" if whole.key is not None else None,
        lane=whole.lane,
        overflow="split",
        not_before=whole.not_before,
        time_zone=whole.time_zone,
    )
    row = new_row(request, job_id=new.job_id, state=State.HOSTED, code=None, message=None, now=now)
    row |= changed_columns({"hosted": new.hosted, "epoch": new.epoch})
    return row | {"parent_id": whole.job_id, "part_no": new.part_no, "created_at": whole.created_at}
