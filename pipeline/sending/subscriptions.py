"""Webhook subscriptions at Linq, and trying out their receiver.

A signing secret is told once, when its subscription is made, and cannot be changed: a rotation makes a second
subscription (`linq.resources.webhook_subscriptions` of the SDK 0.65.0). Target URLs are unique in an account."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol

import httpx

from pipeline.errors import JobFailed
from pipeline.sending.webhooks import sign

PATH = "/v3/webhook-subscriptions"
ROTATION = "rotation"
"""A query parameter by which the target of a new subscription differs from that of the one that it replaces."""
Method = Literal["GET", "POST", "PUT", "DELETE"]
TRY_TIMEOUT_S = 10.0
"""As long as Linq waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What Linq answered. at: its clock, Unix seconds, where it told."""

    body: Mapping[str, Any]
    at: float | None


class Caller(Protocol):
    """Makes one request to Linq's API. Raises PartUnreachable, Misuse, and JobFailed (`linq-refused`)."""

    def call(self, method: Method, path: str, body: Mapping[str, object] | None = None) -> Said: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """One subscription. lines: whose events it gets; empty for those of all."""

    id: str
    target_url: str
    events: tuple[str, ...]
    lines: tuple[str, ...]
    active: bool
    created_at: str


class Subscriptions:
    """The account's subscriptions. Raises as `Caller` does."""

    def __init__(self, linq: Caller) -> None:
        self._linq = linq

    def all(self) -> tuple[Subscription, ...]:
        """All of them, the oldest first."""
        rows = self._linq.call("GET", PATH).body.get("subscriptions")
        found = [_subscription(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return tuple(sorted(found, key=lambda one: one.created_at))

    def event_types(self) -> frozenset[str]:
        """What can be subscribed to."""
        events = self._linq.call("GET", "/v3/webhook-events").body.get("events")
        return frozenset(map(str, events)) if isinstance(events, list) else frozenset()

    def create(self, target_url: str, events: Sequence[str], lines: Sequence[str]) -> tuple[Subscription, str]:
        """A new subscription and its signing secret, which nobody tells again."""
        body: dict[str, object] = {"target_url": target_url, "subscribed_events": list(events)}
        if lines:
            body["phone_numbers"] = list(lines)
        made = self._linq.call("POST", PATH, body).body
        secret = made.get("signing_secret")
        if not isinstance(secret, str) or not made.get("id"):
            raise JobFailed("linq-refused", "Linq made a subscription and told no signing secret: rotate it.")
        return _subscription(made), secret

    def update(self, subscription_id: str, *, events: Sequence[str], lines: Sequence[str]) -> Subscription:
        """Set what a subscription hears of, and of whose lines (none: of all), and switch it on. Returns it so."""
        body = {"subscribed_events": list(events), "phone_numbers": list(lines), "is_active": True}
        return _subscription(self._linq.call("PUT", f"{PATH}/{subscription_id}", body).body)

    def delete(self, subscription_id: str) -> None:
        """Remove a subscription; what it had still to deliver is dropped."""
        self._linq.call("DELETE", f"{PATH}/{subscription_id}")

    def clock(self) -> float | None:
        """What time it is at Linq."""
        return self._linq.call("GET", "/v3/webhook-events").at


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What a receiver answered to a signed test. status: 0 where nobody answered, and then why says why. ours: it
    speaks as Memoline's receiver does. skew_s: how far its clock is ahead of ours, where it told."""

    status: int
    ours: bool = False
    why: str = ""
    skew_s: float | None = None


def try_receiver(target_url: str, secret: str) -> Tried:
    """Send a signed event of a type that nobody acts on, as Linq would send it. Never raises."""
    event_id = f"memoline-check-{uuid.uuid4()}"
    body = json.dumps({"event_type": "memoline.check", "event_id": event_id, "data": {}}).encode()
    begun = time.time()
    headers = sign(body, event_id, secret, at=begun) | {"content-type": "application/json"}
    try:
        with httpx.Client(trust_env=False, follow_redirects=False, timeout=TRY_TIMEOUT_S) as client:
            answer = client.post(target_url, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Tried(status=0, why=f"{type(error).__name__}: {error}".removesuffix(": "))
    said = _said(answer)
    there = date_of(answer.headers.get("date"))
    return Tried(
        status=answer.status_code,
        ours=said.get("ok") is True or said.get("code") in ("bad-signature", "missing-setting"),
        skew_s=None if there is None else there - (begun + time.time()) / 2,
    )


def date_of(header: str | None) -> float | None:
    """Unix seconds of an HTTP date; half a second is added, since it tells whole ones."""
    try:
        return parsedate_to_datetime(header).timestamp() + 0.5 if header else None
    except (ValueError, TypeError, OverflowError):
        return None


def _said(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _subscription(row: Mapping[str, Any]) -> Subscription:
    return Subscription(
        id=str(row.get("id")),
        target_url=str(row.get("target_url") or ""),
        events=_texts(row.get("subscribed_events")),
        lines=_texts(row.get("phone_numbers")),
        active=row.get("is_active") is not False,
        created_at=str(row.get("created_at") or ""),
    )


def _texts(values: object) -> tuple[str, ...]:
    return tuple(map(str, values)) if isinstance(values, list) else ()
