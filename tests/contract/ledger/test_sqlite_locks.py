"""SQLite's locks belong to the process: closing any descriptor of the file would drop them all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.model import State
from tests.support.story import FakeClock, request

WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("update jobs set code = 'seen' where job_id = 'j1'")
db.close()
"""


def test_a_second_connection_does_not_drop_the_locks_of_the_first(tmp_path: Path) -> None:
    """Another process that opens, writes and closes must not believe that it was the last, and remove the log."""
    file = tmp_path / "ledger.db"
    url = f"sqlite:///{file}"
    migrate(url)
    first = SqlLedger(url, FakeClock())
    first.add(request("one"), job_id="j1", state=State.RECEIVED, code=None, message=None, by="test")
    second = SqlLedger(url, FakeClock())
    assert second.get("j1").code is None
    subprocess.run([sys.executable, "-c", WRITER, str(file)], check=True)
    assert file.with_name("ledger.db-wal").exists(), "the log of the connections that are open"
    assert first.get("j1").code == "seen"
    assert second.get("j1").code == "seen"


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """The ledger names people: mode 0600, also of its log."""
    file = tmp_path / "ledger.db"
    migrate(f"sqlite:///{file}")
    ledger = SqlLedger(f"sqlite:///{file}", FakeClock())
    ledger.add(request("one"), job_id="j1", state=State.RECEIVED, code=None, message=None, by="test")
    for path in (file, file.with_name("ledger.db-wal")):
        assert path.stat().st_mode & 0o777 == 0o600
    assert sqlite3.connect(file).execute("pragma integrity_check").fetchone() == ("ok",)
    assert sorted(p.name for p in tmp_path.glob("*.new*")) == []
