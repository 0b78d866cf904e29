"""Every test of the ledger runs on SQLite, and on PostgreSQL where one can be had."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.ledger.tables import metadata
from tests.support.postgres import ENV, binaries, private_server


@dataclass
class SetClock:
    """A clock that shows what the test sets."""

    time: float = 1_000.0

    def now(self) -> float:
        return self.time


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server where databases may be made."""
    with ExitStack() as stack:
        url = os.environ.get(ENV)
        if not url:
            found = binaries()
            if found is None:
                pytest.skip(f"no PostgreSQL: {ENV} is not set and no server is installed")
            url = stack.enter_context(private_server(found)).url
        yield url


@pytest.fixture(scope="session")
def new_database(postgres: str) -> Iterator[Callable[[], str]]:
    """Makes empty PostgreSQL databases, dropped at the end."""
    admin = create_engine(make_url(postgres).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make() -> str:
        made.append(f"memoline_test_{secrets.token_hex(6)}")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {made[-1]}"))
        return make_url(postgres).set(database=made[-1]).render_as_string(hide_password=False)

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="session")
def migrated_database(new_database: Callable[[], str]) -> str:
    """One PostgreSQL database with the tables, shared by the tests, which find it empty."""
    url = new_database()
    migrate(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    make: Callable[[], str] = request.getfixturevalue("new_database")
    return make()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with tables and no rows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        migrate(url)
        return url
    url = str(request.getfixturevalue("migrated_database"))
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY"))
    engine.dispose()
    return url


@pytest.fixture
def clock() -> SetClock:
    """A clock at 1000 s."""
    return SetClock()


@pytest.fixture
def ledger(url: str, clock: SetClock) -> Iterator[SqlLedger]:
    """An empty ledger."""
    ledger = SqlLedger(url, clock)
    yield ledger
    ledger.close()
