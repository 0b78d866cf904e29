"""Whose turn it is to write: those that somebody waits for go first.

SQLite lets one writer in at a time and the others poll for their turn: one who writes without a pause could keep
another one out for seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0
"""After that it is the patient one's turn as well, however many are in a hurry."""


class Turns:
    """A lock with two kinds of holders."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = False
        self._hurried = 0

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """The next turn."""
        with self._changed:
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
            self._changed.wait_for(lambda: not self._busy and not self._hurried, PATIENCE_S)
            self._changed.wait_for(lambda: not self._busy)
            self._busy = True
        try:
            yield
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
