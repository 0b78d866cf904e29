"""How far a command is: bars on a terminal, nothing elsewhere. rich is read only when there is something to draw."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workers.cli.output import shown

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress, TaskID

PATIENCE_S = 0.5
"""What is done sooner needs no bar."""
REDRAW_S = 0.1
NAME_WIDTH = 32


class _Drawn:
    """What is drawn on the terminal, not sooner than is worth it, nor more often than can be seen."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._bars: Progress | None = None
        self._live: Live | None = None
        self._draw_at_s = time.monotonic() + PATIENCE_S

    @contextmanager
    def away(self) -> Iterator[None]:
        """Out of the way for lines that stay; drawn anew with the next change."""
        if self._live:
            self._live.stop()
            self._live = None
        yield

    def close(self) -> None:
        """Take it away for good."""
        self._wanted = False
        with self.away():
            pass

    def _is_time(self) -> bool:
        return self._wanted and time.monotonic() >= self._draw_at_s

    def _show(self, bars: Progress) -> None:
        self._draw_at_s = time.monotonic() + REDRAW_S
        if self._live is None:
            self._live = _live(bars)
        self._live.refresh()


class Bar(_Drawn):
    """One bar for the whole, and one for each recording in work. weights: what each counts in the whole, such as its
    size."""

    def __init__(self, names: Sequence[str], weights: Sequence[float], *, whole: str) -> None:
        super().__init__(wanted=sys.stderr.isatty())
        self._names, self._weights, self._whole = names, weights, whole
        self._total = sum(weights)
        self._done = 0.0
        self._shares: dict[int, float] = {}
        self._tasks: dict[int, TaskID] = {}

    def share(self, number: int, share: float) -> None:
        """A recording is in work, and so much of it is done."""
        if not self._wanted:
            return
        self._shares[number] = share
        if self._is_time():
            self._draw()

    def done(self, number: int) -> None:
        """A recording is done."""
        self._shares.pop(number, None)
        self._done += self._weights[number]

    def _draw(self) -> None:
        if self._bars is None:
            self._bars = _bars()
            if len(self._names) > 1:
                self._tasks[-1] = self._bars.add_task(self._whole, total=self._total)
        bars = self._bars
        for number in self._tasks.keys() - self._shares.keys() - {-1}:
            bars.remove_task(self._tasks.pop(number))
        for number, share in self._shares.items():
            if number not in self._tasks:
                self._tasks[number] = bars.add_task(_short(self._names[number]), total=None)
            # Until ffmpeg tells how far it is, the recording is being looked at.
            bars.update(self._tasks[number], total=1.0 if share else None, completed=share)
        if -1 in self._tasks:
            in_work = sum(share * self._weights[number] for number, share in self._shares.items())
            bars.update(self._tasks[-1], completed=self._done + in_work)
        self._show(bars)


class CountBar(_Drawn):
    """One bar for many things of the same kind. total: how many; None where nobody looks."""

    def __init__(self, whole: str, total: int | None) -> None:
        super().__init__(wanted=total is not None)
        self._whole, self._total, self._done = whole, total, 0

    @staticmethod
    def wanted() -> bool:
        """Whether somebody looks."""
        return sys.stderr.isatty()

    def done(self) -> None:
        """One more."""
        self._done += 1
        self.draw()

    def draw(self) -> None:
        """Draw it, if it is time."""
        if not self._is_time():
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.add_task(self._whole, total=self._total)
        self._bars.update(self._bars.task_ids[0], completed=self._done)
        self._show(self._bars)


def _bars() -> Progress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    name = TextColumn("{task.description}", markup=False)
    return Progress(name, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), auto_refresh=False)


def _live(bars: Progress) -> Live:
    """A place on the terminal; one that was taken away does not know any more where it stood."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    live = Live(
        bars, console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
    )  # fmt: skip
    live.start()
    return live


def _short(name: str) -> str:
    name = shown(name)
    return name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"
