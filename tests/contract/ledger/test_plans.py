"""With a long past, the sweeper and the send worker look at open jobs only: asserted by the database's own plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Select, event, insert, select, text

from pipeline.backfills import FAILURES
from pipeline.ledger import backfills, callbacks, queries
from pipeline.ledger.door_tables import backfill_rows
from pipeline.ledger.door_tables import callbacks as callback_table
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.rows import new_row
from pipeline.ledger.tables import jobs
from pipeline.messages import StatusReport
from pipeline.model import State
from tests.support.ledger import CHAT, a_request

FINISHED, OPEN_JOBS, CHATS = 10_000, 60, 20
NOW = 1_000.0


def _rows() -> Sequence[dict[str, Any]]:
    states = [State.RECEIVED, State.PREPARING, State.HOSTED, State.SENDING, State.UNCONFIRMED, State.SENT]
    rows = []
    for n in range(FINISHED + OPEN_JOBS):
        state = State.DELIVERED if n < FINISHED else states[n % len(states)]
        request = a_request(str(n), chat_id=f"chat-{n % CHATS}")
        row = new_row(request, job_id=f"job-{n}", state=state, code=None, message=None, now=NOW)
        known = {"message_id": f"m-{n}", "trace_id": f"t-{n}", "file_name": f"{n}.m4a"}
        rows.append(row | known | {"next_look_at": 1.0 if state is State.SENT else 0.0})
    return rows


def _callbacks() -> Sequence[dict[str, Any]]:
    """Told long ago, but for some: a few of these are due, the others were tried and wait."""
    rows = []
    for n in range(FINISHED):
        times = {"done_at": 0.0 if n % 4 == 0 else 5.0, "next_at": 1.0 if n < OPEN_JOBS else NOW + n}
        row = {"event_id": f"job-{n}.4", "job_id": f"job-{n}", "receiver": "https://a.example", "state": State.SENT}
        rows.append(row | times | {"at": 1.0, "rev": 4})
    return rows


def _backfill_rows() -> Sequence[dict[str, Any]]:
    status = ("registered", "reported")
    return [
        {"backfill_id": "b1", "line": n, "recording": f"{n}", "status": status[n % 100 == 0], "job_id": f"job-{n}"}
        for n in range(FINISHED)
    ]


@pytest.fixture
def busy(ledger: SqlLedger) -> SqlLedger:
    """A ledger with 10,000 finished jobs and 60 open ones."""
    with ledger.database.write() as connection:
        connection.execute(insert(jobs), _rows())
        connection.execute(insert(callback_table), _callbacks())
        connection.execute(insert(backfill_rows), _backfill_rows())
        connection.execute(text("ANALYZE"))
    return ledger


VALUES = {"heads": {"chat_id": "chat-1", "now": NOW}}
"""What a statement that is built once is given each time."""


def plan_of(connection: Connection, statement: Select[Any], values: dict[str, Any] | None = None) -> list[str]:
    """The steps by which the database answers a statement, asked for with the very text and values that are sent."""
    sent: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, sql: str, values: Any, _context: Any, _many: bool) -> None:
        sent.append((sql, values))

    event.listen(connection, "before_cursor_execute", keep)
    connection.execute(statement, values).all()
    event.remove(connection, "before_cursor_execute", keep)
    sql, values = sent[-1]  # on SQLite a BEGIN goes before it
    if connection.dialect.name == "sqlite":
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
    return _steps(connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values).scalar_one()[0]["Plan"])


def reads_the_past(step: str) -> bool:
    """Whether a step of a plan goes through more than the open jobs. There are few backfills."""
    if "backfills" in step:
        return False
    if step.startswith("SCAN") and "SUBQUERY" not in step:
        return "INDEX jobs_open" not in step and "INDEX jobs_received" not in step
    return "Seq Scan" in step


def _steps(plan: dict[str, Any]) -> list[str]:
    inner = [step for part in plan.get("Plans", []) for step in _steps(part)]
    return [f"{plan['Node Type']} {json.dumps(plan.get('Relation Name'))}", *inner]


def statements() -> dict[str, Select[Any]]:
    """What is asked all day, by name."""
    report = StatusReport(status="sent", message_id="m-1", trace_id="t-1", chat_id=CHAT, file_names=("1.m4a",))
    asked = {"heads": queries.heads()}
    asked |= {f"due-{n}": statement for n, statement in enumerate(queries.due(NOW, 1_000))}
    asked |= {f"needed-{n}": statement for n, statement in enumerate(queries.recordings_needed(NOW))}
    asked |= {f"outlived-{n}": statement for n, statement in enumerate(queries.outlived(0.0, 100))}
    asked |= {"parts": queries.counts()[1]}
    asked |= {"erasing": queries.erasing(NOW, 100)}
    asked |= {"callbacks": callbacks.due(NOW, 100, ["https://b.example"])}
    asked |= {"bad-rows": backfills.bad_rows("b1"), "failed-jobs": backfills.jobs_in("b1", FAILURES)}
    asked |= {f"message-{n}": statement for n, statement in enumerate(queries.message_of(report))}
    return asked


def test_no_daily_question_reads_the_past(busy: SqlLedger) -> None:
    """Neither heads, due nor the search for a message's job reads the table: SQLite may scan a partial index of open
    jobs, PostgreSQL makes no sequential scan."""
    with busy.database.read() as connection:
        for name, statement in statements().items():
            steps = plan_of(connection, statement, VALUES.get(name))
            print(name, *steps, sep="\n    ")
            assert steps, name
            assert not [step for step in steps if reads_the_past(step)], (name, steps)


def test_a_teller_reads_only_what_is_due(busy: SqlLedger) -> None:
    """Each second: not the callbacks that were tried and wait for their time, of which an outage leaves thousands."""
    with busy.database.read() as connection:
        steps = plan_of(connection, callbacks.due(NOW, 100, []))
        if connection.dialect.name == "sqlite":
            assert any("callbacks_due (next_at<?)" in step for step in steps), steps
            assert not any("TEMP B-TREE" in step for step in steps), steps
    assert len(callbacks.CallbackBook(busy.database).due(NOW, 100)) == OPEN_JOBS / 4


def test_a_full_scan_is_noticed(busy: SqlLedger) -> None:
    """A question that no index serves fails the check: the test above can fail."""
    with busy.database.read() as connection:
        steps = plan_of(connection, select(jobs).where(jobs.c.attachment_id == "a"))
    assert [step for step in steps if reads_the_past(step)]


def test_what_is_due_is_found_among_ten_thousand(busy: SqlLedger) -> None:
    """The indexes answer rightly: ten jobs of each open kind, of the hosted ones only heads."""
    found = busy.due(NOW, 1_000)
    kinds = {state: sum(job.state is state for job in found) for state in State}
    assert kinds[State.RECEIVED] == kinds[State.PREPARING] == kinds[State.SENDING] == 10
    assert kinds[State.UNCONFIRMED] == kinds[State.SENT] == 10
    assert kinds[State.DELIVERED] == 0
