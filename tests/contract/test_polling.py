"""With the receiver down for good, polling finds out what became of each memo: the real story, SDK and sandbox."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.sandbox.companions import MemoServer, WebhookReceiver
from infra.local.sandbox.pytest_plugin import LinqSandbox
from pipeline import jobs
from pipeline.model import Job, State
from pipeline.sending.messenger import LinqMessenger
from tests.support.story import Stage, build_stage, request
from tests.support.waiting import eventually


@pytest.fixture
def stage(tmp_path: Path, linq_sandbox: LinqSandbox) -> Stage:
    """The story, with Linq's sandbox behind the SDK in place of the fake."""
    stage = build_stage(tmp_path)
    messenger = LinqMessenger(base_url=linq_sandbox.base_url, api_key=linq_sandbox.api_key)
    return replace(stage, parts=replace(stage.parts, messenger=messenger))


def sent(stage: Stage, memos: MemoServer) -> Job:
    """A job whose memo the sandbox took."""
    chat_id = str(uuid.uuid4())
    job = jobs.register(stage.parts, request(chat_id, chat_id=chat_id))
    hosted = jobs.prepare(stage.parts, job.job_id)
    assert hosted is not None
    assert hosted.hosted is not None
    url = memos.host(hosted.hosted.file_name)
    stage.ledger.note(hosted, hosted=replace(hosted.hosted, url=url))
    job = jobs.deliver(stage.parts, job.job_id)  # type: ignore[assignment]
    assert job.state is State.SENT, job.message
    return job


def polled(stage: Stage, job: Job) -> Job:
    """As the sweeper would have it, at the time when the job is due."""
    now = stage.ledger.get(job.job_id)
    stage.clock.at = max(stage.clock.at, now.next_look_at)
    assert job.job_id in {one.job_id for one in stage.ledger.due(stage.clock.at, 100)} or now.next_look_at == 0
    jobs.deliver(stage.parts, job.job_id)
    return stage.ledger.get(job.job_id)


def test_what_was_delivered_and_what_failed_is_found_out(
    stage: Stage, linq_sandbox: LinqSandbox, linq_memos: MemoServer, linq_webhooks: WebhookReceiver
) -> None:
    """Nobody hears the webhooks: a receiver that answers 503 to all of them until Linq gives up."""
    linq_webhooks.statuses.extend([503] * 1_000)
    events = ["message.sent", "message.delivered", "message.failed"]
    linq_sandbox.client().webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=events)  # type: ignore[arg-type]
    well = [sent(stage, linq_memos) for _ in range(3)]
    linq_sandbox.inject("message-failed", with_ids=False)
    badly = [sent(stage, linq_memos) for _ in range(3)]
    eventually(lambda: len(linq_webhooks.received) > 12, "webhooks were tried, and tried again")
    for job in well:
        eventually(lambda job=job: polled(stage, job).state is State.DELIVERED, "found delivered", deadline_s=20)
    for job in badly:
        eventually(lambda job=job: polled(stage, job).state is State.FAILED, "found failed", deadline_s=20)
        now = stage.ledger.get(job.job_id)
        assert (now.code, now.message_id) == ("not-delivered", job.message_id)
    assert sum(stage.ledger.report_counts().values()) == 0


def test_delivered_after_all_is_found_out(stage: Stage, linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """Linq reports a failure first and delivers later: without any webhook both are seen."""
    linq_sandbox.inject("message-failed", delivered_after_s=1.0)
    job = sent(stage, linq_memos)
    eventually(lambda: polled(stage, job).state is State.FAILED, "found failed", deadline_s=20)
    eventually(lambda: polled(stage, job).state is State.DELIVERED, "found delivered", deadline_s=20)
