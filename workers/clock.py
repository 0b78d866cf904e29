"""The clock of a process: Unix seconds that never step back."""

from __future__ import annotations

import threading
import time


class SteadyClock:
    """A clock that no one can set, at the farthest lead that the wall clock ever had over it.

    A wall clock that jumps back would revive leases and deadlines that had run out; one that is set forward is
    followed. CLOCK_BOOTTIME also counts while the machine sleeps."""

    def __init__(self) -> None:
        self._lead_s = float("-inf")
        self._guard = threading.Lock()

    def now(self) -> float:
        """Unix seconds."""
        with self._guard:
            boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            self._lead_s = max(self._lead_s, time.time() - boot_s)
            return boot_s + self._lead_s
