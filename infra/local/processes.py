"""Starting and ending processes so that never one of somebody else's is hit.

A process is known by its id, its start time and the boot it lives in, since ids are used again. Every part leads a
session of its own, by which all that it started can be found, also after it died.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PartUnreachable

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which process is meant. birth: boot id and start time in clock ticks (field 22 of /proc/PID/stat, proc(5))."""

    pid: int
    birth: str


def identify(pid: int) -> Identity | None:
    """The identity of a process that runs now; None where there is none (a zombie is none)."""
    stat = _stat(pid)
    return None if stat is None else Identity(pid=pid, birth=f"{_boot_id()}:{stat.started}")


def alive(identity: Identity | None) -> bool:
    """Whether this very process still runs."""
    return identity is not None and identify(identity.pid) == identity


def start(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: int) -> subprocess.Popen[bytes]:
    """Start a part in a session of its own that ends when the calling thread does, however that ends.

    It reads nothing, and writes to the descriptor `log`, which is closed here. Raises PartUnreachable
    (`part-failed`)."""
    setpriv = shutil.which("setpriv") or "/usr/bin/setpriv"
    try:
        return subprocess.Popen(
            [setpriv, "--pdeathsig", "KILL", *argv],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    except OSError as error:
        text = f"{error.filename or argv[0]} cannot be started ({error.strerror}): run `make setup`."
        raise PartUnreachable("part-failed", text) from None
    finally:
        os.close(log)


def members(session: int) -> list[int]:
    """Process ids of a session, zombies left out."""
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if (stat := _stat(pid)) is not None and stat.session == session]


def kill_session(leader: Identity, home: Path) -> int:
    """Kill whatever is left of a part: its leader and all of its session. Returns how many were hit.

    Where the leader is dead, its number could by now be that of a stranger's session: then only processes that were
    started with this home are hit."""
    now = identify(leader.pid)
    if now is not None and now != leader:
        return 0
    left = [pid for pid in members(leader.pid) if now == leader or _started_with(pid, home)]
    for pid in left:
        send(pid, signal.SIGKILL)
    return len(left)


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process; one that has gone is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def gone_within(identities: Iterable[Identity], wait_s: float) -> bool:
    """Wait until none of these processes runs; False at the deadline."""
    left = list(identities)
    ends_s = time.monotonic() + wait_s
    while left := [identity for identity in left if alive(identity)]:
        if time.monotonic() > ends_s:
            return False
        time.sleep(0.02)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stat:
    session: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name stands in brackets and may hold anything, brackets included.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else _Stat(session=int(fields[3]), started=int(fields[19]))


def _started_with(pid: int, home: Path) -> bool:
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"MEMOLINE_HOME={home}".encode() in variables


def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
