"""Many new jobs in one transaction: what a loop over `changes.add_or_find` would do, in four statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, insert, select

from pipeline.errors import KeyReused
from pipeline.ledger.callbacks import note_move
from pipeline.ledger.changes import stands_for
from pipeline.ledger.rows import new_row, to_job
from pipeline.ledger.tables import history, jobs
from pipeline.ledger.upsert import insert_many_new
from pipeline.model import Job, NewJob


def add_batch(
    connection: Connection, new_jobs: Sequence[NewJob], *, now: float, by: str, erased: Mapping[str, str]
) -> tuple[Job | KeyReused, ...]:
    """The jobs for a batch of requests, inserted or found, in their order; where the id or key belongs to other input,
    the error stands in the job's place. erased: the erased job of a key, which stands for the key's request."""
    ids = [erased.get(new.request.key or "", new.job_id) for new in new_jobs]
    if ids != [new.job_id for new in new_jobs]:
        fresh_ones = [new for new, job_id in zip(new_jobs, ids, strict=True) if job_id == new.job_id]
        made = iter(add_batch(connection, fresh_ones, now=now, by=by, erased={}))
        gone = _by_ids(connection, list(erased.values()))
        return tuple(
            next(made) if job_id == new.job_id else gone[job_id] for new, job_id in zip(new_jobs, ids, strict=True)
        )
    if not new_jobs:
        return ()
    rows = [
        new_row(n.request, job_id=n.job_id, state=n.state, code=n.code, message=n.message, now=now) for n in new_jobs
    ]
    fresh = insert_many_new(connection, jobs, rows, jobs.c.job_id)
    found = _by_ids(connection, [new.job_id for new in new_jobs])
    lines = [_first_line(found[job_id], now, by) for job_id in sorted(fresh, key=lambda one: found[one].seq)]
    if lines:
        connection.execute(insert(history), lines)
    for job_id in fresh:
        note_move(connection, found[job_id], now)
    owners = _owners(connection, [new for new in new_jobs if new.job_id not in found])
    return tuple(_job_or_error(new, found.get(new.job_id), owners) for new in new_jobs)


def _by_ids(connection: Connection, job_ids: list[str]) -> dict[str, Job]:
    rows = connection.execute(select(jobs).where(jobs.c.job_id.in_(job_ids))).mappings()
    return {row["job_id"]: to_job(row) for row in rows}


def _owners(connection: Connection, refused: list[NewJob]) -> dict[str, str]:
    """Which job has the key that kept each refused one out."""
    keys = [new.request.key for new in refused if new.request.key is not None]
    if not keys:
        return {}
    rows = connection.execute(select(jobs.c.key, jobs.c.job_id).where(jobs.c.key.in_(keys)))
    return {str(key): str(job_id) for key, job_id in rows}


def _first_line(job: Job, now: float, by: str) -> dict[str, object]:
    line: dict[str, object] = {"job_id": job.job_id, "at": now, "from_state": None, "to_state": str(job.state)}
    return line | {"code": job.code, "message": job.message, "actor": by, "attempt": 0}


def _job_or_error(new: NewJob, found: Job | None, owners: dict[str, str]) -> Job | KeyReused:
    if found is not None and stands_for(found, new.request):
        return found
    owner = found.job_id if found else owners[str(new.request.key)]
    return KeyReused(new.request.key, owner)
