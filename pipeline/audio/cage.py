"""What ffmpeg may reach: its program, the recording, the files that it is to write; no network, no other process.

A thread of ours enters the cage and starts ffmpeg there: what a thread gave up, its children have never had. So nothing
of ours runs between fork and exec (unsafe beside other threads), and no launcher has to be started for each child.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.audio import kernel

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/ld.so.preload")
"""The shipped ffmpeg is linked to the C library."""
_PROGRAMS = ("/usr", "/bin", "/opt", "/nix/store", "/snap")
"""Where another ffmpeg, or the interpreter of a script around one, has its own parts."""
_DESCRIPTORS = "/proc"
"""Python closes what a child must not inherit by listing its own descriptors there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cage:
    """programs: may be run and read. foreign: another ffmpeg than the shipped one, which may have parts in the system's
    program folders. reads, writes: open descriptors of the files that may be opened again for that."""

    programs: tuple[Path, ...]
    foreign: bool = False
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()

    def enter(self) -> None:
        """Shut the calling thread in, for good. What the kernel does not offer stays open; `lacking` names it."""
        run = kernel.READ | kernel.EXECUTE
        folders = (*_LIBRARIES, *(_PROGRAMS if self.foreign else ()))
        allowed: list[tuple[Path | int, int]] = [(Path(folder), run | kernel.LIST) for folder in folders]
        allowed += [(program, run) for program in self.programs]
        allowed += [(Path(_DESCRIPTORS), kernel.LIST)]
        allowed += [(place, kernel.READ) for place in self.reads]
        allowed += [(place, kernel.READ | kernel.WRITE | kernel.TRUNCATE) for place in self.writes]
        if kernel.forgo_privileges():
            kernel.forgo_files(_existing(allowed))
            kernel.forgo_calls()


def _existing(allowed: Sequence[tuple[Path | int, int]]) -> list[tuple[Path | int, int]]:
    """Landlock takes the right to list for folders only."""
    return [
        (place, access if isinstance(place, int) or place.is_dir() else access & ~kernel.LIST)
        for place, access in allowed
    ]


def lacking() -> tuple[str, ...]:
    """What a child could still do, because the kernel does not offer what forbids it; empty where the cage is whole.
    Found out by trying, in a thread that is shut in."""
    found: list[str] = []

    def attempt() -> None:
        Cage(programs=()).enter()
        if _reads_a_file():
            found.append("files outside can be read (the kernel has no Landlock)")
        if _makes_a_socket():
            found.append("the network can be reached (no seccomp filter can be set)")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join()
    return tuple(found)


def _reads_a_file() -> bool:
    try:
        os.close(os.open(__file__, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _makes_a_socket() -> bool:
    try:
        socket.socket().close()
    except OSError:
        return False
    return True
