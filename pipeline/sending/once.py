"""One POST, watched: how far it came, and an end to it when its time is up.

The httpx client keeps no connection (a stale one makes a failure ambiguous), follows no redirect, and reads no proxy
from the environment. httpx tells through its trace when the connection stands and when the first byte is written, which
is where the deadline is checked and where "provably not sent" ends."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import httpx

from pipeline.messages import Outcome
from pipeline.sending.outcomes import Stage
from pipeline.sending.pacing import PLACE_LASTS_S

CONNECT_TIMEOUT_S = 5.0
_FIRST_BYTE = "http11.send_request_headers.started"
_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")

_attempt: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class DeadlinePassed(Exception):
    """The time was up before the first byte was written."""


class HeldBack(Exception):
    """Something else forbade the first byte."""


def _now_s() -> float:
    """Seconds that also count while the machine sleeps, as those of the ledger's deadline do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Attempt:
    """The one POST that the current thread is about to make. deadline_s: seconds for all of it. may_go: asked right
    before the first byte; it answers with what forbids it. held_back: that answer."""

    def __init__(self, deadline_s: float, may_go: Callable[[], Outcome | None]) -> None:
        self._ends_s = _now_s() + deadline_s
        self._deadline_s = deadline_s
        self._may_go = may_go
        self.held_back: Outcome | None = None
        self._begun = False
        self._too_late = False
        self._socket: socket.socket | None = None
        self._watchdog = threading.Timer(deadline_s, self._cut)
        self._watchdog.daemon = True

    def __enter__(self) -> Attempt:
        self._token = _attempt.set(self)
        self._watchdog.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._watchdog.cancel()
        _attempt.reset(self._token)

    def timeout(self) -> httpx.Timeout:
        """Limits for the single waits; the watchdog limits their sum."""
        return httpx.Timeout(self._deadline_s, connect=min(CONNECT_TIMEOUT_S, self._deadline_s))

    def stage(self) -> Stage:
        """How far the POST came before it failed."""
        if self._begun:
            return "unknown"
        return "deadline" if self._too_late else "not-connected"

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpx's trace. Raises DeadlinePassed or HeldBack instead of letting the first byte be written."""
        if event in _CONNECTED:
            self._socket = info["return_value"].get_extra_info("socket")
        elif event == _FIRST_BYTE:
            asked_s = _now_s()
            self._need_time(self._ends_s)
            self.held_back = self._may_go()
            if self.held_back is not None:
                raise HeldBack(self.held_back.code)
            self._need_time(min(self._ends_s, asked_s + PLACE_LASTS_S))
            self._begun = True

    def _need_time(self, ends_s: float) -> None:
        if _now_s() >= ends_s:
            self._too_late = True
            raise DeadlinePassed("too late to begin")

    def _cut(self) -> None:
        """Time is up: a server that drips its answer byte by byte would hold us for ever."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


def make_client(base_url: str) -> httpx.Client:
    """The client below the SDK; it can make one POST a request and no more."""
    limits = httpx.Limits(max_keepalive_connections=0)
    context = ssl.create_default_context() if base_url.startswith("https") else False
    transport = httpx.HTTPTransport(verify=context, retries=0, limits=limits, trust_env=False, http2=False)
    return httpx.Client(
        transport=transport, trust_env=False, follow_redirects=False, event_hooks={"request": [_watch]}, timeout=60
    )


def _watch(request: httpx.Request) -> None:
    attempt = _attempt.get()
    if attempt is not None:
        request.extensions["trace"] = attempt.trace
