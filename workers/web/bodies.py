"""Request bodies, read with a bound."""

from __future__ import annotations

import json

from fastapi import Request
from starlette.requests import ClientDisconnect

from pipeline.errors import Misuse

MAX_JSON_BYTES = 65_536


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The whole body. Raises Misuse (`too-large`) beyond max_bytes, (`incomplete`) where the caller hung up."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise too_large(max_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise too_large(max_bytes)
    except ClientDisconnect:
        raise Misuse("incomplete", "The request ended before its body did.") from None
    return bytes(body)


def need_json(request: Request) -> None:
    """Raises Misuse (`wrong-content-type`) for a body that is said to be something else."""
    if content_type(request) != "application/json":
        raise Misuse("wrong-content-type", "Send application/json.")


def content_type(request: Request) -> str:
    """The media type of a body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_object(body: bytes) -> dict[str, object]:
    """A JSON object. Raises Misuse (`bad-json`)."""
    try:
        value = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Misuse("bad-json", "The body is no JSON.") from None
    if not isinstance(value, dict):
        raise Misuse("bad-json", "The body is no JSON object.")
    return value


def too_large(max_bytes: int) -> Misuse:
    """The body has more bytes than are taken."""
    return Misuse("too-large", f"At most {max_bytes} bytes are taken.", max_bytes=max_bytes)


def _no_number(text: str) -> object:
    """NaN and Infinity are no JSON."""
    raise ValueError(text)
