"""The one door to the ffmpeg child. It is contained: no shell, no network, no stdin, an empty folder and an empty
environment of its own, no file but the recording and what it is to write (`cage.py`), bounded output, memory and time,
a process group that is killed whatever happens (`keeper.py`). Nothing of a run has a name in the file system, so that
nothing stays of one that was killed.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO

from pipeline.audio import keeper
from pipeline.audio.formats import DECODERS
from pipeline.audio.handles import Handles, opened
from pipeline.disk import NO_ROOM, disk_trouble
from pipeline.errors import JobFailed, Misuse, RecordingRejected, ToolFailed

REPORT_BYTES = 1 << 19
MEMORY_BYTES, MOST_MEMORY_BYTES = 1 << 29, 3 << 29
"""Private memory, of which threads reserve some 10 MB each on machines with many processors."""
CPU_S, CPU_S_PER_BYTE = 60.0, 5e-5
"""The slowest of the real formats takes 2 s a megabyte to decode, silence in FLAC, the densest of all, 40."""
_NO_ROOM_STATUS = frozenset(256 - code for code in NO_ROOM)
"""ffmpeg ends with the negative number of the error that stopped it."""
_HEEDED = "Exiting normally, received signal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """wall_s: seconds until the group is killed, and the most of computing. file_bytes: of each file it writes."""

    wall_s: float = 120
    file_bytes: int = 1 << 26


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What a run came to. report: what it printed (if long, start and end). out_of_time: it was killed."""

    argv: tuple[str, ...]
    returncode: int
    report: str
    out_of_time: bool


def find_ffmpeg(named: str | None) -> str:
    """The executable: the one named, else the one that comes with `imageio-ffmpeg`. Raises Misuse `no-ffmpeg`."""
    if named:
        found = shutil.which(named)
        if not found:
            raise Misuse("no-ffmpeg", f"MEMOLINE_FFMPEG names {named!r}, which is no program: correct it or unset it.")
        return str(Path(found).resolve())
    shipped = _shipped()
    if shipped is None:
        raise Misuse("no-ffmpeg", "imageio-ffmpeg has no ffmpeg for this machine: set MEMOLINE_FFMPEG.")
    return shipped


def _shipped() -> str | None:
    """The program inside imageio-ffmpeg. It is not asked: importing it costs 30 ms, it runs the program to see whether
    it works, and it names one of another place where its own is missing."""
    package = find_spec("imageio_ffmpeg")
    for folder in package.submodule_search_locations or () if package else ():
        for path in sorted(Path(folder, "binaries").glob("ffmpeg-*")):
            if os.access(path, os.X_OK):
                return str(path)
    return None


def input_args(demuxer: str, path: Path, skip_bytes: int = 0) -> list[str]:
    """Options that open a recording: one demuxer, known decoders, local files. skip_bytes stand in front."""
    return [
        *(["-skip_initial_bytes", str(skip_bytes)] if skip_bytes else []),
        *("-f", demuxer, "-format_whitelist", demuxer, "-codec_whitelist", DECODERS.replace(" ", ",")),
        *("-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}"),
    ]


def run(
    ffmpeg: str, args: Sequence[str], limits: Limits, on_progress: Callable[[float], None] | None = None
) -> Finished:
    """Run ffmpeg to its end. on_progress gets the seconds of output so far. Paths in args must be absolute.

    Raises Misuse `no-ffmpeg` where it cannot be started; RecordingRejected `too-costly` where it computed for longer
    than the recording's size and length allow; JobFailed `disk-full`; ToolFailed where a file cannot be opened, or
    somebody else ended it: what it had read or written until then says nothing about the recording.
    """
    try:
        with ExitStack() as stack:
            handles = stack.enter_context(opened(args))
            report = stack.enter_context(TemporaryFile(buffering=0))
            progress = stack.enter_context(TemporaryFile(buffering=0)) if on_progress else None
            told = ("-progress", f"pipe:{progress.fileno()}", "-stats_period", "0.5") if progress else ()
            argv = (ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-y", *told, *handles.args)
            order = _order(argv, handles, limits, report.fileno(), (progress.fileno(),) if progress else ())
            returncode, out_of_time = _supervised(order, _ticker(progress, on_progress))
            done = Finished(argv=argv, returncode=returncode, report=_read(report), out_of_time=out_of_time)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise disk_trouble(Path(gettempdir()), error) from None
        raise ToolFailed((ffmpeg,), 1, f"a file of its run cannot be opened ({error.strerror}).") from error
    if returncode in _NO_ROOM_STATUS:
        raise JobFailed("disk-full", "There is no room left for the memo: make some and try again.")
    if returncode == -signal.SIGXCPU or f"{_HEEDED} {signal.SIGXCPU:d}" in done.report:
        raise _too_costly(order.cpu_s)
    if not out_of_time and _was_ended(done):
        raise ToolFailed(argv, returncode, "it was ended by somebody else.")
    return done


def _order(argv: tuple[str, ...], handles: Handles, limits: Limits, report: int, told: tuple[int, ...]) -> keeper.Order:
    """The limits in proportion to the recording. Some demuxers hold tags, pictures and the index, each at most as large
    as the file, more than once."""
    return keeper.Order(
        argv=argv, cage=handles.cage(argv[0]), output=report, inherited=(*handles.reads, *told), wall_s=limits.wall_s,
        cpu_s=int(min(limits.wall_s, CPU_S + handles.read_bytes * CPU_S_PER_BYTE)) + 1, file_bytes=limits.file_bytes,
        memory_bytes=min(MEMORY_BYTES + 4 * handles.read_bytes, MOST_MEMORY_BYTES),
    )  # fmt: skip


def _supervised(order: keeper.Order, tick: Callable[[], None] | None) -> tuple[int, bool]:
    try:
        return keeper.supervise(order, tick)
    except OSError as error:
        text = f"ffmpeg cannot be started, or not be waited for ({error.strerror}): `memoline doctor` looks at it."
        raise Misuse("no-ffmpeg", text) from error


def _too_costly(cpu_s: int) -> RecordingRejected:
    text = f"After {cpu_s} seconds of computing it was not decoded, which no recording of its size and length needs"
    return RecordingRejected("too-costly", f"{text}: export it again in the program that made it.")


def _was_ended(done: Finished) -> bool:
    """By SIGKILL (the kernel short of memory, say), or by a signal that ffmpeg heeds as if it were at its end, such as
    service managers send to all processes that they stop."""
    return done.returncode == -signal.SIGKILL or (done.returncode == 255 and _HEEDED in done.report)


def _ticker(progress: IO[bytes] | None, on_progress: Callable[[float], None] | None) -> Callable[[], None] | None:
    if progress is None or on_progress is None:
        return None

    def tick() -> None:
        for line in reversed(_read(progress).splitlines()):
            name, _, value = line.partition("=")
            if name == "out_time_us" and value.lstrip("-").isdigit():
                on_progress(max(int(value), 0) / 1e6)
                return

    return tick


def _read(file: IO[bytes]) -> str:
    """The text of a file that a child may be writing, without its middle where it is longer than twice REPORT_BYTES."""
    text, size = os.pread(file.fileno(), REPORT_BYTES, 0), os.fstat(file.fileno()).st_size
    if size > REPORT_BYTES:
        text += b"\n" + os.pread(file.fileno(), REPORT_BYTES, max(REPORT_BYTES, size - REPORT_BYTES))
    return text.decode("utf-8", "replace")
