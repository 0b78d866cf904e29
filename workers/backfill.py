"""The backfill door: thousands of recordings named by a folder, a bucket prefix or a manifest. Registers row by row, in
order, and may be run again at any time: a row that is known is the same job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline.errors import JobFailed, KeyReused, MemolineError, Misuse, NoSuchJob, PartUnreachable
from pipeline.hosting.spool import hash_of, opened
from pipeline.model import Job, Request, StoredRecording
from workers.doors import Desk, head_of, job_id_of, keep_or_discard, register, request_for, request_for_object
from workers.folders import files_under
from workers.inbox import wish_of
from workers.manifest import BadRow, Row, is_manifest, read_manifest
from workers.s3_events import is_recording
from workers.wishes import Wish, check_chat_id, check_key, check_overflow, is_text, parse_not_before

Status = Literal["registered", "known", "reported"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowReport:
    """What became of one row. line: in the manifest, or the number of the file. registered: a new job (in a dry run: it
    would be one, and job_id is the one it would have); known: it was there before; reported: no job, and code and
    message say why."""

    line: int
    recording: str
    status: Status
    job_id: str | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillReport:
    """How many rows ended in which way."""

    registered: int = 0
    known: int = 0
    reported: int = 0


def run_backfill(
    desk: Desk, source: str, *, chat_id: str | None, dry_run: bool, on_row: Callable[[RowReport], None]
) -> BackfillReport:
    """Register everything that `source` names: a folder, `s3://bucket/prefix`, or a manifest (.csv, .jsonl, .ndjson).

    chat_id: for rows that name none. dry_run: reads and checks all, registers nothing. on_row: told about each row as
    it is done. Rows are read as they are needed. Raises Misuse where the source itself cannot be used
    (`no-such-file`, `bad-source`, `unreadable`, `bucket-not-allowed`), PartUnreachable where ledger or S3 go away."""
    default = check_chat_id(chat_id) if chat_id else None
    counts = {"registered": 0, "known": 0, "reported": 0}
    for row in rows_of(desk, source):
        report = _one(desk, row, default, dry_run)
        counts[report.status] += 1
        on_row(report)
    return BackfillReport(**counts)


# ------------------------------------------------------------------------------------------------------------- rows


def rows_of(desk: Desk, source: str) -> Iterator[Row | BadRow]:
    """The rows of a source, in its order."""
    if source.startswith("s3://"):
        return _bucket_rows(desk, source)
    path = Path(source).absolute()
    if path.is_dir():
        return _folder_rows(path)
    if not path.exists():
        text = f"There is no {source}: name a folder, a manifest or s3://bucket/prefix."
        raise Misuse("no-such-file", text, path=str(path))
    if not is_manifest(path):
        text = f"{source} is neither a folder nor a manifest (.csv, .jsonl): `memoline send` sends a single file."
        raise Misuse("bad-source", text, path=str(path))
    return (_beside(path.parent, row) for row in read_manifest(path))


def _beside(folder: Path, row: Row | BadRow) -> Row | BadRow:
    """A manifest names its recordings from where it lies."""
    if not row.recording or "://" in row.recording:
        return row
    return replace(row, recording=str(folder / row.recording))


def _folder_rows(folder: Path) -> Iterator[Row | BadRow]:
    """A row a file; a folder inside that cannot be read is one to report, and the others go on."""
    for number, found in enumerate(files_under(folder), start=1):
        if isinstance(found, Path):
            yield Row(line=number, recording=str(found))
        elif found.facts["path"] == str(folder):
            raise found
        else:
            yield BadRow(line=number, code=found.code, message=found.message, recording=str(found.facts["path"]))


def _bucket_rows(desk: Desk, source: str) -> Iterator[Row]:
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if bucket not in desk.settings.readable_buckets:
        text = f"Bucket {bucket!r} may not be read: MEMOLINE_SOURCE_BUCKETS names the buckets that may be read."
        raise Misuse("bucket-not-allowed", text, bucket=bucket)
    if not is_text(prefix):
        raise Misuse("bad-source", f"{source!r} is no s3://bucket/prefix.")
    listed = (item.key for item in desk.s3.list(bucket, prefix) if is_recording(item.key))
    return (Row(line=number, recording=f"s3://{bucket}/{key}") for number, key in enumerate(listed, start=1))


# ---------------------------------------------------------------------------------------------------------- one row


def _one(desk: Desk, row: Row | BadRow, default: str | None, dry_run: bool) -> RowReport:
    """Register a row, and say what became of it."""
    if isinstance(row, BadRow):
        return _reported(row, row.code, row.message)
    try:
        request = _request(desk, row, default)
        job_id = job_id_of(desk, request)
        found = _find(desk, job_id)
        if found and found.key is not None and row.key == found.key and found.fingerprint != request.fingerprint:
            raise KeyReused(row.key, job_id)
        known = found is not None
        if dry_run:
            return _done(row, "known" if known else "registered", job_id)
        job = register(desk, request) if known else _register_new(desk, request)
    except PartUnreachable:
        raise
    except MemolineError as error:
        return _reported(row, error.code, error.message)
    new = not known and job.job_id == job_id
    return _done(row, "registered" if new else "known", job.job_id)


def _request(desk: Desk, row: Row, default: str | None) -> Request:
    if row.recording.startswith("s3://"):
        return _object_request(desk, row, default)
    if "://" in row.recording:
        raise Misuse("bad-recording", f"{row.recording!r} is neither a path nor an s3:// URI.")
    path = Path(row.recording).absolute()
    wish = _wish(row, Wish(chat_id=None), default)
    stored = in_place(path)
    return request_for(stored, wish, source=str(path), content=stored.sha256 or "")


def _object_request(desk: Desk, row: Row, default: str | None) -> Request:
    head = head_of(desk, row.recording)
    key = row.recording.removeprefix("s3://").partition("/")[2]
    return request_for_object(desk, row.recording, _wish(row, wish_of(key, head.metadata, None), default), head)


def _wish(row: Row, own: Wish, default: str | None) -> Wish:
    """The row's options; then those of the command; then those that the recording itself carries."""
    chat_id = check_chat_id(row.chat_id) if row.chat_id else default or own.chat_id
    if chat_id is None:
        raise Misuse("no-chat", "Nothing says which chat this is for: add a column chat_id, or --chat ID.")
    return Wish(
        chat_id=chat_id,
        key=check_key(row.key) or own.key,
        overflow=check_overflow(row.overflow) or own.overflow,
        not_before=parse_not_before(row.not_before) or own.not_before,
        lane="backfill",
    )


def in_place(path: Path) -> StoredRecording:
    """A recording that is read where it lies, and refused later if it has changed. Raises Misuse (`no-such-file`,
    `is-a-directory`, `unreadable`), JobFailed (`source-changed`) where it changes while it is read."""
    with opened(path) as stream:
        before = os.fstat(stream.fileno())
        try:
            sha256 = hash_of(stream)
        except OSError as error:
            raise Misuse("unreadable", f"{path} cannot be read ({error.strerror}).", path=str(path)) from None
        after = os.fstat(stream.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise JobFailed("source-changed", f"{path} changes while it is read: run the backfill again when it is whole.")
    return StoredRecording(uri=f"file://{path}", name=path.name, size_bytes=after.st_size, sha256=sha256)


def _register_new(desk: Desk, request: Request) -> Job:
    """Register a row that is not known. Where the workers may be on another host, its file is copied to the bucket."""
    local = request.recording.uri.startswith("file://")
    if not local or desk.settings.ledger_url.startswith("sqlite"):
        return register(desk, request)
    path = Path(request.recording.uri.removeprefix("file://"))
    copy = desk.spool.put(path, request.recording.name)
    copied = replace(request, recording=copy)
    try:
        if copy.sha256 != request.recording.sha256:
            raise JobFailed("source-changed", f"{path} changed while it was registered: run the backfill again.")
        job = register(desk, copied)
    except PartUnreachable:
        raise  # as in `doors.submit_stored`
    except MemolineError:
        keep_or_discard(desk, copied, None)
        raise
    keep_or_discard(desk, copied, job)
    return job


def _find(desk: Desk, job_id: str) -> Job | None:
    try:
        return desk.parts.ledger.get(job_id)
    except NoSuchJob:
        return None


def _done(row: Row, status: Status, job_id: str) -> RowReport:
    return RowReport(line=row.line, recording=row.recording, status=status, job_id=job_id)


def _reported(row: Row | BadRow, code: str, message: str) -> RowReport:
    return RowReport(line=row.line, recording=row.recording, status="reported", code=code, message=message)
