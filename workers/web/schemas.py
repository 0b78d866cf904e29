"""The values of the HTTP door as JSON schemas, with an example each. Data only; a test holds answers against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.model import State

_TEXT = {"type": ["string", "null"]}
_WHOLE = {"type": "integer"}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_STATE = {"type": "string", "enum": [str(state) for state in State]}
_CHAT = "5e0d0000-0000-4000-8000-000000000001"
_JOB_ID = "3f9a2c51d0e84b7f9a6c1d2e3f405162"


def _object(properties: Mapping[str, Any], example: object = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "required": list(properties), "properties": properties}
    return schema if example is None else schema | {"examples": [example]}


def ref(name: str) -> dict[str, Any]:
    """A reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


_JOB = {
    "job_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "key": _TEXT,
    "state": _STATE,
    "chat_id": _TEXT,
    "source": {"type": "string"},
    "url": _TEXT,
    "message_id": _TEXT,
    "code": _TEXT,
    "message": _TEXT,
    "attempts": _WHOLE,
    "created_at": _TIME,
    "updated_at": _TIME,
}
JOB_EXAMPLE: Mapping[str, Any] = {
    "job_id": _JOB_ID,
    "key": "order-4711",
    "state": "RECEIVED",
    "chat_id": _CHAT,
    "source": "upload:note.ogg",
    "url": None,
    "message_id": None,
    "code": None,
    "message": None,
    "attempts": 0,
    "created_at": "2026-11-24T08:00:00.000Z",
    "updated_at": "2026-11-24T08:00:00.000Z",
}
_MOVE = {
    "at": _TIME,
    "from": {"type": ["string", "null"]},
    "to": _STATE,
    "code": _TEXT,
    "message": _TEXT,
    "by": {"type": "string"},
    "attempt": _WHOLE,
}
_CALLBACK = {
    "webhook_id": {"type": "string"},
    "job_id": {"type": "string"},
    "state": _STATE,
    "at": _TIME,
    "attempts": _WHOLE,
    "outcome": _TEXT,
    "done_at": _TIME,
    "next_at": _TIME,
}
_ONE = {
    "rev": _WHOLE,
    "lane": {"type": "string", "enum": ["live", "backfill"]},
    "overflow": _TEXT,
    "not_before": _TIME,
    "trace_id": _TEXT,
    "memo": {"type": ["object", "null"]},
    "history": {"type": "array", "items": ref("Move")},
    "callback_url": _TEXT,
    "callbacks": {"type": "array", "items": ref("Callback")},
}
_PROBLEM = {
    "type": {"type": "string"},
    "title": {"type": "string"},
    "status": _WHOLE,
    "code": {"type": "string", "pattern": "^[a-z0-9-]+$"},
    "detail": {"type": "string"},
}
PROBLEM_EXAMPLE: Mapping[str, Any] = {
    "type": "about:blank",
    "title": "bad chat id",
    "status": 400,
    "code": "bad-chat-id",
    "detail": "'bob' is no chat id: Linq's chat ids are UUIDs.",
    "chat_id": "bob",
}
_UPLOAD = {
    "upload_id": {"type": "string"},
    "method": {"type": "string", "const": "PUT"},
    "url": {"type": "string", "format": "uri"},
    "headers": {"type": "object", "additionalProperties": {"type": "string"}},
    "expires_at": _TIME,
}
_REFUSAL = {
    "at": _TIME,
    "task_id": {"type": "string"},
    "key": _TEXT,
    "chat_id": _TEXT,
    "recording": _TEXT,
    "code": {"type": "string"},
    "message": {"type": "string"},
}

SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "Job": _object(_JOB, JOB_EXAMPLE),
    "JobWithHistory": _object({**_JOB, **_ONE}),
    "Jobs": _object({"memos": {"type": "array", "items": ref("Job")}, "next_cursor": _TEXT}),
    "Move": _object(_MOVE),
    "Callback": _object(_CALLBACK),
    "Problem": _object(_PROBLEM, PROBLEM_EXAMPLE),
    "Upload": _object(_UPLOAD),
    "Refusals": _object({"refusals": {"type": "array", "items": _object(_REFUSAL)}}),
    "Ok": _object({"ok": {"type": "boolean"}}),
    "Readiness": _object({"ready": {"type": "boolean"}, "parts": {"type": "object"}}),
}
