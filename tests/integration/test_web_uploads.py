"""Direct uploads by a signed URL, on real S3."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from pipeline.hosting.names import DIRECT
from pipeline.settings import Settings
from tests.support.inbox import Inbox, make_inbox
from tests.support.local_stack import s3_client
from tests.support.web import TOKEN, Served, serving
from workers.sweeper import tidy_once
from workers.tidying import DAY_S

CHAT = "5e0d0000-0000-4000-8000-000000000001"
SOUND = b"a large recording" * 100


@pytest.fixture
def inbox(s3_stack: Settings, tmp_path: Path) -> Inbox:
    return make_inbox(s3_stack, tmp_path / "home", events=False)


@pytest.fixture
def web(inbox: Inbox) -> Iterator[Served]:
    with serving(inbox.settings.model_copy(update={"api_token": SecretStr(TOKEN)})) as served:
        yield served


def offer(web: Served, content: bytes = SOUND, **more: object) -> dict[str, Any]:
    """Ask for a URL."""
    answer = web.api.post("/v1/uploads", json={"size_bytes": len(content), "file_name": "../a.wav", **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def put(offered: dict[str, Any], content: bytes = SOUND) -> int:
    """Put the file as a stranger to Memoline does: to the URL, with the headers."""
    return httpx.put(offered["url"], content=content, headers=offered["headers"], trust_env=False).status_code


def ask(web: Served, upload_id: str, key: str | None, chat_id: str = CHAT) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return web.api.post("/v1/memos", json={"upload": upload_id, "chat_id": chat_id}, headers=headers)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_file_that_was_put_is_one_job(web: Served, inbox: Inbox) -> None:
    """However often it is asked for; another chat or key is 409. Its bytes are bound by their hash."""
    key, sha256 = uuid.uuid4().hex, hashlib.sha256(SOUND).hexdigest()
    offered = offer(web, sha256=sha256)
    assert code(ask(web, offered["upload_id"], key)) == (404, "no-such-object")
    assert put(offered) == 200
    first = ask(web, offered["upload_id"], key)
    assert (first.status_code, first.json()["source"]) == (202, "upload:a.wav")
    assert ask(web, offered["upload_id"], key).json()["job_id"] == first.json()["job_id"]
    assert code(ask(web, offered["upload_id"], key, str(uuid.uuid4()))) == (409, "key-reused")
    assert code(ask(web, offered["upload_id"], "another")) == (409, "key-reused")
    assert code(ask(web, offered["upload_id"], None)) == (400, "missing-key")
    job = web.ledger.get(first.json()["job_id"])
    inbox.desk.parts.store.fetch(job.recording, inbox.settings.home / "fetched")
    assert (inbox.settings.home / "fetched").read_bytes() == SOUND
    assert (job.recording.sha256, len(inbox.jobs())) == (sha256, 1)


def test_asked_again_after_it_was_sent_it_is_the_same_job(web: Served, inbox: Inbox) -> None:
    """The copy is gone then; the answer is the job all the same."""
    key, offered = uuid.uuid4().hex, offer(web)
    put(offered)
    job = web.ledger.get(ask(web, offered["upload_id"], key).json()["job_id"])
    inbox.desk.parts.store.discard(job.recording)
    assert ask(web, offered["upload_id"], key).json()["job_id"] == job.job_id
    assert code(ask(web, offered["upload_id"], key, str(uuid.uuid4()))) == (404, "no-such-object")


def test_the_same_bytes_put_a_second_time_are_the_same_job(web: Served, inbox: Inbox) -> None:
    """A caller that died after the first: same key, same content; the second copy goes."""
    key = uuid.uuid4().hex
    jobs = set()
    for _ in range(2):
        offered = offer(web)
        put(offered)
        jobs.add(ask(web, offered["upload_id"], key).json()["job_id"])
    assert len(jobs) == 1
    assert len(_put(inbox)) == 1


def test_another_length_is_refused(web: Served, inbox: Inbox) -> None:
    """By S3, as the length is signed, or else by us."""
    offered = offer(web)
    longer = SOUND + b"x"
    headers = offered["headers"] | {"Content-Length": str(len(longer))}
    httpx.put(offered["url"], content=longer, headers=headers, trust_env=False)
    assert code(ask(web, offered["upload_id"], "k")) in ((409, "wrong-size"), (404, "no-such-object"))
    assert not inbox.jobs()


def test_the_signature_covers_length_and_hash(web: Served) -> None:
    """So that the real S3 refuses others."""
    offered = offer(web, sha256=hashlib.sha256(SOUND).hexdigest())
    signed = httpx.URL(offered["url"]).params["X-Amz-SignedHeaders"].split(";")
    assert {"content-length", "host", "x-amz-checksum-sha256"} == set(signed)
    assert offered["headers"] == {
        "Content-Length": str(len(SOUND)),
        "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(SOUND).digest()).decode(),
    }


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({}, 400, "bad-size"),
        ({"size_bytes": 0}, 400, "bad-size"),
        ({"size_bytes": True}, 400, "bad-size"),
        ({"size_bytes": 10**12}, 400, "bad-size"),
        ({"size_bytes": 1, "sha256": "x"}, 400, "bad-sha256"),
        ({"size_bytes": 1, "file_name": 7}, 400, "bad-file-name"),
        ({"size_bytes": 1, "kye": 7}, 400, "unknown-field"),
    ],
)
def test_bad_wishes(web: Served, body: dict[str, object], status: int, problem: str) -> None:
    assert code(web.api.post("/v1/uploads", json=body)) == (status, problem)


@pytest.mark.parametrize("made_up", ["", "x", "a.b", "é.ü", "." * 3_000, "bnVsbA.AAAA"])
def test_an_id_that_we_did_not_make_is_none(web: Served, made_up: str) -> None:
    """Nor does anybody else's copy become an upload."""
    assert code(ask(web, made_up, "k")) == (404, "no-such-upload")


def test_no_other_door_reads_uploads(web: Served, inbox: Inbox) -> None:
    """Neither the listing nor a request that names the object."""
    offered = offer(web)
    put(offered)
    (name,) = _put(inbox)
    inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    body = {"recording": f"s3://{inbox.bucket}/{name}", "chat_id": CHAT}
    assert code(web.api.post("/v1/memos", json=body)) == (400, "bad-recording")
    assert not inbox.jobs()


def test_what_was_abandoned_goes_and_what_a_job_needs_stays(web: Served, inbox: Inbox) -> None:
    """After a day, by the sweeper."""
    needed, abandoned = offer(web), offer(web, b"other")
    put(needed)
    put(abandoned, b"other")
    job = web.ledger.get(ask(web, needed["upload_id"], "k").json()["job_id"])
    now = inbox.desk.parts.clock.now()
    tidy_once(inbox.settings, web.ledger, now=now)
    assert len(_put(inbox)) == 2
    tidy_once(inbox.settings, web.ledger, now=now + DAY_S + 60)
    assert [f"s3://{inbox.bucket}/{name}" for name in _put(inbox)] == [job.recording.uri]


def _put(inbox: Inbox) -> list[str]:
    listed = s3_client(inbox.settings).list_objects_v2(Bucket=inbox.bucket, Prefix=DIRECT)
    return [item["Key"] for item in listed.get("Contents", [])]
