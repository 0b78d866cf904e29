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
