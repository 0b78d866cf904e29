"""The one door to the ffmpeg child. It is contained: no shell, no network, no stdin, an empty folder and an empty
environment of its own, bounded output, memory and time, a process group that is killed whatever happens.

`setpriv --pdeathsig KILL` (util-linux) lets it die with the thread that started it, also when that is killed by -9.
Where `setpriv` or `prlimit` is missing, the wall limit and the kill at the end remain.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.audio.formats import DECODERS
from pipeline.errors import Misuse, ToolFailed

REPORT_BYTES = 1 << 19
MEMORY_BYTES = 2 << 30
TICK_S = 0.25
_HEEDED = "Exiting normally, received signal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """wall_s: seconds until the group is killed; CPU seconds are twice that. file_bytes: of each file it writes."""

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


def input_args(demuxer: str, path: Path) -> list[str]:
    """Options that open a recording: one demuxer, known decoders, local files."""
    return [
        *("-f", demuxer, "-format_whitelist", demuxer, "-codec_whitelist", DECODERS.replace(" ", ",")),
        *("-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}"),
    ]


def run(
    ffmpeg: str, args: Sequence[str], limits: Limits, on_progress: Callable[[float], None] | None = None
) -> Finished:
    """Run ffmpeg to its end. on_progress gets the seconds of output so far. Paths in args must be absolute.

    Raises Misuse `no-ffmpeg` where it cannot be started, ToolFailed where somebody else ended it: what it had read or
    written until then says nothing about the recording.
    """
    with tempfile.TemporaryDirectory(prefix="memoline-ffmpeg-") as place:
        cwd, report = Path(place, "cwd"), Path(place, "report")
        cwd.mkdir()
        progress = Path(place, "progress") if on_progress else None
        ticks = ["-progress", f"file:{progress}", "-stats_period", "0.5"] if progress else []
        argv = (ffmpeg, "-nostdin", "-hide_banner", "-nostats", *ticks, *_nameless(args, Path(place)))
        returncode, out_of_time = _supervise(
            (*_wrappers(limits), *argv), cwd, report, limits.wall_s, _ticker(progress, on_progress)
        )
        done = Finished(argv=argv, returncode=returncode, report=_read(report), out_of_time=out_of_time)
    if not out_of_time and _was_ended(done):
        raise ToolFailed(argv, returncode, "it was ended by somebody else.")
    return done


def _was_ended(done: Finished) -> bool:
    """By SIGKILL (the kernel short of memory, say), or by a signal that ffmpeg heeds as if it were at its end, such as
    service managers send to all processes that they stop."""
    return done.returncode == -signal.SIGKILL or (done.returncode == 255 and _HEEDED in done.report)


def _nameless(args: Sequence[str], place: Path) -> list[str]:
    """The same arguments, with links in place of the recordings: ffmpeg prints the name of what it opens, and a name
    may hold line breaks, and lines that look like a report's."""
    words = list(args)
    for at, word in enumerate(words):
        if at and words[at - 1] == "-i" and word.startswith("file:"):
            link = place / f"source-{at}"
            link.symlink_to(word.removeprefix("file:"))
            words[at] = f"file:{link}"
    return words


def _wrappers(limits: Limits) -> list[str]:
    words: list[str] = []
    setpriv, prlimit = shutil.which("setpriv"), shutil.which("prlimit")
    if setpriv:
        words += [setpriv, "--pdeathsig", "KILL", "--no-new-privs"]
    if prlimit:
        cpu_s = int(limits.wall_s * 2) + 1
        words += [prlimit, f"--cpu={cpu_s}", f"--as={MEMORY_BYTES}", f"--fsize={limits.file_bytes}", "--core=0"]
    return words


def _supervise(
    argv: Sequence[str], cwd: Path, report: Path, wall_s: float, tick: Callable[[], None] | None
) -> tuple[int, bool]:
    deadline = time.monotonic() + wall_s
    with report.open("wb") as sink:
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=cwd, start_new_session=True,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(cwd), "TMPDIR": str(cwd)},
            )  # fmt: skip
        except OSError as error:
            raise Misuse("no-ffmpeg", f"ffmpeg cannot be started ({error.strerror}): check MEMOLINE_FFMPEG.") from error
        try:
            return _wait(child, deadline, tick)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _wait(child: subprocess.Popen[bytes], deadline: float, tick: Callable[[], None] | None) -> tuple[int, bool]:
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            os.killpg(child.pid, signal.SIGKILL)
            return child.wait(), True
        try:
            return child.wait(min(left, TICK_S) if tick else left), False
        except subprocess.TimeoutExpired:
            if tick:
                tick()


def _ticker(progress: Path | None, on_progress: Callable[[float], None] | None) -> Callable[[], None] | None:
    if progress is None or on_progress is None:
        return None

    def tick() -> None:
        for line in reversed(_read(progress).splitlines()):
            name, _, value = line.partition("=")
            if name == "out_time_us" and value.lstrip("-").isdigit():
                on_progress(max(int(value), 0) / 1e6)
                return

    return tick


def _read(path: Path) -> str:
    """The text of a file, without its middle where it is longer than twice REPORT_BYTES."""
    try:
        with path.open("rb") as file:
            text = file.read(REPORT_BYTES)
            size = os.fstat(file.fileno()).st_size
            if size > REPORT_BYTES:
                file.seek(max(REPORT_BYTES, size - REPORT_BYTES))
                text += b"\n" + file.read()
    except FileNotFoundError:
        return ""
    return text.decode("utf-8", "replace")
