"""What the sweeper removes: copies without a job, after a day, and folders of dead attempts; never what a job needs."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import jobs
from pipeline.hosting.spool import LocalSpool
from pipeline.model import State, StoredRecording
from pipeline.settings import Settings, load_settings
from tests.support.story import Stage, build_stage, request
from workers.sweeper import tidy_once
from workers.tidying import DAY_S, RETRY_WITHIN_S

Tidy = Callable[[], None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home on one host, without S3."""
    return load_settings({"MEMOLINE_HOME": str(tmp_path)}, tmp_path)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A ledger whose clock is the machine's."""
    stage = build_stage(tmp_path)
    stage.clock.at = time.time()
    return stage


def _copy(settings: Settings, *, age_s: float) -> StoredRecording:
    stored = LocalSpool(settings.home / "spool").put_stream(io.BytesIO(b"sound"), "a.ogg")
    _age(Path(stored.uri.removeprefix("file://")), age_s)
    return stored


def _age(path: Path, age_s: float) -> None:
    os.utime(path, (time.time() - age_s,) * 2)


def _is_there(stored: StoredRecording) -> bool:
    return Path(stored.uri.removeprefix("file://")).exists()


WAYS: dict[State, tuple[State, ...]] = {
    State.RECEIVED: (),
    State.HOSTED: (State.PREPARING, State.HOSTED),
    State.REJECTED: (State.PREPARING, State.REJECTED),
    State.FAILED: (State.PREPARING, State.FAILED),
    State.CANCELLED: (State.CANCELLED,),
    State.HELD: (State.PREPARING, State.HOSTED, State.SENDING, State.UNCONFIRMED, State.HELD),
    State.DELIVERED: (State.PREPARING, State.HOSTED, State.SENDING, State.SENT, State.DELIVERED),
}


@pytest.mark.parametrize(
    ("state", "later_s", "kept"),
    [
        *((state, 10 * RETRY_WITHIN_S, True) for state in (State.RECEIVED, State.HOSTED, State.HELD)),
        *((state, RETRY_WITHIN_S - DAY_S, True) for state in (State.REJECTED, State.FAILED, State.CANCELLED)),
        *((state, RETRY_WITHIN_S + DAY_S, False) for state in (State.REJECTED, State.FAILED, State.CANCELLED)),
        (State.DELIVERED, DAY_S + 60, False),
    ],
)
def test_a_copy_stays_as_long_as_its_job_may_need_it(
    settings: Settings, stage: Stage, state: State, later_s: float, kept: bool
) -> None:
    """While the job is open or waits for a person: for ever. Ended unsent: 30 days, for `retry`."""
    stored = _copy(settings, age_s=0)
    job = jobs.register(stage.parts, replace(request("one"), recording=stored))
    for step in WAYS[state]:
        job = stage.ledger.move(job, step, by="test")
    tidy_once(settings, stage.ledger, now=time.time() + later_s)
    assert _is_there(stored) == kept


def test_a_copy_without_a_job_goes_after_a_day(settings: Settings, stage: Stage) -> None:
    """The commit was lost; half a copy, too. A young one may belong to a job that is about to be registered."""
    orphan, young = _copy(settings, age_s=DAY_S + 60), _copy(settings, age_s=DAY_S - 60)
    half = settings.home / "spool" / "part-0123"
    half.write_bytes(b"so")
    _age(half, DAY_S + 60)
    tidy_once(settings, stage.ledger, now=time.time())
    assert not _is_there(orphan) and not half.exists()
    assert _is_there(young)


def test_folders_of_dead_attempts_go(settings: Settings, stage: Stage) -> None:
    """Those of a living attempt are hours old at most."""
    dead, living = (settings.home / "work" / name for name in ("job.1", "job.2"))
    for folder in (dead, living):
        folder.mkdir(parents=True)
        (folder / "recording").write_bytes(b"sound")
    _age(dead, DAY_S + 60)
    tidy_once(settings, stage.ledger, now=time.time())
    assert [folder.exists() for folder in (dead, living)] == [False, True]


def test_what_cannot_be_looked_at_or_removed_keeps_nothing_else(settings: Settings, stage: Stage) -> None:
    """A work folder that is gone when it is looked at, as a link to nowhere is, and a copy that no unlink removes."""
    work, folder = settings.home / "work", settings.home / "spool" / "a-folder"
    (work / "dead").mkdir(parents=True)
    (work / "gone").symlink_to(work / "nowhere")
    orphan = _copy(settings, age_s=DAY_S + 60)
    folder.mkdir()
    for path in (work / "dead", folder):
        _age(path, DAY_S + 60)
    tidy_once(settings, stage.ledger, now=time.time())
    assert not (work / "dead").exists()
    assert not _is_there(orphan) and folder.exists()
