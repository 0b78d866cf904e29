"""Callbacks are written with the move, told in order, and claimed once."""

from __future__ import annotations

from pipeline.ledger.callbacks import CallbackBook
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import NewJob, State
from tests.contract.ledger.conftest import SetClock
from tests.support.ledger import a_request, add, bring

URL = "https://Example.com/hook?x=1"


def test_only_moves_that_matter_are_told_and_only_where_it_is_wanted(ledger: SqlLedger) -> None:
    """SENT and DELIVERED of one that asked; nothing of one that did not."""
    book = CallbackBook(ledger.database)
    told = bring(ledger, add(ledger, "a", callback_url=URL), State.DELIVERED)
    bring(ledger, add(ledger, "b"), State.DELIVERED)
    found = book.of_job(told.job_id)
    assert [one.state for one in found] == [State.SENT, State.DELIVERED]
    assert [one.event_id for one in found] == [f"{told.job_id}.{told.rev - 1}", f"{told.job_id}.{told.rev}"]
    assert {one.receiver for one in found} == {"https://example.com"}
    assert book.latest(10, waiting=True) == tuple(reversed(found))


def test_a_batch_tells_of_what_begins_held(ledger: SqlLedger) -> None:
    """A new job that waits for a person is told of at once."""
    request = a_request("a", chat_id=None, callback_url=URL)
    new = NewJob(request=request, job_id="job-a", state=State.HELD, code="no-chat", message="why")
    for _ in range(2):
        ledger.add_many([new], by="test")
    assert [(one.state, one.code) for one in CallbackBook(ledger.database).of_job("job-a")] == [(State.HELD, "no-chat")]


def test_moves_of_a_job_are_told_in_order(ledger: SqlLedger, clock: SetClock) -> None:
    """The second is due once the first is closed; a receiver that has enough to do is left out."""
    book = CallbackBook(ledger.database)
    job = bring(ledger, add(ledger, "a", callback_url=URL), State.DELIVERED)
    (first,) = book.due(clock.now(), 10)
    assert first.state is State.SENT
    assert book.due(clock.now(), 10, [first.receiver]) == ()
    book.again(first, at=clock.now() + 5, outcome="answered 500")
    assert {one.next_at for one in book.of_job(job.job_id)} == {clock.now() + 5}, "what comes after it waits as long"
    assert book.due(clock.now(), 10) == ()
    (again,) = book.due(clock.now() + 5, 10)
    assert (again.id, again.outcome) == (first.id, "answered 500")
    book.close(again, now=clock.now(), outcome="answered 200")
    assert [one.state for one in book.due(clock.now() + 5, 10)] == [State.DELIVERED]
    assert [one.outcome for one in book.of_job(job.job_id)] == ["answered 200", None]


def test_one_teller_gets_a_callback_and_another_one_when_it_has_died(ledger: SqlLedger, clock: SetClock) -> None:
    """A claim counts the attempt; its lease lets the callback come back."""
    book = CallbackBook(ledger.database)
    bring(ledger, add(ledger, "a", callback_url=URL), State.SENT)
    (one,) = book.due(clock.now(), 10)
    assert book.claim(one, clock.now() + 60)
    assert not book.claim(one, clock.now() + 60)
    assert book.due(clock.now() + 59, 10) == ()
    (back,) = book.due(clock.now() + 60, 10)
    assert (back.attempts, back.event_id) == (1, one.event_id)


def test_a_url_that_comes_later_is_told_where_the_job_stands(ledger: SqlLedger) -> None:
    """The bucket may have made the job before the program asked; the first URL stays."""
    book = CallbackBook(ledger.database)
    job = bring(ledger, add(ledger, "a"), State.SENT)
    assert ledger.give_callback(job.job_id, URL).callback_url == URL
    assert ledger.give_callback(job.job_id, "https://other.example/").callback_url == URL
    assert [one.state for one in book.of_job(job.job_id)] == [State.SENT]
