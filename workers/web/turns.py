"""Whose turn it is to write: those that somebody waits for go first.

SQLite lets one writer in at a time and the others poll for their turn: one who writes without a pause could keep
another one out for seconds. In a rush, what can wait does, for a while, and leaves the processor to the others too."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0
"""After that it is the patient one's turn as well, however many are in a hurry."""
RUSH_A_S = 400.0
"""More in a second than are answered and applied at once without being felt."""
LONGEST_RUSH_S = 60.0
"""What lasts longer is no rush, and what waits must not wait for ever."""
_WINDOW_S = 1.0


class Turns:
    """A lock with two kinds of holders."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = False
        self._hurried = 0
        self._window_s = time.monotonic()
        self._count = 0
        self._rush_since_s: float | None = None

    @contextmanager
    def hurried(self, count: int = 1) -> Iterator[None]:
        """The next turn. count: how many wait for it."""
        with self._changed:
            self._note(count, time.monotonic())
            self._hurried += 1
            self._changed.wait_for(lambda: not self._busy)
            self._hurried -= 1
            self._busy = True
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """A turn when nobody is in a hurry."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._busy or self._hurried or self._rushing()), PATIENCE_S)
            self._changed.wait_for(lambda: not self._busy)
            self._busy = True
        try:
            yield
        finally:
            self._end()

    def _note(self, count: int, now_s: float) -> None:
        self._count += count
        passed_s = now_s - self._window_s
        if passed_s >= _WINDOW_S:
            rushing = self._count / passed_s > RUSH_A_S
            self._rush_since_s = (self._rush_since_s or now_s) if rushing else None
            self._window_s, self._count = now_s, 0

    def _rushing(self) -> bool:
        now_s = time.monotonic()
        fresh = now_s - self._window_s < 2 * _WINDOW_S
        return fresh and self._rush_since_s is not None and now_s - self._rush_since_s < LONGEST_RUSH_S

    def _end(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
