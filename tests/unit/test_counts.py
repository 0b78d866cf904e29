"""What a job costs in transactions: counts hold on every machine, where times do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from pipeline import jobs
from pipeline.messages import StatusReport
from pipeline.model import State
from tests.support.story import Stage, build_stage, request


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A stage of a process that has been at work: the first one makes the install's secret."""
    stage = build_stage(tmp_path)
    stage.ledger.install_secret()
    return stage


@contextmanager
def counted(stage: Stage) -> Iterator[Counter[str]]:
    """Commits (waits for the disk) and transactions that only read, within the block."""
    found: Counter[str] = Counter()
    note: Callable[[str], Callable[[object], None]] = lambda kind: lambda _connection: found.update([kind])  # noqa: E731
    engine, listeners = stage.ledger.database.engine, {"commit": note("commits"), "rollback": note("reads")}
    for name, listener in listeners.items():
        event.listen(engine, name, listener)
    try:
        yield found
    finally:
        for name, listener in listeners.items():
            event.remove(engine, name, listener)


def test_a_job_waits_for_the_disk_five_times_until_it_is_sent(stage: Stage) -> None:
    """Accepted; claimed, hosted; SENDING, SENT. Each of them must be durable before what follows it."""
    with counted(stage) as registering:
        job = jobs.register(stage.parts, request("one"))
    with counted(stage) as preparing:
        jobs.prepare(stage.parts, job.job_id)
    with counted(stage) as delivering:
        sent = jobs.deliver(stage.parts, job.job_id)
    assert sent is not None
    assert sent.state is State.SENT
    assert [one["commits"] for one in (registering, preparing, delivering)] == [1, 2, 2]
    assert [one["reads"] for one in (registering, preparing, delivering)] == [0, 1, 6]


def test_a_group_of_webhooks_is_kept_in_one_commit(stage: Stage) -> None:
    """Nobody is answered before it, so a commit each would bound their rate."""
    reports = [StatusReport(status="sent", message_id=f"m-{n}", event_id=f"e-{n}") for n in range(50)]
    with counted(stage) as keeping:
        stage.ledger.keep_reports(reports)
    with counted(stage) as applying, stage.ledger.database.together():
        jobs.apply_reports(stage.parts, reports)
    assert keeping["commits"] == applying["commits"] == 1
