"""What a run costs: wall and CPU time, and the most memory that its whole process tree held at once."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE_S = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def least(costs: list[Cost]) -> Cost:
    """The least of several rounds, and the most memory."""
    return Cost(
        wall_s=min(c.wall_s for c in costs), cpu_s=min(c.cpu_s for c in costs), peak_mb=max(c.peak_mb for c in costs)
    )


def _tree(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += _tree(int(child))
    return found


def _memory_mb(pid: int) -> float:
    """The sum over a process and its descendants, each page that several share counted by its share (PSS)."""
    total_kb = 0
    try:
        for one in _tree(pid):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total_kb += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0.0  # it has just ended
    return total_kb / 1000


class Watch:
    """Samples the memory of a process tree until it is left."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak_mb, self._over = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.peak_mb = max(self.peak_mb, _memory_mb(self.pid))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def of_command(argv: list[str], folder: Path) -> Cost:
    """Run a command in a folder. Raises CalledProcessError where it fails."""
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    begun_s = time.monotonic()
    process = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with Watch(process.pid) as watch:
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begun_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return Cost(wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=watch.peak_mb)


def used_s() -> float:
    """CPU seconds of this process and its children so far."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class WarmWorker:
    """A process that has imported everything, as a worker has, and does one job after the other when it is told to."""

    def __init__(self, folder: Path) -> None:
        env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.cost"], cwd=folder, env=env, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def convert(self, source: Path, out: Path, overflow: str = "compress", max_bytes: int = 10_000_000) -> Cost:
        """Have it make a memo."""
        assert self._process.stdin and self._process.stdout
        with Watch(self._process.pid) as watch:
            self._process.stdin.write(f"{source}\t{out}\t{overflow}\t{max_bytes}\n")
            self._process.stdin.flush()
            wall, cpu = self._process.stdout.readline().split()
        return Cost(wall_s=float(wall), cpu_s=float(cpu), peak_mb=watch.peak_mb)

    def end(self) -> None:
        """Let it go."""
        self._process.communicate()


def serve(convert: Callable[[str, str, str, int], object]) -> None:
    """What the warm worker does."""
    for line in sys.stdin:
        source, out, overflow, max_bytes = line.rstrip("\n").split("\t")
        begun_s, before_s = time.monotonic(), used_s()
        convert(source, out, overflow, int(max_bytes))
        print(time.monotonic() - begun_s, used_s() - before_s, flush=True)


def main() -> None:
    """Import as a worker does, then serve."""
    from pipeline.audio import convert
    from pipeline.recordings import AudioSettings

    serve(lambda source, out, overflow, most: convert(source, out, AudioSettings(overflow=overflow, max_bytes=most)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
