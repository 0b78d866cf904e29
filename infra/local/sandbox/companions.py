"""Two small servers that tests of a voice-memo sender need beside the sandbox: one that hosts memos over TLS, and one
that receives webhooks. Both serve 127.0.0.1 from a thread."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

M4A = b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A isom" + b"\x00\x00\x00\x08free"  # a header, not a sound


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one path answers. chunked: without Content-Length."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoServer:
    """base_url: `https://…`. requests: how often each path was asked for."""

    base_url: str
    pages: dict[str, Page]
    requests: Counter[str]

    def host(
        self,
        name: str = "memo.m4a",
        body: bytes = M4A,
        *,
        content_type: str = "audio/x-m4a",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> str:
        """Puts a file there; the answer is its URL."""
        all_headers = {"Content-Type": content_type, **(headers or {})}
        self.pages[f"/m/{name}"] = Page(body=body, status=status, headers=all_headers, chunked=chunked)
        return f"{self.base_url}/m/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One webhook as it came. Header names are in lower case."""

    at: float
    headers: dict[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReceiver:
    """statuses: what the next webhooks are answered, one each; 200 when there are none left."""

    url: str
    received: list[Received]
    statuses: deque[int]

    def wait_for(self, count: int, within_s: float = 10.0) -> list[Received]:
        """The webhooks once there are so many. Raises TimeoutError."""
        until(lambda: len(self.received) >= count, within_s)
        return list(self.received)


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Polls until the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"It did not become so within {within_s} s")
        time.sleep(0.01)


@contextmanager
def memo_server(tls: ssl.SSLContext) -> Iterator[MemoServer]:
    """Hosts memos with the context's certificate, which must be for 127.0.0.1."""
    pages: dict[str, Page] = {}
    requests: Counter[str] = Counter()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        requests[handler.path] += 1
        _write(handler, pages.get(handler.path, Page(body=b"not here", status=404)))

    with _serving(answer, tls) as port:
        yield MemoServer(base_url=f"https://127.0.0.1:{port}", pages=pages, requests=requests)


@contextmanager
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """Keeps every webhook it gets."""
    received: list[Received] = []
    statuses: deque[int] = deque()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in handler.headers.items()}
        status = statuses.popleft() if statuses else 200
        received.append(Received(at=time.time(), headers=headers, body=body))
        _write(handler, Page(body=b"", status=status))

    with _serving(answer, None) as port:
        yield WebhookReceiver(url=f"http://127.0.0.1:{port}/hook", received=received, statuses=statuses)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off the handshake, as one that trusts us not must, is nothing to report."""


@contextmanager
def _serving(answer: Callable[[BaseHTTPRequestHandler], None], tls: ssl.SSLContext | None) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        # The handshake is left to the handler's thread: a slow client must not keep others waiting.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _write(handler: BaseHTTPRequestHandler, page: Page) -> None:
    handler.send_response(page.status)
    for name, value in page.headers.items():
        handler.send_header(name, value)
    if page.chunked:
        handler.send_header("Transfer-Encoding", "chunked")
    else:
        handler.send_header("Content-Length", str(len(page.body)))
    handler.end_headers()
    handler.wfile.write(_chunks(page.body) if page.chunked else page.body)


def _chunks(body: bytes) -> bytes:
    size = 65_536
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
