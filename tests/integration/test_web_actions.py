"""What may be done to a job over HTTP, and how one is followed until its end."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from pipeline.model import Job, State
from pipeline.settings import Settings
from tests.support.ledger import a_memo
from tests.support.web import TOKEN, Served, serving

CHAT = "5e0d0000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with an SQLite ledger and nothing else."""
    with serving(Settings(home=tmp_path_factory.mktemp("web"), api_token=SecretStr(TOKEN))) as served:
        yield served


@pytest.fixture
def job(web: Served) -> Job:
    """A job that was handed in just now."""
    files = {"recording": ("a.ogg", b"sound", "audio/ogg")}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = web.api.post("/v1/memos", headers=headers, data={"chat_id": CHAT}, files=files)
    return web.ledger.get(answer.json()["job_id"])


def act(web: Served, job: Job, action: str, body: object = None) -> httpx.Response:
    """POST to an action of a job."""
    return web.api.post(f"/v1/memos/{job.job_id}/{action}", json=body)


def held(web: Served, job: Job) -> Job:
    """The job, held because nobody knows whether Linq took it."""
    job = web.ledger.move(job, State.PREPARING, by="test")
    job = web.ledger.move(job, State.HOSTED, by="test", hosted=a_memo(job.job_id))
    job = web.ledger.move(job, State.SENDING, by="test")
    job = web.ledger.move(job, State.UNCONFIRMED, by="test", code="answer-lost")
    return web.ledger.move(job, State.HELD, by="test", code="outcome-unknown")


def test_a_job_can_be_cancelled_once_and_not_too_late(web: Served, job: Job) -> None:
    """Twice is once; one that a worker has is 409 with the reason."""
    assert act(web, job, "cancel").json()["state"] == "CANCELLED"
    assert act(web, job, "cancel").status_code == 200
    assert act(web, job, "retry").json()["code"] == "not-retryable"


def test_a_job_is_erased_once_the_sweeper_comes_to_it(web: Served, job: Job) -> None:
    """202 at once: it is cancelled, and nothing starts it again; who asked is kept. 200 when it is erased."""
    asked = web.api.delete(f"/v1/memos/{job.job_id}", params={"why": "ticket 12"})
    assert (asked.status_code, asked.json()["state"], asked.json()["erasing"]) == (202, "CANCELLED", True)
    assert act(web, job, "retry").json()["code"] == "erase-wanted"
    (line,) = web.api.get(f"/v1/memos/{job.job_id}").json()["audit"]
    assert (line["action"], line["by"], line["why"]) == ("erase-wanted", "http:MEMOLINE_API_TOKEN", "ticket 12")
    now = web.ledger.get(job.job_id)
    web.ledger.erase(now, by="sweep", why="", removed=["ledger"], file_stems=[], again_at=0.0)
    assert web.api.delete(f"/v1/memos/{job.job_id}").status_code == 200
    gone = web.api.get(f"/v1/memos/{job.job_id}").json()
    assert (gone["state"], gone["chat_id"], gone["source"], gone["erasing"]) == ("ERASED", None, "", False)


def test_erasing_what_is_not_there_or_without_a_token_is_refused(web: Served, job: Job) -> None:
    """404, 401; and nothing is wanted."""
    assert web.api.delete("/v1/memos/" + "0" * 32).status_code == 404
    assert web.api.delete(f"/v1/memos/{job.job_id}", headers={"Authorization": "Bearer x"}).status_code == 401
    assert web.api.delete(f"/v1/memos/{job.job_id}", params={"why": "a\0b"}).status_code == 400
    assert not web.ledger.get(job.job_id).erasing


def test_what_may_be_on_its_way_is_too_late_to_cancel(web: Served, job: Job) -> None:
    """It says so, and the job goes on."""
    held(web, job)
    answer = act(web, job, "cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "too-late")
    assert web.ledger.get(job.job_id).state is State.HELD


def test_a_rejected_job_can_be_tried_again(web: Served, job: Job) -> None:
    """It is RECEIVED again."""
    job = web.ledger.move(job, State.PREPARING, by="test")
    web.ledger.move(job, State.REJECTED, by="test", code="no-audio-stream")
    assert act(web, job, "retry").json()["state"] == "RECEIVED"


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"decision": "sent", "message_id": "m1", "why": "seen"}, "SENT"),
        ({"decision": "resend"}, "HOSTED"),
        ({"decision": "give-up", "why": ""}, "FAILED"),
    ],
)
def test_a_held_job_is_resolved(web: Served, job: Job, body: dict[str, str], state: str) -> None:
    """As the person decides, who is in the history."""
    held(web, job)
    assert act(web, job, "resolve", body).json()["state"] == state
    assert web.ledger.history(job.job_id)[-1].by == "http:MEMOLINE_API_TOKEN"


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("resolve", {"decision": "maybe"}, "bad-decision"),
        ("resolve", {"decision": ["sent"]}, "bad-decision"),
        ("resolve", {"decision": "sent"}, "bad-message-id"),
        ("resolve", {"decision": "sent", "message_id": " "}, "bad-message-id"),
        ("resolve", {"decision": "resend", "why": 3}, "bad-why"),
        ("resolve", {"decision": "resend", "by": "me"}, "unknown-field"),
        ("resolve", [], "bad-json"),
        ("assign", {}, "bad-chat-id"),
        ("assign", {"chat_id": "bob"}, "bad-chat-id"),
    ],
)
def test_bad_input_changes_nothing(web: Served, job: Job, action: str, body: object, code: str) -> None:
    """400, by its code."""
    before = held(web, job)
    answer = act(web, job, action, body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert web.ledger.get(job.job_id) == before


def test_a_job_that_has_its_chat_takes_no_other(web: Served, job: Job) -> None:
    """409."""
    assert act(web, job, "assign", {"chat_id": CHAT}).json()["code"] == "not-held"


@pytest.mark.parametrize("action", ["cancel", "retry", "events"])
def test_all_want_the_token_and_a_job(web: Served, job: Job, action: str) -> None:
    """401 without it, 404 for an id that no job has or that is none."""
    method = "GET" if action == "events" else "POST"
    assert web.anonymous.request(method, f"/v1/memos/{job.job_id}/{action}").status_code == 401
    for nobody in ("0" * 32, "x", "%2e%2e"):
        assert web.api.request(method, f"/v1/memos/{nobody}/{action}").status_code == 404


def test_a_long_poll_answers_when_the_job_moves(web: Served, job: Job) -> None:
    """Not before; at once where the caller's `rev` is an older one, or the job is at its end."""
    rev = web.api.get(f"/v1/memos/{job.job_id}").json()["rev"]
    mover = threading.Timer(0.7, web.ledger.move, (job, State.PREPARING), {"by": "test"})
    mover.start()
    answer = web.api.get(f"/v1/memos/{job.job_id}?wait_s=15&rev={rev}").json()
    mover.join()
    assert (answer["state"], answer["rev"]) == ("PREPARING", rev + 1)
    assert web.api.get(f"/v1/memos/{job.job_id}?wait_s=15&rev={rev}").json()["state"] == "PREPARING"
    web.ledger.move(web.ledger.get(job.job_id), State.FAILED, by="test", code="poison")
    assert web.api.get(f"/v1/memos/{job.job_id}?wait_s=15").json()["state"] == "FAILED"


def test_a_long_poll_ends_when_its_time_is_up(web: Served, job: Job) -> None:
    """With the job as it is. A wait that is no number, or too long, is 400."""
    began_s = time.monotonic()
    assert web.api.get(f"/v1/memos/{job.job_id}?wait_s=1").json()["state"] == "RECEIVED"
    assert time.monotonic() - began_s >= 1
    assert web.api.get(f"/v1/memos/{job.job_id}?wait_s=61").json()["code"] == "bad-wait-s"
    assert web.api.get(f"/v1/memos/{job.job_id}?rev=-1").json()["code"] == "bad-rev"


def test_every_move_comes_as_an_event_and_the_stream_ends_with_the_job(web: Served, job: Job) -> None:
    """Numbered, so that who lost the line goes on where he was."""
    moved = web.ledger.move(job, State.PREPARING, by="test")
    ender = threading.Timer(0.7, web.ledger.move, (moved, State.REJECTED), {"by": "test", "code": "no-sound"})
    ender.start()
    events = list(events_of(web, job, {}))
    ender.join()
    assert [(e["id"], e["event"]) for e in events] == [("1", "RECEIVED"), ("2", "PREPARING"), ("3", "REJECTED")]
    assert json.loads(events[-1]["data"])["code"] == "no-sound"
    assert [e["id"] for e in events_of(web, job, {"Last-Event-ID": "2"})] == ["3"]
    assert web.api.get(f"/v1/memos/{job.job_id}/events", headers={"Last-Event-ID": "x"}).status_code == 400


def test_who_has_heard_of_the_end_is_told_to_stop(web: Served, job: Job) -> None:
    """204, after which a browser's EventSource does not ask again; one that missed the end hears of it."""
    web.ledger.move(job, State.CANCELLED, by="test")
    assert [e["event"] for e in events_of(web, job, {"Last-Event-ID": "1"})] == ["CANCELLED"]
    answer = web.api.get(f"/v1/memos/{job.job_id}/events", headers={"Last-Event-ID": "2"})
    assert (answer.status_code, answer.content) == (204, b"")


def events_of(web: Served, job: Job, headers: dict[str, str]) -> Iterator[dict[str, str]]:
    """The server-sent events of a job until the stream ends."""
    with web.api.stream("GET", f"/v1/memos/{job.job_id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for block in "".join(answer.iter_text()).split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "id" in fields:
                yield fields
