"""From one row of a backfill to the request that it makes; and what a saved plan remembers of a recording."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import JobFailed, Misuse
from pipeline.hosting.spool import hash_of, opened
from pipeline.model import Request, StoredRecording
from pipeline.sending.quiet import zone_of
from workers.arrivals import note_beside
from workers.doors import Desk, head_of, need_callback, request_for, request_for_object
from workers.inbox import wish_of
from workers.manifest import Row
from workers.wishes import Wish, check_chat_id, check_key, check_overflow, parse_not_before, split_s3_uri


def request_of_row(desk: Desk, row: Row, default: Wish) -> Request:
    """The request of a row. A file is read where it lies, an object in the version it has.

    Raises Misuse and JobFailed for what is wrong with the row, its options or its recording, PartUnreachable."""
    if row.recording.startswith("s3://"):
        return _object_request(desk, row, default)
    if "://" in row.recording:
        raise Misuse("bad-recording", f"{row.recording!r} is neither a path nor an s3:// URI.")
    path = Path(row.recording).absolute()
    wish = _wish(row, Wish(chat_id=None), default)
    stored = in_place(path)
    _check_unchanged(row, stored)
    return request_for(stored, wish, source=str(path), content=stored.sha256 or "")


def _object_request(desk: Desk, row: Row, default: Wish) -> Request:
    head = head_of(desk, row.recording)
    bucket, key = split_s3_uri(row.recording)
    note = note_beside(desk, bucket, key) if bucket == desk.settings.inbox_bucket else None
    own = wish_of(key, head.metadata, note, put_at=head.last_modified.timestamp())
    need_callback(desk.settings, own.callback_url)
    wish = _wish(row, own, default)
    request = request_for_object(desk, row.recording, wish, head)
    _check_unchanged(row, request.recording)
    return request


def content_of(stored: StoredRecording) -> str:
    """What tells a recording from another one in its place."""
    return stored.sha256 or stored.version or ""


def _check_unchanged(row: Row, stored: StoredRecording) -> None:
    if row.planned and (row.planned.size_bytes, row.planned.content) != (stored.size_bytes, content_of(stored)):
        text = f"{row.recording} is not what it was when the plan was made: make a new plan for it."
        raise JobFailed("source-changed", text)


def _wish(row: Row, own: Wish, default: Wish) -> Wish:
    """The row's options; then those of the command; then those that the recording itself carries."""
    chat_id = check_chat_id(row.chat_id) if row.chat_id else default.chat_id or own.chat_id
    if chat_id is None:
        raise Misuse("no-chat", "Nothing says which chat this is for: add a column chat_id, or --chat ID.")
    return Wish(
        chat_id=chat_id,
        key=check_key(row.key) or own.key,
        overflow=check_overflow(row.overflow) or own.overflow,
        not_before=parse_not_before(row.not_before) or own.not_before,
        lane="backfill",
        callback_url=own.callback_url,
        time_zone=zone_of(row.time_zone).key if row.time_zone else default.time_zone,
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
