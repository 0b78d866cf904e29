"""A folder for work in progress. Where its owner was killed, the next run there removes it, and nothing else.

A folder is ours by a file in it that says so, and abandoned when nobody holds that file's lock: the kernel lets go of
a lock when its holder dies, however that happens (flock(2)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".memoline-convert-"
MARK = "held-by-memoline"
NOTE = b"Work in progress of memoline. A later run removes this folder when nobody holds the lock of this file.\n"


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, removed at the end, and with it what killed runs left there. Raises OSError."""
    _tidy(parent)
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).absolute()
    try:
        with (place / "new").open("wb", buffering=0) as mark:
            # Under its name only once it is locked: another run may look at this very moment.
            fcntl.flock(mark, fcntl.LOCK_EX)
            mark.write(NOTE)
            Path(mark.name).rename(place / MARK)
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _tidy(parent: Path) -> None:
    found: list[Path] = []
    with contextlib.suppress(PermissionError), os.scandir(parent) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX)]
    for place in found:
        with contextlib.suppress(OSError):
            if not place.is_symlink() and place.lstat().st_uid == os.geteuid():
                _remove_abandoned(place)


def _remove_abandoned(place: Path) -> None:
    mark = os.open(place / MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if os.read(mark, len(NOTE) + 1) == NOTE:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place)
    finally:
        os.close(mark)
