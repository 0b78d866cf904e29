"""Group commit on SQLite: writers of one process share transactions, and none is told "done" before it is."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from pipeline.errors import Fenced, MemolineError
from pipeline.ledger.engine import Database
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.model import State
from tests.support.ledger import add
from tests.support.story import FakeClock

WRITERS = 16


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A SQLite ledger."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(url)
    return Database(url)


def held(database: Database, writers: int) -> tuple[threading.Event, list[threading.Thread], list[object]]:
    """Writers that queue behind a first one, which waits for the event; and what each came to."""
    inside, go, came = threading.Event(), threading.Event(), list[object]()

    def write(number: int) -> None:
        try:
            with database.write() as connection:
                if number == 0:
                    inside.set()
                    assert go.wait(20)
                connection.execute(text("INSERT INTO install VALUES (:name, 'x')"), {"name": f"n{number}"})
                if number == 1:
                    raise Fenced("one that was slower")
            came.append(number)
        except MemolineError as error:
            came.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    threads[0].start()
    assert inside.wait(20)
    for thread in threads[1:]:
        thread.start()
    return go, threads, came


def names(database: Database) -> set[str]:
    """What another process would see."""
    with sqlite3.connect(database.url.database or "") as other:
        return {name for (name,) in other.execute("SELECT name FROM install WHERE name LIKE 'n%'")}


def test_writers_that_queue_share_a_commit(database: Database) -> None:
    """One that raises undoes its own part alone; all others are on disk when they return."""
    commits = list[object]()
    event.listen(database.engine, "commit", commits.append)
    go, threads, came = held(database, WRITERS)
    while database._groups and next(iter(database._groups.values()))._queued < WRITERS - 1:
        pass
    assert names(database) == set()
    go.set()
    for thread in threads:
        thread.join()
    assert names(database) == {f"n{number}" for number in range(WRITERS) if number != 1}
    assert sorted(one for one in came if isinstance(one, int)) == [n for n in range(WRITERS) if n != 1]
    assert len(commits) <= 2
    database.close()


def test_a_commit_that_fails_is_told_to_all(database: Database) -> None:
    """Nobody may go on as if his part were there."""
    failing = [True]

    def fail(_connection: object) -> None:
        if failing:
            failing.clear()
            raise OperationalError("COMMIT", None, sqlite3.OperationalError("disk I/O error"))

    event.listen(database.engine, "commit", fail)
    go, threads, came = held(database, 4)
    while next(iter(database._groups.values()))._queued < 3:
        pass
    go.set()
    for thread in threads:
        thread.join()
    assert came and not [one for one in came if isinstance(one, int)]
    assert names(database) == set()
    with database.write() as connection:
        connection.execute(text("INSERT INTO install VALUES ('n9', 'x')"))
    assert names(database) == {"n9"}
    database.close()


def test_nobody_joins_a_transaction_that_sqlite_has_ended(database: Database) -> None:
    """A part that fills the disk ends its group; whoever is told that nothing was changed is told the truth."""
    inside, go, came = threading.Event(), threading.Event(), dict[str, str]()

    def fill() -> None:
        with pytest.raises(MemolineError), database.write() as connection:
            inside.set()
            assert go.wait(20)
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
            connection.execute(text("INSERT INTO install VALUES ('big', :value)"), {"value": "x" * 200_000})

    def write(name: str) -> None:
        try:
            with database.write() as connection:
                connection.execute(text("INSERT INTO install VALUES (:name, 'x')"), {"name": name})
            came[name] = "done"
        except MemolineError as error:
            came[name] = error.code

    threads = [threading.Thread(target=fill)]
    threads[0].start()
    assert inside.wait(20)
    threads += [threading.Thread(target=write, args=(f"n{number}",)) for number in range(3)]
    for thread in threads[1:]:
        thread.start()
    while next(iter(database._groups.values()))._queued < 3:
        pass
    go.set()
    for thread in threads:
        thread.join()
    assert {name for name, what in came.items() if what == "done"} == names(database)
    database.close()


def test_a_crowd_moves_each_job_once(database: Database) -> None:
    """Compare-and-set holds within a group as it does between groups."""
    ledger = SqlLedger(database.url.render_as_string(), FakeClock())
    jobs = [add(ledger, str(number)) for number in range(5)]

    def claim(number: int) -> int:
        won = 0
        for job in jobs:
            try:
                ledger.move(job, State.PREPARING, by=f"w{number}", epoch=1)
                won += 1
            except Fenced:
                continue
        return won

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(claim, range(WRITERS))) == len(jobs)
    assert all(len(ledger.history(job.job_id)) == 2 for job in jobs)
    ledger.close()
