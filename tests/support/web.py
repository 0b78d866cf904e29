"""The HTTP door, really served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from pipeline.ledger.ledger import SqlLedger
from pipeline.settings import Settings
from tests.support.waiting import eventually
from workers.clock import SteadyClock
from workers.web.server import bind, make_server, url_of

TOKEN = "a-token-for-tests"


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A running server. api: a client with the token; anonymous: one without."""

    url: str
    settings: Settings
    api: httpx.Client
    anonymous: httpx.Client
    ledger: SqlLedger


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """uvicorn on a free port of this machine, in a thread, until the block ends."""
    ready = threading.Event()
    with bind("127.0.0.1", 0) as listener:
        url = url_of(listener)
        server = make_server(settings, url, lambda _: ready.set())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert ready.wait(20)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        options = {"base_url": url, "trust_env": False, "timeout": 20}
        with httpx.Client(headers=headers, **options) as api, httpx.Client(**options) as anonymous:  # type: ignore[arg-type]
            ledger = SqlLedger(settings.ledger_url, SteadyClock())
            yield Served(url=url, settings=settings, api=api, anonymous=anonymous, ledger=ledger)
            ledger.close()
        server.should_exit = True
        eventually(lambda: not thread.is_alive(), "the server ends")
