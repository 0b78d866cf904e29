"""A wall clock that jumps, for all processes that are started within a block: see `clock/sitecustomize.py`."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parent / "clock"


class WallClock:
    """What is added to the clock of the processes under fire."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0.0)

    def set(self, ahead_s: float) -> None:
        """Let the clock be so far ahead, or behind, from now on."""
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("d", ahead_s))


@contextmanager
def jumping(folder: Path) -> Iterator[WallClock]:
    """Processes that are started within the block follow the clock."""
    clock = WallClock(folder / "clock")
    before = os.environ.get("PYTHONPATH")
    os.environ |= {
        "CHAOS_CLOCK": str(folder / "clock"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FOLDER), before])),
    }
    try:
        yield clock
    finally:
        del os.environ["CHAOS_CLOCK"]
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
