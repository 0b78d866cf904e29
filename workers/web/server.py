"""The server process: binds, says when it is ready, serves until told to stop."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.concurrency import run_in_threadpool

from pipeline.errors import Misuse, PartUnreachable
from pipeline.ledger.ledger import SqlLedger
from pipeline.settings import Settings
from workers.doors import open_desk
from workers.hints import open_hints
from workers.hints_aside import open_hints_aside
from workers.log import logger
from workers.pulse import Pulse
from workers.web.app import make_app
from workers.web.callers import Callers
from workers.web.figures import Figures
from workers.web.intake import Intake
from workers.web.office import OUTCOMES, Office
from workers.web.protocol import BoundedProtocol
from workers.web.settler import Settler
from workers.web.tally import Tally
from workers.web.turns import Turns
from workers.webhook_secrets import SecretBook
from workers.wiring import open_tokens

OnReady = Callable[[str], None]
GRACE_S = 20
"""How long requests in work may take to end when the process is told to stop."""


def serve(settings: Settings, on_ready: OnReady | None = None) -> None:
    """Serve HTTP on MEMOLINE_HTTP_HOST and MEMOLINE_HTTP_PORT (0: a free one) until SIGTERM or SIGINT.

    on_ready: told the base URL once requests are taken. Raises PartUnreachable (`port-in-use`, `ledger-unreachable`),
    Misuse (`missing-setting` without MEMOLINE_API_TOKEN, `bad-setting` for a host that is not ours)."""
    with bind(settings.http_host, settings.http_port) as listener:
        make_server(settings, url_of(listener), on_ready).run(sockets=[listener])


def make_server(settings: Settings, url: str, on_ready: OnReady | None) -> uvicorn.Server:
    """A server for a socket that is bound already."""
    office = open_office(settings)
    if not office.secrets.known():
        logger().warning("serve.no-webhook-secret", hint="no signing secret is known: webhooks are put off")
    config = uvicorn.Config(
        make_app(office),
        http=BoundedProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="off",
    )
    return _Server(config, office, url, on_ready)


def open_office(settings: Settings) -> Office:
    """What the routes share, at the beginning of a process. Raises Misuse (`missing-setting`) where no token could open
    the door."""
    desk = open_desk(settings, "serve")
    ledger = desk.parts.ledger
    assert isinstance(ledger, SqlLedger)  # noqa: S101 (wiring.py makes no other)
    turns = Turns()
    settler = Settler(desk.parts, ledger, turns)
    webhooks = Tally(OUTCOMES)
    return Office(
        desk=desk,
        hints=open_hints_aside(settings.broker_url),
        callers=_callers(settings),
        secrets=SecretBook(settings),
        intake=Intake(ledger.keep_reports, kept=settler.wake, turns=turns),
        settler=settler,
        webhooks=webhooks,
        # Hints of its own: asking how long the queues are may wait, and those at the doors may not.
        figures=Figures(settings, ledger, open_hints(settings.broker_url), desk.parts.clock, webhooks),
    )


def _callers(settings: Settings) -> Callers:
    book = open_tokens(settings)
    if settings.api_token is None and not book.every():
        settings.need("api_token")
    given = settings.api_token.get_secret_value() if settings.api_token else None
    return Callers(given, book, settings.http_rate)


class _Server(uvicorn.Server):
    """uvicorn, that tells when it takes requests, and has the office open meanwhile."""

    def __init__(self, config: uvicorn.Config, office: Office, url: str, on_ready: OnReady | None) -> None:
        super().__init__(config)
        self._office = office
        self._url = url
        self._on_ready = on_ready
        self._pulse = Pulse(office.desk.settings.home, "serve")

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's, ten times a second: its event loop turns."""
        self._pulse.beat()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Being told to stop is no failure: uvicorn would raise the signal again after its shutdown, for a status that
        says so."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._office.intake.start()
        self._office.settler.start()
        await super().startup(sockets)
        logger().info("serve.ready", url=self._url)
        if self._on_ready:
            self._on_ready(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._pulse.end()
        for part in (self._office.intake, self._office.settler):
            await run_in_threadpool(part.close)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PartUnreachable (`port-in-use`), Misuse (`bad-setting`)."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            text = f"Port {port} on {host} is in use or not allowed: set MEMOLINE_HTTP_PORT to another one."
            raise PartUnreachable("port-in-use", text, part="serve", port=port) from None
        text = f"MEMOLINE_HTTP_HOST {host!r} cannot be listened on ({error.strerror})."
        raise Misuse("bad-setting", text, setting="MEMOLINE_HTTP_HOST") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
