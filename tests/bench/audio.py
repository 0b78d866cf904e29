"""The audio step against bare ffmpeg, Debian's ffmpeg where there is one, and naive pydub."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

from tests.bench.cost import Cost, WarmWorker, least, of_command, used_s
from tests.bench.speech import record, spoken, write

NAIVE = (
    "import sys; from imageio_ffmpeg import get_ffmpeg_exe; from pydub import AudioSegment as A;"
    "A.converter = get_ffmpeg_exe();"
    "A.from_file_using_temporary_files(sys.argv[1]).export("
    "sys.argv[2] + '/naive.m4a', format='ipod', codec='aac', bitrate='64k')"
)
FORMATS = {
    "opus": ("ogg", ("-c:a", "libopus", "-b:a", "32k")),
    "stereo opus": ("ogg", ("-ac", "2", "-c:a", "libopus", "-b:a", "48k")),
    "wav": ("wav", ("-ar", "16000", "-c:a", "pcm_s16le")),
    "flac": ("flac", ("-c:a", "flac")),
    "mp3": ("mp3", ("-c:a", "libmp3lame", "-b:a", "64k")),
    "amr": ("amr", ("-ar", "8000", "-c:a", "libopencore_amrnb", "-b:a", "12.2k")),
}
"""Name to (extension, ffmpeg's arguments). WAV, MP3 and AMR are accepted as they are while they are under the limit."""
ROUNDS = {5: 7, 60: 3, 600: 1, 3600: 1}
LIMIT = "limit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One source and what each contender took for it."""

    name: str
    costs: dict[str, Cost]


def encoders(source: Path, out: Path) -> dict[str, list[str]]:
    """The commands of those that encode whatever they get."""
    tail = ["-nostdin", "-v", "error", "-y", "-i", str(source), "-ac", "1", "-c:a", "aac", "-b:a", "64k"]
    commands = {
        "bare": [get_ffmpeg_exe(), *tail, str(out / "bare.m4a")],
        "naive": [sys.executable, "-W", "ignore", "-c", NAIVE, str(source), str(out)],
    }
    system = shutil.which("ffmpeg")
    return commands | ({"system": [system, *tail, str(out / "system.m4a")]} if system else {})


def measured(name: str, source: Path, folder: Path, worker: WarmWorker, rounds: int) -> Row:
    """Interleaved rounds over one source."""
    ours: Callable[[], Cost] = lambda: worker.convert(source, folder / "memoline")  # noqa: E731
    runs: dict[str, Callable[[], Cost]] = {"memoline": ours}
    for who, argv in encoders(source, folder).items():
        runs[who] = lambda argv=argv: of_command(argv, folder)  # type: ignore[misc]
    costs: dict[str, list[Cost]] = {who: [] for who in runs}
    for _ in range(rounds):
        for who, run in runs.items():
            shutil.rmtree(folder / "memoline", ignore_errors=True)
            costs[who].append(run())
    return Row(name=name, costs={who: least(found) for who, found in costs.items()})


HEAD = f"{'source':<20}" + "".join(f"{who + ':':>10}{'wall s':>7}{'CPU s':>8}{'MB':>6}" for who in ("memoline", "bare"))


def show(row: Row) -> None:
    """One line: our figures, bare ffmpeg's, and the ratios of CPU and memory to each contender."""
    ours, bare = row.costs["memoline"], row.costs["bare"]
    figures = "".join(f"{'':>10}{c.wall_s:7.2f}{c.cpu_s:8.3f}{c.peak_mb:6.0f}" for c in (ours, bare))
    ratios = "".join(
        f"  {who} {ours.wall_s / c.wall_s:.2f} {ours.cpu_s / c.cpu_s:.2f} {ours.peak_mb / c.peak_mb:.2f}"
        for who, c in row.costs.items()
        if who != "memoline"
    )
    print(f"{row.name:<20}{figures}{ratios}", flush=True)


def table(folder: Path, lengths_s: tuple[int, ...]) -> None:
    """All formats in all lengths; ratios of wall time, CPU and memory, ours to theirs."""
    worker, pieces = WarmWorker(folder), spoken()
    print(HEAD + "   ratios ours to theirs: wall, CPU, memory")
    for duration_s in lengths_s:
        voice = write(folder / "voice.wav", pieces, duration_s)
        for name, (extension, encode) in FORMATS.items():
            source = record(voice, folder / f"{name.replace(' ', '-')}-{duration_s}.{extension}", *encode)
            show(measured(f"{duration_s} s {name}", source, folder, worker, ROUNDS[duration_s]))
            source.unlink()
    worker.end()


def trim_table(folder: Path) -> None:
    """An accepted MP3 of 10 minutes, cut by copy to 2 MB, against cutting it by encoding anew."""
    voice = write(folder / "voice.wav", spoken(), 600)
    source = record(voice, folder / "long.mp3", "-c:a", "libmp3lame", "-b:a", "64k")
    worker = WarmWorker(folder)
    bare = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", "-i", str(source), "-t", "245", "-ac", "1"]
    ours, theirs = [], []
    for _ in range(3):
        shutil.rmtree(folder / "trimmed", ignore_errors=True)
        ours.append(worker.convert(source, folder / "trimmed", "cut", 2_000_000))
        theirs.append(of_command([*bare, "-c:a", "aac", "-b:a", "64k", str(folder / "bare.m4a")], folder))
    worker.end()
    show(Row(name="10 min mp3, cut", costs={"memoline": least(ours), "bare": least(theirs)}))


def inspect_table(folder: Path) -> None:
    """Files a second in one call, and one call from a shell."""
    from pipeline.audio import inspect
    from pipeline.recordings import AudioSettings

    voice = write(folder / "voice.wav", spoken(), 5)
    files = [record(voice, folder / f"short-{name}.{row[0]}", *row[1]) for name, row in FORMATS.items()]
    settings = AudioSettings()
    inspect(files[0], settings)
    begun_s, before_s = time.monotonic(), used_s()
    for _ in range(5):
        for file in files:
            inspect(file, settings)
    wall_s, cpu_s = time.monotonic() - begun_s, used_s() - before_s
    count = 5 * len(files)
    print(
        f"\ninspect, files of 5 s: {count / cpu_s:.0f} a second a core in one call ({count / wall_s:.0f} by the clock)"
    )
    command = [str(Path(sys.executable).with_name("memoline")), "inspect", str(files[0])]
    walls = []
    for _ in range(5):
        begun_s = time.monotonic()
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        walls.append(time.monotonic() - begun_s)
    print(f"`memoline inspect` of one file answers in {min(walls):.2f} s")
