"""Erasing in the story: what may be on its way settles first, nothing is sent after it, nothing personal comes back."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline import decisions, erasing, jobs
from pipeline.errors import MemolineError, NotNow, PartUnreachable
from pipeline.ledger.ledger import SqlLedger
from pipeline.messages import ListedMessage, MessageList, Outcome, OutcomeKind, StatusReport
from pipeline.model import Job, State
from pipeline.settings import load_settings
from tests.support.story import ACCEPTED, CHAT, Stage, build_stage, request
from tests.unit.test_restored import copy
from workers.eraser import DAY_S, Eraser

UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message="The answer was lost.")
S3_AWAY = PartUnreachable("s3-unreachable", "S3 is away.")
PERSONAL = (CHAT, "/home/me/a.ogg", "a.ogg", "m-1", "a-1", "t-1", "order-4711", "for Ada", "cdn.test")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path)


def register(stage: Stage, identity: str = "one", **changes: object) -> Job:
    return jobs.register(stage.parts, replace(request(identity), **changes))  # type: ignore[arg-type]


def sent(stage: Stage, identity: str = "one", **changes: object) -> Job:
    """A job that was sent, and of which Linq reported."""
    job = register(stage, identity, **changes)
    jobs.prepare(stage.parts, job.job_id)
    jobs.deliver(stage.parts, job.job_id)
    jobs.settle(stage.parts, report("e-1", "sent"))
    return stage.ledger.get(job.job_id)


def report(event_id: str, status: str = "delivered", **changes: object) -> StatusReport:
    base = StatusReport(status=status, message_id="m-1", trace_id="t-1", chat_id=CHAT, event_id=event_id)
    return replace(base, **changes)  # type: ignore[arg-type]


def erase(stage: Stage, job: Job, why: str = "asked") -> Job:
    return erasing.carry_out(stage.parts, erasing.want(stage.parts, job, why))


def everything(ledger: SqlLedger) -> str:
    """All that is in the ledger, as text."""
    found = []
    with ledger.database.read() as connection:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        for name in names:
            found += [json.dumps(list(row), default=str) for row in connection.execute(text(f"SELECT * FROM {name}"))]
    return "\n".join(found)


def test_nothing_personal_is_left_and_the_tombstone_stays(stage: Stage) -> None:
    """Not in the job, its history, reports, or anywhere else in the ledger; who erased what is in the audit."""
    job = sent(stage, key="order-4711")
    stage.ledger.note(job, message="for Ada")
    stage.ledger.note_chat(CHAT, line="+15550100", heard_at=1.0)
    stage.ledger.pause(f"chat:{CHAT}", stage.clock.at + 5, "rate-limited")
    stage.ledger.stand(f"chat:{CHAT}", "wrote", 1.0)
    assert [word for word in PERSONAL if word not in everything(stage.ledger)] == []
    erased = erase(stage, stage.ledger.get(job.job_id), "ticket 12")
    assert (erased.state, erased.code, erased.job_id) == (State.ERASED, "erased", job.job_id)
    left = everything(stage.ledger)
    assert [word for word in (*PERSONAL, "+15550100") if word in left] == []
    assert [(line.action, line.by, line.why) for line in stage.ledger.audit(job_id=job.job_id)] == [
        ("erase-wanted", "test", "ticket 12"),
        ("erased", "test", "ticket 12"),
    ]
    assert stage.ledger.audit(job_id=job.job_id)[-1].removed == ("recording", "memo", "ledger")
    assert [entry.to_state for entry in stage.ledger.history(job.job_id)][-2:] == [State.SENT, State.ERASED]


def test_the_same_request_is_answered_with_the_erased_job(stage: Stage) -> None:
    """By identity whatever the input, by a key that another identity had, alone and in a batch; a new one is new."""
    job = sent(stage, key="order-4711")
    erase(stage, job)
    same = [register(stage), register(stage, fingerprint="other"), register(stage, "two", key="order-4711")]
    batch = [request("three"), replace(request("four"), key="order-4711"), request("one")]
    made = jobs.register_many(stage.parts, batch)
    assert {one.job_id for one in same} == {job.job_id}
    assert [isinstance(one, Job) and one.state for one in made] == [State.RECEIVED, State.ERASED, State.ERASED]
    assert stage.ledger.give_key(job.job_id, "again").key is None
    jobs.deliver(stage.parts, job.job_id)
    assert len(stage.linq.posts) == 1


@pytest.mark.parametrize("event", [{}, {"message_id": None}, {"message_id": None, "trace_id": None, "files": True}])
def test_late_webhooks_bring_nothing_back(stage: Stage, event: dict[str, object]) -> None:
    """By whichever sign they name the message: they are neither kept nor applied."""
    job = sent(stage)
    assert job.hosted
    if event.pop("files", False):
        event["file_names"] = (job.hosted.file_name,)
    erase(stage, job)
    assert jobs.settle(stage.parts, report("late", **event)) is None
    assert stage.ledger.waiting_count() == 0
    assert CHAT not in everything(stage.ledger)
    assert stage.ledger.get(job.job_id).state is State.ERASED
    assert stage.ledger.keep_report(report("other", message_id="m-2", trace_id="t-2")), "another message's is kept"


@pytest.mark.parametrize("state", [State.RECEIVED, State.PREPARING, State.HOSTED])
def test_what_was_not_sent_is_never_sent(stage: Stage, state: State) -> None:
    """It is cancelled first, whoever works on it."""
    job = register(stage)
    if state is State.PREPARING:
        job = stage.ledger.move(job, state, by="worker", epoch=1, lease_until=stage.clock.at + 60)
    if state is State.HOSTED:
        job = jobs.prepare(stage.parts, job.job_id) or job
    assert erase(stage, job).state is State.ERASED
    assert jobs.prepare(stage.parts, job.job_id) is None
    jobs.deliver(stage.parts, job.job_id)
    assert stage.linq.posts == []


@pytest.mark.parametrize("held", ["no-chat", "outcome-unknown"])
def test_what_waits_for_a_person_goes_when_a_person_says_so(stage: Stage, held: str) -> None:
    """HELD, for either reason."""
    job = register(stage, chat_id=None)
    if held == "outcome-unknown":
        job = stage.ledger.move(decisions.assign(stage.parts, job, CHAT), State.PREPARING, by="t", epoch=1)
        job = stage.ledger.move(job, State.UNCONFIRMED, by="t", send_attempts=1)
        job = stage.ledger.move(job, State.HELD, by="t", code=held)
    assert (job.state, job.code) == (State.HELD, held)
    assert erase(stage, job).state is State.ERASED


def test_what_may_be_on_its_way_settles_first(stage: Stage) -> None:
    """Wanted while UNCONFIRMED: its state stays true, it is looked for, and erased once it was found."""
    stage.linq.outcomes = [UNKNOWN]
    job = register(stage)
    jobs.prepare(stage.parts, job.job_id)
    job = jobs.deliver(stage.parts, job.job_id) or job
    assert job.state is State.UNCONFIRMED and job.hosted
    waiting = erase(stage, job)
    assert (waiting.state, waiting.erasing, stage.store.erased) == (State.UNCONFIRMED, True, [])
    there = ListedMessage(
        message_id="m-1", created_at=stage.clock.at, status="sent", file_names=(job.hosted.file_name,)
    )
    stage.linq.listed = MessageList(messages=(there,), complete=True)
    stage.clock.at += 61
    found = jobs.deliver(stage.parts, job.job_id)
    assert found and found.state is State.SENT
    assert erasing.carry_out(stage.parts, found).state is State.ERASED


def test_what_was_probably_not_sent_is_not_sent_again(stage: Stage) -> None:
    """UNCONFIRMED may go back to HOSTED by the rules; one that is to be erased is cancelled there."""
    stage.linq.outcomes = [
        Outcome(kind=OutcomeKind.PROBABLY_NOT_SENT, code="linq-download-failed", message="503/5002", status=503)
    ]
    job = register(stage)
    jobs.prepare(stage.parts, job.job_id)
    job = jobs.deliver(stage.parts, job.job_id) or job
    erase(stage, job)
    for _ in range(4):
        stage.clock.at += 61
        jobs.deliver(stage.parts, job.job_id)
    assert len(stage.linq.posts) == 1
    now = stage.ledger.get(job.job_id)
    assert now.state is State.CANCELLED
    assert erasing.carry_out(stage.parts, now).state is State.ERASED


def test_a_wish_during_the_post_disturbs_nobody(stage: Stage) -> None:
    """The sender writes down what came of it, as if nobody had asked; then it is erased."""
    job = register(stage)
    jobs.prepare(stage.parts, job.job_id)
    stage.linq.during_post = lambda: erase(stage, stage.ledger.get(job.job_id))
    after = jobs.deliver(stage.parts, job.job_id)
    assert after and (after.state, after.message_id, after.erasing) == (State.SENT, "m-1", True)
    assert erasing.carry_out(stage.parts, after).state is State.ERASED


def test_a_person_cannot_start_again_what_is_to_be_erased(stage: Stage) -> None:
    """Neither by retry nor by assign nor by resolve."""
    job = stage.ledger.move(register(stage), State.FAILED, by="t", code="poison")
    held = register(stage, "two", chat_id=None)
    for one in (job, held):
        stage.ledger.want_erased(one.job_id, by="t", why="")
    with pytest.raises(NotNow, match="to be erased"):
        decisions.retry(stage.parts, stage.ledger.get(job.job_id))
    with pytest.raises(NotNow, match="to be erased"):
        decisions.assign(stage.parts, stage.ledger.get(held.job_id), CHAT)


@pytest.mark.parametrize("error", [S3_AWAY, MemolineError("s3-refused", "no")])
def test_what_cannot_be_removed_now_is_removed_later(stage: Stage, error: MemolineError) -> None:
    """The state stays true at any moment; the sweeper tries again, ever more rarely, until all is gone."""
    job, eraser = sent(stage), eraser_of(stage)
    stage.store.fails["erase"] = [error, error, error]
    with pytest.raises(MemolineError):
        erase(stage, job)
    for _ in range(2):
        eraser.once()
        now = stage.ledger.get(job.job_id)
        assert (now.state, now.erasing, now.chat_id) == (State.SENT, True, CHAT)
        eraser.once()
        stage.clock.at += 6
    eraser.once()
    assert stage.ledger.get(job.job_id).state is State.ERASED


def test_what_came_late_is_looked_for_twice(stage: Stage) -> None:
    """After an hour and after a day: an attempt that had lost its job may have stored a memo meanwhile."""
    job, eraser = sent(stage), eraser_of(stage)
    erase(stage, job)
    assert stage.store.erased == [job.job_id]
    for wait_s, looks in ((1_000, 1), (2_601, 2), (70_000, 2), (12_800, 3), (200_000, 3)):
        stage.clock.at += wait_s
        eraser.once()
        assert stage.store.erased == [job.job_id] * looks
    assert stage.ledger.get(job.job_id).erase_at == 0


def test_a_chat_is_forgotten_but_for_an_opt_out_that_stands(stage: Stage) -> None:
    """That they do not want to be written to must outlive everything else."""
    first, other = sent(stage), register(stage, "two")
    stage.ledger.note_chat(CHAT, line="+15550100", heard_at=1.0)
    erase(stage, first)
    assert stage.ledger.chat(CHAT).line == "+15550100", "a job of the chat is left"
    assert not stage.ledger.forget_chat(CHAT, by="test", why="")
    stage.ledger.opt_out(CHAT, at=2.0)
    erase(stage, stage.ledger.get(other.job_id))
    assert stage.ledger.chat(CHAT).opted_out_at == 2.0
    stage.ledger.note_chat(CHAT, heard_at=3.0)
    assert stage.ledger.forget_chat(CHAT, by="test", why="all of it")
    assert CHAT not in everything(stage.ledger)
    assert stage.ledger.audit()[-1].action == "chat-erased"


def eraser_of(stage: Stage, **settings: str) -> Eraser:
    return Eraser(stage.parts, stage.ledger, load_settings(settings, Path("/nowhere")), threading.Event())


def test_nothing_is_kept_longer_than_the_retention(stage: Stage) -> None:
    """It counts from SENT, or from the end of what was not; what is not at its end is never touched."""
    old = [sent(stage), stage.ledger.move(register(stage, "refused"), State.FAILED, by="t", code="poison")]
    open_ones = [register(stage, "open"), register(stage, "held", chat_id=None)]
    eraser = eraser_of(stage, MEMOLINE_RETENTION_DAYS="30")
    stage.clock.at += 20 * DAY_S
    stage.ledger.move(stage.ledger.get(old[0].job_id), State.DELIVERED, by="t")
    stage.clock.at += 10 * DAY_S - 1
    eraser.once()
    assert [stage.ledger.get(job.job_id).state for job in old] == [State.DELIVERED, State.FAILED]
    stage.clock.at += 62
    eraser.once()
    assert [stage.ledger.get(job.job_id).state for job in old] == [State.ERASED] * 2
    assert [stage.ledger.get(job.job_id).state for job in open_ones] == [State.RECEIVED, State.HELD]
    assert [line.action for line in stage.ledger.audit()] == ["outlived"] * 2
    assert register(stage).state is State.ERASED, "and it is never sent again"


def test_by_default_nothing_is_too_old(stage: Stage) -> None:
    """Without the setting all is kept."""
    job = sent(stage)
    stage.clock.at += 10_000 * DAY_S
    eraser_of(stage).once()
    assert stage.ledger.get(job.job_id).state is State.SENT


def copy_of(stage: Stage, folder: Path) -> Stage:
    """The same world with another ledger: an older copy, in which this job is as it was then."""
    folder.mkdir()
    older = build_stage(folder)
    parts = replace(older.parts, store=stage.store, journal=stage.journal, messenger=stage.linq)
    return replace(older, parts=parts, store=stage.store, journal=stage.journal, linq=stage.linq)


@pytest.mark.parametrize("sent_before", [False, True])
def test_a_ledger_that_is_put_back_sends_nothing_of_the_erased(stage: Stage, tmp_path: Path, sent_before: bool) -> None:
    """Its job is as it was before; the attempt that it would make next was closed."""
    job = sent(stage) if sent_before else register(stage)
    erase(stage, stage.ledger.get(job.job_id))
    posts = len(stage.linq.posts)
    older = copy_of(stage, tmp_path / "older")
    register(older)
    jobs.prepare(older.parts, job.job_id)
    for _ in range(3):
        jobs.deliver(older.parts, job.job_id)
        older.clock.at += 61
    assert len(stage.linq.posts) == posts
    eraser_of(older).once()
    assert older.ledger.get(job.job_id).state is State.ERASED


def test_what_was_erased_is_erased_again_where_a_ledger_was_put_back(stage: Stage, tmp_path: Path) -> None:
    """Also what it takes for delivered long ago, of which no step asks any more; but not what is not there."""
    for identity in ("one", "two"):
        job = sent(stage) if identity == "one" else register(stage, identity)
        erase(stage, stage.ledger.get(job.job_id))
    older = copy_of(stage, tmp_path / "older")
    stage.journal.intents.clear()
    assert sent(older).state is State.SENT
    eraser = eraser_of(older)
    stage.journal.fails["buried"] = [S3_AWAY]
    eraser.once()
    assert older.ledger.counts()[State.SENT] == 1
    older.clock.at += 61
    eraser.once()
    assert older.ledger.counts()[State.ERASED] == 1
    assert "put back" in str(older.ledger.audit()[0].why)


def test_a_ledger_that_is_put_back_under_a_running_sweeper_erases_again(stage: Stage) -> None:
    """At its next look, by the audit, which is an older one: also what nobody would send any more."""
    other, job = sent(stage), register(stage, "two")
    eraser = eraser_of(stage)
    restore = copy(stage)
    erase(stage, other)
    eraser.once()
    restore()
    assert stage.ledger.get(other.job_id).state is State.SENT
    stage.clock.at += 15
    eraser.once()
    assert stage.ledger.get(other.job_id).state is State.ERASED
    assert (stage.ledger.get(job.job_id).state, len(stage.journal.graves)) == (State.RECEIVED, 2)


def test_what_was_erased_between_two_looks_is_found_within_the_hour(stage: Stage) -> None:
    """The sweeper knew nothing of it that the older copy does not know: its grave tells."""
    job, eraser = sent(stage), eraser_of(stage)
    eraser.once()
    restore = copy(stage)
    erase(stage, job)
    restore()
    stage.clock.at += 3_601
    eraser.once()
    assert stage.ledger.get(job.job_id).state is State.ERASED


def test_the_outlived_need_no_grave(stage: Stage) -> None:
    """Whatever ledger is put back finds them too old itself."""
    sent(stage)
    stage.clock.at += 31 * DAY_S
    eraser_of(stage, MEMOLINE_RETENTION_DAYS="30").once()
    assert stage.ledger.counts()[State.ERASED] == 1
    assert stage.journal.graves == []


class Killed(BaseException):
    """kill -9: nothing of ours catches it."""


@dataclass
class Deadly:
    """A part that dies at one of all calls, before or after it did what it was asked for."""

    part: object
    dies: list[int]
    after: bool

    def __getattr__(self, name: str) -> object:
        method = getattr(self.part, name)
        if not callable(method):
            return method

        def call(*args: object, **kwargs: object) -> object:
            self.dies[0] -= 1
            if self.dies[0] == 0 and not self.after:
                raise Killed
            answer = method(*args, **kwargs)
            if self.dies[0] == 0:
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("state", [State.RECEIVED, State.SENT])
@pytest.mark.parametrize("after", [False, True])
def test_whoever_is_killed_at_any_point_leaves_the_wish(stage: Stage, state: State, after: bool) -> None:
    """Before and after every call to ledger, store and journal. Until the end the state is true; the sweeper ends it;
    nothing is sent; and once the ledger said ERASED, nothing of the job was left in the store."""
    calls = 0
    while calls < 100:
        calls += 1
        stage.store.erased.clear()
        stage.linq.outcomes = [replace(ACCEPTED, message_id=f"m-{calls}", trace_id=f"t-{calls}")]
        job = register(stage, f"n{calls}")
        if state is State.SENT:
            jobs.prepare(stage.parts, job.job_id)
            job = jobs.deliver(stage.parts, job.job_id) or job
        posts, dies = len(stage.linq.posts), [calls]
        deadly = {name: Deadly(getattr(stage.parts, name), dies, after) for name in ("ledger", "store", "journal")}
        parts = replace(stage.parts, **deadly)  # type: ignore[arg-type]
        try:
            erasing.carry_out(parts, erasing.want(parts, job, "asked"))
            break
        except Killed:
            pass
        now = stage.ledger.get(job.job_id)
        if now.erasing:
            assert now.state in (state, State.CANCELLED)
        elif now.state is State.ERASED:
            assert stage.store.erased
        else:
            assert (calls, after) == (1, False), "killed before the wish was written down"
            erasing.want(stage.parts, now, "asked again")
        eraser_of(stage).once()
        ended = stage.ledger.get(job.job_id)
        assert (ended.state, ended.chat_id, len(stage.linq.posts)) == (State.ERASED, None, posts)
        assert [line.action for line in stage.ledger.audit(job_id=job.job_id)] == ["erase-wanted", "erased"]
    assert 5 < calls < 100
