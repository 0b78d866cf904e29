"""The thread that applies reports gets past those that came too early."""

from __future__ import annotations

from pathlib import Path

from pipeline import jobs
from pipeline.messages import StatusReport
from pipeline.model import State
from tests.support.story import build_stage, request
from tests.support.waiting import eventually
from workers.web.settler import GROUP, Settler
from workers.web.turns import Turns

OTHER_CHAT = "5e0d0000-0000-4000-8000-000000000002"


def test_reports_that_are_too_early_keep_no_others_out(tmp_path: Path) -> None:
    """More than a group of them wait for a sender that is at work; what is known of another job is applied."""
    stage = build_stage(tmp_path)
    busy = jobs.register(stage.parts, request("one"))
    sending = jobs.prepare(stage.parts, busy.job_id)
    assert sending is not None
    stage.ledger.move(sending, State.SENDING, by="test", send_attempts=1, trace_id="t-9", deadline=stage.clock.at + 60)
    early = [
        StatusReport(status="failed", message_id=None, trace_id="t-9", event_id=f"e-{number:03}", code="4001")
        for number in range(GROUP + 10)
    ]
    other = jobs.register(stage.parts, request("two", chat_id=OTHER_CHAT))
    jobs.prepare(stage.parts, other.job_id)
    sent = jobs.deliver(stage.parts, other.job_id)
    assert sent is not None and sent.state is State.SENT
    stage.ledger.keep_reports([*early, StatusReport(status="delivered", message_id=sent.message_id, event_id="e-999")])
    settler = Settler(stage.parts, stage.ledger, Turns())
    settler.start()
    try:
        eventually(lambda: stage.ledger.get(other.job_id).state is State.DELIVERED, "the other job is delivered")
    finally:
        settler.close()
    assert stage.ledger.waiting_count() == len(early)
