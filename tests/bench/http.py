"""The doors of a program: `python -m tests.bench.http`.

Requests a second of the HTTP door and their p99, with a real S3, a real broker and a ledger on SQLite, in rounds that
take turns with a page that does nothing; then jobs a second of `enqueue`, with the broker there, away, and silent."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.settings import Settings
from tests.support.local_stack import running_stack, s3_client

CHAT = "5e0d0000-0000-4000-8000-000000000001"
CONNECTIONS = 16
ROUNDS = 5


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.http", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000, help="in each round")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as folder:
        explicit = {"MEMOLINE_HTTP_RATE": "999999/second"}
        with running_stack(Path(folder) / "home", "s3", "broker", "serve", explicit=explicit) as settings:
            _http(settings, asked.requests)
            print(flush=True)
            _enqueue(settings, Path(folder))
    return 0


# ---------------------------------------------------------------------------------------------------------------- HTTP


def _http(settings: Settings, requests: int) -> None:
    recordings = _drop(settings, requests * ROUNDS)
    token, bucket = settings.need("api_token"), settings.need("inbox_bucket")
    head = f"Host: bench\r\nAuthorization: Bearer {token}\r\n"

    def nothing(_: int) -> bytes:
        return f"GET /healthz HTTP/1.1\r\n{head}\r\n".encode()

    def post(number: int) -> bytes:
        body = json.dumps({"recording": f"s3://{bucket}/{recordings[number]}", "chat_id": CHAT})
        key = f"Idempotency-Key: bench-{number}\r\n"
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"POST /v1/memos HTTP/1.1\r\n{head}{key}{kind}\r\n{body}".encode()

    def look(_: int) -> bytes:
        return f"GET /v1/memos?key=bench-0 HTTP/1.1\r\n{head}\r\n".encode()

    kinds: dict[str, Callable[[int], bytes]] = {
        "GET /healthz (does nothing)": nothing,
        "POST /v1/memos, a new s3:// job": post,
        "POST /v1/memos, repeated": post,
        "GET /v1/memos?key=…": look,
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    waits: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(ROUNDS):
        for name, request in kinds.items():
            made = [request(turn * requests + number) for number in range(requests)]
            took_s, each = asyncio.run(_send(settings, made))
            rates[name].append(requests / took_s)
            waits[name] += each
    print(f"{'HTTP, ' + str(CONNECTIONS) + ' connections':<34} requests/s   p50 ms   p99 ms   of nothing")
    base = statistics.median(rates["GET /healthz (does nothing)"])
    for name in kinds:
        rate, sorted_s = statistics.median(rates[name]), sorted(waits[name])
        p50, p99 = (1_000 * sorted_s[int(len(sorted_s) * part)] for part in (0.5, 0.99))
        print(f"{name:<34} {rate:>10.0f} {p50:>8.1f} {p99:>8.1f} {rate / base:>12.2f}")


async def _send(settings: Settings, requests: list[bytes]) -> tuple[float, list[float]]:
    """(seconds for all, seconds of each) over `CONNECTIONS` connections that stay open."""
    waiting, each = iter(requests), list[float]()
    began_s = time.perf_counter()
    await asyncio.gather(*(_connection(settings, waiting, each) for _ in range(CONNECTIONS)))
    return time.perf_counter() - began_s, each


async def _connection(settings: Settings, waiting: Iterator[bytes], each: list[float]) -> None:
    reader, writer = await asyncio.open_connection(settings.http_host, settings.http_port)
    for request in waiting:
        began_s = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        each.append(time.perf_counter() - began_s)
        if not head.startswith(b"HTTP/1.1 20"):
            raise AssertionError(head + body)
    writer.close()


def _drop(settings: Settings, count: int) -> list[str]:
    """Objects of the inbox, named so that no watcher would be needed."""
    client, names = s3_client(settings), [f"bench/{number}.ogg" for number in range(count)]
    for name in names:
        client.put_object(Bucket=settings.need("inbox_bucket"), Key=name, Body=b"sound")
    return names


# ------------------------------------------------------------------------------------------------------------- enqueue

_PROGRAM = """
import json, sys, time
began_s = time.perf_counter()
from workers import enqueue, enqueue_many
imported_s = time.perf_counter() - began_s
path, chat_id, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
began_s = time.perf_counter()
enqueue(path, chat_id)
first_s = time.perf_counter() - began_s
began_s, cpu_s = time.perf_counter(), time.process_time()
for _ in range(count):
    enqueue(path, chat_id)
took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
began_s = time.perf_counter()
done = enqueue_many({"recording": path, "chat_id": chat_id} for _ in range(5 * count))
many_s = time.perf_counter() - began_s
assert all(hasattr(job, "job_id") for job in done)
print(json.dumps([imported_s, first_s, count / took_s, 1000 * cpu_s / count, 5 * count / many_s]))
"""


def _enqueue(settings: Settings, folder: Path) -> None:
    recording = folder / "note.ogg"
    recording.write_bytes(os.urandom(50_000))
    with _silent() as silent:
        brokers = {"there": settings.need("broker_url"), "away": "redis://127.0.0.1:1/0", "silent": silent}
        found: dict[str, list[list[float]]] = {name: [] for name in brokers}
        for _ in range(3):
            for name, url in brokers.items():
                home = folder / f"enqueue-{uuid.uuid4().hex}"
                env = os.environ | {"MEMOLINE_HOME": str(home), "MEMOLINE_BROKER_URL": url}
                command = [sys.executable, "-c", _PROGRAM, str(recording), CHAT, "300"]
                done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
                found[name].append(json.loads(done.stdout))
    print("enqueue, 50 kB each, broker   import s   first s   jobs/s   CPU ms a job   enqueue_many jobs/s")
    for name, rounds in found.items():
        imported, first, rate, cpu, many = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"{name:<30}{imported:>8.3f}{first:>10.2f}{rate:>9.0f}{cpu:>15.2f}{many:>22.0f}")
    print(f"(one fsync of a 50 kB file: {1_000 * _fsync_s(folder):.2f} ms; enqueue makes three)")


@contextmanager
def _silent() -> Iterator[str]:
    """A broker that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def _fsync_s(folder: Path) -> float:
    times = []
    for _ in range(50):
        with (folder / "fsync").open("wb") as file:
            file.write(os.urandom(50_000))
            file.flush()
            began_s = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began_s)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
