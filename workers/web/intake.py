"""Reports on their way into the ledger: kept in groups, one commit a group, before anybody is answered.

A commit waits for the disk, so one for each webhook would bound their rate; while it waits, the next group gathers."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipeline.errors import JobFailed, MemolineError, PartUnreachable
from pipeline.messages import StatusReport
from workers.web.turns import Turns

MOST_WAITING = 2_000
"""More than are committed in two seconds: beyond that the sender is told to come again, which Linq does."""
GROUP = 500
ANSWER_WITHIN_S = 8.0
"""Linq waits 10 s for an answer."""
_JOIN_S = 15

Keep = Callable[[Sequence[StatusReport]], object]


@dataclass(frozen=True, slots=True)
class _Waiting:
    report: StatusReport
    answer: asyncio.Future[None]


class Intake:
    """A queue with a bound and the one thread that empties it. keep: commits a group; raises MemolineError where it was
    not kept. kept: called after each commit. turns: shared with the settler."""

    def __init__(self, keep: Keep, kept: Callable[[], None], turns: Turns) -> None:
        self._keep, self._kept, self._turns = keep, kept, turns
        self._queue: deque[_Waiting] = deque()
        self._news = threading.Condition()
        self._closing = False
        self.name = "intake"
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it works, or was told to end."""
        return self._closing or self._thread.is_alive()

    def close(self) -> None:
        """Commit what is there, then end."""
        with self._news:
            self._closing = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    async def keep(self, report: StatusReport) -> None:
        """Return once the report is on disk. Raises PartUnreachable where that is not so, or not in time: it may be
        kept all the same then, and when it comes again it is known."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._news:
            if len(self._queue) >= MOST_WAITING or self._closing:
                raise PartUnreachable("too-many-webhooks", "More webhooks came than can be kept now: repeat this one.")
            self._queue.append(_Waiting(report, answer))
            self._news.notify()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await answer
        except TimeoutError:
            text = f"The ledger did not keep it within {ANSWER_WITHIN_S:g} s: repeat this webhook."
            raise PartUnreachable("ledger-unreachable", text) from None

    def _run(self) -> None:
        while group := self._next_group():
            error: MemolineError | None = None
            try:
                with self._turns.hurried(len(group)):
                    self._keep([one.report for one in group])
            except MemolineError as caught:
                error = caught
            except Exception as caught:  # a mistake of ours must not end the thread: the sender repeats the event
                error = JobFailed("internal", f"{type(caught).__name__}: {caught}")
            _answer(group, error)
            if error is None:
                self._kept()

    def _next_group(self) -> list[_Waiting]:
        """What is there, at least one; nothing when all is done and closed."""
        with self._news:
            while not self._queue and not self._closing:
                self._news.wait()
            return [self._queue.popleft() for _ in range(min(GROUP, len(self._queue)))]


def _answer(group: Sequence[_Waiting], error: MemolineError | None) -> None:
    with suppress(RuntimeError):  # the event loop is gone: nobody waits for an answer any more
        group[0].answer.get_loop().call_soon_threadsafe(_set, group, error)


def _set(group: Sequence[_Waiting], error: MemolineError | None) -> None:
    for one in group:
        if one.answer.done():
            continue
        if error is None:
            one.answer.set_result(None)
        else:
            one.answer.set_exception(error)
