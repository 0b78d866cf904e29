"""A worker that is killed with SIGKILL at one named point of its work: `python -m tests.chaos.dying_worker KIND POINT`.

The real worker with its real parts; only a port is wrapped, so that the process dies right before or after a call. The
first worker that comes to the point dies and leaves a mark; those after it live."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.model import State
from pipeline.ports import Parts
from pipeline.settings import Settings, load_settings
from workers import wiring
from workers.worker import run_worker

POINTS: dict[str, tuple[str, str, str, str | None]] = {
    "before-claim": ("ledger", "move", "before", "PREPARING"),
    "after-claim": ("ledger", "move", "after", "PREPARING"),
    "after-fetch": ("store", "fetch", "after", None),
    "while-transcoding": ("runner", "prepare", "soon", None),
    "after-transcode": ("runner", "prepare", "after", None),
    "after-upload": ("store", "host", "after", None),
    "before-hosted": ("ledger", "move", "before", "HOSTED"),
    "after-hosted": ("ledger", "move", "after", "HOSTED"),
    "before-split": ("ledger", "split", "before", None),
    "after-split": ("ledger", "split", "after", None),
    "before-sending": ("ledger", "move", "before", "SENDING"),
    "after-sending": ("ledger", "move", "after", "SENDING"),
    "after-intent": ("journal", "begin", "after", None),
    "after-post": ("messenger", "send_once", "after", None),
    "before-sent": ("ledger", "move", "before", "SENT"),
    "after-sent": ("ledger", "move", "after", "SENT"),
    "after-receipt": ("journal", "end", "after", None),
}
"""Point → (port, method, before, after or soon, only for a move to this state)."""


class Dying:
    """A port that kills its process at one call of one method, and passes everything else on."""

    def __init__(self, port: object, method: str, when: str, state: str | None, die: Callable[[float], None]) -> None:
        self._port, self._method, self._when, self._state, self._die = port, method, when, state, die

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._port, name)
        return self._fatal(real) if name == self._method else real

    def _fatal(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            meant = self._state is None or State(self._state) in args
            if meant and self._when == "soon":
                self._die(0.15)
            if meant and self._when == "before":
                self._die(0)
            result = real(*args, **kwargs)
            if meant and self._when == "after":
                self._die(0)
            return result

        return call


def connect_to_die(point: str, mark: Path, worker_pid: int) -> Callable[[Settings, str], Parts]:
    """`wiring.connect` with the point's port wrapped. mark: made by the process that dies."""
    port, method, when, state = POINTS[point]

    def die(after_s: float) -> None:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return
        if after_s:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(worker_pid, signal.SIGKILL))
            signal.setitimer(signal.ITIMER_REAL, after_s)
            return
        os.kill(worker_pid, signal.SIGKILL)
        signal.pause()

    def connect(settings: Settings, by: str) -> Parts:
        parts = wiring.connect(settings, by)
        return replace(parts, **{port: Dying(getattr(parts, port), method, when, state, die)})

    return connect


if __name__ == "__main__":
    kind, chosen = sys.argv[1:3]
    settings = load_settings()
    mark = settings.home / f"died-{chosen}"
    run_worker(kind, settings, connect_to_die(chosen, mark, os.getpid()))  # type: ignore[arg-type]
