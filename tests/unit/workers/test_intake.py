"""The intake of webhooks: one commit a group, nothing answered before it, a bound, and an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from pipeline.errors import MemolineError, PartUnreachable
from pipeline.messages import StatusReport
from tests.support.waiting import eventually
from workers.web import intake as module
from workers.web import turns as turns_module
from workers.web.intake import Intake
from workers.web.turns import Turns


def report(number: int) -> StatusReport:
    return StatusReport(status="sent", message_id=f"m-{number}", event_id=f"e-{number}")


class SlowLedger:
    """Commits when it is let; fails with what it was told."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.groups: list[list[StatusReport]] = []
        self.error: Exception | None = None

    def keep(self, group: Sequence[StatusReport]) -> None:
        self.entered.set()
        assert self.gate.wait(20)
        if self.error:
            raise self.error
        self.groups.append(list(group))


@pytest.fixture
def ledger() -> SlowLedger:
    """A ledger that commits at once."""
    return SlowLedger()


@pytest.fixture
def woken() -> list[int]:
    """Grows with each commit."""
    return []


@pytest.fixture
def intake(ledger: SlowLedger, woken: list[int]) -> Iterator[Intake]:
    """An intake that runs."""
    intake = Intake(ledger.keep, kept=lambda: woken.append(1), turns=Turns())
    intake.start()
    yield intake
    ledger.gate.set()
    intake.close()


async def all_of(intake: Intake, count: int) -> list[object]:
    return await asyncio.gather(*(intake.keep(report(n)) for n in range(count)), return_exceptions=True)


def test_what_comes_during_a_commit_shares_the_next(intake: Intake, ledger: SlowLedger, woken: list[int]) -> None:
    """In the order in which it came; nobody is answered before his commit."""

    async def story() -> None:
        ledger.gate.clear()
        first = asyncio.create_task(intake.keep(report(0)))
        await asyncio.to_thread(ledger.entered.wait, 20)
        rest = asyncio.gather(*(intake.keep(report(n)) for n in range(1, 40)))
        await asyncio.sleep(0)
        assert not first.done()
        assert not rest.done()
        ledger.gate.set()
        await asyncio.gather(first, rest)

    asyncio.run(story())
    assert [len(group) for group in ledger.groups] == [1, 39]
    assert [one.event_id for one in ledger.groups[1]] == [f"e-{n}" for n in range(1, 40)]
    assert len(woken) == 2


def test_beyond_the_bound_the_sender_is_told_to_come_again(
    intake: Intake, ledger: SlowLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503; those that were taken are kept all the same."""
    monkeypatch.setattr(module, "MOST_WAITING", 3)

    async def story() -> list[object]:
        ledger.gate.clear()
        first = asyncio.create_task(intake.keep(report(0)))
        await asyncio.to_thread(ledger.entered.wait, 20)
        rest = asyncio.create_task(all_of(intake, 5))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ledger.gate.set()
        await first
        return await rest

    answers = asyncio.run(story())
    assert [type(answer) for answer in answers] == [type(None)] * 3 + [PartUnreachable] * 2
    assert [getattr(answer, "code", None) for answer in answers][3:] == ["too-many-webhooks"] * 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(PartUnreachable("ledger-unreachable", "away"), "ledger-unreachable"), (RuntimeError("ours"), "internal")],
)
def test_what_was_not_kept_is_not_answered_as_kept(
    intake: Intake, ledger: SlowLedger, woken: list[int], error: Exception, code: str
) -> None:
    """Each of the group gets the error; the next group is taken as ever."""
    ledger.error = error
    answers = asyncio.run(all_of(intake, 3))
    assert all(isinstance(answer, MemolineError) and answer.code == code for answer in answers)
    assert woken == []
    ledger.error = None
    assert asyncio.run(all_of(intake, 2)) == [None, None]


def test_a_ledger_that_hangs_is_answered_in_time(
    intake: Intake, ledger: SlowLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linq waits 10 s; it hears 503 before. What was kept late is known when it comes again."""
    monkeypatch.setattr(module, "ANSWER_WITHIN_S", 0.05)
    ledger.gate.clear()
    answers = asyncio.run(all_of(intake, 2))
    assert [getattr(answer, "code", None) for answer in answers] == ["ledger-unreachable"] * 2
    ledger.gate.set()
    eventually(lambda: sum(map(len, ledger.groups)) == 2, "both are kept in the end")


def test_at_its_end_it_keeps_what_it_took(ledger: SlowLedger) -> None:
    """And takes nothing more."""
    intake = Intake(ledger.keep, kept=lambda: None, turns=Turns())
    intake.start()

    async def story() -> None:
        ledger.gate.clear()
        taken = [asyncio.create_task(intake.keep(report(n))) for n in range(3)]
        await asyncio.to_thread(ledger.entered.wait, 20)
        closing = asyncio.create_task(asyncio.to_thread(intake.close))
        ledger.gate.set()
        await asyncio.gather(*taken, closing)
        with pytest.raises(PartUnreachable) as caught:
            await intake.keep(report(9))
        assert caught.value.code == "too-many-webhooks"

    asyncio.run(story())
    assert sum(map(len, ledger.groups)) == 3


def test_those_in_a_hurry_go_first() -> None:
    """Somebody patient waits until nobody in a hurry does, though he came first."""
    turns, order = Turns(), []
    inside, go = threading.Event(), threading.Event()

    def holder() -> None:
        with turns.patient():
            inside.set()
            go.wait(20)

    def patient() -> None:
        with turns.patient():
            order.append("patient")

    def hurried() -> None:
        with turns.hurried():
            order.append("hurried")

    threads = [threading.Thread(target=holder)]
    threads[0].start()
    assert inside.wait(20)
    for work in (patient, hurried):
        threads.append(threading.Thread(target=work))
        threads[-1].start()
    eventually(lambda: turns._hurried == 1, "both wait")
    go.set()
    for thread in threads:
        thread.join(20)
    assert order == ["hurried", "patient"]


def test_in_a_rush_the_patient_wait_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many in a second: a rush; few, or none any more, or a rush that lasts: none."""
    now_s = [100.0]
    monkeypatch.setattr(turns_module.time, "monotonic", lambda: now_s[0])
    turns = Turns()

    def second(count: int) -> bool:
        now_s[0] += 1
        with turns.hurried(count):
            return turns._rushing()

    assert not second(10)
    assert second(5_000)
    assert second(5_000)
    now_s[0] += 3
    assert not turns._rushing(), "nothing came for a while"
    assert second(5_000 * 4)
    assert all(second(5_000) for _ in range(50))
    assert not all(second(5_000) for _ in range(20)), "it lasts: no rush"
    assert not second(10)
