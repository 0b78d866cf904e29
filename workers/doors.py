"""What all three doors share: turning "this recording, to that chat" into a registered job."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.hosting.names import (
    fingerprint,
    identity_of_backfill,
    identity_of_key,
    identity_of_object,
    random_identity,
)

from pipeline import jobs
from pipeline.errors import JobFailed, MemolineError, Misuse
from pipeline.model import Job, Lane, Overflow, Request, StoredRecording
from pipeline.ports import Parts
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.hosting.s3 import S3
    from pipeline.hosting.spool import Spool

MAX_KEY_LENGTH = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a caller asks for. chat_id: checked by `check_chat_id`; None only for a dropped object. not_before: Unix
    seconds, 0 = at once."""

    chat_id: str | None
    key: str | None = None
    overflow: Overflow | None = None
    not_before: float = 0.0
    lane: Lane = "live"


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Where all doors hand in: parts to register with, spool and S3 to read from."""

    parts: Parts
    spool: Spool
    s3: S3
    settings: Settings


def open_desk(settings: Settings, by: str) -> Desk:
    """A desk for this process. Contacts nothing but the ledger."""
    from workers.wiring import connect, open_s3, open_spool

    return Desk(parts=connect(settings, by), spool=open_spool(settings), s3=open_s3(settings), settings=settings)


def submit(desk: Desk, recording: str | Path, wish: Wish) -> Job:
    """Register a path or an `s3://bucket/key` URI. The recording is safe on return; the caller may delete the file.

    Raises Misuse (`no-such-file`, `is-a-directory`, `unreadable`, `bad-recording`, `bucket-not-allowed`), KeyReused,
    JobFailed (`no-such-object`, `disk-full`), PartUnreachable."""
    text = str(recording)
    if text.startswith("s3://"):
        return submit_object(desk, text, wish)
    if "://" in text:
        raise Misuse("bad-recording", f"{text!r} is neither a file nor an s3:// URI: give one of these.")
    return submit_file(desk, Path(text), wish)


def submit_file(desk: Desk, path: Path, wish: Wish) -> Job:
    """Register a file: its bytes are copied and on disk before the job is."""
    return _register_copy(desk, desk.spool.put(path, path.name), wish, source=str(path.absolute()))


def submit_stored(desk: Desk, stored: StoredRecording, wish: Wish, *, source: str) -> Job:
    """Register a recording that a door has put into the spool already."""
    return _register_copy(desk, stored, wish, source=source)


def _register_copy(desk: Desk, stored: StoredRecording, wish: Wish, *, source: str) -> Job:
    try:
        job = _register(
            desk, stored, wish, source=source, identity=_identity(wish, stored, source), content=stored.sha256
        )
    except MemolineError:
        desk.parts.store.discard(stored)
        raise
    if job.recording.uri != stored.uri:
        desk.parts.store.discard(stored)
    return job


def submit_object(desk: Desk, uri: str, wish: Wish, *, from_watch: bool = False) -> Job:
    """Register an object of the inbox bucket or a source bucket; it is read where it lies, in the version it has now."""
    bucket, key = split_s3_uri(uri)
    if bucket not in desk.settings.readable_buckets:
        allowed = "MEMOLINE_SOURCE_BUCKETS names the buckets that may be read"
        raise Misuse("bucket-not-allowed", f"Bucket {bucket!r} may not be read: {allowed}.", bucket=bucket)
    head = desk.s3.head(bucket, key)
    if head is None:
        raise JobFailed("no-such-object", f"There is no object {uri}: put it there first.", uri=uri)
    version = head.version_id or f"etag:{head.etag}"
    stored = StoredRecording(
        uri=f"s3://{bucket}/{key}", name=key.rsplit("/", 1)[-1], size_bytes=head.size_bytes, version=version
    )
    inbox = bucket == desk.settings.inbox_bucket
    identity = identity_of_object(bucket, key, version) if inbox and wish.key is None else _identity(wish, stored, uri)
    return _register(desk, stored, wish, source=stored.uri, identity=identity, content=version)


def _register(
    desk: Desk, stored: StoredRecording, wish: Wish, *, source: str, identity: str, content: str | None
) -> Job:
    request = Request(
        identity=identity,
        fingerprint=fingerprint(content or "", wish.chat_id, wish.overflow),
        recording=stored,
        source=source,
        chat_id=wish.chat_id,
        key=wish.key,
        lane=wish.lane,
        overflow=wish.overflow,
        not_before=wish.not_before,
    )
    return jobs.register(desk.parts, request)


def _identity(wish: Wish, stored: StoredRecording, source: str) -> str:
    if wish.key is not None:
        return identity_of_key(wish.key)
    if wish.lane == "backfill":
        return identity_of_backfill(source, stored.sha256 or stored.version or "", wish.chat_id or "")
    return random_identity()


def split_s3_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of `s3://bucket/key`. Raises Misuse (`bad-recording`)."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key:
        raise Misuse("bad-recording", f"{uri!r} is no s3://bucket/key URI.")
    return bucket, key


def check_chat_id(text: str) -> str:
    """A chat id in its canonical form: a UUID by shape, of any version. Raises Misuse (`bad-chat-id`)."""
    try:
        if len(text) != 36:
            raise ValueError(text)
        return str(uuid.UUID(text))
    except (ValueError, AttributeError):
        raise Misuse("bad-chat-id", f"{text!r} is no chat id: Linq's chat ids are UUIDs.", chat_id=text) from None


def is_chat_id(text: str) -> bool:
    """Whether a text has the shape of a chat id."""
    try:
        return bool(check_chat_id(text))
    except Misuse:
        return False


def check_key(text: str | None) -> str | None:
    """An idempotency key, 1 to 255 printable characters. Raises Misuse (`bad-key`)."""
    if text is not None and (not text.strip() or len(text) > MAX_KEY_LENGTH or not text.isprintable()):
        raise Misuse("bad-key", f"A key has 1 to {MAX_KEY_LENGTH} printable characters.", key=text[:MAX_KEY_LENGTH])
    return text


def check_overflow(text: str | None) -> Overflow | None:
    """One of compress, cut, split, reject, or None. Raises Misuse (`bad-overflow`)."""
    known: dict[str, Overflow] = {"compress": "compress", "cut": "cut", "split": "split", "reject": "reject"}
    if text is None or text == "":
        return None
    if text not in known:
        raise Misuse("bad-overflow", f"{text!r} is no overflow: say compress, cut, split or reject.", overflow=text)
    return known[text]


def parse_not_before(text: str | float | None) -> float:
    """Unix seconds of an ISO 8601 time with an offset, or of a number. 0 for None. Raises Misuse (`bad-not-before`)."""
    from datetime import datetime

    if text is None or text == "":
        return 0.0
    try:
        if isinstance(text, int | float):
            return float(text)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(text)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise Misuse(
            "bad-not-before", f"{text!r} is no time: say for instance 2026-11-24T08:00:00+01:00.", not_before=str(text)
        ) from None
