"""`make bench`: the audio step against bare ffmpeg and naive pydub, and the ledger, as ratios measured in one run.

Rounds are interleaved, so that other load on the machine hits all alike; the least of each is shown. CPU is that of the
process and its children, memory the peak of the largest process. Absolute figures are this machine's at this moment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

from tests.support.recordings import make

ROUNDS = 3
ROOT = Path(__file__).parents[2]

MEMOLINE = "import sys; from pipeline.audio import convert; convert(sys.argv[1], sys.argv[2])"
NAIVE = (
    "import sys; from imageio_ffmpeg import get_ffmpeg_exe; from pydub import AudioSegment as A;"
    "A.converter = get_ffmpeg_exe();"
    "A.from_file_using_temporary_files(sys.argv[1]).export("
    "sys.argv[2] + '/naive.m4a', format='ipod', codec='aac', bitrate='64k')"
)
SOURCES = {
    "5 s ogg": (5, "ogg", ("-c:a", "libopus", "-b:a", "32k")),
    "60 s ogg": (60, "ogg", ("-c:a", "libopus", "-b:a", "32k")),
    "60 s wav 16 kHz": (60, "wav", ("-ar", "16000", "-c:a", "pcm_s16le")),
    "10 min ogg": (600, "ogg", ("-c:a", "libopus", "-b:a", "32k")),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def cost(argv: list[str], folder: Path) -> Cost:
    """Run a command in a folder and measure it with all its children. Raises CalledProcessError where it fails."""
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    begun_s = time.monotonic()
    process = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return Cost(
        wall_s=time.monotonic() - begun_s, cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=usage.ru_maxrss / 1000
    )


def contenders(source: Path, out: Path) -> dict[str, list[str]]:
    """Command by name."""
    bare = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", "-i", str(source), "-ac", "1", "-c:a", "aac"]
    return {
        "memoline": [sys.executable, "-c", MEMOLINE, str(source), str(out / "memoline")],
        "bare ffmpeg": [*bare, "-b:a", "64k", str(out / "bare.m4a")],
        "naive pydub": [sys.executable, "-W", "ignore", "-c", NAIVE, str(source), str(out)],
    }


def best(source: Path, out: Path) -> dict[str, Cost]:
    """The least of several interleaved rounds, by contender."""
    rounds = [{name: cost(argv, out) for name, argv in contenders(source, out).items()} for _ in range(ROUNDS)]
    return {
        name: Cost(
            wall_s=min(r[name].wall_s for r in rounds),
            cpu_s=min(r[name].cpu_s for r in rounds),
            peak_mb=max(r[name].peak_mb for r in rounds),
        )
        for name in rounds[0]
    }


def audio_table(folder: Path) -> None:
    """The audio step, one line a source and contender."""
    print(f"{'source':<17}{'':<13}{'wall s':>8}{'CPU s':>8}{'MB':>7}   ratio to bare ffmpeg: wall, CPU, memory")
    for name, (duration_s, extension, encode) in SOURCES.items():
        source = make(folder / f"{name.replace(' ', '-')}.{extension}", *encode, duration_s=duration_s)
        costs = best(source, folder)
        bare = costs["bare ffmpeg"]
        for who, c in costs.items():
            ratios = f"{c.wall_s / bare.wall_s:8.2f}{c.cpu_s / bare.cpu_s:8.2f}{c.peak_mb / bare.peak_mb:8.2f}"
            print(f"{name:<17}{who:<13}{c.wall_s:8.2f}{c.cpu_s:8.2f}{c.peak_mb:7.0f}{ratios}")


def ledger_table(folder: Path) -> None:
    """Jobs a second through all moves of a plain job, against one empty durable transaction of SQLite each."""
    import sqlite3

    from pipeline import jobs
    from tests.support.story import build_stage, request

    count = 200
    stage = build_stage(folder)
    begun_s = time.monotonic()
    for number in range(count):
        job = jobs.register(stage.parts, request(str(number), chat_id=f"5e0d0000-0000-4000-8000-{number:012d}"))
        jobs.prepare(stage.parts, job.job_id)
        jobs.deliver(stage.parts, job.job_id)
    ours_s = time.monotonic() - begun_s
    db = sqlite3.connect(folder / "plain.db", isolation_level=None)
    db.executescript("pragma journal_mode=WAL; pragma synchronous=FULL; create table t (x)")
    begun_s = time.monotonic()
    for number in range(count * 5):
        db.execute("insert into t values (?)", (number,))
    plain_s = time.monotonic() - begun_s
    print(
        f"\nledger: {count / ours_s:.0f} jobs a second from RECEIVED to SENT (5 moves each, one thread), "
        f"{ours_s / plain_s:.1f} times the time of 5 plain durable inserts a job"
    )


def main() -> None:
    """Print both tables, measured without any setting of the machine's."""
    for name in [name for name in os.environ if name.startswith(("LINQ_", "AWS_", "MEMOLINE_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as folder:
        audio_table(Path(folder))
        ledger_table(Path(folder))


if __name__ == "__main__":
    main()
