"""Who may be sent to: opt-outs, pauses of chats and lines, the circuit breaker, and what a policy may send again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import decisions, jobs, optouts, standing
from pipeline.errors import JobFailed
from pipeline.messages import ChatSeen, ListedMessage, MessageList, Outcome, OutcomeKind, PauseScope
from pipeline.model import Job, State
from tests.support.story import ACCEPTED, CHAT, Stage, build_stage, request

OTHER = CHAT.replace("1", "2")
THIRD = CHAT.replace("1", "3")
OPTED_OUT = Outcome(kind=OutcomeKind.REFUSED, code="opted-out", message="403/2024", status=403)
LIMITED = Outcome(
    kind=OutcomeKind.WAIT, code="rate-limited", message="429", wait_s=90, pause=PauseScope.CHAT, status=429
)
REFUSED_CONNECTION = Outcome(kind=OutcomeKind.WAIT, code="linq-unreachable", message="ConnectError")
BROKEN = Outcome(kind=OutcomeKind.UNKNOWN, code="answer-not-linqs", message="502", status=502)
UNAVAILABLE = Outcome(kind=OutcomeKind.PROBABLY_NOT_SENT, code="linq-unavailable", message="503", status=503)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A fresh stage."""
    return build_stage(tmp_path)


def hosted(stage: Stage, identity: str, chat_id: str = CHAT) -> Job:
    """A job whose memo is ready."""
    job = jobs.register(stage.parts, request(identity, chat_id=chat_id))
    return jobs.prepare(stage.parts, job.job_id) or job


def deliver(stage: Stage, job: Job, *, after_s: float = 0.0) -> Job:
    """The job after a hint."""
    stage.clock.at += after_s
    return jobs.deliver(stage.parts, job.job_id) or job


def sent(stage: Stage, identity: str, chat_id: str = CHAT) -> Job:
    """A job that was prepared and hinted."""
    return deliver(stage, hosted(stage, identity, chat_id))


# ---------------------------------------------------------------------------------------------------------- opt-outs


def test_an_opt_out_ends_what_waits_and_what_comes(stage: Stage) -> None:
    """403/2024: this job and the waiting ones FAIL, and no new one of the chat is posted, until they write."""
    first, waits = hosted(stage, "one"), hosted(stage, "two")
    stage.linq.outcomes = [OPTED_OUT, ACCEPTED]
    assert deliver(stage, first).code == "opted-out"
    assert stage.ledger.get(waits.job_id).code == "opted-out"
    new = sent(stage, "three")
    assert (new.state, new.code, len(stage.linq.posts)) == (State.FAILED, "opted-out", 1)
    optouts.heard_from(stage.parts, CHAT, stage.clock.at + 1)
    assert sent(stage, "four").state is State.SENT
    assert len(stage.linq.posts) == 2


def test_what_they_wrote_before_does_not_lift_it(stage: Stage) -> None:
    """A webhook may be half an hour late."""
    stage.linq.outcomes = [OPTED_OUT, ACCEPTED]
    sent(stage, "one")
    optouts.heard_from(stage.parts, CHAT, stage.clock.at - 60)
    assert sent(stage, "two").code == "opted-out"


def test_a_job_that_was_under_way_is_not_a_new_one(stage: Stage) -> None:
    """Unknown when they opted out, found absent after they wrote: it was meant for the time before."""
    stage.linq.outcomes = [UNAVAILABLE, OPTED_OUT, ACCEPTED]
    doubtful = sent(stage, "one")
    optouts.they_opted_out(stage.parts, CHAT, stage.clock.at)
    optouts.heard_from(stage.parts, CHAT, stage.clock.at + 1)
    for _ in range(4):
        doubtful = deliver(stage, doubtful, after_s=61)
    assert (doubtful.state, doubtful.code, len(stage.linq.posts)) == (State.FAILED, "opted-out", 1)


def test_a_person_may_try_an_opted_out_job_again(stage: Stage) -> None:
    """It fails again while the block holds, and goes once they wrote."""
    stage.linq.outcomes = [OPTED_OUT, ACCEPTED]
    job = sent(stage, "one")
    decisions.retry(stage.parts, job)
    jobs.prepare(stage.parts, job.job_id)
    assert (deliver(stage, job).code, len(stage.linq.posts)) == ("opted-out", 1)
    optouts.heard_from(stage.parts, CHAT, stage.clock.at + 1)
    decisions.retry(stage.parts, stage.ledger.get(job.job_id))
    jobs.prepare(stage.parts, job.job_id)
    assert deliver(stage, job).state is State.SENT


# ------------------------------------------------------------------------------------------------------------ pauses


@pytest.mark.parametrize("known_by", ["the 202", "the chat's data", "nobody"])
def test_a_429_for_two_chats_of_a_line_pauses_the_line(stage: Stage, known_by: str) -> None:
    """Within a minute. A chat of the same line then waits; where nobody knows the line, each chat learns it itself."""
    if known_by == "the 202":
        stage.linq.outcomes = [replace(ACCEPTED, line="+1")] * 3 + [LIMITED]
        for number, chat_id in enumerate((CHAT, OTHER, THIRD)):
            sent(stage, str(number), chat_id)
    elif known_by == "the chat's data":
        stage.linq.chats = dict.fromkeys((CHAT, OTHER, THIRD), ChatSeen(line="+1", health="HEALTHY"))
        standing.line_of(stage.parts, stage.ledger.chat(THIRD))
    stage.linq.outcomes = [LIMITED, LIMITED, ACCEPTED]
    stage.linq.posts.clear()
    for number, chat_id in enumerate((CHAT, OTHER, THIRD)):
        sent(stage, f"limited-{number}", chat_id)
    assert len(stage.linq.posts) == (3 if known_by == "nobody" else 2)


def test_two_429_in_one_chat_pause_no_line(stage: Stage) -> None:
    """One chat never blocks another."""
    stage.linq.chats = dict.fromkeys((CHAT, OTHER), ChatSeen(line="+1", health="HEALTHY"))
    stage.linq.outcomes = [replace(LIMITED, wait_s=10), replace(LIMITED, wait_s=10), ACCEPTED]
    job = sent(stage, "one")
    deliver(stage, job, after_s=11)
    standing.line_of(stage.parts, stage.ledger.chat(OTHER))
    assert sent(stage, "two", OTHER).state is State.SENT


def test_a_long_429_and_a_2027_pause_their_line_alone(stage: Stage) -> None:
    """A chat of the line waits, a chat of another one does not."""
    stage.linq.chats = {
        CHAT: ChatSeen(line="+1", health=None),
        OTHER: ChatSeen(line="+1", health=None),
        THIRD: ChatSeen(line="+2", health=None),
    }
    for chat_id in (OTHER, THIRD):
        standing.line_of(stage.parts, stage.ledger.chat(chat_id))
    stage.linq.outcomes = [replace(LIMITED, code="line-not-eligible", wait_s=900, pause=PauseScope.LINE), ACCEPTED]
    assert sent(stage, "one").code == "line-not-eligible"
    assert (sent(stage, "two", OTHER).code, sent(stage, "three", THIRD).state) == ("paused", State.SENT)
    standing.line_status(stage.parts, "+1", may_send=True)
    assert deliver(stage, sent(stage, "four", OTHER), after_s=901).state is State.SENT


def test_a_critical_chat_waits_until_it_is_better(stage: Stage) -> None:
    """Its health is asked for again before anything is sent."""
    standing.chat_health(stage.parts, CHAT, "CRITICAL")
    stage.linq.chats = {CHAT: ChatSeen(line="+1", health="CRITICAL")}
    job = sent(stage, "one")
    for _ in range(3):
        job = deliver(stage, job, after_s=901)
    assert (job.state, job.code, stage.linq.posts) == (State.HOSTED, "paused", [])
    stage.linq.chats = {CHAT: ChatSeen(line="+1", health="AT_RISK")}
    assert deliver(stage, job, after_s=901).state is State.SENT
    assert not stage.ledger.chat(CHAT).pauses, "what is over is not asked about for ever"


def test_a_pause_is_not_lifted_where_linq_does_not_answer(stage: Stage) -> None:
    """The send goes, and the next one asks again; nor is one lifted that was made meanwhile."""
    standing.chat_health(stage.parts, CHAT, "CRITICAL")
    stage.clock.at += 901
    assert sent(stage, "one").state is State.SENT
    (pause,) = stage.ledger.chat(CHAT).pauses
    standing.chat_health(stage.parts, CHAT, "CRITICAL")
    assert not stage.ledger.lift(pause.scope, pause)
    assert stage.ledger.chat(CHAT).pauses


# ---------------------------------------------------------------------------------------------- the circuit breaker


def test_one_job_at_a_time_finds_out_whether_linq_is_back(stage: Stage) -> None:
    """A refused connection stops everybody; then one tries while the others wait; each failure waits longer."""
    waiting = [hosted(stage, chat_id, chat_id) for chat_id in (CHAT, OTHER, THIRD)]
    stage.linq.outcomes = [REFUSED_CONNECTION]
    for round_no in range(1, 6):
        for job in waiting:
            deliver(stage, job)
        assert len(stage.linq.posts) == round_no, "one POST a round"
        stage.clock.at = max(stage.ledger.get(job.job_id).retry_at for job in waiting)
        stage.clock.at = max(stage.clock.at, *(pause.until for pause in stage.ledger.pauses(0)))
    assert stage.ledger.pauses(0)[0].until - stage.clock.at <= 300
    stage.linq.outcomes = [ACCEPTED]
    deliver(stage, waiting[0])
    assert stage.ledger.pauses(0) == ()
    assert all(deliver(stage, job, after_s=61).state is State.SENT for job in waiting)


def test_a_probe_that_cannot_go_lets_another_one_try(stage: Stage) -> None:
    """Its chat is paced, so it says nothing about Linq."""
    jobs_here = [hosted(stage, chat_id, chat_id) for chat_id in (CHAT, OTHER)]
    stage.linq.outcomes = [REFUSED_CONNECTION, ACCEPTED]
    deliver(stage, jobs_here[0])
    stage.pacer.waits = [30.0]
    assert deliver(stage, jobs_here[0], after_s=6).state is State.HOSTED
    assert deliver(stage, jobs_here[1]).state is State.SENT


@pytest.mark.parametrize("outcome", [BROKEN, UNAVAILABLE])
def test_an_outage_that_answers_makes_few_jobs_doubtful(stage: Stage, outcome: Outcome) -> None:
    """5xx for two chats within a minute: the other eighteen wait, and are not in doubt."""
    chats = [f"5e0d0000-0000-4000-8000-{number:012d}" for number in range(20)]
    stage.linq.outcomes = [outcome]
    waiting = [hosted(stage, chat_id, chat_id) for chat_id in chats]
    states = [deliver(stage, job).state for job in waiting]
    assert (states.count(State.UNCONFIRMED), len(stage.linq.posts)) == (2, 2)


def test_one_chat_whose_sends_break_stops_nobody(stage: Stage) -> None:
    """A 5xx in one chat alone is not an outage."""
    stage.linq.outcomes = [BROKEN, ACCEPTED]
    sent(stage, "one")
    assert sent(stage, "two", OTHER).state is State.SENT


def test_a_key_that_linq_does_not_take_stops_everybody(stage: Stage) -> None:
    """401: one POST, then all wait for five minutes, and somebody is told by the pause's name."""
    stage.linq.outcomes = [
        replace(REFUSED_CONNECTION, code="linq-unauthorized", status=401, wait_s=300, pause=PauseScope.ALL),
        ACCEPTED,
    ]
    sent(stage, "one")
    assert (sent(stage, "two", OTHER).code, len(stage.linq.posts)) == ("paused", 1)
    assert [(pause.scope, pause.why) for pause in stage.ledger.pauses(stage.clock.at + 299)] == [
        ("linq", "linq-unauthorized")
    ]


# ---------------------------------------------------------------------------------------------------------- the rest


def test_our_own_url_is_checked_before_linq_is_asked_again(stage: Stage) -> None:
    """5002: the CDN is what was wrong, so nothing is posted until it is mended."""
    stage.linq.outcomes = [
        Outcome(kind=OutcomeKind.PROBABLY_NOT_SENT, code="linq-download-failed", message="5002", status=500),
        ACCEPTED,
    ]
    job = sent(stage, "one")
    stage.store.fails["check"] = [JobFailed("cdn-wrong", "403")]
    for _ in range(2):
        job = deliver(stage, job, after_s=61)
    job = deliver(stage, job)
    assert (job.state, job.code, len(stage.linq.posts)) == (State.HOSTED, "cdn-wrong", 1)
    assert deliver(stage, job, after_s=61).state is State.SENT


@pytest.mark.parametrize("shown", ["nothing", "a message without its files"])
def test_a_policy_may_prefer_a_double_to_a_loss(tmp_path: Path, shown: str) -> None:
    """`resend-if-absent`: what two complete looks do not show is sent again, three times at most; what a list cannot
    show is held under every policy."""
    stage = build_stage(tmp_path, resend_if_absent=True)
    stage.linq.outcomes = [Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message="timeout")]
    if shown != "nothing":
        bare = ListedMessage(message_id="m-9", created_at=stage.clock.at, status="sent", file_names=None)
        stage.linq.listed = MessageList(messages=(bare,), complete=True)
    job = sent(stage, "one")
    for _ in range(40):
        job = deliver(stage, job, after_s=61)
    assert (job.state, job.code) == (State.HELD, "outcome-unknown")
    assert len(stage.linq.posts) == (4 if shown == "nothing" else 1)


def test_a_hold_is_prepared_at_once_and_sent_when_it_is_due(stage: Stage) -> None:
    """HOSTED with its `not_before` ahead; the next memo of the chat does not wait for it."""
    held = jobs.register(stage.parts, request("one", not_before=stage.clock.at + 60))
    assert jobs.prepare(stage.parts, held.job_id).state is State.HOSTED  # type: ignore[union-attr]
    assert deliver(stage, held).state is State.HOSTED
    assert sent(stage, "two").state is State.SENT
    assert deliver(stage, held, after_s=60).state is State.SENT


def test_a_cancel_wins_over_a_worker_that_prepares(stage: Stage) -> None:
    """What the worker makes goes nowhere."""
    job = jobs.register(stage.parts, request("one"))
    claimed = jobs._claim(stage.parts, stage.ledger.get(job.job_id))
    assert claimed is not None
    assert decisions.cancel(stage.parts, job).state is State.CANCELLED, "also with what was read before the claim"
    with pytest.raises(jobs.Fenced):
        jobs._prepare_claimed(stage.parts, claimed)
    assert stage.ledger.get(job.job_id).state is State.CANCELLED
