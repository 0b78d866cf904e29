"""`POST /v1/uploads`: a signed URL by which a caller puts a large file into the inbox bucket, past this process."""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from pipeline.errors import JobFailed, Misuse
from pipeline.hosting.direct import Upload, new_upload, read_upload_id, upload_id
from pipeline.hosting.names import identity_of_object
from pipeline.model import Job, StoredRecording
from workers.doors import Desk, keep_or_discard, need_callback, register_as_it_lies, request_for
from workers.views import iso
from workers.web import docs
from workers.web.bodies import MAX_JSON_BYTES, need_json, parse_object, read_body
from workers.web.office import Office, with_token
from workers.web.uploads import MAX_BYTES, plain_name
from workers.wishes import Wish

VALID_S = 3_600
"""How long a signed URL takes the file. What was put and not asked for is removed after a day."""
KEY_NEEDED = "An upload needs the header Idempotency-Key, so that repeating it cannot send it twice."
_FIELDS = frozenset({"size_bytes", "sha256", "file_name"})


def direct_routes(office: Office) -> APIRouter:
    """The route that signs uploads. It wants the token."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(with_token(office))])

    @router.post(
        "/uploads", status_code=201, summary="Get a URL to put a large file to", openapi_extra=docs.POST_UPLOADS
    )
    async def post(request: Request) -> JSONResponse:
        """Put the file to `url` with exactly these `headers`, then name `upload_id` in `POST /v1/memos`."""
        need_json(request)
        body = parse_object(await read_body(request, max_bytes=MAX_JSON_BYTES))
        return JSONResponse(await run_in_threadpool(offered, office.desk, wanted(body)), status_code=201)

    return router


def wanted(body: dict[str, object]) -> Upload:
    """The upload that a body asks for. Raises Misuse (`unknown-field`, `bad-size`, `bad-sha256`,
    `bad-file-name`)."""
    unknown = body.keys() - _FIELDS
    if unknown:
        raise Misuse("unknown-field", f"{sorted(unknown)[0][:100]!r} is not known: say {', '.join(sorted(_FIELDS))}.")
    size_bytes, sha256, file_name = (body.get(name) for name in ("size_bytes", "sha256", "file_name"))
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or not 1 <= size_bytes <= MAX_BYTES:
        raise Misuse("bad-size", f"`size_bytes` must be the length of the file, from 1 to {MAX_BYTES}.")
    if sha256 is not None and not _is_sha256(sha256):
        raise Misuse("bad-sha256", "`sha256` must be the SHA-256 of the file, 64 lower-case hex digits.")
    if file_name is not None and not isinstance(file_name, str):
        raise Misuse("bad-file-name", "`file_name` must be a text.")
    return new_upload(plain_name(file_name or ""), size_bytes, str(sha256) if sha256 else None)


def offered(desk: Desk, upload: Upload) -> dict[str, object]:
    """The answer to a caller who wants to put a file. Raises Misuse (`missing-setting`, `s3-refused`)."""
    bucket = desk.settings.need("inbox_bucket")
    size = {"size_bytes": upload.size_bytes, "sha256": upload.sha256, "expires_s": VALID_S}
    url, headers = desk.s3.presign_put(bucket, upload.key, **size)  # type: ignore[arg-type]
    return {
        "upload_id": upload_id(desk.parts.secret, upload),
        "method": "PUT",
        "url": url,
        "headers": headers,
        "expires_at": iso(time.time() + VALID_S),
    }


def submit_upload(desk: Desk, text: str, wish: Wish) -> Job:
    """Register the file that was put for an upload id: one job at most, however often it is asked for.

    Raises JobFailed (`no-such-upload`, `no-such-object` before it was put), Misuse (`missing-key`, `wrong-size`),
    KeyReused, PartUnreachable."""
    if wish.key is None:
        raise Misuse("missing-key", KEY_NEEDED)
    need_callback(desk.settings, wish.callback_url)
    upload, bucket = read_upload_id(desk.parts.secret, text), desk.settings.need("inbox_bucket")
    uri = f"s3://{bucket}/{upload.key}"
    head = desk.s3.head(bucket, upload.key)
    if head is None:
        return _of_before(desk, uri, wish)
    if head.size_bytes != upload.size_bytes:
        text = f"{head.size_bytes} bytes were put, and {upload.size_bytes} were announced: ask for another upload."
        raise Misuse("wrong-size", text, size_bytes=head.size_bytes, announced=upload.size_bytes)
    version = head.version_id or f"etag:{head.etag}"
    stored = StoredRecording(
        uri=uri, name=upload.file_name, size_bytes=head.size_bytes, sha256=upload.sha256, version=version
    )
    identity = identity_of_object(bucket, upload.key, version)
    content = upload.sha256 or head.etag
    request = request_for(stored, wish, source=f"upload:{upload.file_name}", content=content, identity=identity)
    job = register_as_it_lies(desk, request)
    keep_or_discard(desk, request, job)
    return job


def _of_before(desk: Desk, uri: str, wish: Wish) -> Job:
    """The job that had the file, which goes once its memo is sent."""
    found = [job for job in desk.parts.ledger.with_key(str(wish.key)) if job.recording.uri == uri]
    if not found or (found[0].chat_id, found[0].overflow) != (wish.chat_id, wish.overflow):
        raise JobFailed("no-such-object", "The file was not put yet: put it to the URL that came with the upload id.")
    return found[0]


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")
