"""A backfill as one thing: broken off and taken up, stopped by failures, paused, cancelled, and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline.backfills import BackfillState
from pipeline.errors import NotNow, PartUnreachable
from pipeline.hosting.spool import S3Spool
from pipeline.model import State
from pipeline.settings import Settings
from tests.support.inbox import make_inbox
from tests.support.story import FakeJournal
from workers.backfill import BackfillReport, Order, RowReport, ledger_of, run_backfill
from workers.backfill_care import after_step, cancel_jobs, care_for_all
from workers.doors import Desk, open_desk
from workers.manifest import BadRow, Row
from workers.sources import rows_of
from workers.wishes import Wish

CHAT = "5e0d0000-0000-4000-8000-000000000001"
TO_CHAT = Wish(chat_id=CHAT, lane="backfill")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk over a fresh ledger, and an archive of 450 recordings beside it: two batches and a half."""
    (tmp_path / "in").mkdir()
    for number in range(450):
        (tmp_path / "in" / f"{number:03}.ogg").write_text(str(number))
    return open_desk(Settings(home=tmp_path / "home"), "test")


def order(tmp_path: Path, **more: Any) -> Order:
    return Order(source=str(tmp_path / "in"), default=TO_CHAT, **more)


def broken_off(rows: Iterator[Row | BadRow], after: int) -> Iterator[Row | BadRow]:
    """Rows of a source that goes away, as a bucket does."""
    yield from islice(rows, after)
    raise PartUnreachable("s3-unreachable", "gone")


def test_what_was_broken_off_is_taken_up(desk: Desk, tmp_path: Path) -> None:
    """The same backfill goes on: no job twice, every row in its report once, also of files that came meanwhile."""
    ledger, what = ledger_of(desk), order(tmp_path)
    with pytest.raises(PartUnreachable):
        run_backfill(desk, what, broken_off(rows_of(desk, what.source, {}), 250))
    assert len(ledger.jobs()) == 200, "whole batches are durable"
    (tmp_path / "in" / "000-before.ogg").write_text("new")
    report = run_backfill(desk, what, rows_of(desk, what.source, {}))
    (one,) = ledger.backfills()
    assert report.backfill_id == one.backfill_id and one.registered_at > 0
    assert len(ledger.jobs()) == 451 and {job.backfill_id for job in ledger.jobs()} == {one.backfill_id}
    ends = list(ledger.row_ends(one.backfill_id))
    assert [end.line for end in ends] == list(range(1, 452))
    assert len({end.job_id for end in ends}) == 451 and all(end.duplicate_of is None for end in ends)
    again = run_backfill(desk, what, rows_of(desk, what.source, {}))
    assert again == BackfillReport(known=451) and again.backfill_id != one.backfill_id


def test_too_many_bad_rows_stop_it(desk: Desk, tmp_path: Path) -> None:
    """Its jobs are held back, and it says how it goes on."""
    rows = [
        *(BadRow(line=n, code="bad-row", message="x") for n in range(1, 4)),
        Row(line=4, recording=f"{tmp_path}/in/000.ogg"),
    ]
    with pytest.raises(NotNow) as caught:
        run_backfill(desk, order(tmp_path, max_failures="2"), rows)
    assert caught.value.code == "backfill-stopped" and "memoline backfills resume" in caught.value.message
    ledger = ledger_of(desk)
    (one,) = ledger.backfills()
    assert (one.state, one.message) == (BackfillState.STOPPED, "3 of 3 rows failed, and 2 may.")
    assert ledger.due(desk.parts.clock.now(), 10) == ()
    resumed = ledger.resume_backfill(one)
    assert resumed.state is BackfillState.RUNNING and resumed.max_failures is None
    assert len(ledger.due(desk.parts.clock.now(), 10)) == 1


def test_failing_jobs_stop_it(desk: Desk, tmp_path: Path) -> None:
    """As soon as there is one too many."""
    what, ledger = order(tmp_path, max_failures="1"), ledger_of(desk)
    run_backfill(desk, what, list(islice(rows_of(desk, what.source, {}), 5)))
    for number, job in enumerate(ledger.jobs()[:2]):
        failed = ledger.move(job, State.FAILED, by="test", code="poison")
        after_step(ledger, failed)
        assert (ledger.backfills()[0].state is BackfillState.STOPPED) is (number == 1)


def test_what_has_ended_is_counted_only_where_that_may_decide(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after each failure, of which a large backfill may have tens of thousands; it is stopped by the same one."""
    what, ledger = order(tmp_path, max_failures="10%"), ledger_of(desk)
    run_backfill(desk, what, rows_of(desk, what.source, {}))
    counted: list[int] = []
    count = ledger.see_ended
    monkeypatch.setattr(ledger, "see_ended", lambda one: counted.append(count(one)) or counted[-1])  # type: ignore[func-returns-value]
    waiting = list(ledger.jobs())
    for number in range(20):  # five of a hundred fail
        for job in waiting[number * 20 + 1 : number * 20 + 20]:
            ledger.move(job, State.CANCELLED, by="test")
        after_step(ledger, ledger.move(waiting[number * 20], State.FAILED, by="test", code="poison"))
    assert len(counted) <= 3 and ledger.backfills()[0].state is BackfillState.RUNNING
    for job in waiting[400:423]:  # 43 of 423 are the first that are more than a tenth
        assert ledger.backfills()[0].state is BackfillState.RUNNING
        after_step(ledger, ledger.move(job, State.FAILED, by="test", code="poison"))
    (one,) = ledger.backfills()
    assert one.state is BackfillState.STOPPED and one.message is not None
    assert one.message.startswith("43 of 423 rows failed") and one.ended_seen == 423 == counted[-1]


def test_the_sweeper_sees_its_end_and_its_failures(desk: Desk, tmp_path: Path) -> None:
    """Done once nothing of it is open; a restart of the worker amid the count does not matter."""
    what, ledger = order(tmp_path, max_failures="50%"), ledger_of(desk)
    run_backfill(desk, what, list(islice(rows_of(desk, what.source, {}), 2)))
    assert care_for_all(ledger) == () and ledger.backfills()[0].state is BackfillState.RUNNING
    for job in ledger.jobs():
        ledger.move(job, State.CANCELLED, by="test")
    care_for_all(ledger)
    (one,) = ledger.backfills()
    assert one.state is BackfillState.DONE and one.ended_at > 0


def test_a_cancelled_one_registers_nothing_more(desk: Desk, tmp_path: Path) -> None:
    """Whoever cancels ends the run too; what was registered is CANCELLED by whoever looks first, and never begun."""
    what, ledger = order(tmp_path), ledger_of(desk)

    def cancel(_: Any) -> None:
        ledger.move_backfill(ledger.backfills()[0], BackfillState.CANCELLED)

    with pytest.raises(NotNow) as caught:
        run_backfill(desk, what, rows_of(desk, what.source, {}), on_row=cancel)
    assert caught.value.code == "backfill-stopped"
    assert len(ledger.jobs()) == 200 and ledger.due(desk.parts.clock.now(), 10) == ()
    (left,) = care_for_all(ledger)
    parts = replace(desk.parts, journal=FakeJournal())
    assert cancel_jobs(parts, ledger, left) == 200
    assert {job.state for job in ledger.jobs()} == {State.CANCELLED} and care_for_all(ledger) == ()


def test_new_jobs_are_hinted_in_batches_but_not_while_it_is_paused(desk: Desk, tmp_path: Path) -> None:
    """Paused while its rows are registered: they are, and nothing begins."""
    what, ledger = order(tmp_path), ledger_of(desk)
    hinted: list[int] = []

    def pause(row: RowReport) -> None:
        if row.line == 201:
            ledger.move_backfill(ledger.backfills()[0], BackfillState.PAUSED)

    run_backfill(desk, what, rows_of(desk, what.source, {}), on_row=pause, on_jobs=lambda new: hinted.append(len(new)))
    assert hinted == [200] and len(ledger.jobs()) == 450


def test_options_are_part_of_what_a_backfill_is(desk: Desk, tmp_path: Path) -> None:
    """A time zone reaches the job; another one is another backfill."""
    rows = [
        Row(line=1, recording=f"{tmp_path}/in/000.ogg"),
        Row(line=2, recording=f"{tmp_path}/in/001.ogg", time_zone="Asia/Tokyo"),
    ]
    where = Wish(chat_id=CHAT, time_zone="Europe/Berlin", lane="backfill")
    bad = Row(line=3, recording=f"{tmp_path}/in/002.ogg", time_zone="Mars/Olympus")
    seen: list[RowReport] = []
    run_backfill(desk, Order(source="m.csv", default=where), [*rows, bad], on_row=seen.append)
    assert [job.time_zone for job in ledger_of(desk).jobs()] == ["Europe/Berlin", "Asia/Tokyo"]
    assert seen[-1].code == "bad-time-zone"


def test_for_workers_on_other_hosts_files_are_copied_once(s3_stack: Settings, tmp_path: Path) -> None:
    """With a ledger that others reach; a second run, and a duplicate, leave no copy behind."""
    inbox = make_inbox(s3_stack, tmp_path / "home", events=False)
    shared = inbox.settings.model_copy(update={"database_url": "postgresql://elsewhere/memoline"})
    desk = replace(inbox.desk, settings=shared, spool=S3Spool(inbox.desk.s3, inbox.bucket))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ogg").write_text("a")
    rows = [Row(line=n, recording=f"{tmp_path}/in/a.ogg") for n in (1, 2)]
    for _ in range(2):
        run_backfill(desk, order(tmp_path), rows)
    (job,) = ledger_of(desk).jobs()
    copies = [item.key for item in desk.s3.list(inbox.bucket, "uploads/")]
    assert [f"s3://{inbox.bucket}/{key}" for key in copies] == [job.recording.uri]
    desk.parts.store.fetch(job.recording, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_text() == "a"
