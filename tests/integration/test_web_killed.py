"""The HTTP server, killed again and again while clients hand in and repeat: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import httpx
import pytest

from pipeline.settings import Settings
from tests.support.embedded import ROOT
from tests.support.waiting import eventually
from workers.wiring import open_ledger

CHAT = "5e0d0000-0000-4000-8000-000000000001"
KILLS, CLIENTS, EACH = 6, 4, 15


@pytest.mark.slow
def test_kill_at_random_points(tmp_path: Path) -> None:
    """Every client repeats a request until it is answered: as many jobs as keys, each with its own bytes, whole."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {"MEMOLINE_HOME": str(tmp_path / "home"), "MEMOLINE_HTTP_PORT": str(port), "MEMOLINE_API_TOKEN": "t"}
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, answered, done = random.Random(seed), dict[str, str](), threading.Event()

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("a") as log:
            options = {"env": os.environ | env | {"PYTHONPATH": str(ROOT)}, "stdout": log, "stderr": log}
            return subprocess.Popen([sys.executable, "-m", "workers", "serve"], **options)  # type: ignore[call-overload,no-any-return]

    def client() -> None:
        for _ in range(EACH):
            key = uuid.uuid4().hex
            while key not in answered:
                files = {"recording": ("a.ogg", key.encode() * 5_000)}
                headers = {"Authorization": "Bearer t", "Idempotency-Key": key}
                try:
                    url, form = f"http://127.0.0.1:{port}/v1/memos", {"chat_id": CHAT}
                    answer = httpx.post(url, headers=headers, data=form, files=files, trust_env=False, timeout=30)
                except httpx.TransportError:
                    time.sleep(0.02)  # as a client does before it asks again
                    continue
                assert answer.status_code == 202, answer.text
                answered[key] = answer.json()["job_id"]

    clients = [threading.Thread(target=client, daemon=True) for _ in range(CLIENTS)]
    server = start()
    for thread in clients:
        thread.start()
    try:
        for number in range(KILLS):
            goal = min(len(answered) + chance.randrange(1, CLIENTS * EACH // KILLS), CLIENTS * EACH - 1)
            what = f"{goal} answers before kill {number}"
            eventually(lambda goal=goal: len(answered) >= goal, what, every_s=0.001, deadline_s=120)
            done.wait(chance.random() * 0.05)
            server.kill()
            server.wait()
            server = start()
        for thread in clients:
            thread.join(120)
    finally:
        server.kill()
        server.wait()
    jobs = open_ledger(Settings(home=tmp_path / "home")).jobs()
    assert {job.key: job.job_id for job in jobs} == answered
    assert len(jobs) == CLIENTS * EACH
    for job in jobs:
        assert Path(job.recording.uri.removeprefix("file://")).read_bytes() == str(job.key).encode() * 5_000
