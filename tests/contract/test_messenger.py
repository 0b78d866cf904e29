"""The messenger with the official SDK: one POST a send, whatever the other side does, and the outcome it means."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.errors import PartUnreachable
from pipeline.messages import Outcome, OutcomeKind, PauseScope
from pipeline.sending import once
from pipeline.sending.matching import Found, match
from pipeline.sending.messenger import LinqMessenger

URL = "https://cdn.test/m/0123456789abcdef0123456789abcdef.m4a"


@dataclass
class RawServer:
    """A socket server that reads a request and answers with bytes of the test's choice, or with nothing."""

    base_url: str
    requests: list[bytes] = field(default_factory=list)

    @property
    def posts(self) -> int:
        return sum(request.startswith(b"POST") for request in self.requests)


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[RawServer]:
    """Serve until the block ends; every request is kept."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                server.requests.append(read_request(connection))
                answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server
    finally:
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Head and body of one request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(status: int, body: object, *headers: str) -> Callable[[socket.socket], None]:
    """An answer with a JSON body (or, for a string, HTML)."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/html" if isinstance(body, str) else "application/json"
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(content)}", *headers]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)


def error(status: int, code: int, **more: object) -> Callable[[socket.socket], None]:
    """An answer in Linq's envelope."""
    body = {"success": False, "error": {"status": status, "code": code, "message": "no", **more}, "trace_id": "t"}
    return http(status, body)


def go() -> None:
    """Nothing forbids it."""


def send(server: RawServer, deadline_s: float = 5, may_go: Callable[[], Outcome | None] = go) -> Any:
    return LinqMessenger(base_url=server.base_url, api_key="key").send_once(
        str(uuid.uuid4()), URL, deadline_s=deadline_s, may_go=may_go
    )


def nothing(_: socket.socket) -> None:
    """Close without an answer."""


TEMPTATIONS: dict[str, Callable[[socket.socket], None]] = {
    "reply dropped": nothing,
    "500": error(500, 3001),
    "500 with x-should-retry": http(500, {"error": {"code": 3001}}, "x-should-retry: true"),
    "408 with x-should-retry": http(408, {"error": {"code": 1}}, "x-should-retry: true"),
    "409": error(409, 2009),
    "429": error(429, 1007, retry_after=1),
    "502 html": http(502, "<html>bad gateway</html>"),
    "503": error(503, 4004),
    "307": http(307, {}, "location: /v3/elsewhere"),
    "308": http(308, {}, "location: /v3/elsewhere"),
    "200 empty": http(200, {}),
    "half an answer": lambda c: c.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 500\r\n\r\n{"),
    "garbage": lambda c: c.sendall(b"\x00\x01\x02 what?\r\n\r\n"),
}


@pytest.mark.parametrize("name", TEMPTATIONS)
def test_one_send_is_one_post(name: str) -> None:
    """Neither the SDK nor httpx nor our code repeats a POST, whatever tempts them."""
    with raw_server(TEMPTATIONS[name]) as server:
        outcome = send(server)
        assert outcome.kind is not OutcomeKind.ACCEPTED
        assert (len(server.requests), server.posts) == (1, 1)


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("reply dropped", OutcomeKind.UNKNOWN, "answer-lost"),
        ("500", OutcomeKind.UNKNOWN, "linq-error"),
        ("409", OutcomeKind.WAIT, "chat-not-ready"),
        ("429", OutcomeKind.WAIT, "rate-limited"),
        ("502 html", OutcomeKind.UNKNOWN, "answer-not-linqs"),
        ("503", OutcomeKind.PROBABLY_NOT_SENT, "linq-unavailable"),
        ("307", OutcomeKind.UNKNOWN, "answer-not-linqs"),
        ("200 empty", OutcomeKind.UNKNOWN, "answer-without-id"),
        ("half an answer", OutcomeKind.UNKNOWN, "answer-lost"),
        ("garbage", OutcomeKind.UNKNOWN, "answer-lost"),
    ],
)
def test_each_answer_means_what_it_must(name: str, kind: OutcomeKind, code: str) -> None:
    """What the POST came to, as a value; nothing is raised."""
    with raw_server(TEMPTATIONS[name]) as server:
        outcome = send(server)
    assert (outcome.kind, outcome.code) == (kind, code)


def test_a_refused_connection_is_provably_not_sent() -> None:
    """Nobody listens: WAIT, not UNKNOWN."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = LinqMessenger(base_url=f"http://127.0.0.1:{port}", api_key="k").send_once(
        "c", URL, deadline_s=5, may_go=go
    )
    assert (outcome.kind, outcome.code) == (OutcomeKind.WAIT, "linq-unreachable")


def test_too_late_to_begin_writes_nothing() -> None:
    """The deadline is checked between connect and the first byte: no request reaches the server."""
    with raw_server(nothing) as server:
        outcome = send(server, deadline_s=0)
        assert outcome.kind is OutcomeKind.WAIT
        assert outcome.code in {"send-deadline", "linq-unreachable"}
        assert server.posts == 0


def test_a_place_is_taken_when_the_connection_stands_and_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What forbids the POST then is the outcome; who froze with his place sends nothing."""
    forbids = Outcome(kind=OutcomeKind.WAIT, code="paced", message="later", wait_s=7)
    late_s = [0.0]

    def freezes() -> None:
        late_s[0] = once.PLACE_LASTS_S

    with raw_server(nothing) as server:
        assert send(server, may_go=lambda: forbids) is forbids
        real = once._now_s
        monkeypatch.setattr(once, "_now_s", lambda: real() + late_s[0])
        frozen = send(server, may_go=freezes)
        assert (frozen.kind, frozen.code) == (OutcomeKind.WAIT, "send-deadline")
        assert server.posts == 0


def test_a_dripping_answer_ends_at_the_deadline() -> None:
    """One byte now and then never runs into a read timeout; the whole POST has a deadline all the same."""

    def drip(connection: socket.socket) -> None:
        ends_s = time.monotonic() + 10
        try:
            connection.sendall(b"HTTP/1.1 202 Accepted\r\n")
            while time.monotonic() < ends_s:
                connection.sendall(b"x: y\r\n")
                threading.Event().wait(0.1)
        except OSError:
            return

    with raw_server(drip) as server:
        begun_s = time.monotonic()
        outcome = send(server, deadline_s=1)
        assert (outcome.kind, outcome.code) == (OutcomeKind.UNKNOWN, "answer-lost")
        assert time.monotonic() - begun_s < 5


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy could repeat a POST: none is read from the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with raw_server(error(404, 2001)) as server:
        assert send(server).code == "chat-not-found"


def test_a_long_wait_pauses_more_than_its_chat() -> None:
    """A 429 of ten minutes is not about one chat."""
    with raw_server(error(429, 1007, retry_after=600)) as server:
        outcome = send(server)
    assert (outcome.wait_s, outcome.pause) == (600, PauseScope.LINE)


def test_an_accepted_memo_is_found_again_by_its_file_name(linq_sandbox: Any, linq_memos: Any) -> None:
    """202 with both ids and the trace id; the list of messages shows the file name; another name is absent."""
    chat_id = str(uuid.uuid4())
    url = linq_memos.host("aaaa.m4a")
    messenger = LinqMessenger(base_url=linq_sandbox.base_url, api_key=linq_sandbox.api_key)
    outcome = messenger.send_once(chat_id, url, deadline_s=20, may_go=go)
    assert outcome.kind is OutcomeKind.ACCEPTED, outcome
    assert outcome.message_id != outcome.attachment_id
    assert outcome.trace_id
    listed = messenger.own_messages(chat_id, since=time.time() - 5)
    assert listed.complete
    assert match("aaaa.m4a", listed).message_id == outcome.message_id
    assert match("bbbb.m4a", listed).found is Found.NO
    report = messenger.status(outcome.message_id or "")
    assert report is not None
    assert messenger.status(str(uuid.uuid4())) is None


def test_looking_raises_one_error_when_linq_is_away() -> None:
    """An unreachable Linq is `linq-unreachable`, for the list, the status and the ping."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    messenger = LinqMessenger(base_url=f"http://127.0.0.1:{port}", api_key="k")
    for look in (lambda: messenger.own_messages("c", since=0), lambda: messenger.status("m"), messenger.ping):
        with pytest.raises(PartUnreachable) as caught:
            look()
        assert caught.value.code == "linq-unreachable"
