"""The sandbox's answers, as the official SDK reads them with its response types enforced."""

from __future__ import annotations

import json
import re
import uuid

import httpx
import linq
import pytest

from infra.local.sandbox.companions import MemoServer
from infra.local.sandbox.config import SandboxConfig
from infra.local.sandbox.pytest_plugin import LinqSandbox, running_sandbox
from pipeline.errors import Misuse

pytest_plugins = ("infra.local.sandbox.pytest_plugin",)

LINE = "+12025550100"


def new_chat(prefix: str = "") -> str:
    """A fresh chat id, beginning with the given digits."""
    return prefix + str(uuid.uuid4())[len(prefix) :]


def test_a_memo_is_taken_with_both_ids(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """The 202 names the message and the attachment, takes the file name from the URL, and is queued."""
    chat_id = new_chat()
    answer = linq_sandbox.client().chats.with_raw_response.send_voicememo(
        chat_id, voice_memo_url=linq_memos.host("vm-1.m4a")
    )
    memo = answer.parse().voice_memo
    assert answer.status_code == 202
    assert memo.id != memo.voice_memo.id
    assert (memo.status, memo.from_, memo.chat.id, memo.service) == ("queued", LINE, chat_id, "iMessage")
    assert (memo.voice_memo.filename, memo.voice_memo.mime_type) == ("vm-1.m4a", "audio/x-m4a")
    assert len(memo.to) == 1
    assert [handle.is_me for handle in memo.chat.handles] == [True, False]


def test_every_answer_has_a_trace_id(linq_sandbox: LinqSandbox) -> None:
    """X-Trace-ID is 32 hex digits, and an error's body repeats it."""
    client = linq_sandbox.client()
    good = client.chats.with_raw_response.list_chats()
    with pytest.raises(linq.NotFoundError) as caught:
        client.messages.retrieve(str(uuid.uuid4()))
    assert re.fullmatch("[0-9a-f]{32}", good.headers["x-trace-id"])
    assert caught.value.response.json()["trace_id"] == caught.value.response.headers["x-trace-id"]


@pytest.mark.parametrize("key", ["wrong", "sandbox-key-and-more"])
def test_a_wrong_token_is_401_and_counted(linq_sandbox: LinqSandbox, key: str) -> None:
    """401 with 2004; the POST is counted although it was turned away."""
    client = linq_sandbox.client().with_options(api_key=key)
    with pytest.raises(linq.AuthenticationError) as caught:
        client.chats.send_voicememo(new_chat(), voice_memo_url="https://127.0.0.1:1/a.m4a")
    assert (caught.value.status_code, caught.value.code) == (401, 2004)
    assert linq_sandbox.post_count() == 1


def test_the_sdks_default_base_path_works_too(linq_sandbox: LinqSandbox) -> None:
    """The real base URL ends in /api/partner; the sandbox answers under that prefix as well."""
    client = linq_sandbox.client().with_options(base_url=f"{linq_sandbox.base_url}/api/partner")
    assert client.phone_numbers.list().phone_numbers[0].phone_number == LINE


@pytest.mark.parametrize("body", [{}, {"voice_memo_url": "https://127.0.0.1/a.m4a", "attachment_id": new_chat()}])
def test_exactly_one_source(linq_sandbox: LinqSandbox, body: dict[str, str]) -> None:
    """Neither or both of URL and attachment id is 400 with 1005."""
    with pytest.raises(linq.BadRequestError) as caught:
        linq_sandbox.client().chats.send_voicememo(new_chat(), extra_body=body)
    assert caught.value.code == 1005


def test_a_body_that_is_no_json(linq_sandbox: LinqSandbox) -> None:
    """400 with 1003, and the POST is counted."""
    chat_id = new_chat()
    answer = httpx.post(
        f"{linq_sandbox.base_url}/v3/chats/{chat_id}/voicememo",
        content=b"{",
        headers={"Authorization": f"Bearer {linq_sandbox.api_key}"},
    )
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["success"]) == (400, 1003, False)
    assert linq_sandbox.post_count(chat_id) == 1


@pytest.mark.parametrize(
    ("chat_id", "status", "code"),
    ids=["unknown", "opted out", "no uuid"],
    argvalues=[(new_chat("00000404"), 404, 2001), (new_chat("00002024"), 403, 2024), ("no-uuid", 400, 1005)],
)
def test_chats_that_refuse(
    linq_sandbox: LinqSandbox, linq_memos: MemoServer, chat_id: str, status: int, code: int
) -> None:
    """The reserved ids stand for a missing chat and for an opted-out recipient, before the URL is looked at."""
    url = linq_memos.host("never-fetched.m4a")
    with pytest.raises(linq.APIStatusError) as caught:
        linq_sandbox.client().chats.send_voicememo(chat_id, voice_memo_url=url)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert linq_memos.requests["/m/never-fetched.m4a"] == 0


def test_an_override_passes_the_opt_out_and_is_recorded(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """override_optout lets one request through, and the state shows that it was used."""
    chat_id = new_chat("00002024")
    linq_sandbox.client().chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host(), override_optout=True)
    assert linq_sandbox.state()["posts"]["override_optout"] == 1
    assert linq_sandbox.count() == {"posts": 1, "messages": 1}


def test_an_opt_out_blocks_the_recipient_in_every_chat(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """The block follows the handle; only the chat of the keyword is marked OPTED_OUT; groups are not blocked."""
    here, there, group = new_chat(), new_chat(), new_chat()
    linq_sandbox.chat(here, handles=["+12025550111"], opted_out=True)
    linq_sandbox.chat(there, handles=["+12025550111"])
    linq_sandbox.chat(group, handles=["+12025550111", "+12025550112"])
    client = linq_sandbox.client()
    with pytest.raises(linq.PermissionDeniedError) as caught:
        client.chats.send_voicememo(there, voice_memo_url=linq_memos.host())
    assert caught.value.code == 2024
    assert client.chats.retrieve(here).health_status.status == "OPTED_OUT"
    assert client.chats.retrieve(there).health_status.status == "HEALTHY"
    assert client.chats.send_voicememo(group, voice_memo_url=linq_memos.host()).voice_memo.chat.is_group


def test_thirty_messages_a_minute(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """The 31st memo in a chat within 60 s is 429 with 1007 and a wait, in the header and in the body; others go on."""
    client, chat_id, url = linq_sandbox.client(), new_chat(), linq_memos.host()
    for _ in range(30):
        client.chats.send_voicememo(chat_id, voice_memo_url=url)
    with pytest.raises(linq.RateLimitError) as caught:
        client.chats.send_voicememo(chat_id, voice_memo_url=url)
    wait_s = caught.value.retry_after
    assert caught.value.code == 1007
    assert wait_s is not None and 1 <= wait_s <= 61
    assert caught.value.response.headers["retry-after"] == str(wait_s)
    client.chats.send_voicememo(new_chat(), voice_memo_url=url)


def test_messages_are_paged_and_shuffled(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """All pages together hold each message once, and not in the order of sending."""
    client, chat_id = linq_sandbox.client(), new_chat()
    sent = [
        client.chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host(f"vm-{number}.m4a")).voice_memo.id
        for number in range(12)
    ]
    client.chats.send_voicememo(new_chat(), voice_memo_url=linq_memos.host())
    first = client.chats.messages.list(chat_id, limit=5)
    listed = list(client.chats.messages.list(chat_id, limit=5))
    ids = [message.id for message in listed]
    assert len(first.messages) == 5 and first.next_cursor
    assert sorted(ids) == sorted(sent)
    assert ids != sent and ids != sent[::-1]
    assert {part.filename for message in listed for part in message.parts or [] if part.type == "media"} == {
        f"vm-{number}.m4a" for number in range(12)
    }


@pytest.mark.parametrize("limit", [0, 101])
def test_limits_of_a_page(linq_sandbox: LinqSandbox, limit: int) -> None:
    """A page holds 1 to 100 messages."""
    with pytest.raises(linq.BadRequestError):
        linq_sandbox.client().chats.messages.list(new_chat(), limit=limit)


def test_one_message(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """A message is found by the outer id of the 202; the inner id is its part's; another id is 404 with 2002."""
    client = linq_sandbox.client()
    memo = client.chats.send_voicememo(new_chat(), voice_memo_url=linq_memos.host()).voice_memo
    message = client.messages.retrieve(memo.id)
    assert message.is_from_me and message.parts and message.parts[0].type == "media"
    assert message.parts[0].id == memo.voice_memo.id
    with pytest.raises(linq.NotFoundError) as caught:
        client.messages.retrieve(memo.voice_memo.id)
    assert caught.value.code == 2002


def test_a_chat_is_opened_with_a_text(linq_sandbox: LinqSandbox) -> None:
    """POST /v3/chats makes a chat once for the same handles, refuses links, and honours its idempotency key."""
    client = linq_sandbox.client()

    def opened(text: str, key: str) -> linq.types.ChatCreateResponse:
        message = {"parts": [{"type": "text", "value": text}], "idempotency_key": key}
        return client.chats.create(from_=LINE, to=["+12025550142"], message=message)  # type: ignore[arg-type]

    first, again, other = opened("Hello", "a"), opened("Hello", "a"), opened("Hi", "b")
    assert first.chat.message.id == again.chat.message.id != other.chat.message.id
    assert first.chat.id == other.chat.id
    with pytest.raises(linq.BadRequestError) as caught:
        opened("see https://example.com", "c")
    assert caught.value.code == 1005
    assert [chat.id for chat in client.chats.list_chats(to="+12025550142")] == [first.chat.id]
    assert client.chats.retrieve(first.chat.id).is_group is False


def test_strict_chats_knows_only_what_was_made() -> None:
    """With strict_chats a random UUID is 404 with 2001 until the chat is declared."""
    with running_sandbox(SandboxConfig(port=0, api_key="k", strict_chats=True)) as sandbox:
        client, chat_id = sandbox.client(), new_chat()
        with pytest.raises(linq.NotFoundError) as caught:
            client.chats.retrieve(chat_id)
        sandbox.chat(chat_id, handles=["+12025550143"], service="RCS")
        assert caught.value.code == 2001
        assert client.chats.retrieve(chat_id).service == "RCS"


def test_event_types_are_the_sdks(linq_sandbox: LinqSandbox) -> None:
    """GET /v3/webhook-events lists exactly the SDK's event types."""
    from typing import get_args

    from linq.types.webhook_event_type import WebhookEventType

    listed = linq_sandbox.client().webhook_events.list().events
    assert sorted(listed) == sorted(get_args(WebhookEventType))


def test_a_pre_uploaded_memo(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """announce → PUT → send by id: not ready is 404/2007, the part's id is the attachment's, unknown is 404/2003."""
    client, body = linq_sandbox.client(), b"#!AMR\n" + bytes(100)
    made = client.attachments.create(filename="a.amr", content_type="audio/amr", size_bytes=len(body))
    with pytest.raises(linq.NotFoundError) as early:
        client.chats.send_voicememo(new_chat(), attachment_id=made.attachment_id)
    short = httpx.put(made.upload_url, content=body[:-1], headers={"Content-Type": "audio/amr"})
    put = httpx.put(made.upload_url, content=body, headers=made.required_headers)
    memo = client.chats.send_voicememo(new_chat(), attachment_id=made.attachment_id).voice_memo
    assert (early.value.code, short.status_code, put.status_code) == (2007, 403, 200)
    assert client.attachments.retrieve(made.attachment_id).status == "complete"
    assert memo.voice_memo.id == made.attachment_id and memo.voice_memo.filename == "a.amr"
    client.attachments.delete(made.attachment_id)
    with pytest.raises(linq.NotFoundError) as gone:
        client.chats.send_voicememo(new_chat(), attachment_id=made.attachment_id)
    assert gone.value.code == 2003


def test_an_unknown_route_has_the_envelope(linq_sandbox: LinqSandbox) -> None:
    """What the sandbox does not serve is refused in Linq's form."""
    with pytest.raises(linq.NotFoundError) as caught:
        linq_sandbox.client().contact_card.retrieve()
    assert json.loads(caught.value.response.text)["success"] is False


@pytest.mark.parametrize(("host", "key"), [("0.0.0.0", "k"), ("example.com", "k"), ("127.0.0.1", "")])
def test_loopback_and_a_key_only(host: str, key: str) -> None:
    """The sandbox cannot be set to serve a network, nor to let anybody in; its key does not show in its repr."""
    with pytest.raises(Misuse):
        SandboxConfig(host=host, port=0, api_key=key)
    assert "secret" not in repr(SandboxConfig(port=0, api_key="secret"))
