"""The outbox of a place: each job that moved is noted, whoever dies and in whatever order commits become visible."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from sqlalchemy import insert, text

from pipeline.ledger.inbox import InboxBook
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.news import LATE_S, PAGE, NewsBook
from pipeline.ledger.tables import history
from pipeline.model import Job, State
from tests.support.ledger import a_request


def book_of(ledger: SqlLedger) -> NewsBook:
    """An outbox for the jobs whose source says so."""
    return NewsBook(ledger.database, "here", lambda job: job.source if "other" not in job.source else None)


def add(ledger: SqlLedger, name: str) -> Job:
    """A new job."""
    return ledger.add(a_request(name), job_id=name, state=State.RECEIVED, code=None, message=None, by="test")


def test_jobs_that_moved_are_due_until_they_are_crossed_off(ledger: SqlLedger) -> None:
    """From the beginning on; a job that moves while it is told stays due."""
    add(ledger, "before")
    book_of(ledger).begin(10.0)
    job = add(ledger, "a")
    assert book_of(ledger).follow(11.0) == 1
    (news,) = book_of(ledger).due(11.0, 10)
    assert (news.job.job_id, news.told, news.done, news.newest) == ("a", "", "", True)
    moved = ledger.move(job, State.PREPARING, by="test")
    book_of(ledger).out([news], 12.0)
    (again,) = book_of(ledger).due(12.0, 10)
    assert again.job.rev == moved.rev
    book_of(ledger).later(again, 20.0)
    assert book_of(ledger).due(19.0, 10) == ()
    book_of(ledger).out(book_of(ledger).due(20.0, 10), 20.0)
    assert book_of(ledger).follow(21.0) == 0
    assert book_of(ledger).due(99.0, 10) == ()


def test_a_long_history_is_followed_in_pages(ledger: SqlLedger) -> None:
    """Of the same job thousands of lines: one note."""
    book = book_of(ledger)
    book.begin(1.0)
    add(ledger, "a")
    line = {"job_id": "a", "at": 1.0, "from_state": "RECEIVED", "to_state": "RECEIVED", "actor": "x", "attempt": 0}
    with ledger.database.write() as connection:
        connection.execute(insert(history), [line] * (2 * PAGE + 1))
    add(ledger, "b")
    book.follow(2.0)
    assert [news.job.job_id for news in book.due(2.0, 10)] == ["a", "b"]
    assert book.follow(99.0) == 0


def test_a_commit_that_comes_late_is_seen(ledger: SqlLedger) -> None:
    """On PostgreSQL a line may become visible after others with higher numbers; SQLite has one writer."""
    if ledger.database.url.get_backend_name() == "sqlite":
        pytest.skip("SQLite commits in the order of its numbers")
    book = book_of(ledger)
    book.begin(1.0)
    job = add(ledger, "slow")
    book.follow(1_000.0)
    book.out(book.due(1_000.0, 10), 1_000.0)
    with ExitStack() as stack:
        slow = stack.enter_context(ledger.database.engine.connect())
        slow.execute(text("INSERT INTO history (job_id, at, to_state, actor) VALUES ('slow', 1000, 'PREPARING', 'x')"))
        slow.execute(text("UPDATE jobs SET rev = rev + 1 WHERE job_id = 'slow'"))
        add(ledger, "quick")
        assert book.follow(1_000.0) == 1
        slow.commit()
    assert book.follow(1_000.0 + LATE_S / 2) == 1
    assert {news.job.job_id for news in book.due(2_000.0, 10)} == {"slow", "quick"}
    assert job.rev == 1


def test_what_was_seen_is_kept_by_place_and_in_the_order_of_bytes(ledger: SqlLedger) -> None:
    """As S3 lists: capitals first, accents last; what is gone is forgotten."""
    book, other = InboxBook(ledger.database, "here"), InboxBook(ledger.database, "there")
    book.note({"a": "1", "Z": "2", "é": "3", "a/b": "4"})
    other.note({"a": "9"})
    assert sorted(book.seen("", None)) == ["Z", "a", "a/b", "é"]
    assert book.seen("Z", "a/b") == {"a": "1", "a/b": "4"}
    book.note({"a": "5"}, gone=["Z", "é"])
    assert book.seen("", None) == {"a": "5", "a/b": "4"}
    assert other.seen("", None) == {"a": "9"}
