"""The files of one run of ffmpeg, opened by us: it gets descriptors, and rights on these files alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.audio.cage import Cage

_NAMED = "file:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Handles:
    """args: ffmpeg's arguments, in which recordings are descriptors: ffmpeg prints the name of what it opens, and a
    name may hold line breaks, and lines that look like a report's. read_bytes: the size of the recordings."""

    args: tuple[str, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    read_bytes: int

    def cage(self, ffmpeg: str) -> Cage:
        """The cage in which ffmpeg reaches these files and no other."""
        setpriv, program = shutil.which("setpriv"), Path(ffmpeg)
        foreign = "imageio_ffmpeg" not in program.parts
        programs = [program, *([Path(setpriv)] if setpriv else [])]
        if foreign and program.parent.name == "bin":  # conda, Homebrew and others keep its parts beside it
            programs += [program.parent.with_name(name) for name in ("bin", "lib", "lib64")]
        return Cage(programs=tuple(programs), foreign=foreign, reads=self.reads, writes=self.writes)


@contextmanager
def opened(args: Sequence[str]) -> Iterator[Handles]:
    """Open the files in ffmpeg's arguments: `file:` behind `-i` is read, any other is written. The latter are made here
    (ffmpeg may make no file of its own), and one that stays empty is taken away. Raises OSError."""
    words, reads, writes = list(args), list[int](), dict[int, str]()
    try:
        for at, word in enumerate(words):
            path = word.removeprefix(_NAMED)
            if path != word and words[at - 1] == "-i":
                reads.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                words[at] = f"{_NAMED}/dev/fd/{reads[-1]}"
            elif path != word:
                writes[os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)] = path
        size_bytes = sum(os.fstat(descriptor).st_size for descriptor in reads)
        yield Handles(args=tuple(words), reads=tuple(reads), writes=tuple(writes), read_bytes=size_bytes)
    finally:
        for descriptor, path in writes.items():
            if os.fstat(descriptor).st_size == 0:
                Path(path).unlink(missing_ok=True)
        for descriptor in (*reads, *writes):
            os.close(descriptor)
