"""What `/docs` says about requests whose bodies are read by hand. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS: Mapping[str, Any] = {
    "chat_id": {"type": "string", "format": "uuid"},
    "overflow": {"type": "string", "enum": ["compress", "cut", "split", "reject"]},
    "not_before": {"type": "string", "format": "date-time", "description": "With an offset, or Unix seconds."},
}
_URI = {"type": "string", "description": "`s3://bucket/key` in the inbox bucket or a source bucket."}
_FILE = {"type": "string", "format": "binary"}

POST_MEMOS: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "maxLength": 255},
            "description": "Required for uploads.",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["chat_id", "recording"],
                    "properties": {"recording": _URI, **_FIELDS},
                    "additionalProperties": False,
                }
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["chat_id", "recording"],
                    "properties": {"recording": _FILE, **_FIELDS},
                }
            },
        },
    },
}

GET_MEMOS: dict[str, Any] = {
    "parameters": [
        {"name": "state", "in": "query", "schema": {"type": "string"}},
        {"name": "chat_id", "in": "query", "schema": {"type": "string", "format": "uuid"}},
        {"name": "cursor", "in": "query", "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
    ]
}

_WAIT = {"type": "integer", "minimum": 0, "maximum": 60, "default": 0, "description": "Answer once it has moved."}
_REV = {"type": "integer", "minimum": 0, "description": "The `rev` that you know; the present one by default."}

GET_MEMO: dict[str, Any] = {
    "parameters": [{"name": "wait_s", "in": "query", "schema": _WAIT}, {"name": "rev", "in": "query", "schema": _REV}]
}

GET_EVENTS: dict[str, Any] = {
    "parameters": [{"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer", "minimum": 0}}],
    "responses": {
        "200": {
            "description": "`id` numbers the moves from 1, `event` is the state moved to, `data` the move as JSON.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
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
