"""What all three doors share: turning "this recording, to that chat" into a registered job."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import decisions, jobs
from pipeline.errors import Fenced, JobFailed, KeyReused, MemolineError, Misuse, NoSuchJob, NotNow, PartUnreachable
from pipeline.hosting.names import (
    UPLOADS,
    fingerprint,
    identity_of_backfill,
    identity_of_key,
    identity_of_object,
    is_of_object,
    job_id_for,
    random_identity,
)
from pipeline.model import Job, Request, State, StoredRecording
from pipeline.ports import Parts
from pipeline.sending.addresses import why_not
from pipeline.settings import Settings
from workers.tracing import job_span
from workers.wishes import Wish, split_s3_uri

if TYPE_CHECKING:
    from pipeline.hosting.s3 import S3, Head
    from pipeline.hosting.spool import Spool


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Where all doors hand in: parts to register with, spool and S3 to read from."""

    parts: Parts
    spool: Spool
    s3: S3
    settings: Settings


def open_desk(settings: Settings, by: str) -> Desk:
    """A desk for this process. Contacts nothing but the ledger."""
    from workers.wiring import connect

    return desk_with(connect(settings, by), settings)


def desk_with(parts: Parts, settings: Settings) -> Desk:
    """A desk over parts that are connected already."""
    from workers.wiring import open_s3, open_spool

    return Desk(parts=parts, spool=open_spool(settings), s3=open_s3(settings), settings=settings)


def need_callback(settings: Settings, url: str | None) -> None:
    """Whether a caller may name this URL. Raises Misuse (`bad-callback-url`)."""
    problem = why_not(url, allow_private=settings.callback_allow_private) if url else None
    if problem:
        raise Misuse("bad-callback-url", f"callback_url {problem}.", callback_url=url)


def submit(desk: Desk, recording: str | Path, wish: Wish) -> Job:
    """Register a path or an `s3://bucket/key` URI. The recording is safe on return; the caller may delete the file.

    Raises Misuse (`no-such-file`, `is-a-directory`, `unreadable`, `bad-recording`, `bucket-not-allowed`), KeyReused,
    JobFailed (`no-such-object`, `disk-full`), PartUnreachable."""
    return register(desk, request_of(desk, recording, wish))


def request_of(desk: Desk, recording: str | Path, wish: Wish) -> Request:
    """The request for a path or an `s3://bucket/key` URI. A file is copied, and on disk, before its job is registered.

    Raises Misuse, JobFailed and PartUnreachable as `submit`."""
    text = str(recording)
    need_callback(desk.settings, wish.callback_url)
    if text.startswith("s3://"):
        return request_for_object(desk, text, wish, head_of(desk, text))
    if "://" in text:
        raise Misuse("bad-recording", f"{text!r} is neither a file nor an s3:// URI: give one of these.")
    path = Path(text).absolute()
    stored = desk.spool.put(path, path.name)
    return request_for(stored, wish, source=str(path), content=stored.sha256 or "")


def submit_stored(desk: Desk, stored: StoredRecording, wish: Wish, *, source: str) -> Job:
    """Register a recording that a door has put into the spool already; the copy goes where it is not needed."""
    return register(desk, request_for(stored, wish, source=source, content=stored.sha256 or ""))


def keep_or_discard(desk: Desk, request: Request, job: Job | None) -> None:
    """Remove the copy that was made for a request where its job, or nobody, has no use for it."""
    if job is None or job.recording.uri != request.recording.uri:
        with suppress(MemolineError):  # what became of the request stands; the sweeper removes copies that nobody needs
            desk.parts.store.discard(request.recording)


def submit_object(desk: Desk, uri: str, wish: Wish) -> Job:
    """Register an object of the inbox bucket or a source bucket; it is read where it lies, in the version it has now.

    Raises Misuse (`bad-recording`, `bucket-not-allowed`), JobFailed (`no-such-object`), KeyReused, PartUnreachable."""
    need_callback(desk.settings, wish.callback_url)
    return register(desk, request_for_object(desk, uri, wish, head_of(desk, uri)))


def head_of(desk: Desk, uri: str) -> Head:
    """What S3 says about an object that may be read. Raises as `submit_object` does."""
    bucket, key = split_s3_uri(uri)
    if bucket not in desk.settings.readable_buckets:
        allowed = "MEMOLINE_SOURCE_BUCKETS names the buckets that may be read"
        raise Misuse("bucket-not-allowed", f"Bucket {bucket!r} may not be read: {allowed}.", bucket=bucket)
    if bucket == desk.settings.inbox_bucket and key.startswith(UPLOADS):
        text = f"{uri} is a copy that belongs to another job: name a recording that was put there by you."
        raise Misuse("bad-recording", text, uri=uri)
    head = desk.s3.head(bucket, key)
    if head is None:
        raise JobFailed("no-such-object", f"There is no object {uri}: put it there first.", uri=uri)
    return head


def request_for_object(desk: Desk, uri: str, wish: Wish, head: Head) -> Request:
    """The request for an object as it was seen. An inbox object in one version is one job, whatever the door and the
    key, so its identity is the object; the ledger keeps a key unique beside it."""
    bucket, key = split_s3_uri(uri)
    version = head.version_id or f"etag:{head.etag}"
    stored = StoredRecording(uri=uri, name=key.rsplit("/", 1)[-1], size_bytes=head.size_bytes, version=version)
    identity = identity_of_object(bucket, key, version) if bucket == desk.settings.inbox_bucket else None
    # The ETag is the same where the same bytes are put again; the version is not.
    return request_for(stored, wish, source=uri, content=head.etag, identity=identity)


def request_for(
    stored: StoredRecording, wish: Wish, *, source: str, content: str, identity: str | None = None
) -> Request:
    """The request that a wish makes of a recording. content: what tells its bytes from others; identity: by the rules
    of `_identity` where it is not given."""
    return Request(
        identity=identity or _identity(wish, source, content),
        fingerprint=fingerprint(content, wish.chat_id, wish.overflow),
        recording=stored,
        source=source,
        chat_id=wish.chat_id,
        key=wish.key,
        lane=wish.lane,
        overflow=wish.overflow,
        not_before=wish.not_before,
        callback_url=wish.callback_url,
        time_zone=wish.time_zone,
    )


def job_id_of(desk: Desk, request: Request) -> str:
    """The id that a request's job has, registered or not."""
    return job_id_for(desk.parts.secret, request.identity)


def register(desk: Desk, request: Request) -> Job:
    """The job for a request; for an inbox object also the one that another door made of it. A copy that was made for it
    goes where it is not needed.

    Raises KeyReused, JobFailed (`recording-gone`, `superseded`), PartUnreachable."""
    safe = secured(desk, request)
    return taken_up_with_copy(desk, safe, _added(desk, safe))


def register_as_it_lies(desk: Desk, request: Request) -> Job:
    """`register` for an object of ours that a job may have already: nothing is copied, and nothing removed where the
    request is refused. Raises KeyReused, PartUnreachable."""
    added = _added(desk, request)
    if isinstance(added, Job | KeyReused):
        return taken_up(desk, request, added)
    raise added


def _added(desk: Desk, request: Request) -> Job | MemolineError:
    """What the ledger makes of a request, or what kept it from that."""
    try:
        with job_span("register", job_id_of(desk, request), first=True):
            return jobs.register(desk.parts, request)
    except MemolineError as error:
        return error


def secured(desk: Desk, request: Request) -> Request:
    """The request with a recording that nobody can overwrite: an object of the inbox on an unversioned bucket is
    copied, inside S3, unless its job is there already. A huge one is not: it is read as long as it has its ETag.

    Raises JobFailed (`recording-gone`, `superseded`) where it has another ETag by now, PartUnreachable."""
    from pipeline.hosting.dropped import COPIED_AT_ONCE_BYTES, copy_aside

    recording = request.recording
    version = recording.version or ""
    if not _is_of_inbox(desk, request) or not version.startswith("etag:") or recording.copy_of:
        return request
    if recording.size_bytes > COPIED_AT_ONCE_BYTES or _is_known(desk, request):
        return request
    bucket, key = split_s3_uri(recording.uri)
    to, etag = copy_aside(desk.s3, bucket, key, version.removeprefix("etag:"))
    copy = replace(recording, uri=f"s3://{bucket}/{to}", version=f"etag:{etag}", copy_of=version)
    return replace(request, recording=copy)


def _is_known(desk: Desk, request: Request) -> bool:
    try:
        desk.parts.ledger.get(job_id_of(desk, request))
    except NoSuchJob:
        return False
    return True


def taken_up_with_copy(desk: Desk, request: Request, added: Job | MemolineError) -> Job:
    """`taken_up` for a request whose recording is a copy of ours, which goes where it is not needed.

    Raises what `added` is, KeyReused, PartUnreachable."""
    try:
        if not isinstance(added, Job | KeyReused):
            raise added
        job = taken_up(desk, request, added)
    except PartUnreachable:
        raise  # the commit may have been made and only its answer lost: then the job needs the copy
    except MemolineError:
        keep_or_discard(desk, request, None)
        raise
    keep_or_discard(desk, request, job)
    return job


def taken_up(desk: Desk, request: Request, added: Job | KeyReused) -> Job:
    """The job that stands for a request after the ledger took it, or refused its key. Raises KeyReused,
    PartUnreachable."""
    job = _standing(desk, request, added)
    if request.callback_url is None or job.callback_url is not None:
        return job
    return desk.parts.ledger.give_callback(job.job_id, request.callback_url)


def _standing(desk: Desk, request: Request, added: Job | KeyReused) -> Job:
    if isinstance(added, KeyReused):
        job = desk.parts.ledger.get(str(added.facts["job_id"]))
        if job.job_id == job_id_of(desk, request) and is_of_object(request.identity):
            return _adopt(desk, job, request)
        if job.fingerprint == request.fingerprint:
            return job  # the same key and the same bytes, put a second time
        raise added
    return _keyed(desk, added, request)


def _is_of_inbox(desk: Desk, request: Request) -> bool:
    """Whether the request's identity is an object of the inbox, in one version."""
    uri = request.source
    return uri.startswith("s3://") and split_s3_uri(uri)[0] == desk.settings.inbox_bucket


def _adopt(desk: Desk, job: Job, request: Request) -> Job:
    """The job that another door made of the same object, if what is asked for now agrees with it."""
    held = job.state is State.HELD and job.code == "no-chat"
    overflow_differs = request.overflow is not None and request.overflow != job.overflow and not held
    chat_differs = None not in (request.chat_id, job.chat_id) and request.chat_id != job.chat_id
    if overflow_differs or chat_differs:
        raise ObjectTaken(request.source, job.job_id)
    job = _keyed(desk, job, request)
    if request.chat_id is None or job.chat_id is not None:
        return job
    try:
        return decisions.assign(
            desk.parts, job, request.chat_id, overflow=request.overflow, not_before=request.not_before
        )
    except (Fenced, NotNow):  # somebody assigned or cancelled it at this moment
        now = desk.parts.ledger.get(job.job_id)
        return now if now.chat_id in (None, request.chat_id) else _adopt(desk, now, request)


def _keyed(desk: Desk, job: Job, request: Request) -> Job:
    """The job, known by the request's key too, so that the key stands for no other input later. An erased one is known
    by nothing."""
    if request.key is None or job.key == request.key or job.state is State.ERASED:
        return job
    named = desk.parts.ledger.give_key(job.job_id, request.key)
    if named.key != request.key:
        raise ObjectTaken(request.source, job.job_id)
    return named


def _identity(wish: Wish, source: str, content: str) -> str:
    if wish.key is not None:
        return identity_of_key(wish.key)
    if wish.lane == "backfill":
        return identity_of_backfill(source, content, wish.chat_id or "")
    return random_identity()


class ObjectTaken(KeyReused):
    """The object is a job already, with another chat, key or overflow."""

    def __init__(self, uri: str, job_id: str) -> None:
        text = f"{uri} is job {job_id} already, with another chat, key or overflow: put another object for this one."
        JobFailed.__init__(self, "key-reused", text, uri=uri, job_id=job_id)
