"""`kill -9` of the webhook receiver under load: nothing that was answered 2xx is lost, on both databases."""

from __future__ import annotations

import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.ledger.migrate import migrate
from tests.bench.webhooks import Server, databases, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_answered_is_kept_and_applied(tmp_path: Path, kind: str) -> None:
    """Killed half way and started again: every event that was answered is in the ledger, every job is DELIVERED."""
    with databases(tmp_path, [kind]) as urls:
        if kind not in urls:
            pytest.skip("no PostgreSQL is installed")
        migrate(urls[kind])
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        server = Server(home=tmp_path, database_url=urls[kind], port=port)
        server.start()
        try:
            assert run(server, kind, 600, 300, kill=True)
        finally:
            server.end(signal.SIGTERM)
