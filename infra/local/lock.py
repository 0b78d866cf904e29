"""One supervisor a home, and a clean home for the next one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from infra.local.processes import gone_within, kill_session
from infra.local.status import read_report

LOCK = Path("run") / "supervisor.lock"
LOCKED = 3
"""Exit status of a supervisor that found another one in its home."""
GONE_WITHIN_S = 10.0


def take_lock(home: Path) -> int | None:
    """A descriptor that holds the home for as long as this process and its forks live; None where another has it."""
    descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def still_held(home: Path, descriptor: int) -> bool:
    """Whether the home is still the one that was taken: False once somebody removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), (home / LOCK).stat())
    except OSError:
        return False


def end_leftovers(home: Path) -> int:
    """End what an earlier supervisor recorded and left behind. Returns how many processes were hit."""
    recorded = read_report(home).recorded
    hit = sum(kill_session(identity, home) for identity in recorded)
    gone_within(recorded, GONE_WITHIN_S)
    return hit
