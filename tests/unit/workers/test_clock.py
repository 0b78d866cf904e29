"""The clock of a host: it follows a wall clock that is set forward, and never one that is set back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.clock import SteadyClock

HOUR_S = 3_600.0


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the wall clock so many seconds ahead."""
    real, ahead_s = time.time, [0.0]
    monkeypatch.setattr("workers.clock.time.time", lambda: real() + ahead_s[0])

    def set_ahead(seconds: float) -> None:
        ahead_s[0] = seconds

    return set_ahead


@pytest.mark.parametrize("shared", [True, False])
def test_it_never_steps_back(wall: Callable[[float], None], tmp_path: Path, shared: bool) -> None:
    """An hour forward is followed; back again, time goes on from where it was."""
    clock = SteadyClock(tmp_path / "run" if shared else None)
    began_s = clock.now()
    wall(HOUR_S)
    later_s = clock.now()
    assert HOUR_S <= later_s - began_s < HOUR_S + 60
    wall(0)
    assert 0 <= clock.now() - later_s < 60


def test_all_processes_of_a_host_agree(wall: Callable[[float], None], tmp_path: Path) -> None:
    """One saw the jump and another did not, or is started after it: none is ahead of the others."""
    saw, did_not = SteadyClock(tmp_path / "run"), SteadyClock(tmp_path / "run")
    wall(HOUR_S)
    ahead_s = saw.now()
    wall(0)
    assert 0 <= did_not.now() - ahead_s < 60
    code = "import sys; from pathlib import Path as P; from workers.clock import SteadyClock as C; "
    code += "print(C(P(sys.argv[1])).now())"
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, check=True)
    assert 0 <= float(told.stdout) - ahead_s < 60


def test_a_wrong_jump_does_not_outlive_the_last_process(wall: Callable[[float], None], tmp_path: Path) -> None:
    """Whoever starts when nobody else runs begins at the wall clock."""
    wall(HOUR_S)
    clock = SteadyClock(tmp_path / "run")
    clock.now()
    clock.close()
    wall(0)
    assert abs(SteadyClock(tmp_path / "run").now() - time.time()) < 60


def test_without_a_place_for_it_each_process_has_its_own(tmp_path: Path) -> None:
    """A home that is not there, or is a file: nothing is made, and the clock goes."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "no-home" / "run", tmp_path / "file" / "run"):
        assert abs(SteadyClock(folder).now() - time.time()) < 60
    assert not (tmp_path / "no-home").exists()
