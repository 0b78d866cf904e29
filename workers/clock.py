"""The clock of a process: Unix seconds that never step back."""

from __future__ import annotations

import time


class SteadyClock:
    """Wall time at the start plus what a clock that no one can set has counted since, where the wall clock lags behind.

    A wall clock that jumps back would revive leases and deadlines that had run out; one that is set forward is
    followed. CLOCK_BOOTTIME also counts while the machine sleeps."""

    def __init__(self) -> None:
        self._wall_s = time.time()
        self._boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        steady_s = self._wall_s + time.clock_gettime(time.CLOCK_BOOTTIME) - self._boot_s
        return max(time.time(), steady_s)
