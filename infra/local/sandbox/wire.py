"""Linq's JSON, made of the sandbox's values. Shapes follow the response types of `linq-python` 0.65.0."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from .model import PARTNER_ID, Attachment, Chat, Media, Message, Step, Subscription

Json = dict[str, object]
DOCS = "https://docs.linqapp.com/channel/imessage/guides"
OLD_VERSION = "2025-01-01"
NEW_VERSION = "2026-02-03"


def iso(at: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as Linq writes times."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def handle_json(handle: str, chat: Chat, *, is_me: bool = False) -> Json:
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"handle:{chat.id}:{handle}")),
        "handle": handle,
        "joined_at": iso(chat.created_at),
        "service": chat.service,
        "is_me": is_me,
        "left_at": None,
        "line_type": "iMessage" if is_me else None,
        "status": "active",
    }


def handles_json(chat: Chat) -> list[Json]:
    """Own line first, then the others."""
    return [handle_json(chat.line, chat, is_me=True), *(handle_json(handle, chat) for handle in chat.handles)]


def is_group(chat: Chat) -> bool:
    return len(chat.handles) > 1


def health_json(chat: Chat) -> Json:
    status = "OPTED_OUT" if chat.opted_out and not is_group(chat) else chat.health
    anchor = status.lower().replace("_", "-")
    return {
        "status": status,
        "doc_url": f"{DOCS}/chats/chat-health#{anchor}",
        "updated_at": iso(chat.created_at),
    }


def chat_json(chat: Chat) -> Json:
    """The object of `GET /v3/chats` and `GET /v3/chats/{id}`."""
    return {
        "id": chat.id,
        "created_at": iso(chat.created_at),
        "updated_at": iso(chat.created_at),
        "display_name": ", ".join(chat.handles),
        "handles": handles_json(chat),
        "health_status": health_json(chat),
        "is_archived": False,
        "is_group": is_group(chat),
        "group_chat_icon": None,
        "service": chat.service,
    }


def created_chat_json(chat: Chat, message: Message, cdn: str) -> Json:
    """The answer of `POST /v3/chats`."""
    sent: Json = {
        "id": message.id,
        "created_at": iso(message.created_at),
        "delivery_status": message.status,
        "is_read": False,
        "parts": parts_json(message, cdn),
        "sent_at": iso(message.sent_at),
        "delivered_at": iso(message.delivered_at),
        "from_handle": handle_json(chat.line, chat, is_me=True),
        "service": message.service,
    }
    fields = ("id", "display_name", "handles", "health_status", "is_group", "service")
    whole = chat_json(chat)
    return {"chat": {name: whole[name] for name in fields} | {"message": sent}}


def voice_memo_json(chat: Chat, message: Message, media: Media, cdn: str) -> Json:
    """The answer of `POST /v3/chats/{id}/voicememo`: the outer id is the message's, the inner one the attachment's."""
    return {
        "voice_memo": {
            "id": message.id,
            "status": "queued",
            "created_at": iso(message.created_at),
            "from": chat.line,
            "to": list(chat.handles),
            "service": message.service,
            "chat": {
                "id": chat.id,
                "handles": handles_json(chat),
                "is_active": True,
                "is_group": is_group(chat),
                "service": chat.service,
            },
            "voice_memo": _media_json(media, media.filename, cdn),
        }
    }


def message_json(message: Message, chat: Chat, cdn: str, *, in_list: bool) -> Json:
    """The object of `GET /v3/messages/{id}` and of the list; the list alone shows what faults did to it."""
    hidden = in_list and message.oddities.without_parts
    name = message.oddities.list_filename if in_list else None
    return {
        "id": message.id,
        "chat_id": message.chat_id,
        "created_at": iso(message.created_at),
        "updated_at": iso(message.updated_at),
        "delivery_status": message.status,
        "is_delivered": message.status == "delivered",
        "is_read": False,
        "is_from_me": True,
        "from": chat.line,
        "from_handle": handle_json(chat.line, chat, is_me=True),
        "parts": [] if hidden else [part | {"reactions": None} for part in parts_json(message, cdn, name)],
        "service": message.service,
        "preferred_service": None,
        "sent_at": iso(message.sent_at),
        "delivered_at": iso(message.delivered_at),
        "read_at": None,
        "reply_to": None,
        "effect": None,
    }


def parts_json(message: Message, cdn: str, filename: str | None = None) -> list[Json]:
    """A memo shows as one media part, a text as one text part."""
    if message.media is not None:
        return [{"type": "media"} | _media_json(message.media, filename or message.media.filename, cdn)]
    return [{"type": "text", "value": message.text or ""}]


def _media_json(media: Media, filename: str, cdn: str) -> Json:
    return {
        "id": media.id,
        "filename": filename,
        "mime_type": media.mime_type,
        "size_bytes": media.size_bytes,
        "url": f"{cdn}/{media.id}/{filename}",
    }


def event_json(message: Message, chat: Chat, step: Step, version: str, cdn: str) -> Json:
    """A webhook's envelope with its data, in the payload version asked for."""
    if step.event_type == "message.failed":
        data = _failed_json(message, step)
    elif version == OLD_VERSION:
        data = _old_event_data(message, chat, cdn)
    else:
        data = _new_event_data(message, chat, cdn)
    event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"event:{message.id}:{step.event_type}"))
    return _envelope(step.event_type, version, event_id, message.updated_at, data) | {"trace_id": message.trace_id}


def received_json(version: str, *, chat: Chat, text: str, event_id: str, at: float) -> Json:
    """The webhook of a text that the recipient wrote."""
    message_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"received:{event_id}"))
    parts: list[Json] = [{"type": "text", "value": text}]
    sender = handle_json(chat.handles[0], chat)
    if version == OLD_VERSION:
        message = {"id": message_id, "parts": parts}
        data: Json = {"chat_id": chat.id, "is_from_me": False, "from_handle": sender, "message": message}
    else:
        owner = handle_json(chat.line, chat, is_me=True)
        chat_part = {"id": chat.id, "is_group": is_group(chat), "owner_handle": owner}
        data = {"id": message_id, "direction": "inbound", "sender_handle": sender, "parts": parts}
        data |= {"chat": chat_part | {"health_status": health_json(chat)}, "sent_at": iso(at), "service": chat.service}
    return _envelope("message.received", version, event_id, at, data)


def line_json(version: str, *, line: str, status: str, previous: str, event_id: str, at: float) -> Json:
    """The webhook of a line whose standing changed."""
    reputation = {"ACTIVE": "HEALTHY", "FLAGGED": "CRITICAL"}
    data: Json = {
        "phone_number": line,
        "changed_at": iso(at),
        "new_status": status,
        "previous_status": previous,
        "new_reputation": reputation[status],
        "previous_reputation": reputation[previous],
    }
    return _envelope("phone_number.status_updated", version, event_id, at, data)


def _envelope(event_type: str, version: str, event_id: str, at: float, data: Json) -> Json:
    return {
        "api_version": "v3",
        "webhook_version": version,
        "event_type": event_type,
        "event_id": event_id,
        "created_at": iso(at),
        "trace_id": uuid.uuid5(uuid.NAMESPACE_URL, event_id).hex,
        "partner_id": PARTNER_ID,
        "data": data,
    }


def _new_event_data(message: Message, chat: Chat, cdn: str) -> Json:
    return {
        "id": message.id,
        "direction": "outbound",
        "chat": {
            "id": chat.id,
            "is_group": is_group(chat),
            "owner_handle": handle_json(chat.line, chat, is_me=True),
            "health_status": health_json(chat),
        },
        "sender_handle": handle_json(chat.line, chat, is_me=True),
        "parts": parts_json(message, cdn),
        "service": message.service,
        "preferred_service": None,
        "idempotency_key": message.idempotency_key,
        "sent_at": iso(message.sent_at),
        "delivered_at": iso(message.delivered_at),
        "read_at": None,
        "effect": None,
        "reply_to": None,
    }


def _old_event_data(message: Message, chat: Chat, cdn: str) -> Json:
    """Nested; no type of the SDK describes it, so only the documented names are here."""
    return {
        "chat_id": chat.id,
        "is_from_me": True,
        "service": message.service,
        "sent_at": iso(message.sent_at),
        "delivered_at": iso(message.delivered_at),
        "message": {"id": message.id, "parts": parts_json(message, cdn), "idempotency_key": message.idempotency_key},
    }


def _failed_json(message: Message, step: Step) -> Json:
    """Another shape than the other message events: both ids are optional in it."""
    data: Json = {
        "code": message.oddities.failed_code,
        "failed_at": iso(step.due),
        "reason": "Made to fail by the sandbox",
        "service": message.service,
    }
    if message.oddities.failed_with_ids:
        data |= {"message_id": message.id, "chat_id": message.chat_id}
    return data


def subscription_json(subscription: Subscription) -> Json:
    """Without the secret, which is shown once, when the subscription is made."""
    return {
        "id": subscription.id,
        "target_url": subscription.target_url,
        "subscribed_events": list(subscription.events),
        "phone_numbers": list(subscription.phone_numbers) or None,
        "routing_key_header": subscription.routing_key_header,
        "routing_id_header": subscription.routing_id_header,
        "is_active": subscription.is_active,
        "created_at": iso(subscription.created_at),
        "updated_at": iso(subscription.updated_at),
    }


def attachment_json(attachment: Attachment, cdn: str) -> Json:
    """The object of `GET /v3/attachments/{id}`."""
    complete = attachment.sha256 is not None
    return {
        "id": attachment.id,
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "size_bytes": attachment.size_bytes,
        "created_at": iso(attachment.created_at),
        "status": "complete" if complete else "pending",
        "download_url": f"{cdn}/{attachment.id}/{attachment.filename}" if complete else None,
    }
