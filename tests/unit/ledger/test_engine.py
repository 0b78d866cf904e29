"""Which databases are taken, how they are set, and what their exceptions become."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from pipeline.errors import JobFailed, Misuse, PartUnreachable
from pipeline.ledger.engine import Database, as_ours, open_engine, parse_url
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from tests.support.ledger import add


class StillClock:
    """A clock that stands."""

    def now(self) -> float:
        return 1.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite ledger that is not there yet."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.mark.parametrize(
    "bad", ["mysql://u:s3cret@h/d", "redis://h", "no url", "sqlite://", "sqlite+aiosqlite:///x", ""]
)
def test_another_database_is_a_bad_setting(bad: str) -> None:
    """The sentence names the setting and shows no password."""
    with pytest.raises(Misuse, match=r"^MEMOLINE_DATABASE_URL ") as caught:
        SqlLedger(bad, StillClock())
    assert caught.value.code == "bad-setting"
    assert caught.value.facts["setting"] == "MEMOLINE_DATABASE_URL"
    assert "s3cret" not in caught.value.message


def test_postgresql_means_psycopg_3() -> None:
    """The short URL of a setting gets the driver that is installed."""
    assert parse_url("postgresql://u@h/d").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
def test_every_sqlite_connection_is_durable(url: str, pragma: str, value: object) -> None:
    """WAL, an fsync a commit (2 is FULL), and foreign keys."""
    database = Database(url)
    with database.read() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000
    database.close()


def test_writers_queue_and_readers_do_not_wait(url: str) -> None:
    """A write takes the lock at its beginning; a second one waits for it, a reader sees what was before."""
    migrate(url)
    database, order, began = Database(url), [], threading.Event()

    def second() -> None:
        began.set()
        with database.write() as connection:
            connection.execute(text("INSERT INTO install VALUES ('second', '')"))
            order.append("second")

    with database.write() as first:
        waiting = threading.Thread(target=second)
        waiting.start()
        assert began.wait(10)
        with database.read() as reader:
            assert reader.execute(text("SELECT count(*) FROM install")).scalar() == 0
        first.execute(text("INSERT INTO install VALUES ('first', '')"))
        order.append("first")
    waiting.join(timeout=10)
    assert order == ["first", "second"]
    database.close()


def test_one_engine_a_process(url: str) -> None:
    """Threads share it; a child has another."""
    database = Database(url)
    assert database.engine is database.engine
    mine, child = id(database.engine), os.fork()
    if child == 0:
        os._exit(0 if id(database.engine) != mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    database.close()


def test_a_full_disk_is_named(url: str) -> None:
    """SQLite without room for another page: `disk-full`, and the job is not half there."""
    migrate(url)
    engine: Engine = open_engine(parse_url(url))
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count=1").close())
    ledger = SqlLedger(engine, StillClock())
    with pytest.raises(JobFailed, match="full: make room") as caught:
        for n in range(1_000):
            add(ledger, str(n))
    assert caught.value.code == "disk-full"
    assert len(ledger.jobs()) == n
    assert all(ledger.history(job.job_id) for job in ledger.jobs())
    engine.dispose()


def test_postgresql_says_it_by_number() -> None:
    """SQLSTATE 53100 is a full disk as well."""

    class DiskFull(Exception):
        sqlstate = "53100"

    error = as_ours(
        OperationalError("INSERT", {}, DiskFull("could not extend file")), parse_url("postgresql://u:p@h/d")
    )
    assert error.code == "disk-full"
    assert ":p@" not in error.message


def test_a_password_among_the_options_is_not_shown() -> None:
    """libpq takes it there too."""
    url = parse_url("postgresql://u@h/d?password=s3cret")
    error = as_ours(OperationalError("SELECT 1", {}, Exception("away")), url)
    assert "h/d" in error.message
    assert "s3cret" not in f"{error.message}{error.facts}"


def test_no_server_is_an_unreachable_ledger() -> None:
    """A refused connection is one sentence with the address and without the password."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    ledger = SqlLedger(f"postgresql://u:s3cret@127.0.0.1:{port}/d", StillClock())
    with pytest.raises(PartUnreachable, match=f"127.0.0.1:{port}") as caught:
        ledger.ping()
    assert caught.value.code == "ledger-unreachable"
    assert "s3cret" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_no_database_is_an_unreachable_ledger(tmp_path: Path, url: str) -> None:
    """Other bytes under the ledger's name are left as they are."""
    (tmp_path / "ledger.db").write_bytes(b"not a database, and long enough to be looked at" * 40)
    with pytest.raises(PartUnreachable, match="not a database"):
        migrate(url)
    assert (tmp_path / "ledger.db").read_bytes().startswith(b"not a database")


def test_a_ledger_without_tables_does_not_answer(url: str) -> None:
    """`ping` looks at the tables, not only at the connection."""
    with pytest.raises(PartUnreachable, match="no such table"):
        SqlLedger(url, StillClock()).ping()


def test_an_error_of_ours_undoes_the_write(url: str) -> None:
    """What is raised inside a write leaves nothing behind."""
    migrate(url)
    database = Database(url)
    with pytest.raises(KeyError), database.write() as connection:
        connection.execute(text("INSERT INTO install VALUES ('half', '')"))
        raise KeyError
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM install")).scalar() == 0
    database.close()
