"""A small run of `make chaos`: see there for a large one."""

from __future__ import annotations

import pytest

from tests.chaos.storm import Size, run, table, to_stderr
from tests.chaos.systems import Memoline


@pytest.mark.slow
def test_jobs_under_fire_arrive_once_or_say_truly_why_not() -> None:
    """Faults of a dozen kinds while orders come in: nothing lost, doubled, untrue, overtaken or held without need."""
    size = Size(jobs=40, faults=12, seed=2, chats=5, fault_every_s=2.0, settle_s=240)
    verdict = run(Memoline, size, to_stderr)
    assert verdict.accepted == size.jobs
    assert verdict.settled_after_s is not None, verdict
    assert verdict.kept, f"{table([verdict])}\n{verdict}"
