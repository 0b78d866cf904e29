"""Jobs whose recordings need several memos, for tests on a stage on which each comes in three."""

from __future__ import annotations

from dataclasses import replace

from pipeline import jobs
from pipeline.messages import Outcome, OutcomeKind
from pipeline.model import Job, State
from tests.support.story import ACCEPTED, Stage, request

UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message="the connection broke")


REFUSED = Outcome(kind=OutcomeKind.REFUSED, code="not-allowed", message="no")


LENGTHS_S = (10.0, 9.5, 4.0)


def taken(number: int) -> Outcome:
    """Linq takes it, as message m-{number}."""
    return replace(ACCEPTED, message_id=f"m-{number}", trace_id=f"t-{number}")


def registered(stage: Stage, name: str = "one", **wishes: object) -> Job:
    """A job with the key of its name."""
    return jobs.register(stage.parts, replace(request(name, fingerprint=name), key=name, **wishes))  # type: ignore[arg-type]


def split(stage: Stage, name: str = "one", **wishes: object) -> Job:
    """A job that was made its parts."""
    job = registered(stage, name, **wishes)
    jobs.prepare(stage.parts, job.job_id)
    return stage.ledger.get(job.job_id)


def parts_of(stage: Stage, job: Job) -> list[Job]:
    return list(stage.ledger.parts_of(job.job_id))


def states(stage: Stage, job: Job) -> list[State]:
    return [part.state for part in parts_of(stage, job)]


def deliver(stage: Stage, job: Job) -> Job:
    """The job after a hint, and what was hinted because of it."""
    jobs.prepare(stage.parts, job.job_id)
    jobs.deliver(stage.parts, job.job_id)
    return stage.ledger.get(job.job_id)


def settle(stage: Stage, job: Job) -> Job:
    """Sweep until nothing is due within a day."""
    ends = stage.clock.at + 86_400
    while stage.clock.at < ends:
        due = stage.ledger.due(stage.clock.at, 100)
        for one in due:
            deliver(stage, one)
        stage.clock.at += 1 if due else 600
    return stage.ledger.get(job.job_id)


def held_at(stage: Stage, number: int) -> Job:
    """A split whose part of this number may have been sent, and nobody knows."""
    stage.linq.outcomes = [*[taken(n) for n in range(1, number)], UNKNOWN, *[taken(n) for n in range(10, 20)]]
    job = split(stage)
    deliver(stage, job)
    while stage.ledger.get(job.job_id).state is not State.HELD:
        stage.clock.at += 61
        deliver(stage, job)
    return stage.ledger.get(job.job_id)
