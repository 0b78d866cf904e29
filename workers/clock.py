"""The clock of the processes of a host: Unix seconds that never step back."""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path

_BYTES = 8


class SteadyClock:
    """A clock that no one can set, at the farthest lead that the wall clock ever had over it.

    A wall clock that jumps back would revive leases and deadlines that had run out; one that is set forward is
    followed. CLOCK_BOOTTIME also counts while the machine sleeps.

    folder: where the lead lies that all processes share, whoever saw the jump: were one of them ahead of the others, it
    would call their deadlines over, and the quiet time between two looks past. Where it cannot be used, each process
    has a lead of its own."""

    def __init__(self, folder: Path | None = None) -> None:
        self._lead_s = float("-inf")
        self._guard = threading.Lock()
        self._shared: memoryview[float] | None = None
        self._held: FileIO | None = None
        if folder is not None:
            with suppress(OSError):
                self._shared = self._opened(folder)

    def now(self) -> float:
        """Unix seconds."""
        with self._guard:
            boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            self._lead_s = max(self._lead_s, time.time() - boot_s)
            if self._shared is not None:
                self._lead_s = max(self._lead_s, self._shared[0])
                self._shared[0] = max(self._shared[0], self._lead_s)
            return boot_s + self._lead_s

    def close(self) -> None:
        """Have the shared lead no more."""
        self._shared = None
        if self._held is not None:
            self._held.close()
            self._held = None

    def __del__(self) -> None:
        self.close()

    def _opened(self, folder: Path) -> memoryview[float]:
        """The shared lead. It lasts as long as a process has it open: who finds himself alone begins anew."""
        if folder.parent.is_dir():
            folder.mkdir(exist_ok=True, mode=0o700)
        # Hosts that share a folder have each a clock of their own, and so has the next boot.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        file = os.fdopen(
            os.open(folder / f"clock-{boot}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0
        )
        alone = _locked(file)
        if alone or os.fstat(file.fileno()).st_size < _BYTES:
            os.posix_fallocate(file.fileno(), 0, _BYTES)  # a full disk is found out here, not at a write to the page
        lead = memoryview(mmap.mmap(file.fileno(), _BYTES)).cast("d")
        if alone:
            lead[0] = 0.0
        fcntl.flock(file, fcntl.LOCK_SH)
        self._held = file  # and with it the lock, as long as this clock is in use
        return lead


def _locked(file: FileIO) -> bool:
    """Whether nobody else has it open."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
