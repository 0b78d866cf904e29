"""The file by which a process shows that it is at work: written again and again by what does the work, so that a
process that hangs is noticed as one that died is. It lies in MEMOLINE_HOME and goes with the process."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

PROCESSES = ("audio", "send", "watch", "sweep", "serve")
EVERY_S = 5.0
DEAD_AFTER_S = 90.0
"""Longer than any wait of a loop that is well, on a busy machine."""


class Pulse:
    """One process's. `beat` is cheap to call often."""

    def __init__(self, home: Path, process: str) -> None:
        self._file = home / "run" / f"{process}.{os.getpid()}.alive"
        self._beaten_s = float("-inf")

    def beat(self) -> None:
        """Say that it goes on. A disk that is full must not end what goes on."""
        now_s = time.monotonic()
        if now_s - self._beaten_s >= EVERY_S:
            self._beaten_s = now_s
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.touch()

    def wait(self, stopped: threading.Event, seconds: float) -> bool:
        """`stopped.wait(seconds)`, beating meanwhile."""
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            self.beat()
            if stopped.wait(min(left_s, EVERY_S)):
                return True
        return stopped.is_set()

    def end(self) -> None:
        """Say that it goes on no more, whatever beats after this: a timer of a loop that is being left, say."""
        self._beaten_s = float("inf")
        with suppress(OSError):
            self._file.unlink(missing_ok=True)


def beating(home: Path) -> list[str]:
    """The kinds of the processes of a home that are at work. Files of those that died are removed."""
    found: list[str] = []
    for file in (home / "run").glob("*.*.alive"):
        process, pid, _ = file.name.split(".")
        with suppress(OSError, ValueError):
            if time.time() - file.stat().st_mtime < DEAD_AFTER_S and _runs(int(pid)):
                found.append(process)
            elif not _runs(int(pid)):
                file.unlink(missing_ok=True)
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
