"""Hints that nobody waits for: a Redis that is away must not hold whoever hands in a recording."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable

from pipeline.model import Job
from workers.hints import Hints, open_hints, task_for

MOST_WAITING = 10_000
"""Beyond that a hint is not kept: the sweeper gives another."""
AT_EXIT_S = 0.5
"""How long the end of a process may wait for its last hints."""


class HintsAside(Hints):
    """`Hints` that a thread publishes, begun with the first one. For one process: a forked child makes its own."""

    def __init__(self, open_hints: Callable[[], Hints]) -> None:
        """open_hints: called in the thread, since Celery takes its time to load."""
        super().__init__(None)
        self._open_hints = open_hints
        self._waiting: deque[Job] = deque()
        self._news = threading.Condition()
        self._begun = self._busy = self._failing = False

    def wake(self, job: Job, *, once_s: int = 0) -> bool:  # noqa: ARG002
        """Have the hint published soon; returns at once. False where that surely does not happen."""
        with self._news:
            if task_for(job) is None or len(self._waiting) >= MOST_WAITING:
                return False
            self._waiting.append(job)
            if not self._begun:
                self._begin()
            self._news.notify_all()
        return True

    def drain(self, timeout_s: float) -> bool:
        """Wait until all hints are out, but not for a broker that fails; False where the time was up."""
        with self._news:
            return self._news.wait_for(lambda: self._failing or not (self._waiting or self._busy), timeout_s)

    def _begin(self) -> None:
        self._begun = True
        threading.Thread(target=self._run, name="hints", daemon=True).start()
        atexit.register(self._at_exit, os.getpid())

    def _at_exit(self, pid: int) -> None:
        if pid == os.getpid():
            self.drain(AT_EXIT_S)

    def _run(self) -> None:
        hints = self._open_hints()
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting)
                job, self._busy = self._waiting.popleft(), True
            published = hints.wake(job)
            with self._news:
                self._busy, self._failing = False, not published
                if self._failing:  # the others would not be taken either, and the sweeper gives them
                    self._waiting.clear()
                self._news.notify_all()


def open_hints_aside(broker_url: str | None) -> Hints:
    """`open_hints` for those who do not wait."""
    return HintsAside(lambda: open_hints(broker_url)) if broker_url else open_hints(None)
