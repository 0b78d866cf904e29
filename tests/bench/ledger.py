"""The ledger: jobs a second and CPU, by itself and by the story around it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.ledger.ledger import SqlLedger


def ledger_table(folder: Path) -> None:
    """Jobs a second through all transitions of a plain job, by the ledger alone and by the whole story, against the
    same number of plain durable inserts of SQLite."""
    import sqlite3

    db = sqlite3.connect(folder / "plain.db", isolation_level=None, check_same_thread=False)
    db.executescript("pragma journal_mode=WAL; pragma synchronous=FULL; create table t (x)")
    count, commits = 200, 5
    print(f"\n{'ledger, ' + str(commits) + ' commits a job':<34}{'jobs a second':>15}{'CPU ms a job':>14}")
    for name, threads in (("the story, with fakes round it", 1), ("alone", 1), ("alone", 8), ("alone", 16)):
        work = _story(folder) if name != "alone" else _fresh(folder / f"{threads}")
        _show(f"{name}, {threads} thread{'s' * (threads > 1)}", count * threads, _in_threads(work, threads, count))

    def plain(numbers: range) -> None:
        for number in numbers:
            for _ in range(commits):
                db.execute("insert into t values (?)", (number,))

    _show("plain inserts, 1 thread", count, _in_threads(plain, 1, count))


Work = Callable[[range], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What some work took."""

    wall_s: float
    cpu_s: float


def _story(folder: Path) -> Work:
    from pipeline import jobs
    from tests.support.story import build_stage, request

    stage = build_stage(folder)

    def work(numbers: range) -> None:
        for number in numbers:
            job = jobs.register(stage.parts, request(str(number), chat_id=f"5e0d0000-0000-4000-8000-{number:012d}"))
            jobs.prepare(stage.parts, job.job_id)
            jobs.deliver(stage.parts, job.job_id)

    return work


def _fresh(folder: Path) -> Work:
    """`moves` on a ledger of its own."""
    from pipeline.ledger.ledger import SqlLedger
    from pipeline.ledger.migrate import migrate
    from tests.support.story import FakeClock

    folder.mkdir()
    url = f"sqlite:///{folder / 'ledger.db'}"
    migrate(url)
    return moves(SqlLedger(url, FakeClock()))


def moves(ledger: SqlLedger, prefix: str = "job") -> Work:
    """A job's moves with all that they write, and nothing else."""
    from pipeline.model import State
    from tests.support.ledger import a_memo, a_request

    def work(numbers: range) -> None:
        for n in numbers:
            name = f"{prefix}-{n}"
            job = ledger.add(a_request(name), job_id=name, state=State.RECEIVED, code=None, message=None, by="bench")
            job = ledger.move(job, State.PREPARING, by="bench", epoch=1, audio_attempts=1, lease_until=5.0)
            job = ledger.move(job, State.HOSTED, by="bench", hosted=a_memo(name), lease_until=0.0, retry_at=0.0)
            sending = {"epoch": 2, "send_attempts": 1, "first_sending_at": 1.0, "sending_since": 1.0, "deadline": 61.0}
            job = ledger.move(job, State.SENDING, by="bench", looks=0, **sending)
            ledger.move(job, State.SENT, by="bench", message_id=f"m-{name}", trace_id=f"t-{name}", next_look_at=5.0)

    return work


def _in_threads(work: Work, threads: int, count: int) -> Took:
    """What it takes that so many threads do so many jobs each."""
    parts = [
        threading.Thread(target=work, args=(range(count * number, count * (number + 1)),)) for number in range(threads)
    ]
    begun_s, cpu_s = time.monotonic(), time.process_time()
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    return Took(wall_s=time.monotonic() - begun_s, cpu_s=time.process_time() - cpu_s)


def _show(name: str, jobs: int, took: Took) -> None:
    print(f"{name:<34}{jobs / took.wall_s:>15.0f}{took.cpu_s / jobs * 1_000:>14.2f}")
