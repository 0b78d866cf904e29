"""`make bench-backfill`: what a backfill costs, and what it costs the live memos beside it.

1. A manifest of 10,000 rows is registered: rows a second, and the most memory that the command held.
2. A manifest of a million lines is read, each reported: the most memory, whatever its length.
3. Live memos on a stack that does nothing else, before and after, and amid a backfill of 1,000: the time from the
   registration to SENT, by the ledger's own history. The ratio counts; both are measured in one run."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.model import State
from pipeline.settings import load_settings
from tests.bench.cost import ROOT, of_command
from tests.conftest import pytest_configure
from tests.support.embedded import FAST, memoline, start, stop
from tests.support.recordings import make, make_wav
from tests.support.waiting import eventually
from workers.doors import Desk, open_desk, submit
from workers.hints import open_hints
from workers.wishes import Wish

ROWS = int(os.environ.get("ROWS", "10000"))
LINES = int(os.environ.get("LINES", "1000000"))
BACKFILL = int(os.environ.get("BACKFILL", "1000"))
LIVE = int(os.environ.get("LIVE", "40"))
EVERY_S = 1.0
OPUS = ("-c:a", "libopus", "-b:a", "32k")


def main() -> None:
    """Print all three."""
    pytest_configure()
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as name:
        folder = Path(name)
        make_wav(folder / "note.wav", duration_s=1)
        rows = (f"note.wav,{uuid.UUID(int=n)}" for n in range(1, ROWS + 1))
        registered(folder, "rows", ROWS, rows)
        registered(folder, "lines", LINES, (f"none/{n}.wav,{uuid.UUID(int=n)}" for n in range(1, LINES + 1)))
        if BACKFILL:
            beside_live(folder)


def registered(folder: Path, name: str, count: int, rows: Iterator[str]) -> None:
    """Register a manifest; its rate and its memory."""
    with (folder / f"{name}.csv").open("w") as file:
        file.write("recording,chat_id\n")
        file.writelines(f"{row}\n" for row in rows)
    (folder / name).mkdir()
    os.environ["MEMOLINE_HOME"] = str(folder / name)
    argv = [sys.executable, "-m", "tests.bench.backfill", "run", f"{name}.csv"]
    cost = of_command(argv, folder)
    print(
        f"{count:,} {name}: {count / cost.wall_s:,.0f} a second, {cost.cpu_s / count * 1000:.2f} ms CPU each, "
        f"at most {cost.peak_mb:.0f} MB",
        flush=True,
    )


def beside_live(folder: Path) -> None:
    """Live memos without a backfill and with one."""
    home = folder / "stack"
    embedded = start(home, MEMOLINE_SWEEP_EVERY_S="2")
    try:
        os.environ["MEMOLINE_HOME"] = str(home)
        os.environ.update(FAST)
        desk = open_desk(load_settings(folder=folder), "bench")
        live = make(folder / "live.ogg", *OPUS, duration_s=5)
        old = make(folder / "old.ogg", *OPUS, duration_s=5.5)
        taken(desk, live, 3)  # warm
        idle = taken(desk, live, LIVE // 2)
        manifest = folder / "old.csv"
        chats = "".join(f"{old.name},{uuid.uuid4()}\n" for _ in range(BACKFILL))
        manifest.write_text("recording,chat_id\n" + chats)
        assert memoline(home, "backfill", str(manifest), cwd=folder).status == 0
        amid = taken(desk, live, LIVE)
        one = memoline(home, "backfills").rows[-1]
        left = one["open"]
        assert left, "the backfill was over too soon: give it more recordings"
        memoline(home, "backfills", "cancel", one["backfill_id"])
        eventually(lambda: not memoline(home, "backfills").rows[-1]["open"], "it ends", deadline_s=600, every_s=2)
        idle += taken(desk, live, LIVE // 2)
    finally:
        stop(embedded)
    p95_idle, p95_amid = p95(idle), p95(amid)
    print(
        f"live memos: p95 {p95_idle:.2f} s idle, {p95_amid:.2f} s amid a backfill of {BACKFILL:,} "
        f"({left:,} of it left when the last was sent): {p95_amid / p95_idle:.1f} times; "
        f"medians {statistics.median(idle):.2f} s and {statistics.median(amid):.2f} s"
    )


def taken(desk: Desk, recording: Path, count: int) -> list[float]:
    """Hand in so many live memos, one each second, each to a chat of its own; seconds until each was SENT."""
    hints, jobs = open_hints(desk.settings.broker_url), []
    for _ in range(count):
        job = submit(desk, recording, Wish(chat_id=str(uuid.uuid4())))
        hints.wake(job)
        jobs.append(job)
        time.sleep(EVERY_S)
    ledger, seconds = desk.parts.ledger, []
    arrived = (State.SENT, State.DELIVERED)
    for job in jobs:
        eventually(lambda job=job: ledger.get(job.job_id).state in arrived, "it is sent", deadline_s=300, every_s=0.2)
        sent_at = next(line.at for line in ledger.history(job.job_id) if line.to_state is State.SENT)
        seconds.append(sent_at - job.created_at)
    return seconds


def p95(seconds: list[float]) -> float:
    """The time within which 95 % of them went."""
    return statistics.quantiles(seconds, n=20)[-1]


def run(manifest: str) -> None:
    """The command, as it is called; bad rows are no failure of the bench."""
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    from workers.cli import main as command

    os.environ.update(env)
    sys.argv = ["memoline", "backfill", manifest, "--json"]
    try:
        command()
    except SystemExit as error:
        sys.exit(0 if error.code in (0, 1) else error.code)


if __name__ == "__main__":
    run(sys.argv[2]) if sys.argv[1:2] == ["run"] else main()
