"""Hints that nobody waits for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.model import Job, State
from tests.support.ledger import add
from tests.support.waiting import eventually
from workers.clock import SteadyClock
from workers.hints import Hints
from workers.hints_aside import HintsAside


class Broker(Hints):
    """Takes a hint when it is let to; `takes` says whether it does then."""

    def __init__(self, takes: bool = True) -> None:
        super().__init__(None)
        self.go, self.takes, self.asked = threading.Event(), takes, list[str]()

    def wake(self, job: Job, *, once_s: int = 0) -> bool:
        self.go.wait(20)
        self.asked.append(job.job_id)
        return self.takes


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(url)
    return SqlLedger(url, SteadyClock())


def test_a_broker_that_does_not_answer_holds_nobody(ledger: SqlLedger) -> None:
    """The call returns while the broker has not moved; the hints come out in their order when it does."""
    broker = Broker()
    aside = HintsAside(lambda: broker)
    jobs = [add(ledger, name) for name in "abc"]
    assert all(aside.wake(job) for job in jobs)
    assert not broker.asked and not aside.drain(0.01)
    broker.go.set()
    assert aside.drain(20)
    assert broker.asked == [job.job_id for job in jobs]


def test_the_rest_is_the_sweepers_when_one_is_not_taken(ledger: SqlLedger) -> None:
    """Each would wait for the broker's time-out; and the next one is tried again."""
    broker = Broker(takes=False)
    aside = HintsAside(lambda: broker)
    jobs = [add(ledger, name) for name in "abc"]
    for job in jobs:
        aside.wake(job)
    broker.go.set()
    eventually(lambda: broker.asked, "the first one is tried")
    assert aside.drain(20)
    aside.wake(jobs[2])
    eventually(lambda: broker.asked == [jobs[0].job_id, jobs[2].job_id], "the next one is tried")


def test_a_job_that_waits_for_nobody_is_not_hinted(ledger: SqlLedger) -> None:
    """HELD: no thread is begun for it."""
    broker = Broker()
    held = add(ledger, "a", State.HELD, chat_id=None)
    assert not HintsAside(lambda: broker).wake(held)
