"""`/_sandbox/…`: faults, counts, chats as a test wants them. No token: the sandbox is reachable on loopback only."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import asdict, replace

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .answers import json_object, world_of
from .codes import ApiError
from .faults import Fault
from .model import Chat, Message
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
