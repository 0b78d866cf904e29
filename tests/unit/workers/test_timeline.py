"""A job's story for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import jobs
from pipeline.model import State
from tests.support.story import build_stage, request
from workers.cli.timeline import timeline


@pytest.mark.parametrize(
    ("state", "not_before", "retry_at", "waits"),
    [
        (State.RECEIVED, 100.0, 0.0, True),
        (State.HOSTED, 0.0, 100.0, True),
        (State.HOSTED, -100.0, -50.0, False),
        (State.SENDING, 100.0, 0.0, False),
        (State.CANCELLED, 100.0, 100.0, False),
    ],
)
def test_only_what_waits_is_said_to(
    tmp_path: Path, state: State, not_before: float, retry_at: float, waits: bool
) -> None:
    """A job that still has to go on, and a time that lies ahead; times are told from now on."""
    stage = build_stage(tmp_path)
    now = stage.clock.at
    job = jobs.register(stage.parts, request("one", not_before=now + not_before))
    for step in {State.SENDING: (State.PREPARING, State.HOSTED, state), State.HOSTED: (State.PREPARING, state)}.get(
        state, () if state is State.RECEIVED else (state,)
    ):
        job = stage.ledger.move(job, step, by="test", retry_at=now + retry_at)
    text = timeline(job, stage.ledger.history(job.job_id), now)
    assert ("waits    until" in text) == waits
    assert f"state    {state}" in text
