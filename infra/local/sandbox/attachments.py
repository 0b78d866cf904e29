"""Pre-upload: `POST /v3/attachments`, the upload itself, `GET` and `DELETE`. Contents are checked and dropped."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from . import audio
from .answers import json_object, world_of
from .codes import ApiError
from .model import Attachment
from .wire import attachment_json, iso

MAX_BYTES = 100_000_000
UPLOAD_WITHIN_S = 900.0


async def create_attachment(request: Request) -> Response:
    """`POST`: announces a file; the answer says where and how to put it."""
    world = world_of(request)
    attachment = world.store.attachments.put(_announced(await json_object(request)))
    return JSONResponse(
        {
            "attachment_id": attachment.id,
            "upload_url": f"{world.base_url}/_sandbox/upload/{attachment.id}?token={attachment.upload_token}",
            "http_method": "PUT",
            "required_headers": _required_headers(attachment),
            "expires_at": iso(attachment.created_at + UPLOAD_WITHIN_S),
            "download_url": f"{world.cdn}/{attachment.id}/{attachment.filename}",
        }
    )


async def upload(request: Request) -> Response:
    """The PUT to `upload_url`: no bearer token, the announced headers and length exactly, or 403 and 400."""
    world = world_of(request)
    attachment = world.store.attachments.get(request.path_params["attachment_id"])
    if attachment is None or request.query_params.get("token") != attachment.upload_token:
        return PlainTextResponse("AccessDenied", 403)
    if time.time() > attachment.created_at + UPLOAD_WITHIN_S:
        return PlainTextResponse("AccessDenied: Request has expired", 403)
    if any(request.headers.get(name) != value for name, value in _required_headers(attachment).items()):
        return PlainTextResponse("SignatureDoesNotMatch", 403)
    size_bytes, digest, head = 0, hashlib.sha256(), b""
    async for chunk in request.stream():
        size_bytes += len(chunk)
        digest.update(chunk)
        head += chunk[: audio.HEAD_BYTES - len(head)]
    if size_bytes != attachment.size_bytes:
        return PlainTextResponse("EntityTooLarge or IncompleteBody", 400)
    content = audio.by_content(head)
    extension = content.extension if content else None
    world.store.attachments.put(replace(attachment, sha256=digest.hexdigest(), extension=extension))
    return Response(status_code=200)


async def get_attachment(request: Request) -> Response:
    """`GET`."""
    return JSONResponse(attachment_json(_named(request), world_of(request).cdn))


async def delete_attachment(request: Request) -> Response:
    """`DELETE`."""
    world_of(request).store.attachments.delete(_named(request).id)
    return Response(status_code=204)


def _named(request: Request) -> Attachment:
    attachment = world_of(request).store.attachments.get(request.path_params["attachment_id"])
    if attachment is None:
        raise ApiError(2003)
    return attachment


def _announced(body: dict[str, object]) -> Attachment:
    """A new attachment. Raises ApiError 1001, 1005, 5004 (not audio: the sandbox takes nothing else) or 5005."""
    filename, content_type, size_bytes = (body.get(name) for name in ("filename", "content_type", "size_bytes"))
    if filename is None or content_type is None or size_bytes is None:
        raise ApiError(1001, "filename, content_type and size_bytes are required")
    if not isinstance(filename, str) or not isinstance(content_type, str) or type(size_bytes) is not int:
        raise ApiError(1005)
    # This endpoint's own list: it knows audio/x-wav, not audio/wav.
    if audio.by_mime_type(content_type) is None or content_type == "audio/wav":
        raise ApiError(5004)
    if size_bytes > MAX_BYTES:
        raise ApiError(5005)
    if size_bytes < 1:
        raise ApiError(1005, "size_bytes must be 1 or more")
    return Attachment(
        id=str(uuid.uuid4()),
        filename=filename,
        content_type=content_type,
        size_bytes=size_bytes,
        created_at=time.time(),
        upload_token=secrets.token_hex(16),
    )


def _required_headers(attachment: Attachment) -> dict[str, str]:
    return {"Content-Type": attachment.content_type, "Content-Length": str(attachment.size_bytes)}
