"""The failure matrix: a worker that ends, or loses its ledger, right before or after each step that others can see.

Told with the real ledgers and fakes for the rest, for speed; `tests/chaos` does the same to real processes, by SIGKILL.
Whatever happens, there is at most one memo, and the job ends in a state that is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import jobs
from pipeline.errors import MemolineError, PartUnreachable
from pipeline.messages import ListedMessage, MessageList, Outcome, OutcomeKind
from pipeline.model import Job, State
from pipeline.ports import Parts
from tests.support.story import ACCEPTED, Stage, build_stage, request

UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message="the connection broke")


class Killed(BaseException):
    """The worker ended here: nothing of it runs on."""


@dataclass(frozen=True)
class Point:
    """A call of a port. to: only the move to this state. after: it happened, and nobody heard of it. ends: how the job
    ends when its worker is killed there. posts: how often Linq was asked in all."""

    name: str
    port: str
    method: str
    to: State | None = None
    after: bool = False
    ends: State = State.SENT
    posts: int = 1


def moves(to: State, **ends: Any) -> list[Point]:
    """Before and after the commit of a move."""
    return [
        Point(f"{when}-{to.lower()}", "ledger", "move", to, when == "after", **ends) for when in ("before", "after")
    ]


POINTS = [
    *moves(State.PREPARING),
    Point("before-fetch", "store", "fetch"),
    Point("after-transcode", "runner", "prepare", after=True),
    Point("after-upload", "store", "host", after=True),
    Point("after-check", "store", "check", after=True),
    *moves(State.HOSTED),
    Point("after-pacing", "pacer", "wait_s", after=True),
    *moves(State.SENDING),
    Point("before-intent", "journal", "begin"),
    Point("after-intent", "journal", "begin", after=True, ends=State.HELD, posts=0),
    Point("before-post", "messenger", "send_once", ends=State.HELD, posts=0),
    Point("after-place", "pacer", "take", after=True, ends=State.HELD, posts=0),
    Point("after-post", "messenger", "send_once", after=True),
    *moves(State.SENT),
    Point("before-receipt", "journal", "end"),
    Point("after-receipt", "journal", "end", after=True),
]
LOOKS = [
    Point("before-the-list", "messenger", "own_messages"),
    Point("after-the-list", "messenger", "own_messages", after=True),
    *moves(State.UNCONFIRMED),
    *moves(State.SENT),
]

SPLIT = [
    Point("after-upload", "store", "host", after=True),
    Point("after-check", "store", "check", after=True),
    Point("before-the-intent-of-the-whole", "journal", "begin"),
    Point("after-the-intent-of-the-whole", "journal", "begin", after=True),
    Point("before-split", "ledger", "split"),
    Point("after-split", "ledger", "split", after=True),
    *moves(State.SENDING),
    Point("before-post", "messenger", "send_once", ends=State.HELD),
    Point("after-post", "messenger", "send_once", after=True),
    *moves(State.SENT),
    Point("after-receipt", "journal", "end", after=True),
]
"""Of a job that becomes three parts; of several calls the first one fails."""


class Faulty:
    """A port whose one method fails once, at one point."""

    def __init__(self, real: object, point: Point, error: BaseException) -> None:
        self._real, self._point, self._errors = real, point, [error]

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        return self._failing(real) if name == self._point.method else real

    def _failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            here = self._errors and (self._point.to is None or self._point.to in args)
            if here and not self._point.after:
                raise self._errors.pop()
            result = real(*args, **more)
            if here:
                raise self._errors.pop()
            return result

        return call


@pytest.fixture
def stage(url: str, tmp_path: Path) -> Stage:
    """A stage on each ledger. What Linq took is in its list."""
    stage = build_stage(tmp_path, url=url)

    def show() -> None:
        job = stage.ledger.jobs()[0]
        names = (job.hosted.file_name,) if job.hosted else ()
        row = ListedMessage(message_id="m-1", created_at=stage.clock.at, status="sent", file_names=names)
        stage.linq.listed = MessageList(messages=(row,), complete=True)

    stage.linq.during_post = show
    return stage


def with_fault(stage: Stage, point: Point, error: BaseException) -> Parts:
    """The stage's parts with a fault in one of them."""
    return replace(stage.parts, **{point.port: Faulty(getattr(stage.parts, point.port), point, error)})  # type: ignore[arg-type]


def work(stage: Stage, parts: Parts, job_id: str) -> None:
    """A worker takes one hint, for each step, and ends as it ends."""
    for step in (jobs.prepare, jobs.deliver):
        try:
            step(parts, job_id)
        except (Killed, MemolineError):
            return


def until_it_rests(stage: Stage, parts: Parts, job_id: str) -> Job:
    """Sweep, and work as the sweeper hints, until nothing is left to do."""
    for _ in range(100):
        job = stage.ledger.get(job_id)
        if job.state in (State.SENT, State.HELD, State.FAILED):
            return job
        if job_id in {due.job_id for due in stage.ledger.due(stage.clock.at, 100)}:
            work(stage, parts, job_id)
        else:
            stage.clock.at += 5
    raise AssertionError(f"it does not rest: {job.state} {job.code}")


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_worker_that_is_killed(stage: Stage, point: Point) -> None:
    """One memo, or a job that is truly held; only between the intent and the answer can nobody know."""
    job = jobs.register(stage.parts, request("one"))
    job = until_it_rests(stage, with_fault(stage, point, Killed()), job.job_id)
    assert (job.state, len(stage.linq.posts)) == (point.ends, point.posts)
    if job.state is State.HELD:
        assert job.code == "outcome-unknown"


@pytest.mark.parametrize("point", [p for p in POINTS if p.port == "ledger"], ids=lambda point: point.name)
def test_a_ledger_that_is_away_for_one_commit(stage: Stage, point: Point) -> None:
    """Not made, or made with its answer lost: both look the same to the worker, and both end well."""
    job = jobs.register(stage.parts, request("one"))
    away = PartUnreachable("ledger-unreachable", "The ledger does not answer.")
    job = until_it_rests(stage, with_fault(stage, point, away), job.job_id)
    assert (job.state, len(stage.linq.posts)) == (State.SENT, 1)


@pytest.mark.parametrize("point", [p for p in POINTS if p.port in ("store", "journal", "pacer")], ids=lambda p: p.name)
def test_a_part_that_is_away_for_one_call(stage: Stage, point: Point) -> None:
    """S3 or Redis: nothing is lost, nothing goes twice, no attempt is burnt."""
    job = jobs.register(stage.parts, request("one"))
    away = PartUnreachable("s3-unreachable", "It does not answer.")
    job = until_it_rests(stage, with_fault(stage, point, away), job.job_id)
    assert (job.state, len(stage.linq.posts), job.audio_attempts) == (State.SENT, 1, 1)


@pytest.mark.parametrize("error", [Killed(), PartUnreachable("ledger-unreachable", "Away.")], ids=["killed", "away"])
@pytest.mark.parametrize("point", LOOKS, ids=lambda point: point.name)
def test_a_look_that_is_cut_short(stage: Stage, point: Point, error: BaseException) -> None:
    """It is made again, and what it finds is found."""
    stage.linq.outcomes = [UNKNOWN]
    job = jobs.register(stage.parts, request("one"))
    jobs.prepare(stage.parts, job.job_id)
    parts = stage.parts if point.name == "before-unconfirmed" else with_fault(stage, point, error)
    job = until_it_rests(stage, parts, job.job_id)
    assert (job.state, job.message_id, len(stage.linq.posts)) == (State.SENT, "m-1", 1)


@pytest.mark.parametrize("point", SPLIT, ids=lambda point: point.name)
def test_a_split_that_is_cut_short(stage: Stage, point: Point) -> None:
    """All parts or none are there, each goes once and in order; a part in doubt is held, and those behind it wait."""
    stage.runner.lengths_s = (10.0, 9.0, 4.0)
    stage.linq.outcomes = [replace(ACCEPTED, message_id=f"m-{number}") for number in range(1, 10)]
    stage.linq.during_post = lambda: show_last(stage)
    job = jobs.register(stage.parts, request("one"))
    parts = with_fault(stage, point, Killed())
    while job.state not in (State.SENT, State.HELD):
        for due in stage.ledger.due(stage.clock.at, 100):
            work(stage, parts, due.job_id)
            assert len(stage.ledger.parts_of(job.job_id)) in (0, 3)
        stage.clock.at += 20
        job = stage.ledger.get(job.job_id)
    job, found = stage.ledger.get(job.job_id), stage.ledger.parts_of(job.job_id)
    assert [url for _, url in stage.linq.posts] == [part.url for part in found][: len(stage.linq.posts)]
    if point.ends is State.HELD:
        assert [part.state for part in found] == [State.HELD, State.HOSTED, State.HOSTED]
    else:
        assert [part.state for part in found] == [State.SENT] * 3
        assert len(stage.linq.posts) == 3
    assert job.state is found[0].state


def show_last(stage: Stage) -> None:
    """What was POSTed last is in the chat's list too."""
    name = stage.linq.posts[-1][1].rsplit("/", 1)[-1]
    message_id = f"m-{len(stage.linq.posts)}"
    row = ListedMessage(message_id=message_id, created_at=stage.clock.at, status="sent", file_names=(name,))
    shown = stage.linq.listed.messages if stage.linq.listed else ()
    stage.linq.listed = MessageList(messages=(*shown, row), complete=True)


def test_a_crowd_of_workers_makes_one_memo(stage: Stage) -> None:
    """The same hint many times, two chats, in any order: each step is done by one."""
    one = jobs.register(stage.parts, request("one"))
    two = jobs.register(stage.parts, request("two"))
    stage.linq.outcomes = [ACCEPTED, replace(ACCEPTED, message_id="m-2")]
    for _ in range(5):
        for job in (two, one, two):
            work(stage, stage.parts, job.job_id)
    assert [stage.ledger.get(job.job_id).state for job in (one, two)] == [State.SENT, State.SENT]
    urls = [stage.ledger.get(job.job_id).url for job in (one, two)]
    assert [url for _, url in stage.linq.posts] == urls, "each once, in order"
