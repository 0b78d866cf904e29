"""The story at bad moments: reports amid other moves, lists that nobody can read, mistakes of our own."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import decisions, jobs
from pipeline.errors import Fenced, JobFailed, Misuse, NotNow, PartUnreachable
from pipeline.messages import ListedMessage, MessageList, Outcome, OutcomeKind, PauseScope, StatusReport
from pipeline.model import Job, State
from pipeline.recordings import AudioSettings, Memo
from pipeline.sending.messenger import LinqMessenger
from pipeline.settling import MATCHING_OFF, apply_report
from tests.support.story import ACCEPTED, CHAT, Stage, build_stage, request

UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message="the connection broke")
PROBABLY_NOT = Outcome(kind=OutcomeKind.PROBABLY_NOT_SENT, code="linq-download-failed", message="no")
WAIT = Outcome(kind=OutcomeKind.WAIT, code="rate-limited", message="wait", wait_s=2, pause=PauseScope.CHAT)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A fresh stage."""
    return build_stage(tmp_path)


def hosted(stage: Stage, identity: str = "one") -> Job:
    """A job whose memo is ready."""
    job = jobs.register(stage.parts, request(identity))
    return jobs.prepare(stage.parts, job.job_id) or job


def deliver(stage: Stage, job: Job, *, after_s: float = 0.0) -> Job:
    """The job after a hint."""
    stage.clock.at += after_s
    moved = jobs.deliver(stage.parts, job.job_id)
    assert moved is not None
    return moved


def delivered(job: Job) -> StatusReport:
    """A webhook about a job, known by its file name."""
    names = (job.hosted.file_name,) if job.hosted else ()
    return StatusReport(status="delivered", message_id="m-1", chat_id=CHAT, event_id="e-1", file_names=names)


class Meddling:
    """A ledger in which something happens right before a move to a state, once."""

    def __init__(self, stage: Stage, before: State, happens: Callable[[], object]) -> None:
        self._real, self._before, self._happens = stage.ledger, before, happens

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def move(self, job: Job, to: State, **more: object) -> Job:
        if to is self._before and self._happens:
            happens, self._happens = self._happens, lambda: None
            happens()
        return self._real.move(job, to, **more)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- the last word


def test_a_place_that_went_meanwhile_is_waited_for(stage: Stage) -> None:
    """There was one when the job was begun, and none when the connection stood: proven not sent, and remembered so."""
    stage.pacer.late = [12.0, PartUnreachable("redis-unreachable", "gone")]
    job = deliver(stage, hosted(stage))
    assert (job.state, job.code, job.retry_at) == (State.HOSTED, "paced", stage.clock.at + 12)
    job = deliver(stage, job, after_s=12)
    assert (job.state, job.code, stage.linq.posts) == (State.HOSTED, "redis-unreachable", [])
    assert {one.kind for one in stage.journal.receipts.values()} == {OutcomeKind.WAIT}
    assert deliver(stage, job, after_s=60).state is State.SENT


# ---------------------------------------------------------------------------------------------------------- reports


def test_a_report_that_loses_a_race_is_applied_to_what_came_of_it(stage: Stage) -> None:
    """Between reading the job and moving it a look holds it: the report settles it all the same."""
    stage.linq.outcomes = [UNKNOWN]
    job = deliver(stage, hosted(stage))
    deliver(stage, job, after_s=61)

    def hold() -> None:
        stage.ledger.move(stage.ledger.get(job.job_id), State.HELD, by="other", code="outcome-unknown")

    parts = replace(stage.parts, ledger=Meddling(stage, State.SENT, hold))  # type: ignore[arg-type]
    settled = jobs.settle(parts, delivered(job))
    assert [entry.to_state for entry in stage.ledger.history(job.job_id)][-3:] == ["HELD", "SENT", "DELIVERED"]
    assert settled is not None and settled.state is State.DELIVERED


def test_a_report_that_comes_while_the_list_is_read_counts(stage: Stage) -> None:
    """Whoever kept it died before he applied it: the look finds it, and nothing is held or sent again."""
    stage.linq.outcomes = [PROBABLY_NOT]
    job = deliver(stage, hosted(stage))
    deliver(stage, job, after_s=61)
    stage.linq.during_list = lambda: stage.ledger.keep_report(delivered(job))
    assert deliver(stage, job, after_s=61).state is State.DELIVERED
    assert len(stage.linq.posts) == 1


def test_a_report_about_an_earlier_attempt_prevents_the_next(stage: Stage) -> None:
    """It was kept while a second POST was refused for now: there is no third."""
    stage.linq.outcomes = [PROBABLY_NOT, WAIT]
    job = deliver(stage, hosted(stage))
    stage.linq.during_post = lambda: stage.ledger.keep_report(delivered(job))
    for _ in range(3):
        job = deliver(stage, job, after_s=61)
    assert (job.state, len(stage.linq.posts)) == (State.DELIVERED, 2)


def test_a_repeated_webhook_is_applied_where_the_first_was_only_kept(stage: Stage) -> None:
    """The receiver died between keeping and applying, and Linq says it again."""
    stage.linq.outcomes = [UNKNOWN]
    job = deliver(stage, hosted(stage))
    stage.ledger.keep_report(delivered(job))
    settled = jobs.settle(stage.parts, delivered(job))
    assert settled is not None and settled.state is State.DELIVERED
    assert stage.store.discarded == ["file:///spool/one"], "the copy of the recording goes, whoever finds it sent"


def test_a_failure_known_by_its_trace_alone_is_not_tried_again(stage: Stage) -> None:
    """`message.failed` need not name the message; Linq took the memo all the same."""
    stage.linq.outcomes = [replace(UNKNOWN, trace_id="t-9")]
    job = deliver(stage, hosted(stage))
    failed = jobs.settle(
        stage.parts, StatusReport(status="failed", message_id=None, trace_id="t-9", event_id="e", code="4001")
    )
    assert failed is not None and (failed.state, failed.message_id) == (State.FAILED, None)
    with pytest.raises(NotNow):
        decisions.retry(stage.parts, stage.ledger.get(job.job_id))


def test_a_late_answer_is_kept_though_the_job_moves_twice(stage: Stage) -> None:
    """Recording it loses one more race, and wins the next."""
    job = hosted(stage)
    stage.linq.during_post = lambda: confirm(stage, job)

    def confirm(stage: Stage, job: Job) -> None:
        now = stage.ledger.get(job.job_id)
        stage.ledger.move(now, State.UNCONFIRMED, by="other", code="answer-lost")

    meddled = Meddling(stage, State.SENT, lambda: None)
    races = [Fenced(job.job_id)]

    def move(job: Job, to: State, **more: object) -> Job:
        moved_on = stage.ledger.get(job.job_id).state is State.UNCONFIRMED
        if to is State.SENT and moved_on and races:
            raise races.pop()
        return stage.ledger.move(job, to, **more)  # type: ignore[arg-type]

    meddled.move = move  # type: ignore[method-assign,assignment]
    sent = jobs.deliver(replace(stage.parts, ledger=meddled), job.job_id)  # type: ignore[arg-type]
    assert sent is not None and (sent.state, sent.message_id) == (State.SENT, "m-1")


def test_a_late_answer_that_nobody_can_use_is_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Another attempt was delivered meanwhile: the message that Linq took beside it is at least named."""
    job = hosted(stage)

    def another_attempt() -> None:
        now = stage.ledger.get(job.job_id)
        now = stage.ledger.move(now, State.UNCONFIRMED, by="other", send_attempts=now.send_attempts + 1)
        stage.ledger.move(now, State.DELIVERED, by="other", message_id="m-9")

    stage.linq.during_post = another_attempt
    deliver(stage, job)
    assert [record.getMessage() for record in caplog.records] == [
        f"late-answer.dropped job_id={job.job_id} state=DELIVERED message_id=m-1"
    ]


# ------------------------------------------------------------------------------------------------------------ looks


@pytest.mark.parametrize("trouble", ["unreachable", "endless", "ours"])
def test_a_list_that_cannot_be_read_holds_the_job_after_a_day(stage: Stage, trouble: str) -> None:
    """Every unconfirmed job leaves: its chat does not wait for ever. Until then looks get rarer."""
    stage.linq.outcomes = [UNKNOWN, replace(UNKNOWN, kind=OutcomeKind.ACCEPTED, message_id="m-2")]
    job, next_one = hosted(stage), hosted(stage, "two")
    job = deliver(stage, job)
    if trouble == "endless":
        stage.linq.listed = MessageList(messages=(), complete=False)
    else:
        away = PartUnreachable("linq-unreachable", "Away.")
        stage.linq.list_fails = away if trouble == "unreachable" else Misuse("missing-setting", "No key.")
    looks = 0
    while job.state is State.UNCONFIRMED and looks < 200:
        stage.clock.at = job.next_look_at
        job, looks = deliver(stage, job), looks + 1
    assert (job.state, job.code) == (State.HELD, "outcome-unknown")
    assert 86_400 < stage.clock.at - job.sending_since < 100_000
    assert looks < 100
    assert stage.ledger.get(next_one.job_id).state is State.SENT


def test_a_chat_that_linq_does_not_show_is_for_a_person(stage: Stage) -> None:
    """A 4xx for the list proves neither."""
    stage.linq.outcomes = [PROBABLY_NOT]
    job = deliver(stage, hosted(stage))
    stage.linq.listed = None
    assert deliver(stage, job, after_s=61).state is State.HELD


def test_an_absent_name_says_nothing_once_linq_renamed_a_file(stage: Stage) -> None:
    """One message of ours with another file name turns matching off: nothing is sent again on its word."""
    first = deliver(stage, hosted(stage))
    renamed = StatusReport(status="delivered", message_id=first.message_id, event_id="e", file_names=("memo.m4a",))
    jobs.settle(stage.parts, renamed)
    assert first.job_id in (stage.ledger.flag(MATCHING_OFF) or "")
    stage.linq.outcomes = [PROBABLY_NOT]
    job = deliver(stage, hosted(stage, "two"))
    held = deliver(stage, job, after_s=61)
    assert (held.state, len(stage.linq.posts)) == (State.HELD, 2)


def listed_as(stage: Stage, *messages: tuple[str, str]) -> None:
    """The chat shows these messages with these file names."""
    rows = [ListedMessage(message_id=m, created_at=stage.clock.at, status="sent", file_names=(n,)) for m, n in messages]
    stage.linq.listed = MessageList(messages=tuple(rows), complete=True)


def test_without_webhooks_a_renamed_file_is_not_sent_twice(stage: Stage) -> None:
    """Linq said that it failed, took it all the same, and shows it under another name; nothing else is known of names:
    a person decides."""
    stage.linq.outcomes = [PROBABLY_NOT]
    job = deliver(stage, hosted(stage))
    listed_as(stage, ("m-9", "Audio Message.caf"))
    for _ in range(2):
        job = deliver(stage, job, after_s=61)
    assert (job.state, job.code, len(stage.linq.posts)) == (State.HELD, "outcome-unknown", 1)


def test_the_list_itself_tells_that_names_are_not_kept(stage: Stage) -> None:
    """An earlier memo, whose id Linq told in its answer, is in the same list under another name: matching is off."""
    first = deliver(stage, hosted(stage))
    stage.linq.outcomes = [PROBABLY_NOT]
    job = deliver(stage, hosted(stage, "two"))
    listed_as(stage, (first.message_id or "", "Audio Message.caf"))
    for _ in range(2):
        job = deliver(stage, job, after_s=61)
    assert (job.state, len(stage.linq.posts)) == (State.HELD, 2)
    assert first.job_id in (stage.ledger.flag(MATCHING_OFF) or "")


@pytest.mark.parametrize(
    ("name", "ends", "posts"), [("its own", State.SENT, 3), ("another", State.HELD, 2), ("", State.HELD, 2)]
)
def test_a_strange_file_in_the_chat_lets_linq_be_asked_about_names(
    stage: Stage, name: str, ends: State, posts: int
) -> None:
    """Somebody else wrote on the same line: the last memo that Linq took says whether names are kept."""
    first = deliver(stage, hosted(stage))
    assert first.hosted
    stage.linq.outcomes = [PROBABLY_NOT, replace(ACCEPTED, message_id="m-2")]
    shown = {"its own": (first.hosted.file_name,), "another": ("renamed.caf",), "": ()}[name]
    stage.linq.statuses["m-1"] = StatusReport(status="sent", message_id="m-1", file_names=shown)
    job = deliver(stage, hosted(stage, "two"))
    listed_as(stage, ("m-5", "IMG_0001.jpeg"))
    for _ in range(3):
        job = deliver(stage, job, after_s=61)
    assert (job.state, len(stage.linq.posts)) == (ends, posts)


def test_names_that_cannot_be_asked_about_now_are_asked_about_later(stage: Stage) -> None:
    """An outage of Linq at that moment decides nothing."""
    deliver(stage, hosted(stage))
    stage.linq.outcomes = [PROBABLY_NOT]
    job = deliver(stage, hosted(stage, "two"))
    listed_as(stage, ("m-5", "IMG_0001.jpeg"))

    def away(_message_id: str) -> StatusReport:
        raise PartUnreachable("linq-unreachable", "away")

    stage.linq.status = away  # type: ignore[method-assign]
    for _ in range(3):
        job = deliver(stage, job, after_s=61)
    assert job.state is State.UNCONFIRMED


def test_a_message_that_a_person_named_proves_nothing_about_names(stage: Stage) -> None:
    """It may have been the wrong one."""
    stage.linq.outcomes = [UNKNOWN]
    job = deliver(stage, hosted(stage))
    for _ in range(2):
        job = deliver(stage, job, after_s=61)
    decisions.resolve(stage.parts, job, sent="m-5")
    jobs.settle(
        stage.parts, StatusReport(status="delivered", message_id="m-5", event_id="e", file_names=("other.m4a",))
    )
    assert stage.ledger.get(job.job_id).state is State.DELIVERED
    assert stage.ledger.flag(MATCHING_OFF) is None


def test_a_name_that_is_there_is_believed_all_the_same(stage: Stage) -> None:
    """Matching off: what is found is found."""
    stage.ledger.set_flag(MATCHING_OFF, "x")
    stage.linq.outcomes = [UNKNOWN]
    job = deliver(stage, hosted(stage))
    assert job.hosted
    row = ListedMessage(message_id="m-7", created_at=stage.clock.at, status="sent", file_names=(job.hosted.file_name,))
    stage.linq.listed = MessageList(messages=(row,), complete=True)
    assert deliver(stage, job, after_s=61).message_id == "m-7"


# ----------------------------------------------------------------------------------------------------- our own part


def test_without_linqs_settings_nothing_is_begun(stage: Stage) -> None:
    """A sender that was started without a key keeps the job where it is: nothing was sent, and that is known."""
    parts = replace(stage.parts, messenger=LinqMessenger(base_url=None, api_key=None))
    job = jobs.deliver(parts, hosted(stage).job_id)
    assert job is not None and (job.state, job.code) == (State.HOSTED, "missing-setting")


@pytest.mark.parametrize(
    "error", [Misuse("s3-refused", "Denied."), JobFailed("cdn-wrong", "403"), JobFailed("disk-full", "Full.")]
)
def test_a_set_up_that_is_wrong_burns_no_attempt(stage: Stage, error: Exception) -> None:
    """However long it takes until somebody mends it."""
    stage.store.fails["host"] = [error] * 6  # type: ignore[list-item]
    job = jobs.register(stage.parts, request("one"))
    for _ in range(7):
        jobs.prepare(stage.parts, job.job_id)
        stage.clock.at += 301
    assert stage.ledger.get(job.job_id).state is State.HOSTED


def test_a_disk_that_is_full_amid_an_attempt_burns_none(stage: Stage) -> None:
    """The job waits, with the code that says what to do, until there is room."""
    stage.runner.fails = [OSError(errno.ENOSPC, "No space left on device")] * 6  # type: ignore[list-item]
    job = jobs.register(stage.parts, request("one"))
    for _ in range(6):
        waits = jobs.prepare(stage.parts, job.job_id)
        assert waits is not None
        assert (waits.state, waits.code, waits.audio_attempts) == (State.RECEIVED, "disk-full", 0)
        assert waits.retry_at > stage.clock.at
        stage.clock.at += 301
    assert jobs.prepare(stage.parts, job.job_id).state is State.HOSTED  # type: ignore[union-attr]


def test_a_mistake_of_ours_is_told_though_the_job_was_taken_over(stage: Stage) -> None:
    """Whoever loses the job stops without a word about it, but not about the mistake."""
    job = jobs.register(stage.parts, request("one"))

    def taken_over(recording: Path, out_dir: Path, settings: AudioSettings) -> tuple[Memo, ...]:
        now = stage.ledger.get(job.job_id)
        stage.ledger.move(now, State.PREPARING, by="other", epoch=now.epoch + 1)
        raise ZeroDivisionError("a bug")

    stage.runner.prepare = taken_over  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        jobs.prepare(stage.parts, job.job_id)
    assert stage.ledger.get(job.job_id).state is State.PREPARING


def test_a_mistake_of_ours_counts_as_an_attempt_and_is_told(stage: Stage) -> None:
    """Three of them: FAILED with what was raised, not `poison`; each reaches the worker's log."""
    stage.runner.fails = [ZeroDivisionError("a bug")] * 3  # type: ignore[list-item]
    job = jobs.register(stage.parts, request("one"))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            jobs.prepare(stage.parts, job.job_id)
        stage.clock.at += 301
    failed = stage.ledger.get(job.job_id)
    assert (failed.state, failed.code) == (State.FAILED, "internal")
    assert "a bug" in (failed.message or "")


def test_a_memo_that_vanished_is_made_again_whatever_it_took_before(stage: Stage) -> None:
    """Attempts at the first making do not count against the second."""
    stage.runner.fails = [JobFailed("tool-failed", "x")] * 2
    job = jobs.register(stage.parts, request("one"))
    for _ in range(3):
        jobs.prepare(stage.parts, job.job_id)
        stage.clock.at += 301
    stage.store.there = False
    assert deliver(stage, job).state is State.RECEIVED
    stage.store.there = True
    jobs.prepare(stage.parts, job.job_id)
    assert deliver(stage, job).state is State.SENT


def test_a_refusal_of_a_line_stops_no_other_chat(stage: Stage) -> None:
    """Which chats share the line is not known: each learns it by itself."""
    other = "5e0d0000-0000-4000-8000-000000000002"
    stage.linq.outcomes = [
        replace(WAIT, wait_s=800_000, pause=PauseScope.LINE),
        replace(WAIT, kind=OutcomeKind.UNKNOWN),
    ]
    deliver(stage, hosted(stage))
    job = jobs.register(stage.parts, request("two", chat_id=other))
    jobs.prepare(stage.parts, job.job_id)
    assert deliver(stage, job, after_s=1).state is State.UNCONFIRMED


@pytest.mark.parametrize("decision", ["assign", "retry", "resend"])
def test_what_a_person_starts_anew_is_not_too_old(stage: Stage, decision: str) -> None:
    """Its age counts from the decision."""
    week_s = 8 * 86_400
    if decision == "assign":
        job = jobs.register(stage.parts, request("one", chat_id=None))
        stage.clock.at += week_s
        decisions.assign(stage.parts, job, CHAT)
    elif decision == "retry":
        stage.store.fails["fetch"] = [JobFailed("recording-gone", "Gone.")]
        job = hosted(stage)
        stage.clock.at += week_s
        decisions.retry(stage.parts, job)
    else:
        stage.linq.outcomes = [UNKNOWN, replace(UNKNOWN, kind=OutcomeKind.ACCEPTED, message_id="m-1")]
        job = deliver(stage, hosted(stage))
        for _ in range(2):
            job = deliver(stage, job, after_s=61)
        stage.clock.at += week_s
        decisions.resolve(stage.parts, job, resend=True)
    jobs.prepare(stage.parts, job.job_id)
    assert deliver(stage, job).state is State.SENT


def test_cancelling_lets_the_copy_go(stage: Stage) -> None:
    """Nobody will need it."""
    decisions.cancel(stage.parts, jobs.register(stage.parts, request("one")))
    assert stage.store.discarded == ["file:///spool/one"]


def test_a_report_of_another_message_moves_nothing(stage: Stage) -> None:
    """The webhook's job was read before Linq's answer named its message, which is another one."""
    job = deliver(stage, hosted(stage))
    early = replace(job, message_id=None, rev=job.rev - 1)
    failed = StatusReport(status="failed", message_id="m-of-another", event_id="e", code="4001")
    apply_report(stage.parts, early, failed)
    now = stage.ledger.get(job.job_id)
    assert (now.state, now.message_id) == (State.SENT, "m-1")


def test_a_repeated_failure_without_an_id_moves_once(stage: Stage) -> None:
    """Any number of copies, known by their trace alone, is one move."""
    stage.linq.outcomes = [replace(UNKNOWN, trace_id="t-9")]
    job = deliver(stage, hosted(stage))
    for number in range(4):
        jobs.settle(stage.parts, StatusReport(status="failed", message_id=None, trace_id="t-9", event_id=f"e-{number}"))
    states = [entry.to_state for entry in stage.ledger.history(job.job_id)]
    assert states.count(State.FAILED) == 1
