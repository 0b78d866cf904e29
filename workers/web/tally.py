"""Counting by name."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable


class Tally:
    """How often something happened in this process, by name."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._counts = Counter(dict.fromkeys(names, 0))
        self._guard = threading.Lock()

    def count(self, name: str) -> None:
        """Once more."""
        with self._guard:
            self._counts[name] += 1

    def counts(self) -> dict[str, int]:
        """As they stand."""
        with self._guard:
            return dict(self._counts)
