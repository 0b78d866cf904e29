"""A whole embedded stack for tests, driven as a user drives it: by the `memoline` command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
FAST = {
    "MEMOLINE_SWEEP_EVERY_S": "0.5",
    "MEMOLINE_SEND_TIMEOUT_S": "6",
    "MEMOLINE_CONFIRM_AFTER_S": "1.5",
    "MEMOLINE_AUDIO_LEASE_S": "4",
}
ENDED = frozenset({"DELIVERED", "REJECTED", "FAILED", "HELD", "CANCELLED"})
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What a command said. rows: its JSON lines."""

    status: int
    rows: list[Row]
    stdout: str
    stderr: str

    @property
    def row(self) -> Row:
        """The only JSON line."""
        assert len(self.rows) == 1, self
        return self.rows[0]


def memoline(home: Path, *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> Ran:
    """Run `memoline … --json` with a home and nothing else set."""
    done = subprocess.run(
        [sys.executable, "-m", "workers", *arguments, "--json"],
        env=dict(os.environ) | {"MEMOLINE_HOME": str(home), "PYTHONPATH": str(ROOT)} | (env or {}),
        cwd=cwd or home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return Ran(status=done.returncode, rows=rows, stdout=done.stdout, stderr=done.stderr)


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """A running stack. env: what `memoline env` says."""

    home: Path
    env: dict[str, str]

    def run(self, *arguments: str, cwd: Path | None = None) -> Ran:
        """A memoline command against this stack."""
        return memoline(self.home, *arguments, cwd=cwd)

    def show(self, job_id: str) -> Row:
        """One job with its history."""
        return self.run("show", job_id).row

    def ended(self, job_id: str, *, deadline_s: float = 120) -> Row:
        """The job once it has ended."""

        def look() -> Row | None:
            row = self.show(job_id)
            return row if row["state"] in ENDED else None

        return eventually(look, f"job {job_id} ends", deadline_s=deadline_s, every_s=0.3)

    def inject(self, kind: str, chat_id: str, **fields: object) -> None:
        """A fault of the Linq sandbox for one chat."""
        body = {"faults": [{"kind": kind, "chat_id": chat_id, **fields}]}
        self._sandbox("POST", "/_sandbox/faults", json=body).raise_for_status()

    def posts(self, chat_id: str) -> int:
        """How many POSTs Linq saw for a chat."""
        return int(self._sandbox("GET", "/_sandbox/state").json()["posts"]["by_chat"].get(chat_id, 0))

    def memos(self, chat_id: str) -> list[Row]:
        """The messages that are in a chat."""
        return list(self._sandbox("GET", "/_sandbox/state").json()["messages"]["by_chat"].get(chat_id, []))

    def _sandbox(self, method: str, path: str, **more: Any) -> httpx.Response:
        return httpx.request(method, self.env["LINQ_API_V3_BASE_URL"] + path, trust_env=False, timeout=20, **more)


def start(home: Path, **settings: str) -> Embedded:
    """`memoline up`, with short times. Fails the test where it does not come up."""
    home.mkdir(parents=True, exist_ok=True)
    ran = memoline(home, "up", env=FAST | settings)
    assert ran.status == 0, ran
    return Embedded(home=home, env=memoline(home, "env").row)


def stop(embedded: Embedded) -> None:
    """`memoline down`."""
    assert memoline(embedded.home, "down").status == 0
