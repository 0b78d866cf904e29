"""Which recordings a folder holds, by one rule for all commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import MemolineError, Misuse


def files_under(folder: Path, leave_out: Path | None = None) -> Iterator[Path | MemolineError]:
    """Every file under a folder and its folders, sorted part by part.

    Hidden files and folders are left out, and links to folders, which may lead in a circle; links to files count. What
    is a recording is not judged. leave_out: a folder that is not looked into. A folder that cannot be read is yielded
    as its error, and the others go on."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        text = f"The folder {folder} cannot be read: {error.strerror}."
        yield Misuse("unreadable", text, path=str(folder))
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if leave_out is None or not (leave_out.exists() and path.samefile(leave_out)):
                yield from files_under(path, leave_out)
        elif not entry.is_dir():
            yield path
