"""A ledger that was put back to an older copy sends nothing again: what it forgot is remembered outside of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import decisions, jobs
from pipeline.errors import JobFailed, NotNow, PartUnreachable, RecordingRejected
from pipeline.messages import Attempt, ListedMessage, MessageList, Outcome, OutcomeKind
from pipeline.model import Job, State
from tests.support.story import ACCEPTED, Stage, build_stage, request

UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message="the connection broke")
WAIT = Outcome(kind=OutcomeKind.WAIT, code="chat-not-ready", message="not yet", wait_s=5)
REFUSED = Outcome(kind=OutcomeKind.REFUSED, code="not-allowed", message="no")
S3_AWAY = PartUnreachable("s3-unreachable", "S3 does not answer.")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A fresh stage."""
    return build_stage(tmp_path)


def copy(stage: Stage) -> Callable[[], None]:
    """Copy the ledger as it is now; the result puts the copy back, as a person would: everything stopped."""
    stage.ledger.close()
    file = Path(stage.ledger.database.url.database or "")
    kept = file.with_name("kept")
    shutil.copy(file, kept)

    def restore() -> None:
        stage.ledger.close()
        for old in file.parent.glob(f"{file.name}*"):
            old.unlink()
        shutil.copy(kept, file)

    return restore


def deliver(stage: Stage, job: Job, *, after_s: float = 0.0) -> Job:
    """The job after a hint."""
    stage.clock.at += after_s
    return jobs.deliver(stage.parts, job.job_id) or job


def send_again_meanwhile(stage: Stage, job: Job) -> None:
    """While the next POST hangs, a person has it sent again."""

    def meanwhile() -> None:
        stage.linq.during_post = None
        decisions.resolve(stage.parts, until_it_rests(stage, job), resend=True)
        deliver(stage, job)

    stage.linq.during_post = meanwhile


def until_it_rests(stage: Stage, job: Job) -> Job:
    """The job after as many hints, each when it is due, as it takes."""
    for _ in range(30):
        job = stage.ledger.get(job.job_id)
        if job.state in (State.SENT, State.HELD, State.FAILED, State.DELIVERED):
            return job
        stage.clock.at = max(stage.clock.at, job.retry_at, job.next_look_at, job.deadline + 1)
        jobs.prepare(stage.parts, job.job_id)
        jobs.deliver(stage.parts, job.job_id)
    raise AssertionError(f"{job.state} {job.code}")


@pytest.mark.parametrize("forgotten_since", [State.RECEIVED, State.HOSTED, None])
def test_what_was_sent_is_not_sent_again(stage: Stage, forgotten_since: State | None) -> None:
    """SENT goes back in time, or out of the ledger, and its client repeats its key: the receipt is there."""
    restore = copy(stage)
    job = jobs.register(stage.parts, request("one"))
    restore = restore if forgotten_since is None else copy(stage)
    jobs.prepare(stage.parts, job.job_id)
    restore = copy(stage) if forgotten_since is State.HOSTED else restore
    assert deliver(stage, job).state is State.SENT
    restore()
    again = jobs.register(stage.parts, request("one"))
    rested = until_it_rests(stage, again)
    assert again.job_id == job.job_id
    assert (rested.state, rested.code, rested.message_id) == (State.SENT, "receipt", "m-1")
    assert len(stage.linq.posts) == 1


@pytest.mark.parametrize("shown", [True, False])
def test_without_a_receipt_the_chat_is_asked(stage: Stage, shown: bool) -> None:
    """The answer came and its receipt could not be written: found in the chat, or a person decides."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    restore = copy(stage)
    stage.journal.fails["end"] = [S3_AWAY]
    sent = deliver(stage, job)
    restore()
    assert sent.hosted
    if shown:
        names = (sent.hosted.file_name,)
        row = ListedMessage(message_id="m-1", created_at=stage.clock.at, status="sent", file_names=names)
        stage.linq.listed = MessageList(messages=(row,), complete=True)
    rested = until_it_rests(stage, job)
    assert (rested.state, rested.message_id) == ((State.SENT, "m-1") if shown else (State.HELD, None))
    assert len(stage.linq.posts) == 1


def test_attempts_that_were_not_taken_are_passed_over(stage: Stage) -> None:
    """Two attempts that Linq put off, then the ledger goes back: the next attempt is the third, and the only memo."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    restore = copy(stage)
    stage.linq.outcomes = [WAIT, WAIT, ACCEPTED]
    deliver(stage, job)
    assert deliver(stage, job, after_s=6).state is State.HOSTED
    restore()
    rested = until_it_rests(stage, job)
    assert (rested.state, rested.send_attempts, len(stage.linq.posts)) == (State.SENT, 3, 3)


def test_a_memo_that_was_sent_again_by_a_person_is_remembered(stage: Stage) -> None:
    """HELD, sent again, SENT; the copy is from before all of it."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    restore = copy(stage)
    stage.linq.outcomes = [UNKNOWN, ACCEPTED]
    deliver(stage, job)
    decisions.resolve(stage.parts, until_it_rests(stage, job), resend=True)
    assert until_it_rests(stage, job).state is State.SENT
    restore()
    assert until_it_rests(stage, job).message_id == "m-1"
    assert len(stage.linq.posts) == 2


def test_names_of_forgotten_memos_are_known(stage: Stage) -> None:
    """Refused, made anew under another name, taken, the answer lost; the copy knows the first name only."""
    job = jobs.register(stage.parts, request("one"))
    restore = copy(stage)
    jobs.prepare(stage.parts, job.job_id)
    stage.linq.outcomes = [REFUSED, UNKNOWN]
    decisions.retry(stage.parts, deliver(stage, job))
    jobs.prepare(stage.parts, job.job_id)
    second = deliver(stage, job)
    assert second.hosted and second.state is State.UNCONFIRMED
    restore()
    jobs.prepare(stage.parts, job.job_id)
    first = stage.ledger.get(job.job_id).hosted
    assert first and first.file_name != second.hosted.file_name
    row = ListedMessage(
        message_id="m-2", created_at=stage.clock.at, status="sent", file_names=(second.hosted.file_name,)
    )
    stage.linq.listed = MessageList(messages=(row,), complete=True)
    rested = until_it_rests(stage, job)
    assert (rested.state, rested.message_id, len(stage.linq.posts)) == (State.SENT, "m-2", 2)


def test_without_s3_nothing_is_sent(stage: Stage) -> None:
    """The intent cannot be written, and may be somebody else's: it is asked for again until that is known."""
    stage.journal.fails["begin"] = [S3_AWAY] * 4
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    for _ in range(4):
        job = deliver(stage, job)
        assert (job.state, job.code, stage.linq.posts) == (State.UNCONFIRMED, "not-begun", [])
        stage.clock.at = job.next_look_at
    assert until_it_rests(stage, job).state is State.SENT
    assert len(stage.linq.posts) == 1


def test_a_journal_that_is_away_when_it_is_asked_is_asked_again(stage: Stage) -> None:
    """The intent is there, what became of it cannot be read: UNCONFIRMED, and the first look reads it."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    restore = copy(stage)
    deliver(stage, job)
    restore()
    stage.journal.fails["attempts"] = [S3_AWAY, S3_AWAY]
    waits = deliver(stage, job)
    assert (waits.state, waits.code) == (State.UNCONFIRMED, "sender-lost")
    rested = until_it_rests(stage, job)
    assert (rested.state, rested.code, len(stage.linq.posts)) == (State.SENT, "receipt", 1)


def test_a_sender_that_proves_late_that_it_did_not_send_frees_its_job(stage: Stage) -> None:
    """Frozen before the first byte, it is taken for lost and its job is held; then it wakes, and sends nothing."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)

    def meanwhile() -> None:
        stage.linq.during_post = None
        until_it_rests(stage, job)

    stage.linq.during_post = meanwhile
    stage.linq.outcomes = [replace(WAIT, code="send-deadline", wait_s=0), ACCEPTED]
    assert deliver(stage, job).code == "send-deadline"
    states = [entry.to_state for entry in stage.ledger.history(job.job_id)]
    assert states[-2:] == [State.HELD, State.HOSTED]
    assert until_it_rests(stage, job).state is State.SENT


def test_a_late_answer_to_an_earlier_attempt_prevents_the_next(stage: Stage) -> None:
    """The first POST hung until a person sent again, which was refused for now; then its 202 came."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    send_again_meanwhile(stage, job)
    stage.linq.outcomes = [WAIT, ACCEPTED]
    assert deliver(stage, job).state is State.SENT
    assert len(stage.linq.posts) == 2


def test_a_memo_that_went_twice_is_told(stage: Stage) -> None:
    """A person sent again while the first POST still hung, and both were taken: the job says so."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    send_again_meanwhile(stage, job)
    stage.linq.outcomes = [ACCEPTED, replace(ACCEPTED, message_id="m-2")]
    told = deliver(stage, job)
    assert (told.state, told.code, told.message_id) == (State.SENT, "sent-twice", "m-1")
    assert "m-2" in (told.message or "")


@pytest.mark.parametrize("method", ["begin", "attempts"])
def test_an_outage_of_s3_passes_no_earlier_attempt_over(stage: Stage, method: str) -> None:
    """The old copy does not know attempt 1, and S3 fails while it is asked: the next try asks for the same one."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    restore = copy(stage)
    deliver(stage, job)
    restore()
    stage.journal.fails[method] = [S3_AWAY]
    rested = until_it_rests(stage, job)
    assert (rested.state, rested.message_id) == (State.SENT, "m-1")
    assert len(stage.linq.posts) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_an_intent_that_was_written_unnoticed_is_our_own(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """S3 keeps the intent and says that it failed: nothing was sent, nobody has to look, and it is sent."""
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    begin, failed = stage.journal.begin, []

    def written_unnoticed(job_id: str, attempt: Attempt) -> bool:
        first = begin(job_id, attempt)
        if len(failed) < times:
            failed.append(attempt)
            raise S3_AWAY
        return first

    monkeypatch.setattr(stage.journal, "begin", written_unnoticed)
    rested = until_it_rests(stage, job)
    assert (rested.state, rested.send_attempts) == (State.SENT, 2)
    assert len(stage.linq.posts) == 1


@pytest.mark.parametrize("how", ["recording-gone", "rejected", "too-old", "cancelled"])
def test_what_was_sent_does_not_end_as_unsent(stage: Stage, how: str) -> None:
    """The old copy knows nothing of the send; before the job ends without a memo, what is remembered is asked."""
    job = jobs.register(stage.parts, request("one"))
    restore = copy(stage)
    jobs.prepare(stage.parts, job.job_id)
    deliver(stage, job)
    restore()
    if how == "recording-gone":
        stage.store.fails["fetch"] = [JobFailed("recording-gone", "It was let go of.")]
    elif how == "rejected":
        stage.runner.fails = [RecordingRejected("no-audio-stream", "Not any more.")]
    elif how == "too-old":
        stage.clock.at += 700_000
    else:
        with pytest.raises(NotNow):
            decisions.cancel(stage.parts, stage.ledger.get(job.job_id))
    rested = until_it_rests(stage, job)
    assert (rested.state, rested.message_id) == (State.SENT, "m-1")
    assert len(stage.linq.posts) == 1


@pytest.mark.parametrize("known", ["by its receipt", "by its name", "to nobody"])
def test_what_was_sent_and_whose_recording_is_gone_is_told_by_its_attempts(stage: Stage, known: str) -> None:
    """Our copy of a recording goes once it is sent; put back to RECEIVED, the job is not FAILED for want of it."""
    job = jobs.register(stage.parts, request("one"))
    restore = copy(stage)
    jobs.prepare(stage.parts, job.job_id)
    stage.journal.fails["end"] = [] if known == "by its receipt" else [S3_AWAY]
    sent = deliver(stage, job)
    restore()
    assert sent.hosted
    if known == "by its name":
        names = (sent.hosted.file_name,)
        row = ListedMessage(message_id="m-1", created_at=stage.clock.at, status="sent", file_names=names)
        stage.linq.listed = MessageList(messages=(row,), complete=True)
    stage.store.fails["fetch"] = [JobFailed("recording-gone", "It is not there any more.")] * 2
    rested = until_it_rests(stage, job)
    assert rested.state is (State.HELD if known == "to nobody" else State.SENT)
    assert len(stage.linq.posts) == 1
    if rested.state is State.HELD:
        again = decisions.resolve(stage.parts, rested, resend=True)
        assert again.state is State.RECEIVED, "its memo is made anew"
        assert until_it_rests(stage, again).code == "recording-gone"


def test_neither_age_nor_a_person_ends_what_was_sent(stage: Stage) -> None:
    """A copy of last week is put back: what it takes for waiting was sent, so it is neither too old nor cancelled."""
    first, second = (jobs.register(stage.parts, request(name)) for name in ("one", "two"))
    restore = copy(stage)
    stage.linq.outcomes = [ACCEPTED, replace(ACCEPTED, message_id="m-2")]
    for job in (first, second):
        jobs.prepare(stage.parts, job.job_id)
        assert deliver(stage, job).state is State.SENT
    restore()
    stage.clock.at += stage.parts.rules.max_age_s + 1
    with pytest.raises(NotNow) as caught:
        decisions.cancel(stage.parts, second)
    assert caught.value.code == "too-late"
    rested = [until_it_rests(stage, job) for job in (first, second)]
    assert [(job.state, job.message_id) for job in rested] == [(State.SENT, "m-1"), (State.SENT, "m-2")]


def test_a_doubt_about_an_earlier_attempt_ends_although_the_last_one_never_began(stage: Stage) -> None:
    """Attempt 1 was probably not sent, attempt 2's intent was stored and its answer lost: the chat is looked at."""
    doubtful = Outcome(kind=OutcomeKind.PROBABLY_NOT_SENT, code="linq-download-failed", message="x", status=500)
    stage.linq.outcomes = [doubtful, ACCEPTED]
    job = jobs.register(stage.parts, request("a"))
    jobs.prepare(stage.parts, job.job_id)
    for _ in range(3):  # sent, and two looks
        deliver(stage, job, after_s=100)
    begin = stage.journal.begin

    def lost(job_id: str, attempt: Attempt) -> bool:
        begin(job_id, attempt)
        stage.journal.begin = begin  # type: ignore[method-assign]
        raise S3_AWAY

    stage.journal.begin = lost  # type: ignore[method-assign]
    assert until_it_rests(stage, job).state is State.SENT
    assert len(stage.linq.posts) == 2


def test_an_answer_is_remembered_where_the_ledger_goes_away_after_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt says that Linq took it, and which message it is."""
    job = jobs.register(stage.parts, request("a"))
    jobs.prepare(stage.parts, job.job_id)
    move = type(stage.ledger).move

    def away(self: object, job: Job, to: State, **changes: object) -> Job:
        if to is State.SENT:
            raise PartUnreachable("ledger-unreachable", "It is away.")
        return move(self, job, to, **changes)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(stage.ledger), "move", away)
        with pytest.raises(PartUnreachable):
            jobs.deliver(stage.parts, job.job_id)
    found = until_it_rests(stage, job)
    assert (found.state, found.message_id) == (State.SENT, ACCEPTED.message_id)
    assert len(stage.linq.posts) == 1


def test_a_day_without_workers_is_no_day_of_looking(stage: Stage) -> None:
    """One look that fails after it holds nothing."""
    job = jobs.register(stage.parts, request("a"))
    ready = jobs.prepare(stage.parts, job.job_id)
    assert ready is not None
    now = stage.clock.at
    begun = stage.ledger.move(ready, State.SENDING, by="t", send_attempts=1, sending_since=now, deadline=now + 60)
    stage.journal.begin(job.job_id, Attempt(number=1, at=now, epoch=begun.epoch))
    stage.linq.list_fails = PartUnreachable("linq-unreachable", "Linq is away.")
    for _ in range(3):
        assert deliver(stage, job, after_s=90_000 if stage.clock.at == now else 100).state is State.UNCONFIRMED


def test_a_probe_is_given_back_where_its_job_is_cancelled_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others need not wait for what will not come."""
    job = jobs.register(stage.parts, request("a"))
    jobs.prepare(stage.parts, job.job_id)
    stage.ledger.pause("linq", stage.clock.at - 1, "answer-lost")

    def take(_chat_id: str, _line: str | None = None, *, lane: str = "live") -> float:
        decisions.cancel(stage.parts, stage.ledger.get(job.job_id))
        return 0.0

    monkeypatch.setattr(stage.pacer, "wait_s", take)
    jobs.deliver(stage.parts, job.job_id)
    assert stage.ledger.get(job.job_id).state is State.CANCELLED
    assert all(pause.until <= stage.clock.at for pause in stage.ledger.chat(job.chat_id or "").pauses)


def test_what_may_have_been_sent_is_not_cancelled_for_want_of_its_chat(stage: Stage) -> None:
    """The copy does not know the chat any more, so nobody can look for it; given its chat again, it is looked for."""
    job = jobs.register(stage.parts, replace(request("one"), chat_id=None))
    restore = copy(stage)
    chat_id = str(request("one").chat_id)
    stage.linq.outcomes = [UNKNOWN]
    decisions.assign(stage.parts, job, chat_id)
    jobs.prepare(stage.parts, job.job_id)
    assert deliver(stage, job).state is State.UNCONFIRMED
    restore()
    with pytest.raises(NotNow, match="memoline assign") as caught:
        decisions.cancel(stage.parts, job)
    assert caught.value.code == "too-late"
    assert stage.ledger.get(job.job_id) == job
    decisions.assign(stage.parts, job, chat_id)
    rested = until_it_rests(stage, job)
    assert (rested.state, rested.code, len(stage.linq.posts)) == (State.HELD, "outcome-unknown", 1)
