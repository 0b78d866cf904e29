"""Work on many recordings at once, each in a process of its own, the results in the order of the items.

Processes and not threads: what one of them has begun ends with it, wherever it is, when the command is told to stop.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pipeline.errors import JobFailed, MemolineError
from workers.cli.crash import crashed

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item, Callable[[float], None]], Result]
"""What is done with one item; it tells the share that is done, 0 to 1, and raises MemolineError."""

TICK_S = 0.1
ENDS_WITHIN_S = 10.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def results(
    work: Work[Item, Result], items: Sequence[Item], jobs: int, on_share: Callable[[int, float], None]
) -> Generator[Result | MemolineError, None, None]:
    """The result of each item, or its error, in order; later ones are worked on meanwhile. on_share: told the number of
    an item and its share, also when nothing is new (then with the last one), at least every 0.1 s with jobs > 1."""
    if min(jobs, len(items)) <= 1:
        for number, item in enumerate(items):
            on_share(number, 0.0)
            yield _done(work, item, lambda share, number=number: on_share(number, share))  # type: ignore[misc]
        return
    crew = _Crew(work, items, on_share)
    try:
        yield from crew.run(min(jobs, len(items)))
    finally:
        crew.end()


def _done(work: Work[Item, Result], item: Item, tell: Callable[[float], None]) -> Result | MemolineError:
    try:
        return work(item, tell)
    except MemolineError as error:
        return error
    except BrokenPipeError:
        raise
    except Exception:
        return crashed()


@dataclass(slots=True)
class _Hand:
    """One process, and the number of the item that it has in work."""

    process: ForkProcess
    pipe: Connection[Any, Any]
    number: int | None = None


class _Crew(Generic[Item, Result]):
    """Hands out items, takes in shares and results."""

    def __init__(self, work: Work[Item, Result], items: Sequence[Item], on_share: Callable[[int, float], None]) -> None:
        self._work, self._items, self._on_share = work, items, on_share
        self._hands: list[_Hand] = []
        self._results: dict[int, Result | MemolineError] = {}
        self._shares: dict[int, float] = {}
        self._next = 0

    def run(self, jobs: int) -> Iterator[Result | MemolineError]:
        from multiprocessing.connection import wait

        sys.stdout.flush()
        sys.stderr.flush()
        self._hands = [self._hire() for _ in range(jobs)]
        for wanted in range(len(self._items)):
            while wanted not in self._results:
                for hand in self._hands:
                    self._give(hand)
                ready = wait([hand.pipe for hand in self._hands if hand.number is not None], TICK_S)
                for hand in list(self._hands):
                    if hand.pipe in ready:
                        self._take(hand)
                for number, share in self._shares.items():
                    self._on_share(number, share)
            yield self._results.pop(wanted)

    def end(self) -> None:
        """End all hands: those at work clean up behind themselves first."""
        for hand in self._hands:
            hand.pipe.close()
            hand.process.terminate()
        ends_s = time.monotonic() + ENDS_WITHIN_S
        for hand in self._hands:
            hand.process.join(max(0.0, ends_s - time.monotonic()))
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()

    def _hire(self) -> _Hand:
        from multiprocessing import get_context

        context = get_context("fork")
        mine, its = context.Pipe()
        # A pipe ends when its last holder does, so no hand may keep ours.
        ours = [mine, *(hand.pipe for hand in self._hands)]
        process = context.Process(target=_serve, args=(self._work, its, ours), daemon=True)
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # until the hand has its own answers to them
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        its.close()
        return _Hand(process=process, pipe=mine)

    def _give(self, hand: _Hand) -> None:
        if hand.number is None and self._next < len(self._items):
            hand.number = self._next
            self._shares[hand.number] = 0.0
            hand.pipe.send(self._items[hand.number])
            self._next += 1

    def _take(self, hand: _Hand) -> None:
        number = hand.number
        if number is None:
            return
        try:
            done, value = hand.pipe.recv()
        except (EOFError, ConnectionError):
            self._replace(hand)
            text = "The process that worked on it was ended by somebody else, or for want of memory: try it again."
            done, value = True, JobFailed("worker-ended", text)
        if done:
            self._results[number], hand.number = value, None
            del self._shares[number]
        else:
            self._shares[number] = value

    def _replace(self, hand: _Hand) -> None:
        hand.pipe.close()
        hand.process.join()
        self._hands.remove(hand)
        self._hands.append(self._hire())


def _serve(work: Work[Item, Result], pipe: Connection[Any, Any], ours: Sequence[Connection[Any, Any]]) -> None:
    """One hand's life: until the pipe ends. Ctrl-C and a closed terminal go to all of its processes, and the crew ends
    its hands itself."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    for other in ours:
        other.close()
    try:
        while True:
            pipe.send((True, _done(work, pipe.recv(), lambda share: pipe.send((False, share)))))
    except (EOFError, ConnectionError):
        return


def _stop(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)
