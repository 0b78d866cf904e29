"""Linq's webhooks: the Standard Webhooks signature over the raw body, and what an event says of a message.

Both payload versions are read: `2026-02-03` (flat) and `2025-01-01` (the message nested). `message.failed` has a shape
of its own, whose ids are optional. Unknown types are for others."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from pipeline.errors import JobFailed
from pipeline.model import StatusReport

_STATUS = {
    "message.sent": "sent",
    "message.delivered": "delivered",
    "message.read": "read",
    "message.failed": "failed",
}


class SignatureWrong(JobFailed):
    """The request was not signed by a secret of ours, or not within five minutes."""


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Check a signature against each secret in turn; two of them during a rotation.

    headers: lower-case names. Raises SignatureWrong (`bad-signature`)."""
    for secret in secrets:
        try:
            Webhook(secret).verify(body, dict(headers))
        except (WebhookVerificationError, ValueError, binascii.Error, RuntimeError):
            continue  # a malformed header raises ValueError or binascii.Error, not the library's own error
        return
    raise SignatureWrong("bad-signature", "The signature is missing, wrong or older than five minutes.")


def parse(body: bytes) -> StatusReport | None:
    """What an event says of one of our messages; None for every other type. Call it after `verify`.

    Raises JobFailed (`bad-event`) where the body is no event."""
    try:
        event = json.loads(body)
        event_type, data = event["event_type"], event["data"]
    except (ValueError, TypeError, KeyError):
        raise JobFailed("bad-event", "The body is no webhook event.") from None
    if not isinstance(event_type, str) or event_type not in _STATUS or not isinstance(data, dict):
        return None
    nested = _mapping(data.get("message"))
    if _from_them(data, nested):
        return None
    return StatusReport(
        status=_STATUS[event_type],
        message_id=_text(data.get("message_id")) or _text(data.get("id")) or _text(nested.get("id")),
        trace_id=_text(event.get("trace_id")),
        chat_id=_text(data.get("chat_id")) or _text(_mapping(data.get("chat")).get("id")),
        event_id=_text(event.get("event_id")),
        code=_text(data.get("code")),
        reason=_text(data.get("reason")),
        occurred_at=_seconds(event.get("created_at")),
        file_names=_file_names(data.get("parts") or nested.get("parts")),
    )


def _from_them(data: Mapping[str, Any], nested: Mapping[str, Any]) -> bool:
    if data.get("direction") == "inbound":
        return True
    return data.get("is_from_me") is False or nested.get("is_from_me") is False


def _file_names(parts: object) -> tuple[str, ...]:
    rows = parts if isinstance(parts, list) else []
    names = (part.get("filename") for part in rows if isinstance(part, dict))
    return tuple(name for name in names if isinstance(name, str))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None


def _seconds(value: object) -> float | None:
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except (ValueError, OverflowError):
        return None
