"""A recording that needs several memos: its parts go one after the other, once, and the whole tells truly how it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import decisions, jobs
from pipeline.errors import Fenced, MemolineError
from pipeline.messages import ChatSeen, StatusReport
from pipeline.model import Job, Lane, State
from tests.support.splitting import (
    LENGTHS_S,
    REFUSED,
    deliver,
    parts_of,
    registered,
    settle,
    split,
    states,
    taken,
)
from tests.support.story import CHAT, Stage, build_stage
from tests.unit.test_restored import copy


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A stage on which every recording comes in three parts, and Linq takes all."""
    stage = build_stage(tmp_path)
    stage.runner.lengths_s = LENGTHS_S
    stage.linq.outcomes = [taken(number) for number in range(1, 20)]
    return stage


def test_each_part_is_a_job_of_its_own(stage: Stage) -> None:
    """Key, place, length, name and URL of its own; the whole has none, and all are HOSTED at once."""
    job = split(stage)
    found = parts_of(stage, job)
    assert (job.state, job.url, [span.duration_s for span in job.spans]) == (State.HOSTED, None, list(LENGTHS_S))
    assert [part.key for part in found] == ["one#1", "one#2", "one#3"]
    assert [part.part_no for part in found] == [1, 2, 3]
    assert {part.parent_id for part in found} == {job.job_id}
    assert len({part.url for part in found}) == len({part.job_id for part in found}) == 3
    assert [part.seq for part in found] == [job.seq + 1, job.seq + 2, job.seq + 3]
    assert stage.linq.posts == []


def test_parts_go_in_order_and_the_whole_follows(stage: Stage) -> None:
    """One hint sends them all; the whole is SENT with the last, and DELIVERED when all are."""
    job = deliver(stage, split(stage))
    found = parts_of(stage, job)
    assert [url for _, url in stage.linq.posts] == [part.url for part in found]
    assert [part.message_id for part in found] == ["m-1", "m-2", "m-3"]
    assert (job.state, job.message_id) == (State.SENT, None)
    for number in (3, 1, 2):
        assert stage.ledger.get(job.job_id).state is State.SENT
        jobs.settle(stage.parts, StatusReport(status="delivered", message_id=f"m-{number}", event_id=f"e-{number}"))
    done = stage.ledger.get(job.job_id)
    assert (done.state, done.code, done.message) == (State.DELIVERED, None, None)


def test_the_copy_of_the_recording_stays_until_the_last_part_is_sent(stage: Stage) -> None:
    """A part whose memo is lost is made again from it."""
    stage.pacer.waits = [0.0, 0.0, 30.0]
    job = deliver(stage, split(stage))
    assert states(stage, job) == [State.SENT, State.SENT, State.HOSTED]
    assert stage.store.discarded == []
    assert job.recording.uri in stage.ledger.recordings_needed(stage.clock.at)
    stage.clock.at += 31
    assert deliver(stage, job).state is State.SENT
    assert stage.store.discarded == [job.recording.uri]


def test_nothing_comes_between_the_parts(stage: Stage) -> None:
    """The place in the chat's order is the whole's."""
    first = registered(stage, "one")
    stage.runner.lengths_s = (1.0,)
    second = registered(stage, "two")
    jobs.prepare(stage.parts, second.job_id)
    stage.runner.lengths_s = LENGTHS_S
    jobs.prepare(stage.parts, first.job_id)
    stage.pacer.waits = [0.0, 30.0]
    deliver(stage, second)
    assert [url for _, url in stage.linq.posts] == [parts_of(stage, first)[0].url]
    stage.clock.at += 31
    deliver(stage, second)
    urls = [*(part.url for part in parts_of(stage, first)), stage.ledger.get(second.job_id).url]
    assert [url for _, url in stage.linq.posts] == urls


@pytest.mark.parametrize("lane", ["live", "backfill"])
def test_nothing_of_the_other_lane_comes_between_them_either(stage: Stage, lane: Lane) -> None:
    """Once they have begun: until then live memos go first, as always."""
    other_lane: Lane = "backfill" if lane == "live" else "live"
    job = split(stage, lane=lane)
    stage.pacer.waits = [0.0, 30.0]
    deliver(stage, job)
    stage.runner.lengths_s = (1.0,)
    other = split(stage, "two", lane=other_lane)
    assert deliver(stage, other).state is State.HOSTED
    stage.clock.at += 31
    deliver(stage, other)
    urls = [*(part.url for part in parts_of(stage, job)), other.url]
    assert [url for _, url in stage.linq.posts] == urls


def test_a_live_memo_goes_before_a_backfill_that_has_not_begun(stage: Stage) -> None:
    """Both are ready: the live one is first."""
    job = split(stage, lane="backfill")
    stage.runner.lengths_s = (1.0,)
    live = split(stage, "two")
    deliver(stage, job)
    assert [url for _, url in stage.linq.posts] == [live.url, *(part.url for part in parts_of(stage, job))]


def test_a_wish_for_later_holds_all_parts(stage: Stage) -> None:
    """It steps aside as one, and takes its place as one."""
    at = stage.clock.at + 600
    job = split(stage, not_before=at)
    stage.runner.lengths_s = (1.0,)
    other = split(stage, "two")
    deliver(stage, job)
    deliver(stage, other)
    assert [url for _, url in stage.linq.posts] == [stage.ledger.get(other.job_id).url]
    assert stage.ledger.due(stage.clock.at, 10) == ()
    stage.clock.at = at
    assert deliver(stage, job).state is State.SENT
    assert len(stage.linq.posts) == 4


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_worker_that_dies_at_the_split(stage: Stage, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the commit nothing is there, after it everything is; the parts of the next attempt are the same jobs."""
    real = stage.ledger.split

    def dies(*args: object, **more: object) -> Job:
        if where == "after":
            real(*args, **more)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(stage.ledger, "split", dies)
    job = registered(stage)
    with pytest.raises(KeyboardInterrupt):
        jobs.prepare(stage.parts, job.job_id)
    monkeypatch.undo()
    assert len(parts_of(stage, job)) == (3 if where == "after" else 0)
    assert settle(stage, job).state is State.SENT
    assert len(stage.linq.posts) == 3


def test_a_fenced_split_makes_no_parts(stage: Stage) -> None:
    """Somebody cancels while it is made: the parts go nowhere."""
    job = registered(stage)
    claimed = jobs._claim(stage.parts, stage.ledger.get(job.job_id))
    assert claimed
    made = jobs._make_and_host(stage.parts, claimed)
    decisions.cancel(stage.parts, claimed)
    with pytest.raises(Fenced):
        jobs._split(stage.parts, claimed, made)  # type: ignore[arg-type]
    assert parts_of(stage, job) == []


def test_a_lost_memo_of_a_part_is_made_again_and_no_other_is_sent_again(stage: Stage) -> None:
    """All is encoded, one is hosted, under a new name; the others wait."""
    stage.pacer.waits = [0.0, 30.0]
    job = deliver(stage, split(stage))
    before = parts_of(stage, job)
    stage.clock.at += 31
    stage.store.there = False
    jobs.deliver(stage.parts, job.job_id)
    stage.store.there = True
    assert states(stage, job) == [State.SENT, State.RECEIVED, State.HOSTED]
    assert stage.ledger.get(job.job_id).state is State.RECEIVED
    assert settle(stage, job).state is State.SENT
    after = parts_of(stage, job)
    assert [was.url == now.url for was, now in zip(before, after, strict=True)] == [True, False, True]
    assert [url for _, url in stage.linq.posts] == [part.url for part in after]


def test_a_part_that_comes_out_otherwise_is_not_sent(stage: Stage) -> None:
    """Other settings since: its neighbours, sent already, would not fit to it."""
    stage.pacer.waits = [0.0, 30.0]
    job = deliver(stage, split(stage))
    stage.clock.at += 31
    stage.store.there = False
    jobs.deliver(stage.parts, job.job_id)
    stage.store.there = True
    stage.runner.lengths_s = (10.0, 13.5)
    job = settle(stage, job)
    assert (job.state, job.code) == (State.FAILED, "parts-differ")
    assert states(stage, job) == [State.SENT, State.FAILED, State.FAILED]
    assert len(stage.linq.posts) == 1


def forgetful(stage: Stage) -> tuple[Job, Callable[[], None]]:
    """A split of which the copy of the ledger knows nothing yet: the job, and how to put the copy back."""
    job = registered(stage)
    return job, copy(stage)


def test_a_restored_ledger_that_forgot_the_parts_sends_none_again(stage: Stage) -> None:
    """They are made again under the same ids, and their intents are there."""
    job, restore = forgetful(stage)
    sent = deliver(stage, job)
    ids = [part.job_id for part in parts_of(stage, sent)]
    restore()
    again = settle(stage, job)
    assert again.state is State.SENT
    assert [part.job_id for part in parts_of(stage, again)] == ids
    assert [part.message_id for part in parts_of(stage, again)] == ["m-1", "m-2", "m-3"]
    assert len(stage.linq.posts) == 3


def test_a_restored_ledger_sends_the_rest(stage: Stage) -> None:
    """Two were sent, the third was not."""
    job, restore = forgetful(stage)
    stage.pacer.waits = [0.0, 0.0, 600.0]
    deliver(stage, job)
    restore()
    assert settle(stage, job).state is State.SENT
    assert len({url for _, url in stage.linq.posts}) == len(stage.linq.posts) == 3


def test_what_was_sent_in_parts_is_not_sent_whole(stage: Stage) -> None:
    """The ledger forgot the split, and the settings are others now: a person decides."""
    job, restore = forgetful(stage)
    deliver(stage, job)
    restore()
    stage.runner.lengths_s = (1.0,)
    again = settle(stage, job)
    assert (again.state, again.code, len(stage.linq.posts)) == (State.HELD, "outcome-unknown", 3)


def test_what_was_sent_whole_is_not_sent_in_parts(stage: Stage) -> None:
    """The ledger forgot the memo, and the settings are others now."""
    stage.runner.lengths_s = (1.0,)
    job, restore = forgetful(stage)
    deliver(stage, job)
    restore()
    stage.runner.lengths_s = LENGTHS_S
    again = settle(stage, job)
    assert (again.state, again.message_id, len(stage.linq.posts)) == (State.SENT, "m-1", 1)
    assert parts_of(stage, again) == []


@pytest.mark.parametrize("begun", [True, False])
def test_a_job_whose_parts_the_ledger_forgot_is_not_said_to_be_unsent(stage: Stage, begun: bool) -> None:
    """It would end as too old: the intents of its parts tell whether that is so."""
    job, restore = forgetful(stage)
    jobs.prepare(stage.parts, job.job_id)
    if begun:
        jobs.deliver(stage.parts, job.job_id)
    restore()
    stage.clock.at += 604_801
    again = settle(stage, job)
    assert (again.state, again.code) == ((State.HELD, "outcome-unknown") if begun else (State.FAILED, "too-old"))


def test_what_may_have_been_sent_whole_is_not_split(stage: Stage) -> None:
    """Linq probably did not take it, its memo is lost, and it comes out in parts now."""
    stage.runner.lengths_s = (1.0,)
    job = split(stage)
    hosted = stage.ledger.note(job, returns=1)
    stage.ledger.move(hosted, State.RECEIVED, by="test", hosted=None)
    stage.runner.lengths_s = LENGTHS_S
    again = deliver(stage, job)
    assert (again.state, again.code, stage.linq.posts) == (State.FAILED, "split-not-sent", [])


def test_a_pause_holds_the_next_part(stage: Stage) -> None:
    """And when it is over, the next part goes, not the first again."""
    stage.pacer.waits = [0.0, 30.0]
    job = deliver(stage, split(stage))
    stage.linq.chats = {CHAT: ChatSeen(line=None, health=None)}
    stage.ledger.pause(f"chat:{CHAT}", stage.clock.at + 300, "rate-limited")
    stage.clock.at += 31
    assert deliver(stage, job).state is State.HOSTED
    assert len(stage.linq.posts) == 1
    stage.clock.at += 300
    assert deliver(stage, job).state is State.SENT


def test_the_history_of_the_whole_tells_of_its_parts(stage: Stage) -> None:
    """So that following the one job is enough."""
    job = split(stage)
    rev = job.rev
    deliver(stage, job)
    told = [(entry.to_state, entry.message) for entry in stage.ledger.history(job.job_id)]
    assert (State.SENDING, "Part 2 of 3.") in told
    assert told[-1][0] is State.SENT
    assert stage.ledger.get(job.job_id).rev > rev


def test_a_split_counts_as_one_job(stage: Stage) -> None:
    """In what is counted and grouped; in what is listed its parts are there too, unless they are not wanted."""
    stage.linq.outcomes = [taken(1), REFUSED]
    job = deliver(stage, split(stage))
    assert {state: count for state, count in stage.ledger.counts().items() if count} == {State.FAILED: 1}
    assert [(one.code, one.jobs) for one in stage.ledger.reasons([State.FAILED])] == [("not-allowed", 1)]
    assert len(stage.ledger.jobs()) == 4
    assert [one.job_id for one in stage.ledger.jobs(parts=False)] == [job.job_id]


def test_a_key_that_somebody_else_has_is_not_taken(stage: Stage) -> None:
    """The part does without."""
    stage.runner.lengths_s = (1.0,)
    registered(stage, "one#2")
    stage.runner.lengths_s = LENGTHS_S
    job = split(stage)
    assert [part.key for part in parts_of(stage, job)] == ["one#1", None, "one#3"]


def test_a_split_cannot_be_moved_by_itself(stage: Stage) -> None:
    """Whoever held an old view of it is told so."""
    job = split(stage)
    with pytest.raises(MemolineError, match="is split"):
        stage.ledger.move(job, State.SENDING, by="test")
