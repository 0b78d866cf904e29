"""The sandbox's webhooks: signed so that the SDK accepts them, retried as documented, odd when asked to be."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any, cast

import linq
import pytest
from linq.types import MessageDeliveredWebhookEvent, MessageFailedWebhookEvent, MessageSentWebhookEvent
from standardwebhooks import WebhookVerificationError

from infra.local.sandbox.companions import MemoServer, Received, WebhookReceiver, until
from infra.local.sandbox.model import Delivery
from infra.local.sandbox.pytest_plugin import LinqSandbox
from infra.local.sandbox.webhooks import after_try
from pipeline.sending.webhooks import parse

pytest_plugins = ("infra.local.sandbox.pytest_plugin",)

EVENTS: Any = ["message.sent", "message.delivered", "message.failed"]


@pytest.fixture
def client(linq_sandbox: LinqSandbox) -> linq.LinqAPIV3:
    """The SDK, pointed at the sandbox."""
    return linq_sandbox.client()


def send(client: linq.LinqAPIV3, memos: MemoServer, chat_id: str | None = None) -> Any:
    """One memo; the raw answer."""
    url = memos.host()
    return client.chats.with_raw_response.send_voicememo(chat_id or str(uuid.uuid4()), voice_memo_url=url)


def test_sent_then_delivered(client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver) -> None:
    """Both events are signed, name the message, carry the POST's trace id, and gather its times."""
    secret = client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=EVENTS).signing_secret
    answer = send(client, linq_memos)
    memo = answer.parse().voice_memo
    bodies = {}
    for webhook in linq_webhooks.wait_for(2):
        client.webhooks.unwrap(webhook.body, headers=webhook.headers, key=secret)
        bodies[webhook.headers["x-webhook-event"]] = _body(webhook)
    sent = MessageSentWebhookEvent.model_validate(bodies["message.sent"])
    delivered = MessageDeliveredWebhookEvent.model_validate(bodies["message.delivered"])
    assert (sent.event_type, delivered.event_type) == ("message.sent", "message.delivered")
    assert (sent.data.id, delivered.data.id, sent.data.chat.id) == (memo.id, memo.id, memo.chat.id)
    assert {sent.trace_id, delivered.trace_id} == {answer.headers["x-trace-id"]}
    assert sent.data.sent_at and not sent.data.delivered_at
    assert delivered.data.sent_at and delivered.data.delivered_at
    assert sent.webhook_version == "2026-02-03" and sent.event_id != delivered.event_id


def test_the_signature_covers_the_body(
    client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver
) -> None:
    """A changed body or another secret does not pass; the deprecated signature is there too."""
    secret = client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=EVENTS).signing_secret
    send(client, linq_memos)
    webhook = linq_webhooks.wait_for(1)[0]
    for body, key in [(webhook.body + " ", secret), (webhook.body, "whsec_" + "A" * 43 + "=")]:
        with pytest.raises(WebhookVerificationError):
            client.webhooks.unwrap(body, headers=webhook.headers, key=key)
    signed = f"{webhook.headers['x-webhook-timestamp']}.{webhook.body}".encode()
    assert webhook.headers["x-webhook-signature"] == hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert webhook.headers["webhook-id"] == json.loads(webhook.body)["event_id"]


def test_sms_never_tells_of_a_delivery(
    linq_sandbox: LinqSandbox, client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver
) -> None:
    """A chat over SMS ends as sent; an iMessage sent after it has long been delivered by then."""
    client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=EVENTS)
    sms_chat = "00000535" + str(uuid.uuid4())[8:]
    memo = send(client, linq_memos, sms_chat).parse().voice_memo
    send(client, linq_memos)
    kinds = sorted(webhook.headers["x-webhook-event"] for webhook in linq_webhooks.wait_for(3))
    assert kinds == ["message.delivered", "message.sent", "message.sent"]
    assert memo.service == "SMS"
    assert client.messages.retrieve(memo.id).delivery_status == "sent"


@pytest.mark.parametrize("status", [500, 503, 429])
def test_retried_until_it_is_taken(
    client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver, status: int
) -> None:
    """5xx and 429 are tried again with the same id and body, ever more slowly, signed anew each time."""
    only: Any = ["message.sent"]
    secret = client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=only).signing_secret
    linq_webhooks.statuses.extend([status, status, status])
    send(client, linq_memos)
    tries = linq_webhooks.wait_for(4)
    for webhook in tries:
        client.webhooks.unwrap(webhook.body, headers=webhook.headers, key=secret)
    assert len({(webhook.headers["webhook-id"], webhook.body) for webhook in tries}) == 1
    assert tries[3].at - tries[2].at > tries[1].at - tries[0].at


def test_not_retried_after_another_4xx(
    linq_sandbox: LinqSandbox, client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver
) -> None:
    """A 401 loses the event: the next one comes, this one does not come again."""
    client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=EVENTS)
    linq_webhooks.statuses.append(401)
    send(client, linq_memos)
    kinds = {webhook.headers["x-webhook-event"] for webhook in linq_webhooks.wait_for(2)}
    assert kinds == {"message.sent", "message.delivered"}
    until(lambda: linq_sandbox.state()["webhooks"]["pending"] == 0)
    counts = linq_sandbox.state()["webhooks"]
    assert (counts["refused"], counts["answered"], counts["sent"]) == (1, 1, 2)


def tried(first_at: float, tries: int) -> Delivery:
    """A webhook that has been tried so often since then."""
    return Delivery(
        id="d",
        subscription_id="s",
        event_id="e",
        event_type="t",
        body="{}",
        due=0,
        first_tried_at=first_at,
        tries=tries,
    )


def test_waits_double_and_end_after_thirty_minutes() -> None:
    """1, 2, 4 … seconds, at most 300, and given up when the next try would come after 30 minutes."""
    delivery, now, waits = tried(0.0, 1), 0.0, []
    while (after := after_try(delivery, None, now, 1.0)).outcome == "pending":
        waits.append(after.due - now)
        now, delivery = after.due, tried(0.0, delivery.tries + 1)
    assert waits[:5] == [1, 2, 4, 8, 16] and max(waits) == 300
    assert after.outcome == "given-up" and 1500 < now <= 1800


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("webhook-doubled", ["message.sent"] * 2), ("webhook-reordered", ["message.delivered", "message.sent"])],
)
def test_webhooks_doubled_and_reordered(
    linq_sandbox: LinqSandbox, linq_memos: MemoServer, linq_webhooks: WebhookReceiver, kind: str, expected: list[str]
) -> None:
    """Copies carry the same event id; a reordered pair comes the wrong way round."""
    client = linq_sandbox.client()
    wanted: Any = sorted(set(expected))
    client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=wanted)
    linq_sandbox.inject(kind)
    send(client, linq_memos)
    webhooks = linq_webhooks.wait_for(len(expected))
    assert [webhook.headers["x-webhook-event"] for webhook in webhooks] == expected
    assert len({webhook.headers["webhook-id"] for webhook in webhooks}) == len(wanted)


def test_webhooks_late_and_never(
    linq_sandbox: LinqSandbox, client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver
) -> None:
    """Late ones come after their wait; of a message without webhooks nothing comes, although it is delivered."""
    client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=EVENTS)
    silent_chat, late_chat = str(uuid.uuid4()), str(uuid.uuid4())
    linq_sandbox.inject("webhook-never", chat_id=silent_chat)
    linq_sandbox.inject("webhook-late", chat_id=late_chat, seconds=0.5)
    silent = send(client, linq_memos, silent_chat).parse().voice_memo
    late = send(client, linq_memos, late_chat).parse().voice_memo
    webhooks = linq_webhooks.wait_for(2)
    assert {json.loads(webhook.body)["data"]["id"] for webhook in webhooks} == {late.id}
    assert webhooks[0].at - late.created_at.timestamp() >= 0.5
    assert client.messages.retrieve(silent.id).delivery_status == "delivered"


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_failure_may_lack_its_ids(
    linq_sandbox: LinqSandbox,
    client: linq.LinqAPIV3,
    linq_memos: MemoServer,
    linq_webhooks: WebhookReceiver,
    with_ids: bool,
) -> None:
    """message.failed has a shape of its own; without ids only the trace id leads back to the POST."""
    client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=EVENTS)
    linq_sandbox.inject("message-failed", code=4005, with_ids=with_ids)
    answer = send(client, linq_memos)
    event = MessageFailedWebhookEvent.model_validate(json.loads(linq_webhooks.wait_for(1)[0].body))
    assert event.data.code == 4005
    assert event.data.message_id == (answer.parse().voice_memo.id if with_ids else None)
    assert event.trace_id == answer.headers["x-trace-id"]


def test_the_target_url_chooses_the_version(
    client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver
) -> None:
    """Two subscriptions to one receiver get the payload version that their URL asks for."""
    only: Any = ["message.sent"]
    for version in ("2025-01-01", "2026-02-03"):
        target = f"{linq_webhooks.url}?version={version}"
        client.webhook_subscriptions.create(target_url=target, subscribed_events=only)
    memo = send(client, linq_memos).parse().voice_memo
    bodies = {body["webhook_version"]: body["data"] for body in map(_body, linq_webhooks.wait_for(2))}
    assert bodies["2025-01-01"]["message"]["id"] == bodies["2026-02-03"]["id"] == memo.id


def test_the_life_of_a_subscription(
    client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver
) -> None:
    """The secret is shown once; URLs are unique; filters, switching off and deleting keep events away."""
    hooks, url = client.webhook_subscriptions, linq_webhooks.url
    made = hooks.create(target_url=url, subscribed_events=EVENTS, phone_numbers=["+12025550100"])
    with pytest.raises(linq.ConflictError):
        hooks.create(target_url=url, subscribed_events=EVENTS)
    for bad in ("http://example.com/hook", "nothing"):
        with pytest.raises(linq.BadRequestError):
            hooks.create(target_url=bad, subscribed_events=EVENTS)
    assert made.signing_secret.startswith("whsec_")
    assert made.signing_secret not in hooks.with_raw_response.list().text()
    hooks.create(target_url=url + "?other-line", subscribed_events=EVENTS, phone_numbers=["+12025550199"])
    off = hooks.create(target_url=url + "?off", subscribed_events=EVENTS)
    assert hooks.update(off.id, is_active=False).is_active is False
    send(client, linq_memos)
    assert {webhook.headers["x-webhook-subscription-id"] for webhook in linq_webhooks.wait_for(2)} == {made.id}
    hooks.delete(made.id)
    with pytest.raises(linq.NotFoundError):
        hooks.retrieve(made.id)


def _body(webhook: Received) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(webhook.body))


@pytest.mark.parametrize("version", ["2025-01-01", "2026-02-03"])
def test_what_they_write_opts_out_and_in(
    linq_sandbox: LinqSandbox, client: linq.LinqAPIV3, linq_webhooks: WebhookReceiver, version: str
) -> None:
    """The keyword blocks, the next message lifts it; both are told, and Memoline's parser reads them."""
    chat_id = str(uuid.uuid4())
    client.webhook_subscriptions.create(
        target_url=f"{linq_webhooks.url}?version={version}", subscribed_events=["message.received"]
    )
    assert linq_sandbox.write(chat_id, "STOP")["webhooks"] == 1
    with pytest.raises(linq.PermissionDeniedError):
        client.chats.send_voicememo(chat_id, voice_memo_url="https://127.0.0.1/x.m4a")
    assert linq_sandbox.write(chat_id, "hello")["opted_out"] is False
    events = [parse(one.body.encode()) for one in linq_webhooks.wait_for(2)]
    assert {(event.status, event.chat_id) for event in events if event} == {("opted-out", chat_id), ("wrote", chat_id)}


def test_a_flagged_line_sends_nothing(
    linq_sandbox: LinqSandbox, client: linq.LinqAPIV3, linq_memos: MemoServer, linq_webhooks: WebhookReceiver
) -> None:
    """403/2027 until it is active again; both are told."""
    events: Any = ["phone_number.status_updated"]
    client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=events)
    linq_sandbox.line("FLAGGED")
    with pytest.raises(linq.PermissionDeniedError) as caught:
        send(client, linq_memos)
    assert cast(Any, caught.value).code == 2027
    linq_sandbox.line("ACTIVE")
    send(client, linq_memos)
    told = [parse(one.body.encode()) for one in linq_webhooks.wait_for(2)]
    assert {(event.status, event.line) for event in told if event} == {
        ("line-flagged", "+12025550100"),
        ("line-active", "+12025550100"),
    }
    with pytest.raises(ValueError, match="FLAGGED"):
        linq_sandbox.line("SLEEPY")
