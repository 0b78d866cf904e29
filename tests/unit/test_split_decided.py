"""Parts of a split that do not go: held, refused, cancelled, retried, given up, opted out, erased."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import decisions, erasing, jobs
from pipeline.errors import NotNow
from pipeline.model import State
from pipeline.optouts import end_waiting, they_opted_out
from tests.support.splitting import (
    LENGTHS_S,
    REFUSED,
    deliver,
    held_at,
    parts_of,
    registered,
    settle,
    split,
    states,
    taken,
)
from tests.support.story import CHAT, Stage, build_stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A stage on which every recording comes in three parts, and Linq takes all."""
    stage = build_stage(tmp_path)
    stage.runner.lengths_s = LENGTHS_S
    stage.linq.outcomes = [taken(number) for number in range(1, 20)]
    return stage


def test_a_held_part_lets_the_chat_go_on_and_its_own_parts_wait(stage: Stage) -> None:
    """The whole is HELD, later memos go, the parts behind it stay, until a person decides."""
    job = held_at(stage, 2)
    stage.runner.lengths_s = (1.0,)
    other = deliver(stage, split(stage, "two"))
    assert other.state is State.SENT
    assert (job.state, job.code) == (State.HELD, "outcome-unknown")
    assert parts_of(stage, job)[1].job_id in (job.message or "")
    assert states(stage, job) == [State.SENT, State.HELD, State.HOSTED]


@pytest.mark.parametrize(
    ("decision", "ends", "whole", "posts"),
    [
        ({"sent": "m-7"}, [State.SENT, State.SENT, State.SENT], State.SENT, 3),
        ({"resend": True}, [State.SENT, State.SENT, State.SENT], State.SENT, 4),
        ({"give_up": True}, [State.SENT, State.FAILED, State.SENT], State.FAILED, 3),
    ],
)
@pytest.mark.parametrize("of_whole", [True, False])
def test_a_person_decides_about_a_held_part(
    stage: Stage, decision: dict[str, object], ends: list[State], whole: State, posts: int, of_whole: bool
) -> None:
    """By the id of the whole or of the part; then the rest goes, in order."""
    job = held_at(stage, 2)
    decisions.resolve(stage.parts, job if of_whole else parts_of(stage, job)[1], **decision)  # type: ignore[arg-type]
    assert deliver(stage, job).state is whole
    assert states(stage, job) == ends
    assert len(stage.linq.posts) == posts


def test_a_part_that_was_given_up_can_be_sent_after_all(stage: Stage) -> None:
    """By the id of the whole, too."""
    job = held_at(stage, 2)
    decisions.resolve(stage.parts, job, give_up=True)
    deliver(stage, job)
    assert deliver(stage, decisions.resolve(stage.parts, stage.ledger.get(job.job_id), resend=True)).state is State.SENT


def test_a_refused_part_ends_those_behind_it_and_frees_the_chat(stage: Stage) -> None:
    """Half a message is worse than none; what was refused is told by the whole."""
    stage.linq.outcomes = [taken(1), REFUSED, taken(2)]
    job = deliver(stage, split(stage))
    assert [(part.state, part.code) for part in parts_of(stage, job)] == [
        (State.SENT, None),
        (State.FAILED, "not-allowed"),
        (State.FAILED, "part-missing"),
    ]
    assert (job.state, job.code, job.message) == (State.FAILED, "not-allowed", "Part 2 of 3: no")
    stage.runner.lengths_s = (1.0,)
    assert deliver(stage, split(stage, "two")).state is State.SENT


def test_retry_sends_what_is_missing(stage: Stage) -> None:
    """The refused part gets a new name; the one that only waited is not even encoded again; the first is left alone."""
    stage.linq.outcomes = [taken(1), REFUSED, *[taken(n) for n in range(2, 9)]]
    job = deliver(stage, split(stage))
    before = parts_of(stage, job)
    with pytest.raises(NotNow, match="comes first"):
        decisions.retry(stage.parts, before[2])
    with pytest.raises(NotNow, match="cannot be changed"):
        decisions.retry(stage.parts, job, overflow="cut")
    decisions.retry(stage.parts, job)
    assert states(stage, job) == [State.SENT, State.RECEIVED, State.RECEIVED]
    assert settle(stage, job).state is State.SENT
    after = parts_of(stage, job)
    assert [was.url == now.url for was, now in zip(before, after, strict=True)] == [True, False, True]
    assert [url for _, url in stage.linq.posts] == [before[0].url, before[1].url, after[1].url, after[2].url]
    assert stage.runner.runs == 2


@pytest.mark.parametrize("lengths_s", [(1.0,), (5.0, 5.0), (5.0, 5.0, 5.0, 8.0), LENGTHS_S])
def test_retry_begins_anew_where_nothing_was_taken(stage: Stage, lengths_s: tuple[float, ...]) -> None:
    """With another overflow, too: one memo, or other parts, none of which is forgotten or sent twice."""
    stage.linq.outcomes = [REFUSED, *[taken(n) for n in range(1, 9)]]
    job = deliver(stage, split(stage))
    assert job.state is State.FAILED
    stage.runner.lengths_s = lengths_s
    again = decisions.retry(stage.parts, job, overflow="split")
    assert (again.state, again.spans) == (State.RECEIVED, ())
    assert set(states(stage, job)) == {State.CANCELLED}
    done = settle(stage, job)
    assert done.state is State.SENT
    assert len(stage.linq.posts) == 1 + len(lengths_s)
    assert len({url for _, url in stage.linq.posts}) == len(stage.linq.posts)
    if len(lengths_s) > 1:
        assert states(stage, job)[: len(lengths_s)] == [State.SENT] * len(lengths_s)


def test_cancel_ends_what_was_not_sent(stage: Stage) -> None:
    """The whole by one word; what is out is out."""
    stage.pacer.waits = [0.0, 30.0]
    job = deliver(stage, split(stage))
    ended = decisions.cancel(stage.parts, job)
    assert states(stage, job) == [State.SENT, State.CANCELLED, State.CANCELLED]
    assert ended.state is State.CANCELLED
    assert decisions.cancel(stage.parts, ended).state is State.CANCELLED
    assert stage.store.discarded == [job.recording.uri]
    assert settle(stage, job).state is State.CANCELLED
    assert len(stage.linq.posts) == 1


def test_cancel_is_too_late_once_all_is_out(stage: Stage) -> None:
    """And says so."""
    job = deliver(stage, split(stage))
    with pytest.raises(NotNow, match="nothing left to cancel"):
        decisions.cancel(stage.parts, job)


def test_one_part_can_be_left_out(stage: Stage) -> None:
    """A person may: the others go on."""
    job = split(stage)
    decisions.cancel(stage.parts, parts_of(stage, job)[1])
    assert deliver(stage, job).state is State.CANCELLED
    assert states(stage, job) == [State.SENT, State.CANCELLED, State.SENT]


def test_an_opt_out_in_the_middle_ends_the_rest(stage: Stage) -> None:
    """The next one for that reason, and so those behind it; the whole says it."""
    stage.pacer.waits = [0.0, 30.0]
    job = deliver(stage, split(stage))
    they_opted_out(stage.parts, CHAT, stage.clock.at)
    end_waiting(stage.parts, CHAT)
    assert [(part.state, part.code) for part in parts_of(stage, job)] == [
        (State.SENT, None),
        (State.FAILED, "opted-out"),
        (State.FAILED, "part-missing"),
    ]
    now = stage.ledger.get(job.job_id)
    assert (now.state, now.code) == (State.FAILED, "opted-out")


@pytest.mark.parametrize("of_whole", [True, False])
def test_erasing_takes_all_parts(stage: Stage, of_whole: bool) -> None:
    """Of the whole, also where a part is named: what waits is cancelled, and nothing of any of them is left."""
    stage.pacer.waits = [0.0, 30.0]
    job = deliver(stage, split(stage))
    erasing.want(stage.parts, job if of_whole else parts_of(stage, job)[0], "asked for it")
    assert states(stage, job) == [State.SENT, State.CANCELLED, State.CANCELLED]
    done = erasing.carry_out(stage.parts, stage.ledger.get(job.job_id))
    assert (done.state, done.source, done.spans) == (State.ERASED, "", ())
    assert set(states(stage, job)) == {State.ERASED}
    assert {part.url for part in parts_of(stage, job)} == {None}
    stage.clock.at += 1_000
    assert deliver(stage, job).state is State.ERASED
    assert len(stage.linq.posts) == 1


def test_no_part_goes_once_the_whole_is_to_be_erased(stage: Stage) -> None:
    """Whoever wished it died right after the wish was written down, and no sweep has come since."""
    stage.pacer.waits = [0.0, 30.0]
    job = deliver(stage, split(stage))
    stage.ledger.want_erased(job.job_id, by="test", why="asked for it")
    stage.clock.at += 31
    deliver(stage, job)
    assert states(stage, job) == [State.SENT, State.CANCELLED, State.CANCELLED]
    assert len(stage.linq.posts) == 1


@pytest.mark.parametrize("lengths_s", [LENGTHS_S, (1.0,)])
def test_a_wish_while_it_is_looked_at_comes_before_the_send(
    stage: Stage, lengths_s: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a whole or of a job without parts: the last moment is the commit of SENDING."""
    stage.runner.lengths_s = lengths_s
    job = split(stage)

    def wished_now(_hosted: object) -> bool:
        stage.ledger.want_erased(job.job_id, by="test", why="asked for it")
        return True

    monkeypatch.setattr(stage.store, "still_there", wished_now)
    assert deliver(stage, job).state is State.HOSTED
    assert settle(stage, job).state is State.CANCELLED
    assert stage.linq.posts == []


def test_erasing_takes_the_parts_of_an_earlier_division(stage: Stage) -> None:
    """It was refused in parts and made anew as one memo: what was made then goes, too."""
    stage.linq.outcomes = [REFUSED, taken(1)]
    job = deliver(stage, split(stage))
    stage.runner.lengths_s = (1.0,)
    decisions.retry(stage.parts, job, overflow="cut")
    done = settle(stage, job)
    assert (done.state, done.spans) == (State.SENT, ())
    erasing.want(stage.parts, done, "asked for it")
    assert erasing.carry_out(stage.parts, stage.ledger.get(job.job_id)).state is State.ERASED
    assert set(states(stage, job)) == {State.ERASED}
    assert {(part.url, part.source) for part in parts_of(stage, job)} == {(None, "")}


@pytest.mark.parametrize("how_many", [1, 2, 3])
@pytest.mark.parametrize("division", [LENGTHS_S, (1.0,), (5.0, 5.0)])
def test_erasing_finds_memos_of_parts_that_never_became_jobs(
    stage: Stage, how_many: int, division: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker died with some of them stored, and the next attempt made as many, fewer, or one of the whole."""
    job = registered(stage)
    real = stage.store.host

    def dies(*given: object) -> object:
        if len(stage.store.hosted) == how_many:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.store, "host", dies)
    if how_many == len(LENGTHS_S):
        monkeypatch.setattr(stage.store, "check", dies)
    with pytest.raises(KeyboardInterrupt):
        jobs.prepare(stage.parts, job.job_id)
    monkeypatch.undo()
    assert len(stage.store.hosted) == how_many
    stage.runner.lengths_s = division
    if how_many != 2:  # else it is erased before anybody tries again
        assert settle(stage, job).state is State.SENT
    erasing.want(stage.parts, stage.ledger.get(job.job_id), "asked for it")
    assert erasing.carry_out(stage.parts, stage.ledger.get(job.job_id)).state is State.ERASED
    assert stage.store.hosted == []


def test_erasing_finds_memos_that_are_stored_after_it(stage: Stage) -> None:
    """An attempt that had lost its job went on; the later looks find what it left."""
    job = registered(stage)
    claimed = jobs._claim(stage.parts, job)
    assert claimed
    erasing.want(stage.parts, stage.ledger.get(job.job_id), "asked for it")
    erased = erasing.carry_out(stage.parts, stage.ledger.get(job.job_id))
    jobs._make_and_host(stage.parts, claimed)
    assert len(stage.store.hosted) == 3
    erasing.carry_out(stage.parts, erased)
    assert stage.store.hosted == []


def test_erasing_a_held_split_gives_the_part_up_and_sends_no_more(stage: Stage) -> None:
    """What nobody knows stays unknown; the parts behind it do not go meanwhile."""
    job = held_at(stage, 2)
    erasing.want(stage.parts, job, "asked for it")
    assert states(stage, job) == [State.SENT, State.FAILED, State.CANCELLED]
    assert erasing.carry_out(stage.parts, stage.ledger.get(job.job_id)).state is State.ERASED
    assert len(stage.linq.posts) == 2


def test_the_retention_counts_from_the_last_part(stage: Stage) -> None:
    """And takes the parts with the whole."""
    job = deliver(stage, split(stage))
    assert stage.ledger.want_outlived_erased(stage.clock.at, 100) == 0
    stage.clock.at += 1_000
    assert stage.ledger.want_outlived_erased(stage.clock.at, 100) == 1
    erasing.carry_out(stage.parts, stage.ledger.get(job.job_id))
    assert {one.state for one in stage.ledger.jobs()} == {State.ERASED}
