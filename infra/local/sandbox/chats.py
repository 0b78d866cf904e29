"""Chats, their messages, and the account's line."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .answers import json_object, page, trace_id_of, world_of
from .codes import ApiError
from .memos import planned_steps
from .model import LINE, Chat, Message
from .wire import DOCS, chat_json, created_chat_json, message_json
from .world import World

_HANDLE = re.compile(r"\+[1-9]\d{6,14}|[^@\s]+@[^@\s]+\.[^@\s]+")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
MAX_HANDLES = 31


async def list_chats(request: Request) -> Response:
    """`GET /v3/chats`: filtered by line (`from`) and participant (`to`), 20 a page."""
    line, handle = request.query_params.get("from"), request.query_params.get("to")
    chats = [
        chat
        for chat in world_of(request).store.chats.all()
        if line in {None, chat.line} and (handle is None or handle in chat.handles)
    ]
    shown, cursor = page(request, chats, lambda chat: f"{chat.created_at:.6f}-{chat.id}", 20)
    return JSONResponse({"chats": [chat_json(chat) for chat in shown], "next_cursor": cursor})


async def get_chat(request: Request) -> Response:
    """`GET /v3/chats/{chat_id}`."""
    return JSONResponse(chat_json(world_of(request).chat(request.path_params["chat_id"])))


async def create_chat(request: Request) -> Response:
    """`POST /v3/chats`: opens a chat with a text, or sends the text to the chat that these handles already have."""
    world = world_of(request)
    body = await json_object(request)
    handles, text, key = _handles(body), _text(body), _key(body)
    earlier = _sent_before(world, key)
    if earlier is not None:
        chat, message = world.chat(earlier.chat_id), earlier
    else:
        chat = _same_handles(world.store.chats.all(), handles)
        if body.get("override_optout") is not True:
            world.check_opt_out(chat)
        world.check_rate(chat)
        message = _send_text(world, chat, text, key, trace_id_of(request))
    return JSONResponse(created_chat_json(chat, message, world.cdn), 201)


async def list_messages(request: Request) -> Response:
    """`GET /v3/chats/{chat_id}/messages`: 50 a page, in an order that means nothing, which the seed decides."""
    world = world_of(request)
    chat = world.chat(request.path_params["chat_id"])
    now = time.time()
    found = (world.store.messages.get(message_id) for message_id in world.messages_of[chat.id])
    messages = [message for message in found if message and message.oddities.visible_at <= now]

    def shuffled(message: Message) -> str:
        return hashlib.sha256(f"{world.config.seed}:{message.id}".encode()).hexdigest()[:24]

    shown, cursor = page(request, messages, shuffled, 50)
    listed = [message_json(message, chat, world.cdn, in_list=True) for message in shown]
    return JSONResponse({"messages": listed, "next_cursor": cursor})


async def get_message(request: Request) -> Response:
    """`GET /v3/messages/{message_id}`."""
    world = world_of(request)
    message = world.store.messages.get(request.path_params["message_id"])
    if message is None:
        raise ApiError(2002)
    chat = world.chat(message.chat_id)
    return JSONResponse(message_json(message, chat, world.cdn, in_list=False))


async def list_phone_numbers(_request: Request) -> Response:
    """`GET /v3/phone_numbers`: the one line."""
    line = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, LINE)),
        "phone_number": LINE,
        "line_type": "iMessage",
        "forwarding_number": None,
        "reputation": {"status": "HEALTHY", "doc_url": f"{DOCS}/phone-numbers/reputation#healthy"},
    }
    return JSONResponse({"phone_numbers": [line]})


def _handles(body: dict[str, object]) -> tuple[str, ...]:
    if "from" not in body or "to" not in body:
        raise ApiError(1001, "from and to are required")
    if body["from"] != LINE:
        raise ApiError(2006)
    handles = body["to"]
    if not isinstance(handles, list) or not 1 <= len(handles) <= MAX_HANDLES:
        raise ApiError(1005, f"to must list 1 to {MAX_HANDLES} handles")
    if not all(isinstance(handle, str) and _HANDLE.fullmatch(handle) for handle in handles):
        raise ApiError(1002)
    return tuple(dict.fromkeys(handles))


def _text(body: dict[str, object]) -> str:
    """The one text part that a first message is made of here."""
    message = body.get("message")
    parts = message.get("parts") if isinstance(message, dict) else None
    if not isinstance(parts, list) or not parts:
        raise ApiError(1001, "message.parts is required")
    if any(not isinstance(part, dict) or part.get("type") != "text" or not part.get("value") for part in parts):
        raise ApiError(1004, "The sandbox opens chats with text parts only")
    text = "".join(str(part["value"]) for part in parts)
    if _LINK.search(text):
        raise ApiError(1005, "The first message of a chat must not hold a link")
    return text


def _key(body: dict[str, object]) -> str | None:
    message = body.get("message")
    key = message.get("idempotency_key") if isinstance(message, dict) else None
    if key is not None and (not isinstance(key, str) or len(key) > 255):
        raise ApiError(1005, "idempotency_key must be text of at most 255 characters")
    return key


def _sent_before(world: World, key: str | None) -> Message | None:
    if key is None:
        return None
    return next((message for message in world.store.messages.all() if message.idempotency_key == key), None)


def _same_handles(chats: Iterable[Chat], handles: tuple[str, ...]) -> Chat:
    """The chat with exactly these participants, or a new one."""
    known = next((chat for chat in chats if set(chat.handles) == set(handles)), None)
    return known or Chat(id=str(uuid.uuid4()), handles=handles, created_at=time.time())


def _send_text(world: World, chat: Chat, text: str, key: str | None, trace_id: str) -> Message:
    now = time.time()
    message = Message(
        id=str(uuid.uuid4()),
        chat_id=chat.id,
        created_at=now,
        updated_at=now,
        trace_id=trace_id,
        service=chat.service,
        text=text,
        idempotency_key=key,
        steps=planned_steps(chat.service, now, world.config.delivery_delay_s, {}),
    )
    with world.store.journal.together():
        world.store.chats.put(chat)
        world.store.messages.put(message)
    world.remember(message)
    world.postman.follow(message)
    return message
