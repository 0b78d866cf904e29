"""How long it takes until every job is settled whose webhooks were lost: `python -m tests.bench.polls [JOBS]`.

Jobs that are SENT, all of them due, with the real sweeper, broker and send worker, and a Linq that answers at once."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import insert

from infra.local import stack
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.ledger.rows import new_row
from pipeline.ledger.tables import jobs
from pipeline.model import State
from tests.support.story import request
from workers.clock import SteadyClock


class Linq(BaseHTTPRequestHandler):
    """Every message was delivered."""

    def do_GET(self) -> None:
        body = json.dumps({"id": self.path.rsplit("/", 1)[-1], "delivery_status": "delivered", "parts": []}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def main(count: int) -> int:
    """Print how long it took, and how many were settled a second."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Linq)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="polls-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        ledger = fill(f"sqlite:///{home / 'ledger.db'}", count)
        settings = {
            "LINQ_API_V3_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}",
            "LINQ_API_V3_API_KEY": "k",
            "MEMOLINE_BUCKET": "b",
            "MEMOLINE_LEDGER_URL": f"sqlite:///{home / 'ledger.db'}",
        }
        begun_s = time.monotonic()
        stack.up(settings, home, only=frozenset({"broker", "send", "sweep"}))
        try:
            while left := ledger.counts()[State.SENT]:
                print(f"{time.monotonic() - begun_s:5.0f} s: {left} left", file=sys.stderr)
                time.sleep(5)
        finally:
            stack.down(home)
        took_s = time.monotonic() - begun_s
        print(f"{count} SENT jobs were settled in {took_s:.0f} s ({count / took_s:.0f} a second)")
    return 0


def fill(url: str, count: int) -> SqlLedger:
    """A ledger with so many SENT jobs, whose polls are due."""
    migrate(url)
    ledger, now = SqlLedger(url, SteadyClock()), time.time()
    rows = []
    for n in range(count):
        row = new_row(
            request(str(n), chat_id=f"chat-{n}"), job_id=f"job-{n}", state=State.SENT, code=None, message=None, now=now
        )
        rows.append(row | {"message_id": f"m-{n}", "next_look_at": 1.0, "sending_since": now, "send_attempts": 1})
    with ledger.database.write() as connection:
        connection.execute(insert(jobs), rows)
    return ledger


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
