"""What a watched folder is told of its recordings: results beside them or in another folder, finished ones moved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.disk import NO_ROOM, disk_trouble
from pipeline.errors import Misuse
from pipeline.hosting.names import job_id_for
from pipeline.hosting.spool import hash_of
from pipeline.model import Job
from pipeline.ports import Parts
from workers.folder_door import identity_in_folder
from workers.folder_files import look_at
from workers.results import ARRIVING
from workers.s3_events import DONE, RESULT_SUFFIX


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderWishes:
    """results: `beside`, `off`, or another folder. done: `keep`, or `move` what was sent to `done/` of the folder."""

    results: Path | Literal["beside", "off"] = "beside"
    done: Literal["keep", "move"] = "keep"


class FolderPlace:
    """`workers.teller.Place` of a folder."""

    def __init__(self, parts: Parts, root: Path, wishes: FolderWishes) -> None:
        self._parts = parts
        self._root = root
        self._wishes = wishes

    def name_of(self, job: Job) -> str | None:
        """The path below the folder, for a job that this door made."""
        if job.parent_id or not job.source.startswith(f"{self._root}{os.sep}"):
            return None
        key = Path(job.source).relative_to(self._root).as_posix()
        identity = identity_in_folder(self._root, key, job.recording.sha256 or "")
        return key if job.job_id == job_id_for(self._parts.secret, identity) else None

    def write(self, name: str, job: Job, content: bytes) -> None:
        """Put a result where it is whole the moment that it is there. Raises JobFailed (`disk-full`), Misuse
        (`folder-unusable`)."""
        path = self._result(name)
        if path is None:
            return
        part = path.with_name(f".{job.job_id}.part")
        with _using(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)

    def remove(self, name: str, job: Job) -> None:  # noqa: ARG002
        """Remove a result, if it is there. Raises as `write`."""
        if path := self._result(name):
            with _using(path.parent):
                path.unlink(missing_ok=True)

    def finish(self, job: Job, done: str) -> str:
        """Move what was sent, unless it is other content by now; nothing is ever overwritten. Raises as
        `write`."""
        name = self.name_of(job)
        if self._wishes.done == "keep" or done or name is None or job.state not in ARRIVING:
            return done
        path = self._root / name
        with _using(path.parent):
            return "moved" if self._move(path, self._root / DONE / name, job.recording.sha256) else "moved not"

    def _move(self, path: Path, to: Path, sha256: str | None) -> bool:
        before = look_at(self._root, path)
        if before is None:
            return False
        with path.open("rb") as stream:
            if hash_of(stream) != sha256:
                return False
        to = _free(to)
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
        now = to.stat()
        if (now.st_ino, now.st_size, now.st_mtime_ns) == (before.inode, before.size_bytes, before.mtime_ns):
            return True
        with suppress(FileExistsError):  # it was replaced at this moment: it is a recording still to be taken
            os.link(to, path)
            to.unlink()
        return False

    def _result(self, name: str) -> Path | None:
        if self._wishes.results == "off":
            return None
        folder = self._root if isinstance(self._wishes.results, str) else self._wishes.results
        return folder / f"{name}{RESULT_SUFFIX}"


def _free(path: Path) -> Path:
    """The path, or the next numbered one that nobody has."""
    number, free = 2, path
    while free.exists():
        free, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return free


@contextmanager
def _using(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise disk_trouble(folder, error) from None
        raise Misuse("folder-unusable", f"{folder} cannot be used ({error.strerror}).", path=str(folder)) from None
