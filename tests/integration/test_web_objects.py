"""HTTP requests that name objects of the inbox, on real S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from pipeline.model import State
from pipeline.settings import Settings
from tests.support.inbox import Inbox, make_inbox
from tests.support.web import TOKEN, Served, serving

CHAT = "5e0d0000-0000-4000-8000-000000000001"
OTHER = "5e0d0000-0000-4000-8000-000000000002"


@pytest.fixture
def inbox(s3_stack: Settings, tmp_path: Path) -> Inbox:
    """An inbox that only tells when a test says so."""
    return make_inbox(s3_stack, tmp_path / "home", events=False)


@pytest.fixture
def web(inbox: Inbox) -> Iterator[Served]:
    """A server over the same ledger."""
    with serving(inbox.settings.model_copy(update={"api_token": SecretStr(TOKEN)})) as served:
        yield served


def post(
    web: Served, inbox: Inbox, name: str, chat_id: str = CHAT, key: str | None = None, **more: str
) -> httpx.Response:
    """Ask for an object of the inbox."""
    body = {"recording": f"s3://{inbox.bucket}/{name}", "chat_id": chat_id, **more}
    return web.api.post("/v1/memos", json=body, headers={"Idempotency-Key": key} if key else {})


def test_an_object_is_a_job_however_often_it_is_named(web: Served, inbox: Inbox) -> None:
    """With and without a key, and by the watcher: one job. Another chat is 409."""
    inbox.drop("odd name é+%.ogg")
    first = post(web, inbox, "odd name é+%.ogg", key="k")
    assert first.status_code == 202
    assert (first.json()["state"], first.json()["key"]) == ("RECEIVED", "k")
    inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    again = [post(web, inbox, "odd name é+%.ogg", key="k"), post(web, inbox, "odd name é+%.ogg")]
    assert {answer.json()["job_id"] for answer in again} == {first.json()["job_id"]}
    assert len(inbox.jobs()) == 1
    refused = post(web, inbox, "odd name é+%.ogg", OTHER)
    assert (refused.status_code, refused.json()["code"]) == (409, "key-reused")


def test_a_held_object_gets_its_chat(web: Served, inbox: Inbox) -> None:
    """The watcher found no chat; the request names it."""
    inbox.drop("a.ogg")
    inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    (held,) = inbox.jobs()
    answer = post(web, inbox, "a.ogg", key="k")
    assert (held.state, answer.status_code, answer.json()["job_id"]) == (State.HELD, 202, held.job_id)
    assert (answer.json()["state"], answer.json()["chat_id"], answer.json()["code"]) == ("RECEIVED", CHAT, None)


def test_the_same_key_with_another_object_is_refused(web: Served, inbox: Inbox) -> None:
    """409 `key-reused`; also for the same name with new content."""
    inbox.drop("a.ogg", b"one")
    inbox.drop("b.ogg", b"two")
    assert post(web, inbox, "a.ogg", key="k").status_code == 202
    assert post(web, inbox, "b.ogg", key="k").json()["code"] == "key-reused"
    inbox.drop("a.ogg", b"new")
    assert post(web, inbox, "a.ogg", key="k").status_code == 409
    assert len(inbox.jobs()) == 1


def test_an_absent_object_is_a_404(web: Served, inbox: Inbox) -> None:
    """`no-such-object`, and nothing is registered."""
    answer = post(web, inbox, "none.ogg")
    assert (answer.status_code, answer.json()["code"]) == (404, "no-such-object")
    assert inbox.jobs() == ()


def test_s3_is_reported_by_readyz(web: Served) -> None:
    """Reachable parts are `ok`; none but the ledger decides."""
    ready = web.anonymous.get("/readyz").json()
    assert ready["ready"]
    assert (ready["parts"]["ledger"], ready["parts"]["s3"]) == ("ok", "ok")
