"""What `/docs` says about requests whose bodies are read by hand. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.model import State
from workers.web.uploads import MAX_BYTES
from workers.wishes import LONGEST_HOLD_S, MAX_URL_LENGTH

_CHAT = "5e0d0000-0000-4000-8000-000000000001"
_FIELDS: Mapping[str, Any] = {
    "chat_id": {"type": "string", "format": "uuid", "examples": [_CHAT]},
    "overflow": {"type": ["string", "null"], "enum": ["compress", "cut", "split", "reject", None]},
    "not_before": {
        "description": "ISO 8601 with an offset, or Unix seconds.",
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number", "minimum": 0, "maximum": 253402300799},
            {"type": "null"},
        ],
    },
    "hold_s": {
        "description": "Seconds from now in which it can be cancelled.",
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": LONGEST_HOLD_S,
    },
    "callback_url": {
        "description": "Told by a signed POST what becomes of the job. Of several for one job the first stays.",
        "type": ["string", "null"],
        "format": "uri",
        "pattern": "^https?://",
        "maxLength": MAX_URL_LENGTH,
        "examples": ["https://example.com/memoline"],
    },
}
_URI = {
    "type": "string",
    "pattern": "^s3://[a-z0-9][a-z0-9.-]{2,62}/[^\u0000]{1,500}$",
    "description": "`s3://bucket/key` in the inbox bucket or a source bucket.",
}
_UPLOAD = {"type": "string", "description": "The `upload_id` of a file that was put: see `POST /v1/uploads`."}
_FILE = {"type": "string", "format": "binary"}
_KEY = {"type": "string", "minLength": 1, "maxLength": 255}


def _of(field: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["chat_id", field],
        "properties": {field: value, **_FIELDS},
        "additionalProperties": False,
    }


def _example(**body: object) -> dict[str, Any]:
    return {"value": body}


POST_MEMOS: dict[str, Any] = {
    "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": _KEY, "description": "Required for uploads."}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_of("recording", _URI), _of("upload", _UPLOAD)]},
                "examples": {
                    "object": _example(chat_id=_CHAT, recording="s3://inbox/2026/note.ogg"),
                    "upload": _example(chat_id=_CHAT, upload="WyJ1cGxv….4mFh…", hold_s=60),
                },
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["chat_id", "recording"],
                    "properties": {"recording": _FILE, **{name: {"type": "string"} for name in _FIELDS}},
                }
            },
        },
    },
}

POST_UPLOADS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["size_bytes"],
                    "properties": {
                        "size_bytes": {"type": "integer", "minimum": 1, "maximum": MAX_BYTES},
                        "sha256": {
                            "type": ["string", "null"],
                            "pattern": "^[0-9a-f]{64}$",
                            "description": "Binds the URL to these very bytes.",
                        },
                        "file_name": {"type": ["string", "null"], "description": "For people to read."},
                    },
                    "additionalProperties": False,
                },
                "examples": {"large": _example(size_bytes=1_234_567_890, file_name="lecture.wav")},
            }
        },
    },
}

_STATES = {"type": "array", "items": {"type": "string", "enum": [str(state) for state in State]}}

GET_MEMOS: dict[str, Any] = {
    "parameters": [
        {"name": "state", "in": "query", "style": "form", "explode": False, "schema": _STATES},
        {"name": "chat_id", "in": "query", "schema": {"type": "string", "format": "uuid"}},
        {"name": "code", "in": "query", "schema": {"type": "string", "pattern": "^[a-z0-9-]{1,100}$"}},
        {"name": "key", "in": "query", "schema": _KEY},
        {
            "name": "since",
            "in": "query",
            "schema": {"type": "string", "format": "date-time"},
            "description": "Registered then or later; ISO 8601 with an offset.",
        },
        {
            "name": "cursor",
            "in": "query",
            "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
            "description": "The `next_cursor` of the page before: jobs that came meanwhile are on later pages.",
        },
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
    ]
}

_WAIT = {"type": "integer", "minimum": 0, "maximum": 60, "default": 0, "description": "Answer once it has moved."}
_REV = {"type": "integer", "minimum": 0, "description": "The `rev` that you know; the present one by default."}

GET_MEMO: dict[str, Any] = {
    "parameters": [{"name": "wait_s", "in": "query", "schema": _WAIT}, {"name": "rev", "in": "query", "schema": _REV}]
}

_EVENT = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
}

GET_EVENTS: dict[str, Any] = {
    "parameters": [{"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer", "minimum": 0}}],
    "responses": {
        "200": {
            "description": "`id` numbers the moves from 1, `event` is the state moved to, `data` the move as JSON.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        "204": {"description": "The job is at its end, and `Last-Event-ID` was its last move."},
    },
}


def _body(required: list[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": required, "properties": properties, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


ASSIGN = _body(["chat_id"], {"chat_id": _FIELDS["chat_id"]})

RESOLVE = _body(
    ["decision"],
    {
        "decision": {"type": "string", "enum": ["sent", "resend", "give-up"]},
        "message_id": {"type": "string", "description": "With `sent`: the message that is in the chat."},
        "why": {"type": "string", "description": "Kept in the history."},
    },
)

ERASE: dict[str, Any] = {
    "parameters": [{"name": "why", "in": "query", "schema": {"type": "string"}, "description": "Kept in the audit."}],
    "responses": {
        "200": {"description": "It is erased: a tombstone is left."},
        "202": {"description": "It is noted, and carried out within seconds, or once its outcome is known."},
    },
}
