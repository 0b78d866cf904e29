"""Lists with filters, and what the server itself refuses: on a real server."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psutil
import pytest
from pydantic import SecretStr

from pipeline.ledger.ledger import SqlLedger
from pipeline.model import State
from pipeline.settings import Settings
from tests.support.ledger import a_request
from tests.support.web import TOKEN, Served, serving
from workers.web import follow, memos
from workers.web.protocol import MAX_HEAD_BYTES

CHAT = "5e0d0000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server without S3."""
    settings = Settings(home=tmp_path_factory.mktemp("list"), api_token=SecretStr(TOKEN), inbox_bucket="inbox")
    with serving(settings) as served:
        yield served


class At:
    """A clock that stands."""

    def __init__(self, time: float) -> None:
        self.time = time

    def now(self) -> float:
        return self.time


def register(web: Served, at: float, **more: object) -> str:
    """A job that was registered at a moment."""
    name = uuid.uuid4().hex
    request = a_request(name, **more)
    how = {"code": None, "message": None, "by": "test"}
    ledger = SqlLedger(web.settings.ledger_url, At(at))
    try:
        return ledger.add(request, job_id=name, state=State.RECEIVED, **how).job_id  # type: ignore[arg-type]
    finally:
        ledger.close()


def ids(web: Served, **query: object) -> list[str]:
    answer = web.api.get("/v1/memos", params=query)
    assert answer.status_code == 200, answer.text
    return [job["job_id"] for job in answer.json()["memos"]]


def test_each_filter_narrows_and_all_hold_together(web: Served) -> None:
    """State, chat, code, key, and the time of registration, to the moment."""
    chat_id, key = str(uuid.uuid4()), uuid.uuid4().hex
    early, late = register(web, 1_000_000, chat_id=chat_id), register(web, 2_000_000, chat_id=chat_id, key=key)
    web.ledger.move(web.ledger.get(early), State.FAILED, by="test", code="too-old")
    assert ids(web, chat_id=chat_id) == [early, late]
    assert ids(web, chat_id=chat_id, state="FAILED") == ids(web, chat_id=chat_id, code="too-old") == [early]
    assert ids(web, chat_id=chat_id, state="FAILED,RECEIVED") == [early, late]
    assert ids(web, key=key) == [late]
    assert ids(web, key=key, state="FAILED") == []
    moment = datetime.fromtimestamp(2_000_000, UTC).isoformat()
    assert ids(web, chat_id=chat_id, since=moment) == [late]
    assert ids(web, chat_id=chat_id, since=datetime.fromtimestamp(2_000_001, UTC).isoformat()) == []


def test_since_finds_jobs_of_hosts_whose_clocks_differ(web: Served) -> None:
    """Times that go back and forth by seconds among many jobs: exactly those that are not older."""
    chat_id = str(uuid.uuid4())
    times = [3_000_000 + number + (5 if number % 3 else -5) for number in range(60)]
    made = {register(web, at, chat_id=chat_id): at for at in times}
    for since in (2_999_000, 3_000_005, 3_000_031, 3_000_060, 4_000_000):
        wanted = [job_id for job_id, at in made.items() if at >= since]
        found = ids(web, chat_id=chat_id, limit=1_000, since=datetime.fromtimestamp(since, UTC).isoformat())
        assert found == wanted


def test_pages_are_stable_while_jobs_come(web: Served) -> None:
    """Each job once, in its order, those that came meanwhile at the end."""
    chat_id = str(uuid.uuid4())
    made = [register(web, 1.0, chat_id=chat_id) for _ in range(7)]
    seen, cursor = list[str](), None
    while True:
        query = {"chat_id": chat_id, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = web.api.get("/v1/memos", params=query).json()
        seen += [job["job_id"] for job in page["memos"]]
        if len(made) < 10:
            made.append(register(web, 1.0, chat_id=chat_id))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("state=SLEEPING", "bad-state"),
        ("chat_id=bob", "bad-chat-id"),
        ("since=yesterday", "bad-since"),
        ("since=2026-11-24T08:00:00", "bad-since"),
        ("code=A%00", "bad-code"),
        ("key=%0a", "bad-key"),
        ("limit=0", "bad-limit"),
        ("cursor=-1", "bad-cursor"),
        ("cursor=", "bad-cursor"),
        ("stat=SENT", "unknown-field"),
    ],
)
def test_a_filter_that_is_not_understood_is_refused(web: Served, query: str, code: str) -> None:
    """It would show too much, or nothing, and look right."""
    answer = web.api.get(f"/v1/memos?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/nowhere", 404, "no-such-page", None),
        ("GET", "/v1/memos/", 404, "no-such-page", None),
        ("DELETE", "/v1/memos", 405, "wrong-method", "GET, POST"),
        ("PUT", "/v1/uploads", 405, "wrong-method", "POST"),
        ("POST", "/healthz", 405, "wrong-method", "GET"),
    ],
)
def test_what_the_framework_refuses_is_a_problem_too(
    web: Served, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    """With the codes of all others; 405 names every method that the page takes."""
    answer = web.api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("allow") == allow


def test_a_mistake_of_ours_is_a_problem_without_its_details(web: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 `internal`: the log has the rest."""
    monkeypatch.setattr(memos, "page", lambda *_: 1 / 0)
    answer = web.api.get("/v1/memos")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "division" not in answer.text


@pytest.mark.parametrize("head", ["X-Long: {}", "X-{}: y", "X: y\r\n" * 4 + "Y: {}"], ids=["value", "name", "many"])
def test_a_head_without_end_is_cut_off(web: Served, head: str) -> None:
    """431 long before it fills the memory, to anybody, without a token."""
    parts = urlsplit(web.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + head.split("{}", maxsplit=1)[0].encode())
        sent, answer = 0, b""
        line.settimeout(0.05)
        while not answer and sent < 100 * MAX_HEAD_BYTES:
            try:
                sent += line.send(b"x" * 4_096)
                answer = line.recv(4_096)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["code"] == "head-too-large"
    assert sent < 8 * MAX_HEAD_BYTES


def test_what_is_no_http_is_a_problem_as_well(web: Served) -> None:
    parts = urlsplit(web.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as line:
        line.sendall(b"nonsense\r\n\r\n")
        answer = line.recv(4_096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["code"] == "bad-request"


def test_an_upload_is_never_in_memory_as_a_whole(web: Served) -> None:
    """80 MB go through this very process, which grows by a fraction of that."""
    size, chunk = 80_000_000, b"s" * 1_000_000
    head = (
        f'--b\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n{CHAT}\r\n'
        '--b\r\nContent-Disposition: form-data; name="recording"; filename="long.wav"\r\n\r\n'
    )
    process, most = psutil.Process(), 0

    def body() -> Iterator[bytes]:
        nonlocal most
        yield head.encode()
        for _ in range(size // len(chunk)):
            yield chunk
            most = max(most, process.memory_info().rss)
        yield b"\r\n--b--\r\n"

    before = process.memory_info().rss
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Idempotency-Key": uuid.uuid4().hex}
    answer = web.api.post("/v1/memos", content=body(), headers=headers, timeout=120)
    assert answer.status_code == 202, answer.text
    job = web.ledger.get(answer.json()["job_id"])
    assert job.recording.size_bytes == size
    assert most - before < size / 2
    web.api.post(f"/v1/memos/{job.job_id}/cancel")


def test_the_description_names_every_route_and_its_errors(web: Served) -> None:
    """Each operation under /v1 has an answer, the token, and the errors of all; no 422 of the framework is left."""
    document = web.api.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], (method, path)
            assert {"400", "500", "503"} <= operation["responses"].keys(), (method, path)
            if path.startswith("/v1"):
                assert operation["security"] == [{"token": []}]
                assert {"401", "429"} <= operation["responses"].keys()
    assert "examples" in document["components"]["schemas"]["Job"]
    assert set(document["paths"]) >= {"/v1/memos", "/v1/uploads", "/v1/refusals", "/v1/memos/{job_id}/events"}
    assert follow.MAX_WAIT_S == 60
