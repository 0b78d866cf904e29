"""Where the real code meets the simulated world: threads, timers, sleeps and HTTP clients are the scheduler's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import httpx

from pipeline import jobs, lease
from pipeline.model import Job
from pipeline.ports import Parts
from pipeline.sending import messenger, once
from tests.simulate.cast import Cast
from tests.simulate.linq import Transport
from tests.simulate.scheduler import Scheduler
from workers import tasks


@contextmanager
def simulated(cast: Cast) -> Iterator[None]:
    """The few places where the code under test looks at the clock, a thread or the network by itself."""

    @contextmanager
    def kept(parts: Parts, job: Job) -> Iterator[None]:
        done = Event(cast.sim)
        cast.sim.spawn(cast.sim.task.process, "lease", lambda: lease._renew(parts, job, done))  # type: ignore[arg-type]
        try:
            yield
        finally:
            done.set()

    def make_client(_base_url: str) -> httpx.Client:
        return httpx.Client(transport=Transport(cast.linq), trust_env=False, event_hooks={"request": [once._watch]})

    with ExitStack() as stack:
        for target, name, value in (
            (jobs, "kept", kept),
            (once, "_now_s", cast.sim.now),
            (once.threading, "Timer", Timer),
            (messenger, "make_client", make_client),
            (tasks, "logger", _Silent),
        ):
            stack.enter_context(patch.object(target, name, value))
        stack.enter_context(patch("time.sleep", lambda s: cast.sim.pause("sleeps", s)))
        stack.enter_context(patch("workers.sweeper.logger", _Silent))
        stack.enter_context(patch("workers.hints.logger", _Silent))
        yield


class Event:
    """threading.Event for one task that waits."""

    def __init__(self, sim: Scheduler) -> None:
        self._sim, self._is_set = sim, False

    def set(self) -> None:
        self._is_set = True

    def wait(self, timeout_s: float) -> bool:
        self._sim.pause("keeps the lease", timeout_s)
        return self._is_set


class Timer:
    """The watchdog of a POST: the simulated transport keeps to the time by itself."""

    def __init__(self, *_: object) -> None:
        self.daemon = True

    def start(self) -> None:
        return

    def cancel(self) -> None:
        return


class _Silent:
    """A logger that says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self
