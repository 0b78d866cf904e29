"""The schema: made by migrations, equal to the tables that the program uses."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from pipeline.errors import Misuse, PartUnreachable
from pipeline.ledger import migrate as module
from pipeline.ledger.engine import Database
from pipeline.ledger.migrate import HEAD, migrate, revision_of
from pipeline.ledger.tables import metadata

ROOT = Path(__file__).parents[3]


def test_the_migrations_make_the_tables_that_the_program_uses(empty_url: str) -> None:
    """Alembic finds no difference, indexes included."""
    migrate(empty_url)
    database = Database(empty_url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_the_newest_revision_is_the_one_that_is_looked_for() -> None:
    """HEAD names the one head of the scripts."""
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_ledger_that_is_up_to_date_is_not_touched(url: str) -> None:
    """A process that starts on a current ledger does not even import Alembic."""
    code = (
        "import sys; from pipeline.ledger.migrate import migrate; migrate(sys.argv[1]); "
        "sys.exit(any(name.split('.')[0] == 'alembic' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code, url], cwd=ROOT, check=False).returncode == 0


def test_a_ledger_of_a_newer_program_is_used_as_it_is_until_it_says_otherwise(empty_url: str) -> None:
    """A process of the version before may start anew while the new ones come up, or when one goes back: what newer
    migrations added does not concern it. Once one has removed something, it names the oldest program that works."""
    migrate(empty_url)
    database = Database(empty_url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    migrate(empty_url)
    assert revision_of(database) == "9999"
    with database.write() as connection:
        connection.execute(text("INSERT INTO install (name, value) VALUES (:name, '0001')"), {"name": module.OLDEST})
    migrate(empty_url)
    with database.write() as connection:
        connection.execute(text("UPDATE install SET value = '9998' WHERE name = :name"), {"name": module.OLDEST})
    with pytest.raises(Misuse) as caught:
        migrate(empty_url)
    assert caught.value.code == "ledger-newer"
    assert revision_of(database) == "9999"
    database.close()


def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps share one transaction: a crash before its end leaves an empty database, and the next try succeeds."""
    run = module._run_alembic

    def crash(connection: object) -> None:
        run(connection)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run_alembic", crash)
    with pytest.raises(KeyboardInterrupt):
        migrate(empty_url)
    database = Database(empty_url)
    assert revision_of(database) is None
    monkeypatch.undo()
    migrate(empty_url)
    assert revision_of(database) == HEAD
    database.close()


def test_the_file_is_private(tmp_path: Path) -> None:
    """Neither the ledger nor what SQLite keeps beside it can be read by others."""
    migrate(f"sqlite:///{tmp_path / 'ledger.db'}")
    database = Database(f"sqlite:///{tmp_path / 'ledger.db'}")
    with database.write():
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.glob("ledger.db*")}
    database.close()
    assert {"ledger.db", "ledger.db-wal"} <= set(modes)
    assert {mode for name, mode in modes.items() if not name.endswith(".lock")} == {0}


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    """A SQLite file in a missing folder is an unreachable ledger that names it."""
    with pytest.raises(PartUnreachable, match=r"missing/ledger\.db") as caught:
        migrate(f"sqlite:///{tmp_path / 'missing' / 'ledger.db'}")
    assert caught.value.code == "ledger-unreachable"
