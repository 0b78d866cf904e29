"""Erasing in both databases: the audit cannot be changed, every text of a job goes, and races end well."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import JSON, Text, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import Fenced, NotNow, PartUnreachable
from pipeline.ledger.door_tables import backfill_rows, backfills
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.tables import jobs, reports
from pipeline.messages import StatusReport
from pipeline.model import Job, State
from tests.contract.ledger.conftest import SetClock
from tests.support.ledger import CHAT, a_request, add, bring

REPORT = StatusReport(status="delivered", message_id="m-1", trace_id="t-1", event_id="e-1", chat_id=CHAT)


def end(ledger: SqlLedger, job: Job, why: str | None = "asked") -> Job:
    return ledger.erase(job, by="me", why=why, removed=["memo"], file_stems=["stem"], again_at=0.0)


def sent(ledger: SqlLedger) -> Job:
    job = bring(ledger, add(ledger, "one"), State.SENDING)
    return ledger.move(job, State.SENT, by="t", message_id="m-1", trace_id="t-1")


@pytest.mark.parametrize("statement", ["UPDATE audit SET why = 'another'", "DELETE FROM audit"])
def test_the_audit_cannot_be_changed(ledger: SqlLedger, statement: str) -> None:
    """The database itself refuses, whoever asks."""
    ledger.want_erased(add(ledger, "one").job_id, by="me", why="asked")
    with pytest.raises((PartUnreachable, SQLAlchemyError), match="stay as they are"), ledger.database.write() as c:
        c.execute(text(statement))
    assert [(line.by, line.why) for line in ledger.audit()] == [("me", "asked")]


def test_every_text_of_a_job_goes_also_a_later_versions(ledger: SqlLedger) -> None:
    """Each column that can hold words was filled; none holds them afterwards."""
    job = sent(ledger)
    words = {
        c.name: "Ada" for c in jobs.columns if isinstance(c.type, Text) and not c.unique and c.name != "backfill_id"
    }
    words |= {c.name: {"name": "Ada"} for c in jobs.columns if isinstance(c.type, JSON)}
    with ledger.database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.job_id == job.job_id).values(**words, key="Ada"))
    end(ledger, job)
    with ledger.database.read() as connection:
        row = connection.execute(select(jobs).where(jobs.c.job_id == job.job_id)).mappings().one()
    assert len(words) > 10 and "Ada" not in repr(dict(row))
    assert (row["job_id"], row["created_at"]) == (job.job_id, job.created_at)


def test_only_what_is_at_its_end_is_erased_and_only_as_it_was_read(ledger: SqlLedger) -> None:
    """A job in flight is not, nor one that somebody moved meanwhile; nothing of either is changed."""
    job = bring(ledger, add(ledger, "one"), State.SENDING)
    with pytest.raises(NotNow):
        end(ledger, job)
    now = ledger.move(job, State.SENT, by="t", message_id="m-1")
    ledger.note(now, next_look_at=1.0)
    with pytest.raises(Fenced):
        end(ledger, now)
    assert ledger.get(job.job_id).chat_id == CHAT and not ledger.audit()


def test_a_wish_disturbs_no_claim(ledger: SqlLedger) -> None:
    """The holder of a job moves it on as it read it."""
    job = bring(ledger, add(ledger, "one"), State.PREPARING)
    wanted = ledger.want_erased(job.job_id, by="me", why="")
    assert (wanted.erasing, wanted.rev) == (True, job.rev)
    assert ledger.move(job, State.FAILED, by="t", code="poison").erasing


def test_a_persons_wish_counts_also_where_the_retention_was_faster(ledger: SqlLedger, clock: SetClock) -> None:
    """Who asked is known, and said once."""
    job = sent(ledger)
    assert ledger.want_outlived_erased(clock.time + 1, 10) == 1
    assert ledger.want_outlived_erased(clock.time + 1, 10) == 0
    assert ledger.erase_wish(job.job_id) is None
    for who in ("me", "you"):
        ledger.want_erased(job.job_id, by=who, why="asked")
    wish = ledger.erase_wish(job.job_id)
    assert wish and wish.by == "me" and len(ledger.audit()) == 1


def test_no_more_are_found_than_were_asked_for(ledger: SqlLedger, clock: SetClock) -> None:
    """A batch is bounded, over all states."""
    for n in range(4):
        ledger.move(bring(ledger, add(ledger, f"s{n}"), State.SENDING), State.SENT, by="t", message_id=f"m-{n}")
        ledger.move(bring(ledger, add(ledger, f"f{n}"), State.PREPARING), State.FAILED, by="t")
    assert [ledger.want_outlived_erased(clock.time + 1, 3) for _ in range(4)] == [3, 3, 2, 0]
    assert len(ledger.erase_due(clock.time, 5)) == 5


def test_a_report_that_races_with_the_erasing_is_not_left_behind(ledger: SqlLedger) -> None:
    """Whichever comes first: afterwards no report of the message is there. Many at once, on real connections."""
    job = sent(ledger)
    ready = threading.Barrier(5)

    def keep(n: int) -> None:
        ready.wait(10)
        for i in range(10):
            ledger.keep_report(replace(REPORT, event_id=f"e-{n}-{i}"))

    threads = [threading.Thread(target=keep, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    ready.wait(10)
    end(ledger, ledger.get(job.job_id))
    for thread in threads:
        thread.join(30)
    with ledger.database.read() as connection:
        assert connection.execute(select(reports.c.event_id)).all() == []


def test_the_outlived_leave_no_signs_of_messages(ledger: SqlLedger) -> None:
    """Linq reports no more on them by then: only a key must be known for ever."""
    job = sent(ledger)
    ledger.give_key(job.job_id, "order-1")
    end(ledger, ledger.get(job.job_id), why=None)
    assert ledger.keep_report(REPORT)
    found = ledger.add(replace(a_request("two"), key="order-1"), job_id="new", state=State.RECEIVED, code=None,
                       message=None, by="t")  # fmt: skip
    assert (found.job_id, found.state) == (job.job_id, State.ERASED)


def test_what_a_backfill_says_of_a_job_is_emptied(ledger: SqlLedger) -> None:
    """The row of the list that named it, with its file's name, and no row of another job."""
    job = add(ledger, "one", lane="backfill")
    rows = [
        {"backfill_id": "b-1", "line": line, "recording": "Ada.ogg", "status": "registered", "job_id": job_id}
        for line, job_id in ((1, job.job_id), (2, "another"))
    ]
    made = {"backfill_id": "b-1", "source": "s", "options": {}, "state": "RUNNING"}
    with ledger.database.write() as connection:
        connection.execute(insert(backfills).values(**made))
        connection.execute(insert(backfill_rows), rows)
    end(ledger, ledger.move(job, State.CANCELLED, by="t"))
    with ledger.database.read() as connection:
        found = connection.execute(select(backfill_rows.c.recording).order_by(backfill_rows.c.line)).scalars().all()
    assert found == ["", "Ada.ogg"]
