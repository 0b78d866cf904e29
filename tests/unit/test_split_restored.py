"""A ledger that was put back to an older copy, and a recording that is divided otherwise since: never two divisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import decisions, jobs
from pipeline.model import Job, State
from pipeline.optouts import end_waiting, they_opted_out
from tests.support.splitting import LENGTHS_S, deliver, parts_of, registered, settle, split, states, taken
from tests.support.story import CHAT, Stage, build_stage
from tests.unit.test_restored import copy

OTHERWISE = [(12.0, 7.5, 4.0), (10.0, 13.5), (8.0, 8.0, 4.0, 3.5)]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A stage on which every recording comes in three parts, and Linq takes all."""
    stage = build_stage(tmp_path)
    stage.runner.lengths_s = LENGTHS_S
    stage.linq.outcomes = [taken(number) for number in range(1, 20)]
    return stage


def first_part_sent(stage: Stage) -> tuple[Job, Callable[[], None]]:
    """A split of which the copy of the ledger knows nothing, and whose first part went: it, and how to put it back."""
    job = registered(stage)
    restore = copy(stage)
    stage.pacer.waits = [0.0, 30.0]
    deliver(stage, job)
    assert len(stage.linq.posts) == 1
    return job, restore


@pytest.mark.parametrize("lengths_s", OTHERWISE)
def test_the_rest_does_not_go_in_another_division(stage: Stage, lengths_s: tuple[float, ...]) -> None:
    """The first part is out; other settings since, as many parts or not: a person decides."""
    job, restore = first_part_sent(stage)
    restore()
    stage.runner.lengths_s = lengths_s
    again = settle(stage, job)
    assert (again.state, again.code, len(stage.linq.posts)) == (State.HELD, "outcome-unknown", 1)


def test_a_person_who_has_it_sent_again_gets_no_mix_either(stage: Stage) -> None:
    """With the settings of now it says why not; with those of then it sends what is missing."""
    job, restore = first_part_sent(stage)
    restore()
    stage.runner.lengths_s = OTHERWISE[0]
    decisions.resolve(stage.parts, settle(stage, job), resend=True)
    again = settle(stage, job)
    assert (again.state, again.code, len(stage.linq.posts)) == (State.FAILED, "parts-differ", 1)
    stage.runner.lengths_s = LENGTHS_S
    decisions.retry(stage.parts, again)
    assert settle(stage, job).state is State.SENT
    assert len({url for _, url in stage.linq.posts}) == len(stage.linq.posts) == 3


def test_a_division_of_which_nothing_was_sent_binds_nobody(stage: Stage) -> None:
    """It was stored and forgotten: the other one goes, whole, and holds from then on."""
    job = registered(stage)
    restore = copy(stage)
    jobs.prepare(stage.parts, job.job_id)
    restore()
    stage.runner.lengths_s = OTHERWISE[0]
    stage.pacer.waits = [0.0, 30.0]
    deliver(stage, job)
    restore()
    again = settle(stage, job)
    assert (again.state, len(stage.linq.posts)) == (State.SENT, 3)
    assert [span.duration_s for span in again.spans] == list(OTHERWISE[0])


def test_an_old_division_is_not_gone_on_with(stage: Stage) -> None:
    """The copy knows a division; it was made anew since, and the first part of the new one went."""
    job = split(stage)
    restore = copy(stage)
    they_opted_out(stage.parts, CHAT, stage.clock.at)
    end_waiting(stage.parts, CHAT)
    stage.ledger.note_chat(CHAT, heard_at=stage.clock.at + 1)
    stage.runner.lengths_s = OTHERWISE[0]
    stage.pacer.waits = [0.0, 30.0]
    deliver(stage, decisions.retry(stage.parts, stage.ledger.get(job.job_id)))
    assert len(stage.linq.posts) == 1
    restore()
    again = settle(stage, job)
    assert [(part.state, part.code) for part in parts_of(stage, again)] == [
        (State.SENT, "receipt"),
        (State.FAILED, "parts-differ"),
        (State.FAILED, "part-missing"),
    ]
    assert (again.state, again.code, len(stage.linq.posts)) == (State.FAILED, "parts-differ", 1)


def test_a_split_of_an_earlier_version_goes_on(stage: Stage) -> None:
    """Its intent says only how many parts there are."""
    job, restore = first_part_sent(stage)
    for place, intent in stage.journal.intents.items():
        stage.journal.intents[place] = replace(intent, spans=())
    restore()
    assert settle(stage, job).state is State.SENT
    assert states(stage, job) == [State.SENT] * 3
