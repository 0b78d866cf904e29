"""Every fault that can be asked for, as the official SDK meets it, and what the sandbox has counted afterwards."""

from __future__ import annotations

import time
import uuid

import httpx
import linq
import pytest

from infra.local.sandbox.companions import MemoServer, WebhookReceiver, until
from infra.local.sandbox.faults import Fault, FaultBook
from infra.local.sandbox.pytest_plugin import LinqSandbox

pytest_plugins = ("infra.local.sandbox.pytest_plugin",)


def new_chat() -> str:
    """A fresh chat id."""
    return str(uuid.uuid4())


def messages_in(sandbox: LinqSandbox, chat_id: str) -> int:
    """How many messages the sandbox has taken in this chat."""
    return len(sandbox.state()["messages"]["by_chat"].get(chat_id, []))


@pytest.mark.parametrize(
    ("kind", "cause", "taken"),
    [("answer-lost", httpx.RemoteProtocolError, 1), ("reset-before", httpx.ReadError, 0)],
)
def test_connections_that_end(
    linq_sandbox: LinqSandbox, linq_memos: MemoServer, kind: str, cause: type[Exception], taken: int
) -> None:
    """The client sees a broken connection both when the memo was taken and when it was not."""
    chat_id = new_chat()
    linq_sandbox.inject(kind, count=1)
    with pytest.raises(linq.APIConnectionError) as caught:
        linq_sandbox.client().chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host())
    assert isinstance(caught.value.__cause__, cause)
    assert (linq_sandbox.post_count(chat_id), messages_in(linq_sandbox, chat_id)) == (1, taken)


def test_the_sdks_own_retries_send_one_memo_three_times(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """With the SDK's default of two retries one call whose answers are lost leaves three messages behind."""
    chat_id = new_chat()
    linq_sandbox.inject("answer-lost")
    with pytest.raises(linq.APIConnectionError):
        linq_sandbox.client(max_retries=2).chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host())
    assert (linq_sandbox.post_count(chat_id), messages_in(linq_sandbox, chat_id)) == (3, 3)


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("error-before", None, 500),
        ("error-before", 2027, 403),
        ("error-before", 2009, 409),
        ("error-before", 4004, 503),
        ("error-before", 4005, 422),
        ("error-after", None, 500),
        ("error-after", 3005, 504),
    ],
)
def test_errors_with_the_envelope(
    linq_sandbox: LinqSandbox, linq_memos: MemoServer, kind: str, code: int | None, status: int
) -> None:
    """Any code of the table can be asked for, before or after the memo is taken; its status comes from the table."""
    chat_id = new_chat()
    linq_sandbox.inject(kind, code=code)
    with pytest.raises(linq.APIStatusError) as caught:
        linq_sandbox.client().chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host())
    assert caught.value.status_code == status
    assert caught.value.code == (code or {"error-before": 5002, "error-after": 3001}[kind])
    assert linq_sandbox.post_count(chat_id) == 1
    assert messages_in(linq_sandbox, chat_id) == int(kind == "error-after")


@pytest.mark.parametrize(("when", "taken"), [("before", 0), ("after", 1)])
def test_a_gateways_page(linq_sandbox: LinqSandbox, linq_memos: MemoServer, when: str, taken: int) -> None:
    """A gateway's 502 is HTML, has no envelope and no trace id, and says nothing about the memo."""
    chat_id = new_chat()
    linq_sandbox.inject("gateway-html", when=when)
    with pytest.raises(linq.InternalServerError) as caught:
        linq_sandbox.client().chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host())
    assert caught.value.status_code == 502 and caught.value.code is None
    assert "x-trace-id" not in caught.value.response.headers
    assert messages_in(linq_sandbox, chat_id) == taken


@pytest.mark.parametrize("seconds", [1, 90, 3600])
def test_rate_limited(linq_sandbox: LinqSandbox, linq_memos: MemoServer, seconds: int) -> None:
    """429 names the wait that was asked for, and nothing is taken."""
    chat_id = new_chat()
    linq_sandbox.inject("rate-limited", seconds=seconds, count=1)
    with pytest.raises(linq.RateLimitError) as caught:
        linq_sandbox.client().chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host())
    assert caught.value.retry_after == seconds
    assert caught.value.response.headers["retry-after"] == str(seconds)
    assert messages_in(linq_sandbox, chat_id) == 0


def test_a_slow_answer(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """The memo is taken at once; a client that does not wait for the answer cannot know."""
    chat_id = new_chat()
    linq_sandbox.inject("slow", seconds=2)
    with pytest.raises(linq.APITimeoutError):
        linq_sandbox.client().chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host(), timeout=0.5)
    assert messages_in(linq_sandbox, chat_id) == 1


def test_an_answer_without_an_id(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """The SDK, as it comes, raises nothing for a 202 that names no message."""
    chat_id = new_chat()
    linq_sandbox.inject("no-id")
    client = linq_sandbox.client(_strict_response_validation=False)
    memo = client.chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host()).voice_memo
    assert getattr(memo, "id", None) is None
    assert messages_in(linq_sandbox, chat_id) == 1


def test_a_list_that_lags(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """A message that was taken shows in the list only after the seconds asked for; by id it is there at once."""
    client, chat_id = linq_sandbox.client(), new_chat()
    linq_sandbox.inject("lagging-list", seconds=0.6)
    memo = client.chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host()).voice_memo
    assert client.messages.retrieve(memo.id).id == memo.id
    assert list(client.chats.messages.list(chat_id)) == []
    until(lambda: [message.id for message in client.chats.messages.list(chat_id)] == [memo.id])
    assert time.time() >= memo.created_at.timestamp() + 0.6


def test_lists_that_tell_less(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """A listed message can lack its parts, or name its file otherwise than the URL did."""
    client, bare, renamed = linq_sandbox.client(), new_chat(), new_chat()
    linq_sandbox.inject("list-without-parts", chat_id=bare)
    linq_sandbox.inject("renamed-file", chat_id=renamed, filename="Audio Message.caf")
    for chat_id in (bare, renamed):
        client.chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host())
    [without] = client.chats.messages.list(bare)
    [other] = client.chats.messages.list(renamed)
    assert without.parts == []
    assert other.parts and other.parts[0].type == "media" and other.parts[0].filename == "Audio Message.caf"


def test_a_fault_keeps_to_its_chat_and_count(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """chat_id and count bound a fault; clear takes back what is left; the state tells what fired."""
    client, here, there, url = linq_sandbox.client(), new_chat(), new_chat(), linq_memos.host()
    linq_sandbox.inject("error-before", chat_id=here, count=2)
    client.chats.send_voicememo(there, voice_memo_url=url)
    for _ in range(2):
        with pytest.raises(linq.InternalServerError):
            client.chats.send_voicememo(here, voice_memo_url=url)
    client.chats.send_voicememo(here, voice_memo_url=url)
    assert linq_sandbox.state()["faults"]["fired"] == {"error-before": 2}
    linq_sandbox.inject("reset-before")
    linq_sandbox.clear()
    client.chats.send_voicememo(here, voice_memo_url=url)
    assert linq_sandbox.post_count(here) == 4


def test_probability_follows_the_seed(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """The same seed and chats meet the same faults again; another seed meets others."""
    chats = [new_chat() for _ in range(2)]

    def outcomes(seed: int) -> list[bool]:
        linq_sandbox.reset()
        linq_sandbox.inject("error-before", seed=seed, probability=0.5, code=3001)
        client, url = linq_sandbox.client(), linq_memos.host()
        return [_fails(client, chat, url) for chat in chats for _ in range(6)]

    first = outcomes(7)
    assert first == outcomes(7)
    assert first != outcomes(8)


def test_the_choice_does_not_depend_on_the_order_of_chats() -> None:
    """Two chats that take turns in another order meet the same faults, each for itself."""
    fault = Fault(kind="error-before", probability=0.4)
    orders = ([("a", n) for n in range(20)] + [("b", n) for n in range(20)], [(c, n) for n in range(20) for c in "ba"])
    met = []
    for order in orders:
        book = FaultBook(3)
        book.add([fault])
        met.append({turn: book.before(*turn) is not None for turn in order})
    assert met[0] == met[1]
    assert 0 < sum(met[0].values()) < 40


@pytest.mark.parametrize(
    "wish", [{"kind": "no-such"}, {"kind": "error-before", "code": 9}, {"kind": "slow", "count": 0}]
)
def test_wishes_that_make_no_sense(linq_sandbox: LinqSandbox, wish: dict[str, object]) -> None:
    """They are refused, and none of them is kept."""
    with pytest.raises(ValueError, match="validation error"):
        linq_sandbox.inject(**wish)  # type: ignore[arg-type]
    assert linq_sandbox.state()["faults"]["open"] == []


def _fails(client: linq.LinqAPIV3, chat_id: str, url: str) -> bool:
    try:
        client.chats.send_voicememo(chat_id, voice_memo_url=url)
    except linq.InternalServerError:
        return True
    return False


def test_a_failed_message(
    linq_sandbox: LinqSandbox,
    linq_memos: MemoServer,
    linq_webhooks: WebhookReceiver,
) -> None:
    """message.failed comes instead of message.sent, and message.delivered may follow it."""
    client, chat_id = linq_sandbox.client(), new_chat()
    subscribed = ["message.sent", "message.delivered", "message.failed"]
    client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=subscribed)  # type: ignore[arg-type]
    linq_sandbox.inject("message-failed", code=3007, delivered_after_s=0.3)
    memo = client.chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host()).voice_memo
    until(lambda: client.messages.retrieve(memo.id).delivery_status == "failed")
    until(lambda: client.messages.retrieve(memo.id).delivery_status == "delivered")
    kinds = [webhook.headers["x-webhook-event"] for webhook in linq_webhooks.wait_for(2)]
    assert kinds == ["message.failed", "message.delivered"]
