"""The HTTP door on a real server and a real ledger: who may ask, uploads, lists, and that bad input is the caller's."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from pipeline.errors import Misuse, PartUnreachable
from pipeline.model import State
from pipeline.settings import Settings
from tests.support.web import TOKEN, Served, serving
from workers.web import serve
from workers.web.server import bind

CHAT = "5e0d0000-0000-4000-8000-000000000001"
SOUND = b"sound of something" * 1_000


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with an SQLite ledger, an inbox bucket's name, and no S3 behind it."""
    settings = Settings(
        home=tmp_path_factory.mktemp("web"), api_token=SecretStr(TOKEN), inbox_bucket="inbox", http_port=0
    )
    with serving(settings) as served:
        yield served


def upload(
    web: Served, key: str | None = None, *, chat_id: str = CHAT, content: bytes = SOUND, **fields: str
) -> httpx.Response:
    """POST a recording as a form."""
    headers = {"Idempotency-Key": key} if key is not None else {}
    files = {"recording": ("../a b.ogg", content, "audio/ogg")}
    return web.api.post("/v1/memos", headers=headers, data={"chat_id": chat_id, **fields}, files=files)


def spooled(web: Served) -> set[str]:
    """The files that lie in spool and incoming folder."""
    folders = (web.settings.home / "spool", web.settings.home / "incoming")
    return {str(path) for folder in folders if folder.exists() for path in folder.iterdir()}


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    """Whether an answer is the problem document that it should be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code, answer.text
    assert answer.json()["status"] == status
    return bool(answer.json()["detail"])


def test_an_upload_is_a_durable_job(web: Served) -> None:
    """202 with the job; its bytes are in the spool, its row in the ledger."""
    answer = upload(web, uuid.uuid4().hex, overflow="cut", not_before="2030-01-01T00:00:00Z")
    assert answer.status_code == 202
    body = answer.json()
    assert (body["state"], body["chat_id"], body["source"]) == ("RECEIVED", CHAT, "upload:a b.ogg")
    job = web.ledger.get(body["job_id"])
    assert (job.overflow, job.not_before) == ("cut", 1_893_456_000)
    assert Path(job.recording.uri.removeprefix("file://")).read_bytes() == SOUND
    assert web.api.get(answer.headers["location"]).json()["history"][0]["to"] == "RECEIVED"


def test_the_same_upload_twice_is_one_job(web: Served) -> None:
    """Same key, same input: the same job, and no second copy stays; other content, chat or overflow is 409."""
    key = uuid.uuid4().hex
    first = upload(web, key).json()
    before = spooled(web)
    assert upload(web, key).json()["job_id"] == first["job_id"]
    assert is_problem(upload(web, key, content=b"other"), 409, "key-reused")
    assert is_problem(upload(web, key, chat_id=str(uuid.uuid4())), 409, "key-reused")
    assert is_problem(upload(web, key, overflow="cut"), 409, "key-reused")
    assert spooled(web) == before


def test_many_at_once_with_one_key_are_one_job(web: Served) -> None:
    """Eight requests at the same time: eight times 202, one job."""
    key, chat_id = uuid.uuid4().hex, str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: upload(web, key, chat_id=chat_id), range(8)))
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len(web.ledger.jobs(chat_id=chat_id)) == 1


def test_an_upload_needs_a_key(web: Served) -> None:
    """Without one a repeated request could send twice."""
    assert is_problem(upload(web), 400, "missing-key")
    assert is_problem(upload(web, "a\tb"), 400, "bad-key")
    assert is_problem(upload(web, "k" * 256), 400, "bad-key")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"chat_id": "bob"}, "bad-chat-id"),
        ({"overflow": "squeeze"}, "bad-overflow"),
        ({"not_before": "soon"}, "bad-not-before"),
        ({"chat": CHAT}, "unknown-field"),
        ({"overflow": "x" * 5_000}, "bad-multipart"),
    ],
)
def test_bad_fields_leave_nothing_behind(web: Served, fields: dict[str, str], code: str) -> None:
    """The file is refused with the field, and its copy is gone."""
    before = spooled(web)
    assert is_problem(upload(web, uuid.uuid4().hex, **({"chat_id": CHAT} | fields)), 400, code)
    assert spooled(web) == before


def form(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    """A multipart body with the boundary B."""
    return b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + end


FILE = b'Content-Disposition: form-data; name="recording"; filename="a.ogg"\r\n\r\nsound'
CHAT_FIELD = b'Content-Disposition: form-data; name="chat_id"\r\n\r\n' + CHAT.encode()


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "multipart/form-data; boundary=B", "incomplete"),
        (b"garbage", "multipart/form-data; boundary=B", "bad-multipart"),
        (form(FILE, CHAT_FIELD), "multipart/form-data", "bad-multipart"),
        (form(FILE, CHAT_FIELD), 'multipart/form-data; boundary=""', "bad-multipart"),
        (form(FILE, CHAT_FIELD, end=b""), "multipart/form-data; boundary=B", "incomplete"),
        (form(CHAT_FIELD), "multipart/form-data; boundary=B", "no-recording"),
        (form(FILE, FILE, CHAT_FIELD), "multipart/form-data; boundary=B", "bad-multipart"),
        (form(FILE, CHAT_FIELD, CHAT_FIELD), "multipart/form-data; boundary=B", "bad-multipart"),
        (form(FILE, *[CHAT_FIELD] * 20), "multipart/form-data; boundary=B", "bad-multipart"),
        (form(FILE), "multipart/form-data; boundary=B", "bad-chat-id"),
        (form(FILE.replace(b'"recording"', b'"file"'), CHAT_FIELD), "multipart/form-data; boundary=B", "bad-multipart"),
        (form(FILE, CHAT_FIELD[:-1] + b"\xff"), "multipart/form-data; boundary=B", "bad-multipart"),
        (form(FILE, b"X" * 40_000 + b": 1\r\n\r\n1"), "multipart/form-data; boundary=B", "bad-multipart"),
        (form(b"no header at all\r\n\r\n"), "multipart/form-data; boundary=B", "bad-multipart"),
    ],
)
def test_broken_forms_are_the_callers_fault(web: Served, body: bytes, kind: str, code: str) -> None:
    """Whatever is wrong with a form, it is a 400 and nothing stays."""
    before = spooled(web)
    headers = {"Content-Type": kind, "Idempotency-Key": uuid.uuid4().hex}
    assert is_problem(web.api.post("/v1/memos", content=body, headers=headers), 400, code)
    assert spooled(web) == before


def test_an_upload_beyond_the_bound_is_refused(web: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """413, however the length was told."""
    monkeypatch.setattr("workers.web.uploads.MAX_BYTES", 10_000)
    before = spooled(web)
    assert is_problem(upload(web, uuid.uuid4().hex), 413, "too-large")
    assert spooled(web) == before


def test_a_caller_that_hangs_up_leaves_nothing(web: Served) -> None:
    """Half an upload, then the connection is cut: no job, no file, and the server goes on."""
    before, jobs = spooled(web), len(web.ledger.jobs())
    host, port = urlsplit(web.url).hostname, urlsplit(web.url).port
    with socket.create_connection((host or "", port or 0)) as line:
        head = f"POST /v1/memos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nIdempotency-Key: cut-{jobs}\r\n"
        head += "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 100000\r\n\r\n"
        line.sendall(head.encode() + form(FILE, end=b"")[:-2])
    assert web.api.get("/healthz").status_code == 200
    assert (spooled(web), len(web.ledger.jobs())) == (before, jobs)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad-json"),
        (b"null", 400, "bad-json"),
        (b"[]", 400, "bad-json"),
        (b"{", 400, "bad-json"),
        (b"\xff\xfe", 400, "bad-json"),
        (b"[" * 60_000, 400, "bad-json"),
        (b"1" * 60_000, 400, "bad-json"),
        (b" " * 70_000, 413, "too-large"),
        ({}, 400, "bad-recording"),
        ({"recording": None, "chat_id": None}, 400, "bad-recording"),
        ({"recording": 1, "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "/etc/passwd", "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "file:///etc/passwd", "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "https://example.com/a.ogg", "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "s3://inbox", "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "s3://inbox/../memos/m/a.m4a", "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "s3://inbox/a\0b", "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "s3://inbox/\ud800", "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "s3://inbox/" + "k" * 2_000, "chat_id": CHAT}, 400, "bad-recording"),
        ({"recording": "s3://other/a.ogg", "chat_id": CHAT}, 403, "bucket-not-allowed"),
        ({"recording": "s3://inbox/a.ogg"}, 400, "bad-chat-id"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": 10**300}, 400, "bad-chat-id"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": "\0" * 36}, 400, "bad-chat-id"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": "\ud800" * 36}, 400, "bad-chat-id"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": CHAT, "overflow": ["cut"]}, 400, "bad-overflow"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": CHAT, "overflow": "\ud800"}, 400, "bad-overflow"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": CHAT, "not_before": {}}, 400, "bad-not-before"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": CHAT, "not_before": 10**300}, 400, "bad-not-before"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": CHAT, "not_before": float("nan")}, 400, "bad-json"),
        ({"recording": "s3://inbox/a.ogg", "chat_id": CHAT, "\ud800": 1}, 400, "unknown-field"),
    ],
)
def test_no_json_makes_the_server_fail(web: Served, body: object, status: int, code: str) -> None:
    """Nulls, wrong types, huge numbers, NUL bytes and half characters are all the caller's fault, by a stable code."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = web.api.post("/v1/memos", content=content, headers={"Content-Type": "application/json"})
    assert is_problem(answer, status, code)


def test_other_content_types_are_refused(web: Served) -> None:
    """415 for a form of another kind, a bare file, or none named."""
    for kind in ("application/x-www-form-urlencoded", "audio/ogg", "", "\xff", "multipart"):
        answer = web.api.post("/v1/memos", content=b"a=b", headers={"Content-Type": kind.encode("latin-1")})
        assert is_problem(answer, 415, "wrong-content-type")


def test_s3_out_of_reach_is_a_503(web: Served) -> None:
    """Not the caller's fault, and nothing is registered: try again."""
    body = {"recording": "s3://inbox/a.ogg", "chat_id": CHAT}
    before = len(web.ledger.jobs())
    answer = web.api.post("/v1/memos", json=body)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert len(web.ledger.jobs()) == before


def test_who_may_ask(web: Served) -> None:
    """Everything under /v1 wants the token, in its exact form."""
    for header in ("", "Bearer", "Bearer x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xe9"):
        for path in ("/v1/memos", "/v1/memos/x"):
            answer = web.anonymous.get(path, headers={"Authorization": header.encode("latin-1")})
            assert is_problem(answer, 401, "not-authorized")
    assert web.anonymous.post("/v1/memos", json={}).status_code == 401
    assert web.anonymous.get("/v1/memos", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


def test_jobs_are_listed_page_by_page(web: Served) -> None:
    """Oldest first, filtered by chat and state; the cursor leads to the end."""
    chat_id = str(uuid.uuid4())
    made = [upload(web, uuid.uuid4().hex, chat_id=chat_id).json()["job_id"] for _ in range(5)]
    seen: list[str] = []
    query = {"chat_id": chat_id, "limit": "2"}
    pages = 0
    while pages < 4:
        page = web.api.get("/v1/memos", params=query).json()
        seen += [memo["job_id"] for memo in page["memos"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert (seen, pages) == (made, 3)
    by_state = {state: web.api.get("/v1/memos", params={"chat_id": chat_id, "state": state}).json() for state in State}
    assert {state for state, page in by_state.items() if page["memos"]} == {State.RECEIVED}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("state=LOST", "bad-state"),
        ("state=%00", "bad-state"),
        ("chat_id=bob", "bad-chat-id"),
        ("limit=0", "bad-limit"),
        ("limit=1001", "bad-limit"),
        ("limit=-1", "bad-limit"),
        ("limit=1e3", "bad-limit"),
        ("limit=" + "9" * 5_000, "bad-limit"),
        ("limit=%D9%A3", "bad-limit"),
        ("cursor=9223372036854775808", "bad-cursor"),
        ("cursor=x", "bad-cursor"),
    ],
)
def test_bad_queries_are_refused(web: Served, query: str, code: str) -> None:
    """Numbers that are none, or too large for the ledger, and states that are none."""
    assert is_problem(web.api.get(f"/v1/memos?{query}"), 400, code)


@pytest.mark.parametrize("job_id", ["x", "0" * 32, "%00", "0" * 5_000, "%ED%A0%80", "%FF", "..%2f", "'--", "A" * 32])
def test_an_unknown_or_malformed_job_is_a_404(web: Served, job_id: str) -> None:
    """Never a 5xx, whatever the id."""
    answer = web.api.get(f"/v1/memos/{job_id}")
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_pages_and_methods(web: Served) -> None:
    """Problem documents too."""
    assert is_problem(web.api.get("/nothing"), 404, "no-such-page")
    assert is_problem(web.api.delete("/v1/memos"), 405, "wrong-method")


def test_health_says_what_works(web: Served) -> None:
    """Alive and ready with the ledger alone; the other parts are reported."""
    assert web.anonymous.get("/healthz").json() == {"ok": True}
    ready = web.anonymous.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert ready.json()["parts"] == {
        "ledger": "ok",
        "broker": "not-set",
        "s3": "not-set",
        "cdn": "not-set",
        "linq": "not-set",
    }


def test_not_ready_without_the_ledger(tmp_path: Path) -> None:
    """The ledger loses its table: /readyz and the jobs say 503, the process stays alive."""
    settings = Settings(home=tmp_path / "home", api_token=SecretStr(TOKEN), inbox_bucket="inbox")
    with serving(settings) as served:
        with closing(sqlite3.connect(settings.home / "ledger.db")) as ledger:
            ledger.execute("ALTER TABLE jobs RENAME TO lost")
        ready = served.anonymous.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["ledger"]) == (503, "ledger-unreachable")
        assert served.anonymous.get("/healthz").status_code == 200
        assert is_problem(served.api.get("/v1/memos"), 503, "ledger-unreachable")


def test_an_outage_tells_nobody_where_the_parts_are(tmp_path: Path) -> None:
    """A wrong token is looked up in the ledger, and the answer to nobody in particular names neither file nor query."""
    settings = Settings(home=tmp_path / "home", api_token=SecretStr(TOKEN), inbox_bucket="inbox")
    with serving(settings) as served:
        with closing(sqlite3.connect(settings.home / "ledger.db")) as ledger:
            ledger.execute("ALTER TABLE api_tokens RENAME TO lost")
        answer = served.anonymous.get("/v1/memos", headers={"Authorization": "Bearer x"})
        assert is_problem(answer, 503, "ledger-unreachable")
        assert answer.json().keys() == {"type", "title", "status", "code", "detail"}
        assert str(tmp_path) not in answer.text and "sqlite" not in answer.text and "api_tokens" not in answer.text
        assert answer.headers["retry-after"]


def test_metrics_show_every_state_from_the_start(tmp_path: Path) -> None:
    """Before the first job each state is there, at 0."""
    settings = Settings(home=tmp_path / "home", api_token=SecretStr(TOKEN), inbox_bucket="inbox")
    with serving(settings) as served:
        text = served.anonymous.get("/metrics").text
        assert all(f'memoline_jobs{{state="{state}"}} 0.0' in text for state in State)
        assert 'memoline_reports{status="delivered"} 0.0' in text
        assert "memoline_oldest_open_job_seconds 0.0\n" in text
        assert "memoline_matching_off 0.0\n" in text
        upload(served, "k")
        text = served.anonymous.get("/metrics").text
        assert 'memoline_jobs{state="RECEIVED"} 1.0' in text
        assert "memoline_oldest_open_job_seconds 0.0\n" not in text


def test_docs_and_metrics_are_for_this_machine_or_the_token(web: Served) -> None:
    """Somebody behind a proxy needs the token; a program of this machine does not."""
    far = {"X-Forwarded-For": "203.0.113.7"}
    for path in ("/metrics", "/docs", "/openapi.json"):
        assert web.anonymous.get(path).status_code == 200
        assert is_problem(web.anonymous.get(path, headers=far), 401, "not-authorized")
        assert web.api.get(path, headers=far).status_code == 200
    assert "/v1/memos" in web.anonymous.get("/openapi.json").json()["paths"]


def test_a_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    """`port-in-use`, before anything else happens."""
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        settings = Settings(home=tmp_path, api_token=SecretStr(TOKEN), http_port=port)
        with pytest.raises(PartUnreachable) as caught:
            serve(settings)
    assert caught.value.code == "port-in-use"


def test_serving_needs_a_token_and_a_host_of_ours(tmp_path: Path) -> None:
    """Both are settings to correct."""
    with pytest.raises(Misuse) as caught:
        serve(Settings(home=tmp_path))
    assert caught.value.code == "missing-setting"
    with pytest.raises(Misuse) as caught:
        serve(Settings(home=tmp_path, api_token=SecretStr(TOKEN), http_host="192.0.2.1"))
    assert caught.value.code == "bad-setting"


def test_memory_does_not_grow_with_an_upload(web: Served) -> None:
    """60 MB come in as a stream; the process keeps far less than that."""
    peak = threading.Event()

    def body() -> Iterator[bytes]:
        yield form(FILE, end=b"")[:-2]
        for _ in range(60):
            yield b"x" * 1_000_000
        yield b"\r\n" + form(CHAT_FIELD)
        peak.set()

    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before_kb = memory_kb("VmRSS")
    headers = {"Content-Type": "multipart/form-data; boundary=B", "Idempotency-Key": uuid.uuid4().hex}
    answer = web.api.post("/v1/memos", content=body(), headers=headers)
    assert (answer.status_code, peak.is_set()) == (202, True)
    assert web.ledger.get(answer.json()["job_id"]).recording.size_bytes == 60_000_005
    assert memory_kb("VmHWM") - before_kb < 30_000


def memory_kb(name: str) -> int:
    """The memory of this process, in which the server runs: now (VmRSS) or at its peak (VmHWM)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])
