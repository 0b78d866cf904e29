"""The clock of a process: it follows a wall clock that is set forward, and never one that is set back."""

from __future__ import annotations

import time

import pytest

from workers.clock import SteadyClock


def test_it_never_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour forward is followed; back again, time goes on from where it was."""
    offset_s = 0.0
    real = time.time
    monkeypatch.setattr("workers.clock.time.time", lambda: real() + offset_s)
    clock = SteadyClock()
    began_s = clock.now()
    offset_s = 3600
    later_s = clock.now()
    assert 3600 <= later_s - began_s < 3660
    offset_s = 0
    assert 0 <= clock.now() - later_s < 60
