"""What the metrics ask of the ledger."""

from __future__ import annotations

from sqlalchemy import event, insert, text

from pipeline.ledger import figures
from pipeline.ledger.figures import SETTLED_S, Move
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.rows import new_row
from pipeline.ledger.states import OPEN
from pipeline.ledger.tables import jobs
from pipeline.model import State
from tests.contract.ledger.conftest import SetClock
from tests.contract.ledger.test_plans import busy, plan_of, reads_the_past  # noqa: F401 (a fixture)
from tests.support.ledger import a_request, add, bring


def test_jobs_are_counted_and_the_oldest_live_one_that_is_due_is_timed(ledger: SqlLedger, clock: SetClock) -> None:
    """By state; a backfill, what is wanted later and what has ended is never late, what was wanted earlier is since
    then."""
    assert set(ledger.waiting_by_state(clock.time)) == {*OPEN, State.HELD}
    assert {found.jobs for found in ledger.waiting_by_state(clock.time).values()} == {0}
    bring(ledger, add(ledger, "done"), State.CANCELLED)
    add(ledger, "old-backfill", lane="backfill")
    bring(ledger, add(ledger, "later", not_before=9_000.0), State.HOSTED)
    add(ledger, "a")
    clock.time = 1_010
    add(ledger, "b")
    bring(ledger, add(ledger, "due", not_before=1_020.0), State.HOSTED)
    add(ledger, "held", state=State.HELD, chat_id=None)
    found = ledger.waiting_by_state(1_025.0)
    assert (found[State.RECEIVED].jobs, found[State.RECEIVED].oldest_s) == (3, 25)
    assert (found[State.HOSTED].jobs, found[State.HOSTED].oldest_s) == (2, 5)
    assert (found[State.HELD].jobs, found[State.HELD].oldest_s) == (1, 15)
    assert ledger.ended()[State.CANCELLED] == 1
    assert ledger.ended()[State.DELIVERED] == 0
    assert set(ledger.ended()) | set(found) == set(State)


def test_held_jobs_are_counted_by_what_they_wait_for(ledger: SqlLedger) -> None:
    """By code."""
    bring(ledger, add(ledger, "a"), State.HELD, code="outcome-unknown")
    bring(ledger, add(ledger, "b", chat_id="c2"), State.HELD, code="outcome-unknown")
    assert ledger.held_for() == {"outcome-unknown": 2}


def test_moves_are_read_on_from_where_one_stopped(ledger: SqlLedger, clock: SetClock) -> None:
    """Each once, in order, with how long the job was where it was, in pages; the youngest later."""
    start = ledger.newest_move()
    job = add(ledger, "a", not_before=1_005.0)
    clock.time = 1_004
    job = ledger.move(job, State.PREPARING, by="t", audio_attempts=1)
    clock.time = 1_010
    job = bring(ledger, job, State.HOSTED)
    clock.time = 1_030
    bring(ledger, job, State.SENDING)
    now = clock.time + SETTLED_S
    seen, first = ledger.moves_after(start, now=now, limit=3)
    seen, rest = ledger.moves_after(seen, now=now, limit=3)
    assert [(move.from_state, move.to_state, move.lasted_s) for move in (*first, *rest)] == [
        (None, State.RECEIVED, 0),
        (State.RECEIVED, State.PREPARING, 0),  # it was not due yet
        (State.PREPARING, State.HOSTED, 5),
        (State.HOSTED, State.SENDING, 20),
    ]
    made = first[2]
    assert made.hosted is not None
    assert (made.hosted["action"], made.recording_bytes) == ("transcode", 42)
    assert ledger.moves_after(seen, now=now, limit=3) == (seen, [])
    assert ledger.newest_move() == seen


def test_young_moves_wait_where_lines_may_come_out_of_order(ledger: SqlLedger, clock: SetClock) -> None:
    """On PostgreSQL a line with a smaller number may become visible later; on SQLite none can."""
    start = ledger.newest_move()
    add(ledger, "a")
    _, moves = ledger.moves_after(start, now=clock.time, limit=9)
    expected = [Move(from_state=None, to_state=State.RECEIVED, code=None)]
    assert list(moves) == (expected if ledger.database.url.get_backend_name() == "sqlite" else [])


def test_no_question_but_that_for_ended_jobs_reads_the_past(busy: SqlLedger) -> None:  # noqa: F811
    """Ten thousand finished jobs are not looked at for what is open, held or new."""
    asked = {
        "open": (figures._OPEN_JOBS, {"now": 1_000.0}),
        "held": (figures._HELD_JOBS, {}),
        "moves": (figures._MOVES, {"after": 0, "most": 100}),
    }
    with busy.database.read() as connection:
        for name, (statement, values) in asked.items():
            steps = plan_of(connection, statement, values)
            print(name, *steps, sep="\n    ")
            if name == "moves" and connection.dialect.name == "postgresql":
                continue  # its history is empty here, and an empty table is read as it is
            assert not [step for step in steps if reads_the_past(step)], (name, steps)


def test_parts_that_have_ended_cost_a_scrape_nothing(ledger: SqlLedger) -> None:
    """What waits is counted among what waits: parts, which a long past is full of, are told from others there."""
    sent: list[str] = []
    open_one, ended, held = (add(ledger, name, chat_id=name) for name in ("a", "b", "c"))
    bring(ledger, ended, State.CANCELLED)
    bring(ledger, held, State.HELD, code="outcome-unknown")
    parts = [(f"{job.job_id}-1", job, state) for job, state in ((open_one, "HOSTED"), (ended, "SENT"), (held, "HELD"))]
    with ledger.database.write() as connection:
        for name, job, state in parts:
            row = new_row(a_request(name), job_id=name, state=State(state), code=None, message=None, now=1.0)
            connection.execute(insert(jobs), [row | {"parent_id": job.job_id, "part_no": 1}])
    with ledger.database.read() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", lambda _c, _u, sql, *_: sent.append(sql))
    found = ledger.waiting_by_state(1_000.0)
    assert {state: one.jobs for state, one in found.items() if one.jobs} == {State.RECEIVED: 1, State.HELD: 1}
    asked = [sql for sql in sent if "jobs" in sql]
    assert asked and all("state = 'HELD'" in sql or "state IN (" in sql or "seq IN (" in sql for sql in asked), asked


def test_a_ledger_that_was_never_used_has_figures(ledger: SqlLedger) -> None:
    """And one whose jobs have no history."""
    assert ledger.newest_move() == 0
    with ledger.database.write() as connection:
        row = new_row(a_request("x"), job_id="x", state=State.SENT, code=None, message=None, now=1.0)
        connection.execute(insert(jobs), [row])
        connection.execute(text("SELECT 1"))
    assert ledger.ended()[State.SENT] == 1
