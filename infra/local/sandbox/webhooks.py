"""What happens to a message after it was taken, and the signed webhooks that tell of it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import httpx
from standardwebhooks import Webhook

from .model import Delivery, DeliveryStatus, Message, Step, Subscription
from .store import Store
from .wire import NEW_VERSION, OLD_VERSION, event_json

ANSWER_WITHIN_S = 10.0
RETRY_FOR_S = 1800.0
LONGEST_WAIT_S = 300.0
EventOf = Callable[[str], Mapping[str, object]]
"""An event in the payload version that is named."""
_STATUS: dict[str, DeliveryStatus] = {
    "message.sent": "sent",
    "message.delivered": "delivered",
    "message.failed": "failed",
}


class Postman:
    """Carries out the steps of messages and delivers webhooks; every wait is a task of its own."""

    def __init__(self, store: Store, *, cdn: str, first_retry_s: float, context: ssl.SSLContext) -> None:
        self._store, self._cdn, self._first_retry_s = store, cdn, first_retry_s
        limits = httpx.Limits(max_connections=64)
        timeout = httpx.Timeout(ANSWER_WITHIN_S, pool=None)
        self._client = httpx.AsyncClient(verify=context, trust_env=False, limits=limits, timeout=timeout)
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Goes on with everything that an earlier run left open."""
        for message in list(self._store.messages.all()):
            if message.steps:
                self.follow(message)
        for delivery in list(self._store.deliveries.all()):
            if delivery.outcome == "pending":
                self._start(self._deliver(delivery))

    def follow(self, message: Message) -> None:
        """Carries out the message's steps, each when it is due."""
        self._start(self._walk(message.id))

    def cancel_all(self) -> None:
        """Stops everything that waits; what was persisted is for the next run."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        self.cancel_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _walk(self, message_id: str) -> None:
        while (message := self._store.messages.get(message_id)) and message.steps:
            step = message.steps[0]
            await asyncio.sleep(max(0.0, step.due - time.time()))
            self._take_step(message_id, step)

    def _take_step(self, message_id: str, step: Step) -> None:
        """Changes the message and writes the webhooks down, both or neither; then lets them go."""
        message = self._store.messages.get(message_id)
        chat = self._store.chats.get(message.chat_id) if message else None
        if message is None or chat is None:
            return
        message = advanced(message, step)
        with self._store.journal.together():
            self._store.messages.put(message)
            deliveries = self._letters(
                step.event_type,
                chat.line,
                lambda version: event_json(message, chat, step, version, self._cdn),
                due=step.due + step.event_after_s,
                copies=message.oddities.webhook_copies,
            )
        for delivery in deliveries:
            self._start(self._deliver(delivery))

    def announce(self, event_type: str, line: str, event_of: EventOf) -> int:
        """Tells all who want to hear of something on a line; the answer is how many these are."""
        with self._store.journal.together():
            deliveries = self._letters(event_type, line, event_of, due=time.time(), copies=1)
        for delivery in deliveries:
            self._start(self._deliver(delivery))
        return len(deliveries)

    def _letters(self, event_type: str, line: str, event_of: EventOf, *, due: float, copies: int) -> list[Delivery]:
        """The webhooks of one event, written down."""
        return [
            self._store.deliveries.put(letter(subscription, event_type, event_of, due))
            for subscription in list(self._store.subscriptions.all())
            if wants(subscription, event_type, line)
            for _ in range(copies)
        ]

    async def _deliver(self, delivery: Delivery) -> None:
        while delivery.outcome == "pending":
            await asyncio.sleep(max(0.0, delivery.due - time.time()))
            subscription = self._store.subscriptions.get(delivery.subscription_id)
            if subscription is None or not subscription.is_active:
                self._store.deliveries.delete(delivery.id)
                return
            # The try is on record before it is made, so that a count never says less than the receiver saw.
            started = time.time()
            delivery = replace(
                delivery, tries=delivery.tries + 1, first_tried_at=delivery.first_tried_at or started, due=started
            )
            self._store.deliveries.put(delivery)
            status = await self._send(delivery, subscription)
            delivery = self._store.deliveries.put(after_try(delivery, status, time.time(), self._first_retry_s))

    async def _send(self, delivery: Delivery, subscription: Subscription) -> int | None:
        """The answer's status, or None when there was none."""
        headers = signed_headers(delivery, subscription, datetime.now(UTC))
        content = delivery.body.encode()
        try:
            answer = await self._client.post(subscription.target_url, content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return None
        return answer.status_code


def advanced(message: Message, step: Step) -> Message:
    """The message once the step is taken."""
    rest = message.steps[1:]
    return replace(
        message,
        steps=rest,
        status=_STATUS[step.event_type],
        updated_at=step.due,
        sent_at=step.due if step.event_type == "message.sent" else message.sent_at or _if_delivered(step),
        delivered_at=step.due if step.event_type == "message.delivered" else message.delivered_at,
    )


def _if_delivered(step: Step) -> float | None:
    return step.due if step.event_type == "message.delivered" else None


def letter(subscription: Subscription, event_type: str, event_of: EventOf, due: float) -> Delivery:
    """A webhook to one subscription, in the payload version that it asked for."""
    event = event_of(payload_version(subscription.target_url))
    return Delivery(
        id=str(uuid.uuid4()),
        subscription_id=subscription.id,
        event_id=str(event["event_id"]),
        event_type=event_type,
        body=json.dumps(event, separators=(",", ":")),
        due=due,
    )


def wants(subscription: Subscription, event_type: str, line: str) -> bool:
    """True when the subscription is to hear of this event on this line."""
    about_line = not subscription.phone_numbers or line in subscription.phone_numbers
    return subscription.is_active and event_type in subscription.events and about_line


def payload_version(target_url: str) -> str:
    """The version that the target's `?version=` asks for."""
    asked = parse_qs(urlsplit(target_url).query).get("version", [NEW_VERSION])[-1]
    return asked if asked in {OLD_VERSION, NEW_VERSION} else NEW_VERSION


def signed_headers(delivery: Delivery, subscription: Subscription, now: datetime) -> dict[str, str]:
    """Standard Webhooks headers and the deprecated ones beside them; each try is signed anew with the present time."""
    timestamp = str(int(now.timestamp()))
    legacy = hmac.new(subscription.secret.encode(), f"{timestamp}.{delivery.body}".encode(), hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "User-Agent": "linq-sandbox",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": Webhook(subscription.secret).sign(delivery.event_id, now, delivery.body),
        "X-Webhook-Event": delivery.event_type,
        "X-Webhook-Subscription-ID": subscription.id,
        "X-Webhook-Timestamp": timestamp,
        "X-Webhook-Signature": legacy.hexdigest(),
    }


def after_try(delivery: Delivery, status: int | None, now: float, first_retry_s: float) -> Delivery:
    """2xx ends it well; 5xx, 429 and silence are tried again for 30 minutes, ever more slowly; the rest ends it."""
    if status is not None and 200 <= status < 300:
        return _ended(delivery, "answered")
    if status is not None and status < 500 and status != 429:
        return _ended(delivery, "refused")
    due = now + min(first_retry_s * 2 ** (delivery.tries - 1), LONGEST_WAIT_S)
    first = now if delivery.first_tried_at is None else delivery.first_tried_at
    if due > first + RETRY_FOR_S:
        return _ended(delivery, "given-up")
    return replace(delivery, due=due)


def _ended(delivery: Delivery, outcome: Literal["answered", "refused", "given-up"]) -> Delivery:
    return replace(delivery, outcome=outcome, body="")
