"""`/v3/webhook-subscriptions` and `/v3/webhook-events`."""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .answers import json_object, world_of
from .codes import ApiError
from .config import is_loopback
from .event_types import EVENT_TYPES
from .model import Subscription
from .wire import DOCS, subscription_json
from .world import World

CONFLICT = 2015


async def create_subscription(request: Request) -> Response:
    """`POST`: the signing secret is in this answer and in no other."""
    world = world_of(request)
    body = await json_object(request)
    for name in ("target_url", "subscribed_events"):
        if name not in body:
            raise ApiError(1001, f"{name} is required")
    now = time.time()
    blank = Subscription(
        id=str(uuid.uuid4()),
        target_url="",
        events=(),
        secret="whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        created_at=now,
        updated_at=now,
    )
    subscription = _changed(world, blank, body)
    world.store.subscriptions.put(subscription)
    return JSONResponse(subscription_json(subscription) | {"signing_secret": subscription.secret}, 201)


async def list_subscriptions(request: Request) -> Response:
    """`GET` without an id."""
    subscriptions = world_of(request).store.subscriptions.all()
    return JSONResponse({"subscriptions": [subscription_json(subscription) for subscription in subscriptions]})


async def get_subscription(request: Request) -> Response:
    """`GET` of one."""
    return JSONResponse(subscription_json(_named(request)))


async def update_subscription(request: Request) -> Response:
    """`PUT`: only the fields that are given change."""
    world = world_of(request)
    changed = _changed(world, _named(request), await json_object(request))
    world.store.subscriptions.put(changed)
    return JSONResponse(subscription_json(changed))


async def delete_subscription(request: Request) -> Response:
    """`DELETE`: what has not been delivered yet is dropped."""
    world_of(request).store.subscriptions.delete(_named(request).id)
    return Response(status_code=204)


async def list_event_types(_request: Request) -> Response:
    """`GET /v3/webhook-events`."""
    return JSONResponse({"doc_url": f"{DOCS}/webhooks/events", "events": list(EVENT_TYPES)})


def _named(request: Request) -> Subscription:
    subscription = world_of(request).store.subscriptions.get(request.path_params["subscription_id"])
    if subscription is None:
        raise ApiError(2001, "Webhook subscription not found")
    return subscription


def _changed(world: World, subscription: Subscription, body: dict[str, Any]) -> Subscription:
    """The subscription with the body's fields. Raises ApiError 1005 or 2015."""
    changes: dict[str, Any] = {"updated_at": time.time()}
    if "target_url" in body:
        changes["target_url"] = _target(world, subscription, body["target_url"])
    if "subscribed_events" in body:
        changes["events"] = _events(body["subscribed_events"])
    if "phone_numbers" in body:
        changes["phone_numbers"] = _texts("phone_numbers", body["phone_numbers"] or [])
    if "is_active" in body:
        changes["is_active"] = body["is_active"] is True
    for header in ("routing_key_header", "routing_id_header"):
        if header in body:
            changes[header] = body[header]
    return replace(subscription, **changes)


def _target(world: World, subscription: Subscription, url: object) -> str:
    parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ApiError(1005, "target_url must be HTTPS (http is allowed for loopback)")
    for other in world.store.subscriptions.all():
        if other.target_url == url and other.id != subscription.id:
            raise ApiError(CONFLICT, "A subscription with this target_url exists")
    return str(url)


def _events(events: object) -> tuple[str, ...]:
    names = _texts("subscribed_events", events)
    unknown = [name for name in names if name not in EVENT_TYPES]
    if unknown or not names:
        raise ApiError(1005, f"subscribed_events must be known event types, not {unknown}")
    return names


def _texts(name: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ApiError(1005, f"{name} must be a list of strings")
    return tuple(values)
