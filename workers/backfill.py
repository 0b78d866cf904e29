"""The backfill door: thousands of recordings named by a folder, a bucket prefix or a manifest. Registers them in order,
a few hundred a commit, and may be run again at any time: a row that is known is the same job."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from pipeline import jobs
from pipeline.backfills import Backfill, BackfillState, MaxFailures, RowKept
from pipeline.errors import JobFailed, KeyReused, MemolineError, NotNow, PartUnreachable
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job, Request
from workers.doors import Desk, job_id_of, keep_or_discard, taken_up
from workers.manifest import BadRow, Row
from workers.row_requests import request_of_row
from workers.sources import absolute
from workers.wishes import Wish

BATCH_ROWS = 200
"""A commit of so many keeps other writers waiting for 20 ms (0.1 ms a job on SQLite, measured)."""
LOOKING_THREADS = 8
JUDGED_EVERY_S = 5.0

Status = Literal["registered", "known", "reported"]
Looked = Request | MemolineError


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a backfill is asked for. source: a folder, `s3://bucket/prefix`, a manifest or a plan. default: what holds
    for rows that say nothing; names: the manifest's names of our columns; max_failures: as `MaxFailures` reads it."""

    source: str
    default: Wish = field(default_factory=lambda: Wish(chat_id=None, lane="backfill"))
    names: Mapping[str, str] = field(default_factory=dict)
    max_failures: str | None = None
    by_plan: bool = False

    @property
    def options(self) -> dict[str, object]:
        """What makes two runs the same backfill, beside the source."""
        return {
            "chat_id": self.default.chat_id,
            "time_zone": self.default.time_zone,
            "columns": dict(self.names),
            "plan": self.by_plan,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RowReport:
    """What became of one row. line: in the manifest, or the number of the file. registered: a new job (in a dry run: it
    would be one, and job_id is the one it would have); known: it was there before; reported: no job, and code and
    message say why. duplicate_of: the line of this backfill that named the same job first."""

    line: int
    recording: str
    status: Status
    job_id: str | None = None
    code: str | None = None
    message: str | None = None
    duplicate_of: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillReport:
    """How many rows ended in which way."""

    registered: int = 0
    known: int = 0
    reported: int = 0
    backfill_id: str | None = field(default=None, compare=False)


def run_backfill(
    desk: Desk,
    order: Order,
    rows: Iterable[Row | BadRow],
    *,
    on_row: Callable[[RowReport], None] = lambda _: None,
    on_jobs: Callable[[Sequence[Job]], None] = lambda _: None,
) -> BackfillReport:
    """Register all rows. One that was broken off goes on: it is the same backfill, and what is known is not made twice.

    on_row: told about each row once it is durable. on_jobs: given the new jobs of a batch. Raises Misuse where the
    source itself cannot be used, PartUnreachable where ledger or S3 go away, NotNow (`backfill-stopped`) where somebody
    or too many failures stopped it."""
    ledger = ledger_of(desk)
    batches = in_batches(rows)
    first = next(batches, [])  # a source that cannot be read begins no backfill
    one = _begun(ledger, order)
    counts = dict.fromkeys(("registered", "known", "reported"), 0)
    last_line, judged_s = 0, time.monotonic()
    with ThreadPoolExecutor(LOOKING_THREADS) as looking:
        for batch in _with_first(first, batches):
            looked = list(looking.map(lambda row: looked_at(desk, row, order.default), batch))
            reports, new = _registered(desk, ledger, one, list(zip(batch, looked, strict=True)), looking)
            for report in reports:
                counts[report.status] += 1
                on_row(report)
            last_line = max(last_line, *(row.line for row in batch))
            now = ledger.backfill(one.backfill_id)
            if counts["reported"] and time.monotonic() - judged_s > JUDGED_EVERY_S:
                now, judged_s = stopped_if_failing(ledger, now), time.monotonic()
            _check_goes_on(now)
            if now.state is BackfillState.RUNNING:
                on_jobs(new)
    _check_goes_on(stopped_if_failing(ledger, ledger.all_registered(one, last_line)))
    return BackfillReport(**counts, backfill_id=one.backfill_id)


def stopped_if_failing(ledger: SqlLedger, one: Backfill) -> Backfill:
    """The backfill, stopped where more of it failed than its `max_failures` allows."""
    if one.max_failures is None or one.state not in (BackfillState.RUNNING, BackfillState.PAUSED):
        return one
    limit, failures = MaxFailures.parse(one.max_failures), ledger.failures_of(one.backfill_id)
    if not limit.may_be_exceeded(failures, one.ended_seen):
        return one  # asked after each failure: all that has ended is counted only where that may decide
    ended = ledger.see_ended(one.backfill_id)
    if not limit.exceeded(failures, ended):
        return one
    text = f"{failures} of {ended} rows failed, and {one.max_failures} may."
    return ledger.move_backfill(one, BackfillState.STOPPED, text)


def ledger_of(desk: Desk) -> SqlLedger:
    """The ledger with its questions about backfills."""
    ledger = desk.parts.ledger
    assert isinstance(ledger, SqlLedger)  # noqa: S101 (wiring.py makes no other)
    return ledger


def in_batches(rows: Iterable[Row | BadRow]) -> Iterator[list[Row | BadRow]]:
    """The rows, a batch at a time."""
    left = iter(rows)
    while batch := list(islice(left, BATCH_ROWS)):
        yield batch


def looked_at(desk: Desk, row: Row | BadRow, default: Wish) -> Looked:
    """What a row asks for, or what is wrong with it. Raises PartUnreachable."""
    if isinstance(row, BadRow):
        return JobFailed(row.code, row.message)
    try:
        return request_of_row(desk, row, default)
    except PartUnreachable:
        raise
    except MemolineError as error:
        return error


def reported(row: Row | BadRow, error: MemolineError) -> RowReport:
    """A row that becomes no job."""
    return RowReport(line=row.line, recording=row.recording, status="reported", code=error.code, message=error.message)


def _begun(ledger: SqlLedger, order: Order) -> Backfill:
    source = absolute(order.source)
    if known := ledger.unfinished_backfill(source, order.options):
        _check_goes_on(known)
        return known
    return ledger.begin_backfill(secrets.token_hex(4), source, order.options, order.max_failures)


def _check_goes_on(one: Backfill) -> None:
    if one.state not in (BackfillState.STOPPED, BackfillState.CANCELLED):
        return
    how = f": {one.message}" if one.message else "."
    again = (
        "" if one.state is BackfillState.CANCELLED else f" `memoline backfills resume {one.backfill_id}` lets it go on."
    )
    text = f"Backfill {one.backfill_id} is {one.state}{how}{again}"
    raise NotNow("backfill-stopped", text, backfill_id=one.backfill_id, state=str(one.state))


def _with_first(first: list[Row | BadRow], rest: Iterator[list[Row | BadRow]]) -> Iterator[list[Row | BadRow]]:
    if first:
        yield first
    yield from rest


# -------------------------------------------------------------------------------------------------------- one batch


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """A row and what it asks for. job_id: of that."""

    row: Row | BadRow
    found: Looked
    job_id: str = ""


def _registered(
    desk: Desk, ledger: SqlLedger, one: Backfill, batch: Sequence[tuple[Row | BadRow, Looked]], copying: Executor
) -> tuple[list[RowReport], list[Job]]:
    """Register a batch, and write down what became of each row, in one commit. Returns the new jobs too."""
    items = [_item(desk, row, found) for row, found in batch]
    there = ledger.known_jobs([item.job_id for item in items])
    items = list(copying.map(lambda item: item if item.job_id in there else _with_copy(desk, item), items))
    requests = [replace(item.found, backfill_id=one.backfill_id) for item in items if isinstance(item.found, Request)]
    reports, new, done = [], [], []
    with ledger.together():
        known = ledger.known_jobs([item.job_id for item in items])
        firsts = ledger.first_lines(one.backfill_id, [item.job_id for item in items])
        added = iter(jobs.register_many(desk.parts, requests))
        for item in items:
            job = _job_of(desk, item, known, added)
            done.append(job)
            if isinstance(job, MemolineError):
                reports.append(reported(item.row, job))
                continue
            new += [job] if job.job_id not in known and job.backfill_id == one.backfill_id else []
            known.setdefault(job.job_id, job)
            first = firsts.setdefault(job.job_id, item.row.line)
            # Also where it was registered before the run was broken off.
            mine = job.backfill_id == one.backfill_id and first == item.row.line
            reports.append(_done(item.row, "registered" if mine else "known", job.job_id, first))
        ledger.keep_rows(one.backfill_id, [_kept(report) for report in reports])
    _let_copies_go(desk, items, done)
    return reports, new


def _item(desk: Desk, row: Row | BadRow, found: Looked) -> _Item:
    return _Item(row=row, found=found, job_id=job_id_of(desk, found) if isinstance(found, Request) else "")


def _job_of(desk: Desk, item: _Item, known: Mapping[str, Job], added: Iterator[Job | KeyReused]) -> Job | MemolineError:
    """The job of a row after the ledger took the batch, or why there is none."""
    if not isinstance(item.found, Request):
        return item.found
    job, before = next(added), known.get(item.job_id)
    named = isinstance(item.row, Row) and before is not None and item.row.key is not None and before.key == item.row.key
    if before and named and before.fingerprint != item.found.fingerprint:
        return KeyReused(before.key, before.job_id)
    try:
        return taken_up(desk, item.found, job)
    except PartUnreachable:
        raise
    except MemolineError as error:
        return error


def _done(row: Row | BadRow, status: Status, job_id: str, first: int) -> RowReport:
    duplicate_of = first if first < row.line else None
    return RowReport(line=row.line, recording=row.recording, status=status, job_id=job_id, duplicate_of=duplicate_of)


def _kept(report: RowReport) -> RowKept:
    return RowKept(
        line=report.line,
        recording=report.recording,
        status=report.status,
        job_id=report.job_id,
        code=report.code,
        message=report.message,
    )


def _with_copy(desk: Desk, item: _Item) -> _Item:
    """A request that is not known yet. Where the workers may be on another host, its file is copied to the bucket."""
    request = item.found
    local = isinstance(request, Request) and request.recording.uri.startswith("file://")
    if not isinstance(request, Request) or not local or desk.settings.ledger_url.startswith("sqlite"):
        return item
    path = Path(request.recording.uri.removeprefix("file://"))
    try:
        copy = desk.spool.put(path, request.recording.name)
    except PartUnreachable:
        raise
    except MemolineError as error:
        return _Item(row=item.row, found=error)
    if copy.sha256 == request.recording.sha256:
        return replace(item, found=replace(request, recording=copy))
    keep_or_discard(desk, replace(request, recording=copy), None)
    text = f"{path} changed while it was registered: run the backfill again."
    return _Item(row=item.row, found=JobFailed("source-changed", text))


def _let_copies_go(desk: Desk, items: Sequence[_Item], done: Sequence[Job | MemolineError]) -> None:
    """Remove the copies that no job has a use for. Where the commit failed they stay: their jobs may be there."""
    for item, job in zip(items, done, strict=True):
        if not isinstance(item.found, Request) or item.found.recording.uri == item.found.source:
            continue
        keep_or_discard(desk, item.found, job if isinstance(job, Job) else None)
