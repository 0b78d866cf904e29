"""The wall clock of the processes under fire, which can be made to jump: Python reads this file at its start where the
folder is in PYTHONPATH. The jump lies in a file that all of them map, CHAOS_CLOCK: eight bytes, seconds as a double.

Only `time.time` jumps, as it does when somebody sets a machine's clock; CLOCK_BOOTTIME and CLOCK_MONOTONIC go on."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

_MINE = (b"workers", b"celery")
"""Words in the command lines of those whose clock jumps: Linq, S3 and the supervisor keep theirs."""


def _jumping(file: str) -> None:
    with Path(file).open("rb") as opened:
        shared = mmap.mmap(opened.fileno(), 8, prot=mmap.PROT_READ)
    real, read = time.time, struct.Struct("d").unpack_from

    def now() -> float:
        return real() + float(read(shared)[0])

    time.time = now


if "CHAOS_CLOCK" in os.environ and set(_MINE) & set(Path("/proc/self/cmdline").read_bytes().split(b"\0")):
    _jumping(os.environ["CHAOS_CLOCK"])
