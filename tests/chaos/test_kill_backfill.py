"""kill -9 of a backfill at random moments: run again, nothing is lost, and nothing is there twice."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from tests.support.embedded import ROOT, memoline
from workers.clock import SteadyClock

ROWS = 1_500


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """1,500 rows, of which every tenth repeats the one before it, and every hundredth is bad."""
    (tmp_path / "a.wav").write_bytes(b"RIFF" + bytes(2_000))
    rows, chat_id = [], ""
    for number in range(ROWS):
        chat_id = chat_id if number % 10 == 9 else str(uuid.UUID(int=number + 1))
        rows.append(f"none-{number}.wav,{chat_id}" if number % 100 == 50 else f"a.wav,{chat_id}")
    (tmp_path / "m.csv").write_text("recording,chat_id\n" + "\n".join(rows) + "\n")
    return tmp_path / "m.csv"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_it_registers_everything_once(manifest: Path, tmp_path: Path, seed: int) -> None:
    """As many kills as it takes to be killed in every phase: each run goes on, and the last one ends it."""
    home, dice, kills = tmp_path / "home", random.Random(seed), 0
    home.mkdir()
    migrate(f"sqlite:///{home / 'ledger.db'}")
    while kills < 8:
        kills += killed(home, manifest, after_rows=dice.randrange(1, 400), pause_s=dice.random() / 20)
    last = memoline(home, "backfill", str(manifest))
    assert last.status == 1 and len(last.rows) == ROWS
    # Rows 50, 150 … are bad; of each ten the last is a duplicate of the one before it.
    bad, twice = ROWS // 100, ROWS // 10
    assert Counter(row["status"] for row in last.rows) == {
        "reported": bad,
        "known": twice,
        "registered": ROWS - bad - twice,
    }
    ledger = SqlLedger(f"sqlite:///{home / 'ledger.db'}", SteadyClock())
    jobs, (one,) = ledger.jobs(), ledger.backfills()
    assert len(jobs) == ROWS - bad - twice == len({(job.source, job.chat_id) for job in jobs})
    assert {job.backfill_id for job in jobs} == {one.backfill_id} and one.registered_at > 0
    ends = list(ledger.row_ends(one.backfill_id))
    assert [end.line for end in ends] == list(range(2, ROWS + 2))
    assert {end.job_id for end in ends if end.job_id} == {job.job_id for job in jobs}
    ledger.close()


def killed(home: Path, manifest: Path, *, after_rows: int, pause_s: float) -> bool:
    """Run the command, and kill it some time after it has told of so many rows. False where it had ended before."""
    env = {"MEMOLINE_HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "workers", "backfill", str(manifest), "--json"]
    rows_before = kept(home)
    with subprocess.Popen(command, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        for _ in range(after_rows):
            if not process.stdout.readline():
                break
        time.sleep(pause_s)  # into the work on the next batch: what is killed there differs from run to run
        was_running = process.poll() is None
        process.kill()
    assert kept(home) >= rows_before, "what was durable stays"
    return was_running


def kept(home: Path) -> int:
    """Rows that are in the ledger, by plain SQL; each has its job in the same commit."""
    connection = sqlite3.connect(home / "ledger.db", timeout=30)
    try:
        rows = connection.execute("select count(*) from backfill_rows").fetchone()[0]
        alone = (
            "select count(*) from backfill_rows where job_id is not null and job_id not in (select job_id from jobs)"
        )
        assert connection.execute(alone).fetchone()[0] == 0
        jobs = (
            "select count(*) from jobs where job_id not in (select job_id from backfill_rows where job_id is not null)"
        )
        assert connection.execute(jobs).fetchone()[0] == 0
        return int(rows)
    finally:
        connection.close()
