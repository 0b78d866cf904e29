"""`make bench-jobs`: whole jobs through the embedded stack, beside the naive worker on the same kind of infrastructure,
with our ffmpeg and, where there is one, with the one that the system's packages install.

Rounds are interleaved, so that other load on the machine hits both alike. CPU is that of the workers and all that they
start (ours: audio, send and sweep; the receiver of webhooks and the infrastructure are shown apart), from `/proc`. Both
are running and warm before the first round; a round ends when the last memo of its batch is with Linq."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.local.processes import members
from tests.bench.speech import record, spoken, write
from tests.chaos.systems import Memoline, Naive, Order, System, messages_at
from tests.conftest import pytest_configure
from tests.support.recordings import make_wav
from tests.support.waiting import eventually

ROUNDS = int(os.environ.get("ROUNDS", "3"))
JOBS = int(os.environ.get("BATCH", "20"))
OPUS = ("-c:a", "libopus", "-b:a", "32k")
WORKERS = {"memoline": ("audio", "send", "sweep"), "naive": ("audio",)}
AROUND = {"memoline": ("serve", "s3", "cdn", "linq", "broker"), "naive": ("s3", "cdn", "linq", "broker")}


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a batch took. parts: CPU seconds by part."""

    jobs_a_second: float
    parts: dict[str, float]

    def cpu_s(self, names: Iterable[str]) -> float:
        """CPU seconds a job of these parts."""
        return sum(self.parts[name] for name in names) / JOBS


def main() -> None:
    """Print the least of each over the rounds, and where the rest goes."""
    pytest_configure()
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as name:
        folder = Path(name)
        sources = {
            "1 s WAV, passes through": make_wav(folder / "pass.wav", duration_s=1),
            "5 s Opus": talk(folder, 5),
            "60 s Opus": talk(folder, 60),
        }
        systems: dict[str, System] = {"memoline": Memoline(folder / "memoline"), "naive": Naive(folder / "naive")}
        if shutil.which("ffprobe"):
            systems["naive, installed ffmpeg"] = Naive(folder / "installed", installed_ffmpeg=True)
        try:
            for system in systems.values():
                system.start()
                play(system, sources["5 s Opus"], batch=2)
            for what, source in sources.items():
                compare(systems, what, source)
        finally:
            for system in systems.values():
                system.stop()


def talk(folder: Path, seconds: int) -> Path:
    """A voice note as phones make it: speech, for tones cost an encoder another effort."""
    return record(write(folder / "voice.wav", spoken(), seconds), folder / f"{seconds}s.ogg", *OPUS)


def compare(systems: dict[str, System], what: str, source: Path) -> None:
    """Interleaved rounds of one recording."""
    rounds: dict[str, list[Round]] = {name: [] for name in systems}
    for _ in range(ROUNDS):
        for name, system in systems.items():
            rounds[name].append(play(system, source, batch=JOBS))
            print(".", end="", file=sys.stderr, flush=True)
    print(f"\n{what}: {ROUNDS} rounds of {JOBS} jobs")
    ours_cpu_s, ours_rate = show(rounds["memoline"], systems["memoline"], "memoline")
    for name, system in systems.items():
        if name != "memoline":
            cpu_s, rate = show(rounds[name], system, name)
            print(f"    memoline: {ours_rate / rate:.2f} times the jobs a second, {ours_cpu_s / cpu_s:.0%} of the CPU")


def show(rounds: list[Round], system: System, name: str) -> tuple[float, float]:
    """Print the best of the rounds: (CPU seconds a job of the workers, jobs a second)."""
    workers = WORKERS[system.name]
    best, cpu = max(one.jobs_a_second for one in rounds), min(rounds, key=lambda one: one.cpu_s(workers))
    parts = ", ".join(f"{part} {cpu.parts[part] / JOBS * 1000:.0f}" for part in (*workers, *AROUND[system.name]))
    print(f"  {name:<24}{best:6.2f} jobs/s{cpu.cpu_s(workers) * 1000:8.0f} ms CPU a job   (ms by part: {parts})")
    return cpu.cpu_s(workers), best


def play(system: System, source: Path, *, batch: int) -> Round:
    """Hand in a batch, each to a chat of its own, and wait for the last memo."""
    first = messages_at(system)
    before = cpu_of(system)
    begun_s = time.monotonic()
    for _ in range(batch):
        chat_id = str(uuid.uuid4())
        order = Order(number=uuid.UUID(chat_id).int % 10**9, recording=source, chat_id=chat_id)
        assert system.accept(order)
    eventually(_taken(system, first + batch), f"{batch} memos of {system.name}", deadline_s=600, every_s=0.1)
    took_s = time.monotonic() - begun_s
    after = cpu_of(system)
    return Round(jobs_a_second=batch / took_s, parts={part: after[part] - before[part] for part in after})


def _taken(system: System, count: int) -> Callable[[], bool]:
    return lambda: messages_at(system) >= count


def cpu_of(system: System) -> dict[str, float]:
    """CPU seconds that each part and its children, dead ones included, have used so far."""
    names = (*WORKERS[system.name], *AROUND[system.name])
    return {name: sum(_cpu_s(pid) for pid in members(system.leader(name) or 0)) for name in names}


def _cpu_s(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    ticks = text[text.rindex(")") + 2 :].split()[11:15]  # utime, stime, and those of children that were waited for
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
