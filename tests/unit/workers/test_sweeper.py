"""The sweeper: who gets a hint when a queue has room for few."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import jobs
from pipeline.model import Job
from tests.support.story import build_stage, request
from workers.hints import QUEUES, Hints, task_for
from workers.sweeper import sweep_once


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
    counts = [sweep_once(stage.ledger, hints, now=stage.clock.at, ttl_s=30) for _ in range(5)]
    assert counts == [10, 10, 10, 5, 0]
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
    assert sweep_once(stage.ledger, CountingHints(), now=stage.clock.at, ttl_s=30) == 30
    assert QUEUES["audio"] == ("audio", "audio-backfill"), "in the order in which a worker asks for hints"
