"""`make bench-webhooks`: a load of signed webhooks on a real `memoline serve`, on SQLite or PostgreSQL, loopback only.

Three loads: 200 events a second; 20,000 at 1,000 a second; and the same with `kill -9` half way, after which the server
is started again. Arrivals are open (latency counts from the moment an event was due, not from when a connection was
free), a 503 or a lost answer is repeated as Linq does, and at the end every event that was answered 2xx must be in
the ledger and every job be DELIVERED. Figures are this machine's at this moment; what else runs is in them.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
from sqlalchemy import insert, select

from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.ledger.rows import new_row
from pipeline.ledger.tables import jobs, reports
from pipeline.messages import StatusReport
from pipeline.model import State
from pipeline.sending.webhooks import sign
from tests.support.ledger import CHAT, a_request
from tests.support.postgres import binaries, private_server
from workers.clock import SteadyClock

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
CONNECTIONS = 128
GIVE_UP_S = 300


@dataclass
class Tally:
    """What a load met."""

    latencies_s: list[float] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    put_off: int = 0
    lost: int = 0
    other: int = 0

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Server:
    """A `memoline serve` that can be killed and started again on the same port."""

    home: Path
    database_url: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LINQ_", "AWS_", "MEMOLINE_"))}
        env |= {
            "MEMOLINE_HOME": str(self.home),
            "MEMOLINE_DATABASE_URL": self.database_url,
            "MEMOLINE_HTTP_PORT": str(self.port),
            "MEMOLINE_API_TOKEN": "bench",
            "LINQ_WEBHOOK_SECRET": SECRET,
            # With PostgreSQL recordings wait in a bucket; none is touched here.
            "MEMOLINE_BUCKET": "unused",
            "MEMOLINE_INBOX_BUCKET": "unused",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        }
        with (self.home / "serve.log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "workers", "serve"], cwd=ROOT, env=env, stderr=log)
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise TimeoutError("serve did not come up")

    def cpu_s(self) -> float:
        """User and system time that the process has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split() if self.process else []
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def end(self, number: int) -> None:
        if self.process:
            self.process.send_signal(number)
            self.process.wait(60)


def seed(ledger: SqlLedger, count: int) -> list[str]:
    """SENT jobs; returns their message ids."""
    rows, ids = [], [uuid.uuid4().hex for _ in range(count)]
    for message_id in ids:
        row = new_row(a_request(message_id), job_id=message_id, state=State.SENT, code=None, message=None, now=1.0)
        rows.append(row | {"message_id": message_id, "send_attempts": 1, "rev": 5})
    with ledger.database.write() as connection:
        connection.execute(insert(jobs), rows)
    return ids


def event_of(kind: str, message_id: str) -> tuple[str, bytes]:
    """An event of the usual size in the payload of 2026-02-03."""
    event_id = str(uuid.uuid4())
    chat = {
        "id": CHAT,
        "is_group": False,
        "owner_handle": {"handle": "+15550001"},
        "health_status": {"status": "HEALTHY"},
    }
    part = {
        "type": "media",
        "filename": f"{message_id}.m4a",
        "mime_type": "audio/x-m4a",
        "size_bytes": 1,
        "url": "x" * 90,
    }
    data = {"id": message_id, "direction": "outbound", "chat": chat, "parts": [part], "service": "iMessage"}
    envelope = {"api_version": "v3", "webhook_version": "2026-02-03", "event_type": kind, "event_id": event_id}
    rest = {"created_at": "2026-11-24T00:00:00.000Z", "trace_id": uuid.uuid4().hex, "partner_id": "p", "data": data}
    return event_id, json.dumps(envelope | rest).encode()


def request_of(event_id: str, body: bytes) -> bytes:
    head = sign(body, event_id, SECRET, at=time.time()) | {
        "host": "127.0.0.1",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST /webhooks/linq HTTP/1.1\r\n{lines}\r\n".encode() + body


async def load(port: int, events: list[tuple[str, bytes]], rate: float, tally: Tally) -> None:
    """Send all events at a rate; each is repeated until it was answered 2xx."""
    due: asyncio.Queue[tuple[float, str, bytes]] = asyncio.Queue()
    left = len(events)
    done = asyncio.Event()

    async def connection() -> None:
        nonlocal left
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while True:
            at_s, event_id, body = await due.get()
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request_of(event_id, body))
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                length = next(int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:"))
                await asyncio.wait_for(reader.readexactly(length), 10)
                status = int(head[9:12])
            except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
                tally.lost += 1
                if writer:
                    writer.close()
                reader = writer = None
                asyncio.get_running_loop().call_later(0.5, due.put_nowait, (at_s, event_id, body))
                continue
            if 200 <= status < 300:
                tally.answered.add(event_id)
                tally.latencies_s.append(time.monotonic() - at_s)
                left -= 1
                if not left:
                    done.set()
            elif status == 503:
                tally.put_off += 1
                asyncio.get_running_loop().call_later(1, due.put_nowait, (at_s, event_id, body))
            else:
                tally.other += 1

    tasks = [asyncio.create_task(connection()) for _ in range(CONNECTIONS)]
    begun_s = time.monotonic()
    for number, (event_id, body) in enumerate(events):
        at_s = begun_s + number / rate
        if (wait_s := at_s - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        due.put_nowait((at_s, event_id, body))
    await asyncio.wait_for(done.wait(), GIVE_UP_S)
    for task in tasks:
        task.cancel()


def run(server: Server, name: str, count: int, rate: float, *, kill: bool = False) -> bool:
    """One load; prints its line. False where something was lost."""
    ledger = SqlLedger(server.database_url, SteadyClock())
    ids = seed(ledger, count // 2)
    events = [event_of(kind, one) for one in ids for kind in ("message.sent", "message.delivered")]
    tally = Tally()
    begun_s, cpu_before_s = time.monotonic(), server.cpu_s()
    if kill:
        asyncio.run(_killed_half_way(server, events, rate, tally))
    else:
        asyncio.run(load(server.port, events, rate, tally))
    took_s = time.monotonic() - begun_s
    while ledger.waiting_count():
        time.sleep(0.1)
        if time.monotonic() - begun_s > GIVE_UP_S:
            raise TimeoutError("reports were not applied")
    settled_s, cpu_s = time.monotonic() - begun_s, server.cpu_s() - (0 if kill else cpu_before_s)
    with ledger.database.read() as connection:
        kept = set(connection.execute(select(reports.c.event_id)).scalars())
        at_end = select(jobs.c.job_id).where(jobs.c.state == "DELIVERED")
        delivered = set(connection.execute(at_end).scalars())
    ledger.close()
    missing, open_jobs = len(tally.answered - kept), len(set(ids) - delivered)
    print(
        f"{name:<28} {count:>6} {rate:>6.0f} {count / took_s:>8.0f}"
        f" {tally.percentile_ms(0.5):>8.1f} {tally.percentile_ms(0.99):>8.1f} {tally.percentile_ms(1):>8.1f}"
        f" {tally.put_off:>6} {tally.lost:>6} {settled_s - took_s:>8.1f} {1000 * cpu_s / count:>7.2f}"
        f" {missing:>5} {open_jobs:>5}",
        flush=True,
    )
    return missing == 0 and open_jobs == 0 and tally.other == 0


async def _killed_half_way(server: Server, events: list[tuple[str, bytes]], rate: float, tally: Tally) -> None:
    async def kill() -> None:
        while len(tally.answered) < len(events) // 2:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(server.end, signal.SIGKILL)
        await asyncio.to_thread(server.start)

    killer = asyncio.create_task(kill())
    await load(server.port, events, rate, tally)
    await killer


def group_ratio(url: str) -> None:
    """The ledger alone: reports kept in groups of 100 against one a commit, interleaved."""
    ledger = SqlLedger(url, SteadyClock())
    report = StatusReport(status="sent", message_id="m", trace_id="t", chat_id=CHAT)
    least = {1: float("inf"), 100: float("inf")}
    for _ in range(3):
        for size in (1, 100):
            begun_s = time.monotonic()
            for _ in range(200 // size):
                ledger.keep_reports([replace(report, event_id=uuid.uuid4().hex) for _ in range(size)])
            least[size] = min(least[size], time.monotonic() - begun_s)
    with ledger.database.write() as connection:
        connection.execute(reports.delete())
    ledger.close()
    print(f"kept in groups of 100: {200 / least[100]:.0f} a second, one a commit: {200 / least[1]:.0f},", end=" ")
    print(f"{least[1] / least[100]:.1f} times")


@contextmanager
def databases(folder: Path, names: list[str]) -> Iterator[dict[str, str]]:
    """A fresh database of each kind."""
    with ExitStack() as stack:
        urls = {}
        if "sqlite" in names:
            urls["sqlite"] = f"sqlite:///{folder / 'ledger.db'}"
        if "postgresql" in names and (found := binaries()):
            urls["postgresql"] = stack.enter_context(private_server(found)).url
        yield urls


def main() -> int:
    """Run all loads; 1 where something was lost."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    options.add_argument("--seconds", type=int, default=20, help="of the steady load of 200 a second")
    options.add_argument("--burst", type=int, default=20_000, help="events of a burst")
    given = options.parse_args()
    good = True
    with (
        tempfile.TemporaryDirectory() as name,
        databases(Path(name), given.database or ["sqlite", "postgresql"]) as urls,
    ):
        for kind, url in urls.items():
            migrate(url)
            group_ratio(url)
            home = Path(name) / f"home-{kind}"
            home.mkdir()
            with closing(socket.create_server(("127.0.0.1", 0))) as free:
                port = free.getsockname()[1]
            server = Server(home=home, database_url=url, port=port)
            server.start()
            print(
                f"{'load':<28} {'events':>6} {'due/s':>6} {'taken/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"
                f" {'503':>6} {'lost':>6} {'settled':>8} {'cpu ms':>7} {'gone':>5} {'open':>5}"
            )
            try:
                good &= run(server, f"{kind}: steady", 200 * given.seconds, 200)
                good &= run(server, f"{kind}: burst", given.burst, 1000)
                good &= run(server, f"{kind}: burst, kill -9", given.burst, 1000, kill=True)
            finally:
                server.end(signal.SIGTERM)
    print(
        "lost: answers that never came; settled: seconds until all were applied; cpu ms: of the server, an event"
        "\ngone: answered 2xx and not kept"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
