"""What an error of the file system means where files of our own are written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import JobFailed, Misuse

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def disk_trouble(where: Path, error: OSError) -> JobFailed | Misuse:
    """`disk-full`, which passes once somebody makes room, or `home-unusable`: the folder is the wrong one."""
    if error.errno in NO_ROOM:
        return JobFailed("disk-full", f"There is no room left in {where}: make some and try again.")
    text = f"{where} cannot be used ({error.strerror}): let MEMOLINE_HOME name a folder that can be written."
    return Misuse("home-unusable", text, setting="MEMOLINE_HOME")


@contextmanager
def writing_in(where: Path) -> Iterator[None]:
    """Raises JobFailed (`disk-full`) where the block runs out of room; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise disk_trouble(where, error) from None
        raise


@contextmanager
def using(where: Path) -> Iterator[None]:
    """Raises JobFailed (`disk-full`), Misuse (`home-unusable`) where the block cannot use a folder of our own."""
    try:
        yield
    except OSError as error:
        raise disk_trouble(where, error) from None
