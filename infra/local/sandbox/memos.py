"""`POST /v3/chats/{chat_id}/voicememo`, from the request to what will happen to the message."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from .answers import DroppedConnection, authorise, error_response, trace_id_of, world_of
from .codes import ApiError
from .faults import Fault
from .model import Chat, Media, Message, Oddities, Post, Step
from .wire import Json, voice_memo_json
from .world import World

_GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
REORDERED_BY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One POST on its way. number: which it is in its chat, from 1."""

    world: World
    request: Request
    post: Post
    number: int


async def send_voicememo(request: Request) -> Response:
    """Counts the POST first, whatever comes of it, and last writes down what came of it."""
    world = world_of(request)
    raw = await request.body()
    post = Post(id=str(uuid.uuid4()), chat_id=_normal(request.path_params["chat_id"]), at=time.time(), source=None)
    try:
        body = _parsed(raw)
    except ApiError as error:
        world.count_post(post)
        return _refused(world, request, post, error)
    post = replace(post, source=_source(body), override_optout=body.get("override_optout") is True)
    number = world.count_post(post)
    try:
        authorise(request)
        return await _answer(_Call(world=world, request=request, post=post, number=number), body)
    except ApiError as error:
        return _refused(world, request, post, error)


async def _answer(call: _Call, body: Json) -> Response:
    world, post = call.world, call.post
    fault = world.faults.before(post.chat_id, call.number)
    if fault is not None:
        return _stopped(world, post, fault)
    chat = world.chat(post.chat_id)
    source = _one_source(body)
    if not post.override_optout:
        world.check_opt_out(chat)
    world.check_line()
    world.check_rate(chat)
    media = await _media(world, source)
    # Other POSTs ran while this one fetched: only now the place in the window is really taken.
    world.check_rate(chat)
    return await _take(call, chat, media)


async def _take(call: _Call, chat: Chat, media: Media) -> Response:
    """From here on the memo is on its way, whatever the client gets to see."""
    world, post = call.world, call.post
    faults = world.faults.after(post.chat_id, call.number)
    now = time.time()
    message = Message(
        id=str(uuid.uuid4()),
        chat_id=chat.id,
        created_at=now,
        updated_at=now,
        trace_id=trace_id_of(call.request),
        service=chat.service,
        media=media,
        source=post.source,
        steps=planned_steps(chat.service, now, world.config.delivery_delay_s, faults),
        oddities=planned_oddities(now, faults),
    )
    with world.store.journal.together():
        world.store.messages.put(message)
        world.store.posts.put(replace(post, outcome="taken"))
    world.remember(message)
    world.postman.follow(message)
    if slow := faults.get("slow"):
        await asyncio.sleep(slow.seconds)
    return _told(call.request, faults, voice_memo_json(chat, message, media, world.cdn))


def planned_steps(service: str, now: float, delay_s: float, faults: Mapping[str, Fault]) -> tuple[Step, ...]:
    """What will happen to a message taken now. SMS never tells of a delivery."""
    late_s = faults["webhook-late"].seconds if "webhook-late" in faults else 0.0
    if failing := faults.get("message-failed"):
        steps = [Step(event_type="message.failed", due=now + delay_s / 2, event_after_s=late_s)]
        if failing.delivered_after_s is not None:
            due = steps[0].due + failing.delivered_after_s
            steps.append(Step(event_type="message.delivered", due=due, event_after_s=late_s))
        return tuple(steps)
    reordered_s = delay_s / 2 + REORDERED_BY_S if "webhook-reordered" in faults else 0.0
    sent = Step(event_type="message.sent", due=now + delay_s / 2, event_after_s=late_s + reordered_s)
    if service == "SMS":
        return (sent,)
    return (sent, Step(event_type="message.delivered", due=now + delay_s, event_after_s=late_s))


def planned_oddities(now: float, faults: Mapping[str, Fault]) -> Oddities:
    """How the message will differ from an ordinary one."""
    failing = faults.get("message-failed")
    copies = 0 if "webhook-never" in faults else 2 if "webhook-doubled" in faults else 1
    return Oddities(
        visible_at=now + faults["lagging-list"].seconds if "lagging-list" in faults else 0.0,
        without_parts="list-without-parts" in faults,
        list_filename=faults["renamed-file"].filename if "renamed-file" in faults else None,
        webhook_copies=copies,
        failed_code=(failing.code if failing else None) or 4001,
        failed_with_ids=failing.with_ids if failing else True,
    )


def _stopped(world: World, post: Post, fault: Fault) -> Response:
    """The answer of a fault that keeps the memo from being taken."""
    if fault.kind == "reset-before":
        world.store.posts.put(replace(post, outcome="dropped"))
        return DroppedConnection(reset=True)
    if fault.kind == "gateway-html":
        world.store.posts.put(replace(post, outcome="html"))
        return HTMLResponse(_GATEWAY_PAGE, 502)
    if fault.kind == "rate-limited":
        raise ApiError(1007, retry_after_s=round(fault.seconds))
    raise ApiError(fault.code or 5002)


def _told(request: Request, faults: Mapping[str, Fault], answer: dict[str, object]) -> Response:
    """The answer to a memo that was taken, as the faults let it through."""
    if "answer-lost" in faults:
        return DroppedConnection(reset=False)
    if "gateway-html" in faults:
        return HTMLResponse(_GATEWAY_PAGE, 502)
    if after := faults.get("error-after"):
        return error_response(request, ApiError(after.code or 3001))
    if "no-id" in faults:
        inner = cast(Json, answer["voice_memo"])
        return JSONResponse({"voice_memo": {key: value for key, value in inner.items() if key != "id"}}, 202)
    return JSONResponse(answer, 202)


def _refused(world: World, request: Request, post: Post, error: ApiError) -> Response:
    world.store.posts.put(replace(post, outcome=f"{error.status}/{error.code}"))
    return error_response(request, error)


async def _media(world: World, source: tuple[str, str]) -> Media:
    kind, value = source
    if kind == "attachment_id":
        return _attached(world, value)
    fetched = await world.fetcher.fetch(value)
    return Media(
        id=str(uuid.uuid4()),
        filename=fetched.filename,
        mime_type=fetched.format.mime_types[0],
        size_bytes=fetched.size_bytes,
        sha256=fetched.sha256,
    )


def _attached(world: World, attachment_id: str) -> Media:
    attachment = world.store.attachments.get(attachment_id)
    if attachment is None:
        raise ApiError(2003)
    if attachment.sha256 is None:
        raise ApiError(2007)
    if attachment.extension is None:
        raise ApiError(5004)
    return Media(
        id=attachment.id,
        filename=attachment.filename,
        mime_type=attachment.content_type,
        size_bytes=attachment.size_bytes,
        sha256=attachment.sha256,
    )


def _parsed(raw: bytes) -> Json:
    try:
        body = json.loads(raw)
    except ValueError:
        raise ApiError(1003) from None
    if not isinstance(body, dict):
        raise ApiError(1003, "The request body must be a JSON object")
    return body


def _one_source(body: Json) -> tuple[str, str]:
    given = [(name, body[name]) for name in ("voice_memo_url", "attachment_id") if body.get(name) is not None]
    if len(given) != 1:
        raise ApiError(1005, "Give exactly one of voice_memo_url and attachment_id")
    name, value = given[0]
    if not isinstance(value, str):
        raise ApiError(1005, f"{name} must be a string")
    return name, value


def _source(body: Json) -> str | None:
    if isinstance(url := body.get("voice_memo_url"), str):
        return url
    if isinstance(attachment_id := body.get("attachment_id"), str):
        return f"attachment:{attachment_id}"
    return None


def _normal(chat_id: str) -> str:
    try:
        return str(uuid.UUID(chat_id))
    except ValueError:
        return chat_id
