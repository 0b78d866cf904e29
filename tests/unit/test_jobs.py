"""The story of a job, told with a real SQLite ledger and fakes that fail in ways real parts cannot be made to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import decisions, jobs
from pipeline.errors import JobFailed, KeyReused, NotNow, PartUnreachable, RecordingRejected
from pipeline.messages import Attempt, ListedMessage, MessageList, Outcome, OutcomeKind, PauseScope, StatusReport
from pipeline.model import State
from tests.support.story import ACCEPTED, CHAT, Stage, build_stage, request

UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message="the connection broke")
S3_AWAY = PartUnreachable("s3-unreachable", "S3 does not answer.")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A fresh stage."""
    return build_stage(tmp_path)


def run(stage: Stage, identity: str = "one") -> jobs.Job:
    """Register, prepare and deliver one job."""
    job = jobs.register(stage.parts, request(identity))
    jobs.prepare(stage.parts, job.job_id)
    return jobs.deliver(stage.parts, job.job_id) or job


def test_a_recording_becomes_a_sent_memo_by_one_post(stage: Stage) -> None:
    """The plain way: one POST, the message id is kept, the copy of the recording is removed."""
    job = run(stage)
    assert (job.state, job.message_id, job.attachment_id) == (State.SENT, "m-1", "a-1")
    assert stage.linq.posts == [(CHAT, job.url)]
    assert stage.store.discarded == ["file:///spool/one"]


def test_the_same_identity_and_input_is_the_same_job(stage: Stage) -> None:
    """Registering twice makes one job; other input under the same identity is refused."""
    first = jobs.register(stage.parts, request("one"))
    assert jobs.register(stage.parts, request("one")).job_id == first.job_id
    with pytest.raises(KeyReused):
        jobs.register(stage.parts, request("one", fingerprint="other"))


def test_repeated_hints_do_nothing(stage: Stage) -> None:
    """Any number of hints for any step, in any order, make one memo."""
    job = run(stage)
    for _ in range(3):
        jobs.prepare(stage.parts, job.job_id)
        jobs.deliver(stage.parts, job.job_id)
    assert len(stage.linq.posts) == 1
    assert stage.runner.runs == 1


def test_a_dropped_object_without_a_chat_is_held(stage: Stage) -> None:
    """No chat: HELD with `no-chat`, and `assign` mends it."""
    job = jobs.register(stage.parts, request("one", chat_id=None))
    assert (job.state, job.code) == (State.HELD, "no-chat")
    assert jobs.prepare(stage.parts, job.job_id) is None
    assert decisions.assign(stage.parts, job, CHAT).state is State.RECEIVED


def test_a_rejected_recording_ends_with_its_reason(stage: Stage) -> None:
    """A recording that can never become a memo is REJECTED, and can be tried again on request."""
    stage.runner.fails = [RecordingRejected("no-audio-stream", "There is no sound in it.")]
    job = run(stage)
    assert (job.state, job.code) == (State.REJECTED, "no-audio-stream")
    assert decisions.retry(stage.parts, job).state is State.RECEIVED


def test_an_outage_burns_no_attempt(stage: Stage) -> None:
    """S3 away: back to RECEIVED with a back-off, as often as it takes, and done when it is back."""
    job = jobs.register(stage.parts, request("one"))
    stage.store.fails["host"] = [S3_AWAY] * 5
    for _ in range(5):
        waiting = jobs.prepare(stage.parts, job.job_id)
        assert waiting is not None
        assert (waiting.state, waiting.audio_attempts, waiting.code) == (State.RECEIVED, 0, "s3-unreachable")
        assert jobs.prepare(stage.parts, job.job_id) is None, "the back-off is kept"
        stage.clock.at = waiting.retry_at
    hosted = jobs.prepare(stage.parts, job.job_id)
    assert hosted is not None
    assert hosted.state is State.HOSTED


def test_a_recording_that_ends_its_workers_is_given_up(stage: Stage) -> None:
    """Three claims whose lease ran out: FAILED with `poison`, no fourth attempt."""
    job = jobs.register(stage.parts, request("one"))
    for attempt in range(1, 4):
        claimed = jobs._claim(stage.parts, stage.ledger.get(job.job_id))  # a worker that dies right after its claim
        assert claimed is not None
        assert (claimed.state, claimed.audio_attempts, claimed.epoch) == (State.PREPARING, attempt, attempt)
        assert jobs._claim(stage.parts, stage.ledger.get(job.job_id)) is None, "a living lease is respected"
        stage.clock.at += stage.parts.rules.audio_lease_s + 1
    given_up = jobs.prepare(stage.parts, job.job_id)
    assert given_up is not None
    assert (given_up.state, given_up.code) == (State.FAILED, "poison")
    assert stage.runner.runs == 0


def test_a_fenced_worker_touches_nothing(stage: Stage) -> None:
    """A worker whose lease ran out while it worked finds the job moved on, and leaves it alone."""
    job = jobs.register(stage.parts, request("one"))
    slow = jobs._claim(stage.parts, stage.ledger.get(job.job_id))
    stage.clock.at += stage.parts.rules.audio_lease_s + 1
    jobs.prepare(stage.parts, job.job_id)
    assert slow is not None
    with pytest.raises(jobs.Fenced):
        jobs._prepare_claimed(stage.parts, slow)
    assert stage.ledger.get(job.job_id).state is State.HOSTED


def test_an_unknown_outcome_is_never_sent_again(stage: Stage) -> None:
    """Two complete looks that find nothing: HELD for a person, one POST in all."""
    stage.linq.outcomes = [UNKNOWN]
    job = run(stage)
    assert job.state is State.UNCONFIRMED
    for _ in range(2):
        stage.clock.at = stage.ledger.get(job.job_id).next_look_at
        job = jobs.deliver(stage.parts, job.job_id) or job
    assert (job.state, job.code) == (State.HELD, "outcome-unknown")
    assert len(stage.linq.posts) == 1


def test_an_unknown_outcome_that_is_found_is_sent(stage: Stage) -> None:
    """The memo is in the chat under its own file name: SENT with that message's id."""
    stage.linq.outcomes = [UNKNOWN]
    job = run(stage)
    assert job.hosted is not None
    message = ListedMessage(
        message_id="m-9", created_at=stage.clock.at, status="sent", file_names=(job.hosted.file_name,)
    )
    stage.linq.listed = MessageList(messages=(message,), complete=True)
    assert jobs.deliver(stage.parts, job.job_id) == job, "the quiet time is kept"
    stage.clock.at = job.next_look_at
    found = jobs.deliver(stage.parts, job.job_id)
    assert found is not None
    assert (found.state, found.message_id, len(stage.linq.posts)) == (State.SENT, "m-9", 1)


def test_an_incomplete_list_is_no_look(stage: Stage) -> None:
    """Pages that could not be read count for nothing: the job stays UNCONFIRMED."""
    stage.linq.outcomes = [UNKNOWN]
    job = run(stage)
    stage.linq.listed = MessageList(messages=(), complete=False)
    for _ in range(5):
        stage.clock.at = stage.ledger.get(job.job_id).next_look_at
        job = jobs.deliver(stage.parts, job.job_id) or job
    assert (job.state, job.looks) == (State.UNCONFIRMED, 0)


def test_messages_without_parts_mean_cannot_know(stage: Stage) -> None:
    """A list that shows own messages without their files can prove nothing: HELD at once."""
    stage.linq.outcomes = [UNKNOWN]
    job = run(stage)
    bare = ListedMessage(message_id="m-9", created_at=stage.clock.at, status="sent", file_names=None)
    stage.linq.listed = MessageList(messages=(bare,), complete=True)
    stage.clock.at = job.next_look_at
    held = jobs.deliver(stage.parts, job.job_id)
    assert held is not None
    assert (held.state, held.code) == (State.HELD, "outcome-unknown")


def test_probably_not_sent_goes_again_three_times_at_most(stage: Stage) -> None:
    """Linq's own word that it could not fetch the URL, and two empty looks: sent again, three times, then HELD."""
    stage.linq.outcomes = [
        Outcome(kind=OutcomeKind.PROBABLY_NOT_SENT, code="linq-download-failed", message="Linq could not fetch it.")
    ]
    job = run(stage)
    for _ in range(20):
        row = stage.ledger.get(job.job_id)
        if row.state is State.HELD:
            break
        stage.clock.at = max(row.next_look_at, row.retry_at, stage.clock.at)
        jobs.deliver(stage.parts, job.job_id)
    row = stage.ledger.get(job.job_id)
    assert (row.state, row.code, len(stage.linq.posts)) == (State.HELD, "outcome-unknown", 4)


def test_a_worker_killed_while_sending_leaves_an_unknown_outcome(stage: Stage) -> None:
    """SENDING whose deadline has passed becomes UNCONFIRMED, and is not sent again: its attempt was begun."""
    job = jobs.register(stage.parts, request("one"))
    hosted = jobs.prepare(stage.parts, job.job_id)
    assert hosted is not None
    stage.ledger.move(hosted, State.SENDING, by="dead", send_attempts=1, deadline=stage.clock.at + 60)
    stage.journal.begin(job.job_id, Attempt(number=1, at=stage.clock.at, epoch=2))
    assert jobs.deliver(stage.parts, job.job_id).state is State.SENDING  # type: ignore[union-attr]
    stage.clock.at += 61
    assert jobs.deliver(stage.parts, job.job_id).state is State.UNCONFIRMED  # type: ignore[union-attr]
    assert stage.linq.posts == []


def test_a_worker_killed_before_it_began_to_send_costs_nothing(stage: Stage) -> None:
    """SENDING was committed, the intent was not written: closing the attempt proves that nothing was sent, nor can be
    by whoever wakes up late. The next attempt is made at once."""
    job = jobs.register(stage.parts, request("one"))
    hosted = jobs.prepare(stage.parts, job.job_id)
    assert hosted is not None
    stage.ledger.move(hosted, State.SENDING, by="dead", send_attempts=1, deadline=stage.clock.at + 60)
    stage.clock.at += 61
    assert jobs.deliver(stage.parts, job.job_id).state is State.HOSTED  # type: ignore[union-attr]
    assert not stage.journal.begin(job.job_id, Attempt(number=1, at=stage.clock.at, epoch=2)), "it woke up late"
    assert jobs.deliver(stage.parts, job.job_id).state is State.SENT  # type: ignore[union-attr]
    assert len(stage.linq.posts) == 1


def test_a_late_answer_of_a_fenced_sender_is_written_down(stage: Stage) -> None:
    """While the POST hung, the job became UNCONFIRMED; the 202 that comes at last is not lost."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)

    def meanwhile() -> None:
        stage.linq.during_post = None
        stage.clock.at += 61
        jobs.deliver(stage.parts, job.job_id)

    stage.linq.during_post = meanwhile
    sent = jobs.deliver(stage.parts, job.job_id)
    assert sent is not None
    assert (sent.state, sent.message_id, len(stage.linq.posts)) == (State.SENT, "m-1", 1)


@pytest.mark.parametrize(("frozen_s", "left_s"), [(0, 60), (45, 15), (3600, 0.001)])
def test_the_deadline_of_the_post_is_the_ledgers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, frozen_s: float, left_s: float
) -> None:
    """A sender that was frozen between its commit and its POST has only what is left of the deadline."""
    move = stage.ledger.move

    def slow_move(job: jobs.Job, to: State, **changes: object) -> jobs.Job:
        moved = move(job, to, **changes)  # type: ignore[arg-type]
        stage.clock.at += frozen_s if to is State.SENDING else 0
        return moved

    monkeypatch.setattr(stage.ledger, "move", slow_move)
    run(stage)
    assert stage.linq.deadlines_s == [left_s]


def test_a_refusal_fails_the_job_with_linqs_reason(stage: Stage) -> None:
    """A 4xx that waiting cannot mend: FAILED with its code, and `retry` is allowed since nothing was sent."""
    stage.linq.outcomes = [Outcome(kind=OutcomeKind.REFUSED, code="opted-out", message="They opted out.")]
    job = run(stage)
    assert (job.state, job.code) == (State.FAILED, "opted-out")
    assert decisions.retry(stage.parts, job).state is State.RECEIVED


def test_a_signed_url_is_given_to_linq_and_kept_nowhere(stage: Stage) -> None:
    """It is made for the POST; where Linq's refusal repeats it, the ledger keeps the plain one."""
    stage.store.query = "?Expires=1&Signature=let-me-in&Key-Pair-Id=K1"
    said = "Could not load https://cdn.test/m/a.m4a?Expires=1&Signature=let-me-in&Key-Pair-Id=K1 (404)"
    stage.linq.outcomes = [Outcome(kind=OutcomeKind.REFUSED, code="file-refused", message=said)]
    job = run(stage)
    assert stage.linq.posts == [(CHAT, f"{job.url}{stage.store.query}")]
    assert job.message == "Could not load https://cdn.test/m/a.m4a (404)"
    kept = [*stage.ledger.history(job.job_id), job]
    assert not [one for one in kept if "let-me-in" in repr(one)]


def test_a_429_waits_in_the_ledger_and_pauses_its_chat(stage: Stage) -> None:
    """The wait is written down; the next job of the chat waits too; another chat does not."""
    limited = Outcome(kind=OutcomeKind.WAIT, code="rate-limited", message="slow down", wait_s=90, pause=PauseScope.CHAT)
    stage.linq.outcomes = [
        limited,
        replace(Outcome(kind=OutcomeKind.ACCEPTED, code="", message=""), message_id="x"),
    ]
    job = run(stage)
    assert (job.state, job.code, job.retry_at) == (State.HOSTED, "rate-limited", stage.clock.at + 90)
    assert run(stage, "two").state is State.HOSTED
    assert len(stage.linq.posts) == 1
    other = jobs.register(stage.parts, request("three", chat_id=CHAT.replace("1", "2")))
    jobs.prepare(stage.parts, other.job_id)
    assert jobs.deliver(stage.parts, other.job_id).state is State.SENT  # type: ignore[union-attr]
    stage.clock.at += 91
    assert jobs.deliver(stage.parts, job.job_id).state is State.SENT  # type: ignore[union-attr]


def test_without_redis_nothing_is_sent(stage: Stage) -> None:
    """The pacer away: the job stays HOSTED and no POST is made."""
    stage.pacer.waits = [PartUnreachable("redis-unreachable", "Redis does not answer.")]
    job = run(stage)
    assert (job.state, job.code, stage.linq.posts) == (State.HOSTED, "redis-unreachable", [])


def test_order_in_a_chat_is_kept(stage: Stage) -> None:
    """The second memo waits for the first, and goes right after it."""
    first = jobs.register(stage.parts, request("one"))
    second = jobs.register(stage.parts, request("two"))
    jobs.prepare(stage.parts, second.job_id)
    assert jobs.deliver(stage.parts, second.job_id).state is State.HOSTED  # type: ignore[union-attr]
    jobs.prepare(stage.parts, first.job_id)
    jobs.deliver(stage.parts, first.job_id)
    assert [url for _, url in stage.linq.posts] == [
        stage.ledger.get(first.job_id).url,
        stage.ledger.get(second.job_id).url,
    ]


def test_a_memo_of_last_week_is_not_sent(stage: Stage) -> None:
    """Older than MEMOLINE_MAX_AGE_S: FAILED `too-old`; `retry` sends it all the same."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    stage.clock.at += stage.parts.rules.max_age_s + 1
    old = jobs.deliver(stage.parts, job.job_id)
    assert old is not None
    assert (old.state, old.code) == (State.FAILED, "too-old")
    decisions.retry(stage.parts, old)
    jobs.prepare(stage.parts, job.job_id)
    assert jobs.deliver(stage.parts, job.job_id).state is State.SENT  # type: ignore[union-attr]


def test_reports_come_in_any_order_and_any_number(stage: Stage) -> None:
    """delivered before sent, twice each, and failed before delivered: DELIVERED."""
    job = run(stage)
    report = StatusReport(status="delivered", message_id="m-1", event_id="e-1")
    assert jobs.settle(stage.parts, report).state is State.DELIVERED  # type: ignore[union-attr]
    moves = len(stage.ledger.history(job.job_id))
    jobs.settle(stage.parts, report)
    assert len(stage.ledger.history(job.job_id)) == moves, "the same event again"
    jobs.settle(stage.parts, StatusReport(status="sent", message_id="m-1", event_id="e-2"))
    jobs.settle(stage.parts, StatusReport(status="failed", message_id="m-1", event_id="e-3", code="4001"))
    assert stage.ledger.get(job.job_id).state is State.DELIVERED


def test_failed_may_become_delivered(stage: Stage) -> None:
    """Linq may report a failure and deliver all the same."""
    job = run(stage)
    failed = jobs.settle(stage.parts, StatusReport(status="failed", message_id="m-1", event_id="e-1", code="4001"))
    assert failed is not None
    assert (failed.state, failed.code) == (State.FAILED, "not-delivered")
    with pytest.raises(NotNow):
        decisions.retry(stage.parts, failed)
    jobs.settle(stage.parts, StatusReport(status="delivered", message_id="m-1", event_id="e-2"))
    assert stage.ledger.get(job.job_id).state is State.DELIVERED


def test_a_webhook_that_overtakes_the_answer_is_kept(stage: Stage) -> None:
    """`delivered` arrives before the 202 was written down: kept, and applied right after."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    early = StatusReport(status="delivered", message_id="m-1", event_id="e-1", trace_id="t-1")
    stage.linq.during_post = lambda: jobs.settle(stage.parts, early) and None
    assert jobs.deliver(stage.parts, job.job_id).state is State.DELIVERED  # type: ignore[union-attr]


def test_polling_settles_a_job_whose_webhooks_never_came(stage: Stage) -> None:
    """The status of a sent memo is asked for when it is due."""
    job = run(stage)
    stage.linq.statuses["m-1"] = StatusReport(status="delivered", message_id="m-1")
    stage.clock.at = job.next_look_at
    assert jobs.deliver(stage.parts, job.job_id).state is State.DELIVERED  # type: ignore[union-attr]


def test_a_memo_gone_from_the_bucket_is_made_again(stage: Stage) -> None:
    """Deliver looks before it sends: the URL must still show the memo."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    stage.store.there = False
    assert jobs.deliver(stage.parts, job.job_id).state is State.RECEIVED  # type: ignore[union-attr]
    stage.store.there = True
    again = jobs.prepare(stage.parts, job.job_id)
    assert again is not None
    assert again.url != f"https://cdn.test/m/{job.job_id}-1.m4a", "a new result has a new name"


def test_what_will_never_work_fails_at_once(stage: Stage) -> None:
    """A recording that is gone is not tried three times."""
    stage.store.fails["fetch"] = [JobFailed("recording-gone", "It is gone.")]
    job = run(stage)
    assert (job.state, job.code, job.audio_attempts) == (State.FAILED, "recording-gone", 1)


def test_cancel_wins_or_says_that_it_is_too_late(stage: Stage) -> None:
    """A HOSTED job can be cancelled and is never sent; a SENT one cannot."""
    job = jobs.register(stage.parts, request("one"))
    hosted = jobs.prepare(stage.parts, job.job_id)
    assert hosted is not None
    assert decisions.cancel(stage.parts, hosted).state is State.CANCELLED
    jobs.deliver(stage.parts, job.job_id)
    assert stage.linq.posts == []
    with pytest.raises(NotNow, match="nothing left to cancel"):
        decisions.cancel(stage.parts, run(stage, "two"))


@pytest.mark.parametrize(
    ("decision", "state"),
    [({"sent": "m-7"}, State.SENT), ({"resend": True}, State.HOSTED), ({"give_up": True}, State.FAILED)],
)
def test_a_person_decides_what_nobody_knows(stage: Stage, decision: dict[str, object], state: State) -> None:
    """`resolve` moves a HELD job as the person says, and writes down that a person said so."""
    stage.linq.outcomes = [UNKNOWN]
    job = run(stage)
    for _ in range(2):
        stage.clock.at = stage.ledger.get(job.job_id).next_look_at
        job = jobs.deliver(stage.parts, job.job_id) or job
    resolved = decisions.resolve(stage.parts, job, why="I looked", **decision)  # type: ignore[arg-type]
    assert resolved.state is state
    assert "I looked" in (stage.ledger.history(job.job_id)[-1].message or "")


def test_what_was_given_up_may_have_arrived(stage: Stage) -> None:
    """`retry`, which is for what Linq never took, leaves it alone; a person may decide anew."""
    stage.linq.outcomes = [UNKNOWN, ACCEPTED]
    job = run(stage)
    for _ in range(2):
        stage.clock.at = stage.ledger.get(job.job_id).next_look_at
        job = jobs.deliver(stage.parts, job.job_id) or job
    job = decisions.resolve(stage.parts, job, give_up=True)
    with pytest.raises(NotNow, match="--resend") as caught:
        decisions.retry(stage.parts, job)
    assert caught.value.code == "not-retryable"
    assert [reason.never_taken for reason in stage.ledger.reasons((State.FAILED,))] == [0]
    assert decisions.resolve(stage.parts, job, give_up=True) == job
    decisions.resolve(stage.parts, job, resend=True, why="I looked")
    jobs.prepare(stage.parts, job.job_id)
    sent = jobs.deliver(stage.parts, job.job_id)
    assert sent is not None
    assert (sent.state, len(stage.linq.posts)) == (State.SENT, 2)
