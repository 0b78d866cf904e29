"""`make bench`: the audio step against bare ffmpeg and naive pydub, and the ledger, as ratios measured in one run.

Rounds are interleaved, so that other load on the machine hits all alike; the least of each is shown. CPU is that of all
processes of a run, memory the most that they held at once. Memoline runs in a warm worker, as it does in use: its
imports are done; probe, plan, encode and proof are in the figures. Absolute figures are this machine's at this
moment."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import audio

LENGTHS_S = (5, 60, 600)
LONG_S = (3600,)


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
    """Print the tables, measured without any setting of the machine's. `--long`: sources of 60 minutes alone."""
    for name in [name for name in os.environ if name.startswith(("LINQ_", "AWS_", "MEMOLINE_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as name:
        folder = Path(name)
        if "--long" in sys.argv[1:]:
            audio.table(folder, LONG_S)
            return
        audio.table(folder, LENGTHS_S)
        audio.trim_table(folder)
        audio.inspect_table(folder)
        ledger_table(folder)


if __name__ == "__main__":
    main()
