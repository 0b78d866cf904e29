"""Which files of a watched folder are recordings, and when they are whole."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workers.s3_events import DONE, RESULT_SUFFIX, is_named_as_note

_UNFINISHED = re.compile(r"(~|\.(part|partial|tmp|temp|crdownload|download|filepart|swp|swx|lock))$", re.IGNORECASE)
"""What programs call a file that they still write: browsers, editors, FTP clients. rsync and others hide theirs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A file as it was at one moment. key: its path below the folder, with `/`."""

    key: str
    size_bytes: int
    mtime_ns: int
    inode: int

    @property
    def seen(self) -> str:
        """What tells it from what is put under its name later, or while it grows."""
        return f"{self.size_bytes} {self.mtime_ns} {self.inode}"


def look_at(root: Path, path: Path) -> Look | None:
    """A regular file as it is now; None where there is none, or where its name says that it is none to take."""
    with suppress(OSError, ValueError):
        key = path.relative_to(root).as_posix()
        now = path.stat()
        if is_dropped(key) and stat.S_ISREG(now.st_mode):
            return Look(key=key, size_bytes=now.st_size, mtime_ns=now.st_mtime_ns, inode=now.st_ino)
    return None


def is_dropped(key: str) -> bool:
    """Whether a path below the folder may be a recording or a note: not hidden, unfinished, a result or finished."""
    parts = key.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return not (hidden or _UNFINISHED.search(parts[-1]) or key.endswith(RESULT_SUFFIX) or key.startswith(DONE))


def is_note(key: str) -> bool:
    """Whether a path below the folder is `name.ext.json`: options for the recording `name.ext`. Unlike in a bucket,
    `uploads/` and `result/` are folders as any."""
    return is_named_as_note(key)


def files_in(root: Path) -> Iterator[Look]:
    """All files that may be recordings or notes, in the order of their keys' bytes. Links to folders are not followed:
    they may lead in a circle."""
    looks = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".")]
        looks += [look for name in files if (look := look_at(root, Path(folder, name)))]
    return iter(sorted(looks, key=lambda look: look.key))


def is_folder(path: Path) -> bool:
    """Whether there is a folder that may be looked at. Path.is_dir raises where it may not."""
    return os.path.isdir(path)  # noqa: PTH112


def is_being_written(path: Path) -> bool:
    """Whether some process has a file open for writing, as far as the kernel tells it: of files of our own, on this
    host. A read lease is granted only where nobody has (fcntl(2), "Leases")."""
    with suppress(OSError), path.open("rb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
