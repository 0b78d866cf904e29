"""The sandbox as a pytest fixture.

Say `pytest_plugins = ["infra.local.sandbox.pytest_plugin"]` and ask for `linq_sandbox`. Beside it come `linq_memos`, an
HTTPS server whose files the sandbox can fetch, and `linq_webhooks`, a receiver. To let the sandbox trust an authority
of your own instead, override the fixture `linq_sandbox_ca`.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
import trustme

from .companions import MemoServer, WebhookReceiver, memo_server, webhook_receiver
from .config import SandboxConfig
from .server import SandboxServer

if TYPE_CHECKING:
    from linq import LinqAPIV3

API_KEY = "sandbox-key"
READY_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinqSandbox:
    """A running sandbox: where it is, and its control door."""

    base_url: str
    api_key: str
    http: httpx.Client

    def state(self) -> dict[str, Any]:
        """Counts of POSTs, messages and webhooks, as `GET /_sandbox/state` gives them."""
        return self._ask("GET", "/state")

    def count(self) -> dict[str, int]:
        """How many POSTs and messages there are."""
        return self._ask("GET", "/count")

    def inject(self, kind: str, *, seed: int | None = None, **fields: object) -> None:
        """Adds one fault (fields as in `faults.Fault`)."""
        self._ask("POST", "/faults", json={"seed": seed, "faults": [{"kind": kind, **fields}]})

    def clear(self) -> None:
        """Takes back all faults."""
        self._ask("DELETE", "/faults")

    def reset(self) -> None:
        """Forgets everything: faults, chats, messages, counts, subscriptions."""
        self._ask("POST", "/reset")

    def chat(self, chat_id: str, **fields: object) -> None:
        """Declares a chat, or changes one: `handles service opted_out health`."""
        self._ask("PUT", f"/chats/{chat_id}", json=fields)

    def client(self, **options: Any) -> LinqAPIV3:
        """The official SDK, pointed here: without retries and with checked answers unless the options say otherwise."""
        from linq import LinqAPIV3

        defaults: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
        return LinqAPIV3(api_key=self.api_key, base_url=self.base_url, http_client=self.http, **(defaults | options))

    def write(self, chat_id: str, text: str) -> dict[str, Any]:
        """They write: a keyword opts them out, anything else in again."""
        return self._ask("POST", f"/chats/{chat_id}/received", json={"text": text})

    def line(self, status: str) -> dict[str, Any]:
        """The account's line is `ACTIVE` or `FLAGGED` from now."""
        return self._ask("PUT", "/line", json={"status": status})

    def post_count(self, chat_id: str | None = None) -> int:
        """How many POSTs `voicememo` has seen, taken or not; in one chat, or in all."""
        posts = self.state()["posts"]
        return int(posts["total"] if chat_id is None else posts["by_chat"].get(chat_id, 0))

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = self.http.request(method, f"{self.base_url}/_sandbox{path}", **request)
        if answer.is_error:
            raise ValueError(answer.text)
        return cast(dict[str, Any], answer.json())


@contextmanager
def running_sandbox(config: SandboxConfig) -> Iterator[LinqSandbox]:
    """A real server in a thread, for as long as the block lasts."""
    ready = threading.Event()
    server = SandboxServer(config, on_ready=lambda _: ready.set())
    thread = threading.Thread(target=server.serve_forever, name="linq-sandbox", daemon=True)
    thread.start()
    try:
        if not ready.wait(READY_WITHIN_S):
            raise RuntimeError("The Linq sandbox did not start")
        with httpx.Client(trust_env=False, timeout=60.0) as http:
            yield LinqSandbox(base_url=server.base_url, api_key=config.api_key, http=http)
    finally:
        server.should_exit = True
        thread.join(READY_WITHIN_S)


@pytest.fixture(scope="session")
def linq_test_authority() -> trustme.CA:
    """A certificate authority that nobody but the sandbox trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def linq_sandbox_ca(linq_test_authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """PEM file of the further authority that the sandbox trusts."""
    path = tmp_path_factory.mktemp("linq-sandbox") / "ca.pem"
    linq_test_authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def linq_memos(linq_test_authority: trustme.CA) -> Iterator[MemoServer]:
    """An HTTPS server for memos."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    linq_test_authority.issue_cert("127.0.0.1").configure_cert(context)
    with memo_server(context) as memos:
        yield memos


@pytest.fixture
def linq_webhooks() -> Iterator[WebhookReceiver]:
    """A receiver of webhooks; subscribe its `.url`."""
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def linq_sandbox_server(linq_sandbox_ca: Path | None) -> Iterator[LinqSandbox]:
    """One server for the whole session."""
    config = SandboxConfig(
        port=0, api_key=API_KEY, ca_bundle=linq_sandbox_ca, delivery_delay_s=0.05, webhook_retry_s=0.05
    )
    with running_sandbox(config) as sandbox:
        yield sandbox


@pytest.fixture
def linq_sandbox(linq_sandbox_server: LinqSandbox) -> LinqSandbox:
    """The session's sandbox, as on its first day."""
    linq_sandbox_server.reset()
    return linq_sandbox_server
