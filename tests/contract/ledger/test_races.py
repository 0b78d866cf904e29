"""Many at once: one winner, and nothing half done, whoever is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Fenced
from pipeline.ledger.engine import Database
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import HEAD, revision_of
from pipeline.model import State
from tests.support.ledger import add
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]


@contextmanager
def children(what: str, url: str, folder: Path, words: list[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start one child a word, and open the gate when all are ready. None is left running."""
    gate, started = folder / "gate", []
    try:
        for word in words:
            argv = [sys.executable, "-m", "tests.contract.ledger.children", what, url]
            argv += [str(gate), str(folder / f"{word}.out"), word]
            with (folder / f"{word}.log").open("wb") as log:
                env = os.environ | {"PYTHONPATH": str(ROOT)}
                started.append(subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, env=env))
        eventually(lambda: len(list(folder.glob("*.ready"))) == len(words), "all children are ready", deadline_s=60)
        gate.touch()
        yield started
    finally:
        for child in started:
            child.kill()
            child.wait()


def answers(what: str, url: str, folder: Path, words: list[str]) -> list[str]:
    """What each child wrote at its end."""
    with children(what, url, folder, words) as started:
        ends = [child.wait(timeout=60) for child in started]
    assert ends == [0] * len(words), [(folder / f"{word}.log").read_text() for word in words]
    return [(folder / f"{word}.out").read_text() for word in words]


def in_threads(count: int, act: Callable[[int], None]) -> None:
    """Run `act` in threads that begin together."""
    barrier = threading.Barrier(count)

    def run(n: int) -> None:
        barrier.wait()
        act(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_of_eight_threads_one_moves_the_job(ledger: SqlLedger) -> None:
    """Eight threads hold the same reading; one move is made and remembered, seven are fenced."""
    job, won, fenced = add(ledger), [], []

    def act(n: int) -> None:
        try:
            won.append(ledger.move(job, State.PREPARING, by=f"thread-{n}", epoch=1))
        except Fenced:
            fenced.append(n)

    in_threads(8, act)
    assert (len(won), len(fenced)) == (1, 7)
    assert [entry.to_state for entry in ledger.history("job-a")] == [State.RECEIVED, State.PREPARING]
    assert ledger.get("job-a") == won[0]


def test_of_four_processes_one_moves_the_job(ledger: SqlLedger, url: str, tmp_path: Path) -> None:
    """The same between processes."""
    add(ledger)
    said = answers("move", url, tmp_path, ["p1", "p2", "p3", "p4"])
    assert sorted(said) == ["fenced", "fenced", "fenced", "job-a"]
    assert len(ledger.history("job-a")) == 2


def test_threads_that_add_the_same_request_get_the_same_job(ledger: SqlLedger) -> None:
    """Eight at once: one row, one line of history, the same answer for all."""
    found = []
    in_threads(8, lambda n: found.append(add(ledger, key="k")))
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(ledger.history("job-a")) == 1


def test_processes_that_race_for_a_key_with_other_input_are_told(ledger: SqlLedger, url: str, tmp_path: Path) -> None:
    """One input wins the key, all others are refused; no second job is made."""
    said = answers("add", url, tmp_path, ["p1", "p2", "p3", "p4"])
    assert sorted(answer == "reused" for answer in said) == [False, True, True, True]
    assert len(ledger.jobs()) == 1


def test_threads_that_need_the_secret_first_agree(ledger: SqlLedger) -> None:
    """Eight at once on a new install: one secret."""
    secrets: list[bytes] = []
    in_threads(8, lambda n: secrets.append(ledger.install_secret()))
    assert len(secrets) == 8
    assert len(set(secrets)) == 1


def test_a_killed_writer_leaves_every_told_job_and_no_half_one(ledger: SqlLedger, url: str, tmp_path: Path) -> None:
    """kill -9 in the middle of writing: what was told durable is there, each job with its whole history, and others
    can write at once."""
    out = tmp_path / "w.out"
    with children("write", url, tmp_path, ["w"]) as (writer,):
        eventually(lambda: out.exists() and len(out.read_text().splitlines()) > 50, "the writer is in its stride")
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    told = [line for line in out.read_text().split("\n")[:-1] if line]
    jobs = {job.job_id: job for job in ledger.jobs()}
    assert set(told) <= set(jobs)
    assert len(jobs) <= len(told) + 1
    assert {jobs[job_id].state for job_id in told} == {State.PREPARING}
    for job in jobs.values():
        assert [entry.to_state for entry in ledger.history(job.job_id)][-1] is job.state
        assert len(ledger.history(job.job_id)) == job.rev
    add(ledger, "after")
    if url.startswith("sqlite"):
        assert sqlite3.connect(tmp_path / "ledger.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_six_processes_migrate_an_empty_database_at_once(empty_url: str, tmp_path: Path) -> None:
    """All of them return with the schema in place, and it was made once."""
    assert answers("migrate", empty_url, tmp_path, [f"p{n}" for n in range(6)]) == ["done"] * 6
    database = Database(empty_url)
    assert revision_of(database) == HEAD
    database.close()


def test_a_forked_child_opens_its_own_connections(ledger: SqlLedger) -> None:
    """A connection of the parent is not used by its child, and the parent's still works afterwards."""
    job = add(ledger)
    child = os.fork()
    if child == 0:
        try:
            ledger.move(job, State.PREPARING, by="child", epoch=1)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ledger.get("job-a").state is State.PREPARING
    assert [entry.by for entry in ledger.history("job-a")] == ["test", "child"]
