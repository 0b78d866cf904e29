"""Serving the sandbox, and hanging up on clients when a fault says so."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import PartUnreachable

from .answers import HANG_UP
from .app import create_app
from .config import SandboxConfig

OnReady = Callable[[str], None]
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class HangUpProtocol(H11Protocol):
    """HTTP/1.1 that lets the application close a connection without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        answering = self.app

        def hang_up(reset: bool) -> None:
            if reset:
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[HANG_UP] = hang_up
            await answering(scope, receive, send)

        self.app = app


class SandboxServer(uvicorn.Server):
    """A uvicorn server that says when it is ready, and whose stop by a signal is an ordinary return.

    `should_exit = True` stops it from another thread.
    """

    def __init__(self, config: SandboxConfig, on_ready: OnReady | None = None) -> None:
        self.socket = _bound(config)
        self.base_url = f"http://{config.host}:{self.socket.getsockname()[1]}"
        self._on_ready = on_ready
        super().__init__(
            uvicorn.Config(
                create_app(config, self.base_url),
                http=HangUpProtocol,
                ws="none",
                lifespan="on",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_level="warning",
                timeout_graceful_shutdown=1,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_ready is not None:
            self._on_ready(self.base_url)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises a captured signal again after its shutdown; a supervisor wants status 0 instead."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        earlier = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def serve_forever(self) -> None:
        """Returns when told to stop."""
        try:
            self.run(sockets=[self.socket])
        finally:
            self.socket.close()


def run(config: SandboxConfig, on_ready: OnReady | None = None) -> None:
    """Serves in the foreground until SIGTERM or SIGINT. on_ready: called with the base URL once requests are answered.

    Raises PartUnreachable (`port-in-use`).
    """
    SandboxServer(config, on_ready).serve_forever()


def _bound(config: SandboxConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it each answer waits 40 ms for an ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.host, config.port))
    except OSError as error:
        sock.close()
        where = f"{config.host}:{config.port}"
        raise PartUnreachable(
            "port-in-use", f"The Linq sandbox cannot listen on {where} ({error.strerror}): choose another port."
        ) from error
    return sock
