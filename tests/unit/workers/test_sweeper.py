"""The sweeper: who gets a hint when a queue has room for few."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import jobs
from pipeline.errors import PartUnreachable
from pipeline.model import Job
from pipeline.settings import Settings
from tests.support.story import ACCEPTED, build_stage, request
from workers.hints import QUEUES, Hints, task_for
from workers.sweeper import sweep_for_ever, sweep_once


class CountingHints(Hints):
    """Publishes into a set, each job once."""

    def __init__(self) -> None:
        super().__init__(None)
        self.woken: list[str] = []

    def wake(self, job: Job, *, once_s: int = 0) -> bool:
        if job.job_id in self.woken:
            return False
        self.woken.append(job.job_id)
        return True

    def queue_length(self, queue: str) -> int:
        return 0


def test_jobs_that_were_hinted_take_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More due jobs than room, none of which moves: round by round all of them are hinted."""
    monkeypatch.setattr("workers.sweeper.os.cpu_count", lambda: 1)
    stage = build_stage(tmp_path)
    for number in range(35):
        stage.ledger.add(
            request(str(number)), job_id=f"job-{number}", state="RECEIVED", code=None, message=None, by="test"
        )  # type: ignore[arg-type]
    hints = CountingHints()
    rounds = [sweep_once(stage.ledger, hints, now=stage.clock.at, ttl_s=30) for _ in range(5)]
    assert [swept.hints for swept in rounds] == [10, 10, 10, 5, 0]
    assert [swept.crowded for swept in rounds] == [True] * 3 + [False] * 2, "then the next round comes sooner"
    assert len(hints.woken) == 35


def test_a_backfill_has_queues_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of its hints wait, a live one waits behind none; its queue lasts until the next sweep."""
    monkeypatch.setattr("workers.sweeper.os.cpu_count", lambda: 1)
    stage = build_stage(tmp_path)
    for number in range(30):
        wish = request(str(number), lane="backfill" if number else "live")
        jobs.register(stage.parts, wish)
    found = stage.ledger.due(stage.clock.at, 100)
    assert [task_for(job)[1] for job in found] == ["audio", *["audio-backfill"] * 29]  # type: ignore[index]
    assert sweep_once(stage.ledger, CountingHints(), now=stage.clock.at, ttl_s=30).hints == 30
    assert QUEUES["audio"] == ("audio", "audio-backfill"), "in the order in which a worker asks for hints"


def test_polls_wait_behind_what_is_to_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long outage of the receiver thousands are due: all of a sweep's are hinted, and none before a send."""
    monkeypatch.setattr("workers.sweeper.os.cpu_count", lambda: 1)
    stage = build_stage(tmp_path)
    for number in range(40):
        job = jobs.register(stage.parts, request(str(number), chat_id=f"{number % 20}"))
        jobs.prepare(stage.parts, job.job_id)
        stage.linq.outcomes = [replace(ACCEPTED, message_id=f"m-{number}")]
        jobs.deliver(stage.parts, job.job_id)
    waits = jobs.register(stage.parts, request("waits"))
    jobs.prepare(stage.parts, waits.job_id)
    stage.clock.at += 60
    found = {job.job_id: task_for(job)[1] for job in stage.ledger.due(stage.clock.at, 100)}  # type: ignore[index]
    assert found.pop(waits.job_id) == "send"
    assert set(found.values()) == {"send-backfill"}
    assert sweep_once(stage.ledger, CountingHints(), now=stage.clock.at, ttl_s=30).hints == 41


def test_a_sweeper_that_cannot_begin_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or its process would never end."""

    def away(*_: object) -> None:
        raise PartUnreachable("s3-unreachable", "Away.")

    for name in ("open_ledger", "open_hints", "steady_clock", "make_tellers"):
        monkeypatch.setattr(f"workers.sweeper.{name}", lambda *_: SimpleNamespace(run=lambda stopped: stopped.wait()))
    monkeypatch.setattr("workers.sweeper.connect", away)
    before = threading.active_count()
    with pytest.raises(PartUnreachable):
        sweep_for_ever(Settings(home=tmp_path, broker_url="redis://nowhere"), threading.Event())
    assert threading.active_count() == before
