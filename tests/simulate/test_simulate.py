"""A short run of the simulator, and what is planted into it: see `make simulate` for the long one."""

from __future__ import annotations

import pytest

from tests.simulate.auditor import Broken
from tests.simulate.mutants import CROWDED, MUTANTS, WORSE, planted
from tests.simulate.run import play

SEEDS = range(1, 5)
SEEDS_FOR_A_BUG = range(1, 41)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_job_ends_once_and_truly(seed: int) -> None:
    """Faults of many kinds, then none: at most one memo a job, no state untrue, nothing stuck, order kept."""
    report = play(seed)
    assert report.posts > 10
    assert sum(report.states.values()) >= 30


def test_the_same_seed_is_the_same_run() -> None:
    """A seed that is printed reproduces what it found."""
    assert play(7, jobs=12) == play(7, jobs=12)


@pytest.mark.slow
@pytest.mark.parametrize("bug", MUTANTS)
def test_a_planted_bug_is_found(bug: str) -> None:
    """The auditor is not blind: each bug breaks a promise within a few seeds."""
    for seed in SEEDS_FOR_A_BUG:
        try:
            with planted(bug):
                play(seed, worse=WORSE.get(bug), chats=1 if bug in CROWDED else 3)
        except Broken:
            return
    pytest.fail(f"{bug}: not found in {len(SEEDS_FOR_A_BUG)} runs")
