"""`/_sandbox/…`: faults, counts, chats as a test wants them. No token: the sandbox is reachable on loopback only."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import asdict, replace
from functools import partial

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.sending.optout import is_opt_out

from .answers import json_object, world_of
from .codes import ApiError
from .faults import Fault
from .model import LINE, Chat, LineStatus, Message
from .wire import is_group, line_json, received_json
from .world import World, newcomer

_FAULTS = TypeAdapter(list[Fault])
_CHAT = TypeAdapter(Chat)


async def healthz(request: Request) -> Response:
    """200 as soon as requests are served."""
    return JSONResponse({"status": "ok", "base_url": world_of(request).base_url})


async def add_faults(request: Request) -> Response:
    """`POST /_sandbox/faults` with `{"seed": 7, "faults": [{"kind": …}]}`: added to those that are open."""
    try:
        body = await json_object(request)
        faults = _FAULTS.validate_python(body.get("faults", []), strict=False)
        seed = TypeAdapter(int | None).validate_python(body.get("seed"))
    except (ApiError, ValidationError) as error:
        return JSONResponse({"error": str(error)}, 400)
    world_of(request).faults.add(faults, seed)
    return await show_faults(request)


async def clear_faults(request: Request) -> Response:
    """`DELETE /_sandbox/faults`."""
    world_of(request).faults.clear()
    return await show_faults(request)


async def show_faults(request: Request) -> Response:
    """`GET /_sandbox/faults`."""
    return JSONResponse(_faults(world_of(request)))


async def put_chat(request: Request) -> Response:
    """`PUT /_sandbox/chats/{chat_id}` with any of `handles line service opted_out health`: the chat is so from now."""
    world = world_of(request)
    try:
        chat_id = str(uuid.UUID(request.path_params["chat_id"]))
        known = world.store.chats.get(chat_id) or replace(newcomer(chat_id), created_at=time.time())
        chat = _CHAT.validate_python(asdict(known) | await json_object(request) | {"id": chat_id})
    except (ApiError, ValidationError, ValueError) as error:
        return JSONResponse({"error": str(error)}, 400)
    world.store.chats.put(chat)
    return JSONResponse(asdict(chat))


async def receive(request: Request) -> Response:
    """`POST /_sandbox/chats/{chat_id}/received` with `{"text": "STOP"}`: they write. A keyword opts them out, anything
    else in again; who wants to hear of it does."""
    world = world_of(request)
    try:
        chat = world.chat(request.path_params["chat_id"])
        text = TypeAdapter(str).validate_python((await json_object(request)).get("text"))
    except (ApiError, ValidationError) as error:
        return JSONResponse({"error": str(error)}, 400)
    chat = world.store.chats.put(replace(chat, opted_out=is_opt_out(text) and not is_group(chat)))
    event_of = partial(received_json, chat=chat, text=text, event_id=str(uuid.uuid4()), at=time.time())
    told = world.postman.announce("message.received", chat.line, event_of)
    return JSONResponse(asdict(chat) | {"webhooks": told})


async def set_line(request: Request) -> Response:
    """`PUT /_sandbox/line` with `{"status": "FLAGGED"}` or `ACTIVE`: a flagged line sends nothing (403/2027)."""
    world = world_of(request)
    try:
        status = TypeAdapter(LineStatus).validate_python((await json_object(request)).get("status"))
    except (ApiError, ValidationError) as error:
        return JSONResponse({"error": str(error)}, 400)
    previous, world.line_status = world.line_status, status
    event_of = partial(
        line_json, line=LINE, status=status, previous=previous, event_id=str(uuid.uuid4()), at=time.time()
    )
    told = world.postman.announce("phone_number.status_updated", LINE, event_of)
    return JSONResponse({"phone_number": LINE, "status": status, "webhooks": told})


async def reset(request: Request) -> Response:
    """`POST /_sandbox/reset`: back to the first day; subscriptions go too."""
    world_of(request).reset()
    return JSONResponse({"status": "ok"})


async def no_cdn(_request: Request) -> Response:
    """Media URLs lead here: the sandbox checks and hashes what it is given, but keeps no audio."""
    return JSONResponse({"error": "The sandbox keeps no audio; /_sandbox/state has its sha256."}, 410)


async def state(request: Request) -> Response:
    """`GET /_sandbox/state`: every POST to `voicememo`, every message, every webhook."""
    world = world_of(request)
    return JSONResponse(
        {
            "posts": _posts(world),
            "messages": _messages(world),
            "webhooks": _webhooks(world),
            "subscriptions": len(list(world.store.subscriptions.all())),
            "faults": _faults(world),
        }
    )


async def count(request: Request) -> Response:
    """`GET /_sandbox/count`: how many POSTs to `voicememo` and messages there are. It costs nothing, however many."""
    store = world_of(request).store
    return JSONResponse({"posts": len(store.posts), "messages": len(store.messages)})


def _posts(world: World) -> dict[str, object]:
    posts = list(world.store.posts.all())
    return {
        "total": len(posts),
        "by_chat": Counter(post.chat_id for post in posts),
        "by_url": Counter(post.source for post in posts if post.source),
        "by_outcome": Counter(post.outcome for post in posts),
        "override_optout": sum(post.override_optout for post in posts),
    }


def _messages(world: World) -> dict[str, object]:
    by_chat: dict[str, list[dict[str, object]]] = {}
    for message in world.store.messages.all():
        by_chat.setdefault(message.chat_id, []).append(_message(message))
    return {"total": sum(map(len, by_chat.values())), "by_chat": by_chat}


def _message(message: Message) -> dict[str, object]:
    media = asdict(message.media) if message.media else None
    return {
        "id": message.id,
        "source": message.source,
        "text": message.text,
        "media": media,
        "status": message.status,
        "service": message.service,
        "trace_id": message.trace_id,
        "created_at": message.created_at,
    }


def _webhooks(world: World) -> dict[str, int]:
    """sent: tries made; the others: webhooks by how they ended."""
    deliveries = list(world.store.deliveries.all())
    outcomes = Counter(delivery.outcome for delivery in deliveries)
    counts = {name.replace("-", "_"): outcomes[name] for name in ("pending", "answered", "refused", "given-up")}
    return {"sent": sum(delivery.tries for delivery in deliveries)} | counts


def _faults(world: World) -> dict[str, object]:
    book = world.faults
    return {"seed": book.seed, "open": [asdict(fault) for fault in book.open()], "fired": dict(book.fired)}
