"""Linq's webhooks: the Standard Webhooks signature over the raw body, and what an event says of a message, a chat or a
line.

Both payload versions are read: `2026-02-03` (flat) and `2025-01-01` (the message nested). `message.failed` has a shape
of its own, whose ids are optional. Unknown types are for others. What a report holds can be stored by every database,
whatever was in the body: an id that no id of Linq's looks like is left out.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from pipeline.errors import JobFailed
from pipeline.messages import StatusReport
from pipeline.sending.optout import is_opt_out

OLD_VERSION, NEW_VERSION = "2025-01-01", "2026-02-03"
"""The versions of the payload; a subscription's target URL names one (`?version=`)."""

LONGEST_ID = 255
LONGEST_TEXT = 1_000

_STATUS = {
    "message.sent": "sent",
    "message.delivered": "delivered",
    "message.read": "read",
    "message.failed": "failed",
}
_LINE = {"ACTIVE": "line-active", "FLAGGED": "line-flagged"}

NEEDED_EVENTS = (*_STATUS, "message.received", "phone_number.status_updated")
"""What a subscription of ours asks for."""


class SignatureWrong(JobFailed):
    """The request was not signed by a secret of ours, or not within five minutes."""


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Check a signature against each secret in turn; two of them during a rotation.

    headers: lower-case names. Raises SignatureWrong (`bad-signature`)."""
    for secret in secrets:
        try:
            Webhook(secret).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, EmptyWebhookSecretError, ValueError, binascii.Error, RuntimeError, TypeError):
            continue  # a malformed header raises ValueError, binascii.Error or TypeError, not the library's own error
        return
    raise SignatureWrong("bad-signature", "The signature is missing, wrong or older than five minutes.")


def sign(body: bytes, event_id: str, secret: str, *, at: float) -> dict[str, str]:
    """The headers of a signed body at a time (Unix seconds): of a callback of ours, or as Linq would send it."""
    moment = datetime.fromtimestamp(int(at), UTC)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": Webhook(secret).sign(event_id, moment, body.decode()),
    }


def parse(body: bytes) -> StatusReport | None:
    """What an event says that concerns us; None for every other type. Call it after `verify`.

    Raises JobFailed (`bad-event`) where the body is no event."""
    try:
        event = json.loads(body)
        event_type, data = event["event_type"], event["data"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise JobFailed("bad-event", "The body is no webhook event.") from None
    if not isinstance(event_type, str) or not isinstance(data, dict):
        return None
    if event_type == "phone_number.status_updated":
        return _of_line(event, data)
    if event_type == "message.received":
        return _of_chat(event, data)
    return _of_message(_STATUS[event_type], event, data) if event_type in _STATUS else None


def _of_message(status: str, event: Mapping[str, Any], data: Mapping[str, Any]) -> StatusReport | None:
    nested = _mapping(data.get("message"))
    if _from_them(data, nested):
        return None
    error = _mapping(data.get("error"))  # the vendor's own chat adapter (0.4.0) reads failures from here
    return StatusReport(
        status=status,
        message_id=_id(data.get("message_id")) or _id(data.get("id")) or _id(nested.get("id")),
        trace_id=_id(event.get("trace_id")),
        chat_id=_chat_id(data),
        event_id=_id(event.get("event_id")),
        code=_id(data.get("code")) or _id(error.get("code")),
        reason=_text(data.get("reason")) or _text(error.get("message")),
        occurred_at=_seconds(event.get("created_at")),
        file_names=_file_names(data.get("parts") or nested.get("parts")),
        line=_id(_mapping(_mapping(data.get("chat")).get("owner_handle")).get("handle")),
        health=_id(_mapping(_mapping(data.get("chat")).get("health_status")).get("status")),
    )


def _of_chat(event: Mapping[str, Any], data: Mapping[str, Any]) -> StatusReport | None:
    """They wrote: an opt-out, or else the end of one. Groups are never blocked."""
    nested, chat_id = _mapping(data.get("message")), _chat_id(data)
    if chat_id is None or _mapping(data.get("chat")).get("is_group") is True or data.get("is_from_me") is True:
        return None
    return StatusReport(
        status="opted-out" if is_opt_out(_words(data.get("parts") or nested.get("parts"))) else "wrote",
        message_id=None,
        chat_id=chat_id,
        event_id=_id(event.get("event_id")),
        occurred_at=_seconds(event.get("created_at")),
    )


def _of_line(event: Mapping[str, Any], data: Mapping[str, Any]) -> StatusReport | None:
    line, standing = _id(data.get("phone_number")), data.get("new_status")
    if line is None or not isinstance(standing, str) or standing not in _LINE:
        return None
    return StatusReport(
        status=_LINE[standing],
        message_id=None,
        line=line,
        event_id=_id(event.get("event_id")),
        occurred_at=_seconds(data.get("changed_at")) or _seconds(event.get("created_at")),
    )


def _from_them(data: Mapping[str, Any], nested: Mapping[str, Any]) -> bool:
    if data.get("direction") == "inbound":
        return True
    return data.get("is_from_me") is False or nested.get("is_from_me") is False


def _chat_id(data: Mapping[str, Any]) -> str | None:
    return _id(data.get("chat_id")) or _id(_mapping(data.get("chat")).get("id"))


def _file_names(parts: object) -> tuple[str, ...]:
    """Without a query: of a signed URL, which is not to be kept, the name ends before it."""
    names = (_id(part.get("filename")) for part in _rows(parts))
    return tuple(name.partition("?")[0] for name in names if name is not None)


def _words(parts: object) -> str | None:
    """The text of a message that is one text; None for any other."""
    rows = _rows(parts)
    value = rows[0].get("value") if len(rows) == 1 and rows[0].get("type") == "text" else None
    return value if isinstance(value, str) else None


def _rows(parts: object) -> list[Mapping[str, Any]]:
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _id(value: object) -> str | None:
    """A short printable text, or a number as one: what every database can keep, and index."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isprintable() else None


def _text(value: object) -> str | None:
    """A text for people, in one printable line of bounded length."""
    if not isinstance(value, str) or not value.strip():
        return None
    return "".join(char if char.isprintable() else " " for char in value[:LONGEST_TEXT]).strip()


def _seconds(value: object) -> float | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None:
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None
