"""Many processes in one: greenlets under a simulated clock, which may freeze or die wherever they touch the world.

Every effect of the code under test is a call of a port, and every port calls `pause` before and after the effect. There
the next task is taken from a heap by its time, so that who overtakes whom is decided by the seed alone. A killed
process gets `Died` at its next `pause`: no `except Exception` catches it, and no `finally` block can touch the world
any more."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet

TRACE = 40


class Died(BaseException):
    """The process of this task was killed."""


class SimulationEnded(BaseException):
    """The run is over: whatever still runs ends here."""


@dataclass(eq=False)
class Process:
    """Something that can die or freeze as a whole. mortal: chance may kill and freeze it. life: +1 with every start."""

    name: str
    mortal: bool = True
    life: int = 0
    dead: bool = False
    doomed: bool = False
    frozen_until: float = 0.0
    tasks: list[Task] = field(default_factory=list)


@dataclass(eq=False)
class Task:
    """One thread of a process. ticket: its valid place in the heap."""

    process: Process
    name: str
    run: greenlet
    life: int
    ticket: int = 0


@dataclass(frozen=True, kw_only=True)
class Chances:
    """How likely it is, at each step of a mortal process, that it dies or freezes."""

    die: float = 0.0
    freeze: float = 0.0


class Scheduler:
    """Simulated time, and the tasks that wait for theirs. steps: how often a task went on."""

    def __init__(self, seed: int, started_at: float = 1_700_000_000.0) -> None:
        self.random = random.Random(seed)
        self.now_s = started_at
        self.steps = 0
        self.chances = Chances()
        self.trace: deque[str] = deque(maxlen=TRACE)
        self.on_death: Callable[[Process], None] = lambda _process: None
        self.on_freeze: Callable[[Process], None] = lambda _process: None
        self._waiting: list[tuple[float, int, Task]] = []
        self._number = 0
        self._hub = getcurrent()

    def now(self) -> float:
        """The port `Clock`."""
        return self.now_s

    # ---------------------------------------------------------------------------------------------- for the tasks

    @property
    def task(self) -> Task:
        """The task that runs."""
        task = getattr(getcurrent(), "task", None)
        assert isinstance(task, Task), "only a task may touch the world"
        return task

    def pause(self, what: str, wait_s: float | None = None) -> None:
        """Let others run, and go on after wait_s (as long as a call of a port takes, where nothing is said)."""
        task = self.task
        if _gone(task):
            raise Died
        if wait_s is None:
            wait_s = self.random.expovariate(1 / 0.01)
        self.trace.append(f"{self.now_s:.3f} {task.process.name}/{task.name} {what}")
        self._push(task, self.now_s + wait_s)
        self._hub.switch()
        if _gone(task):
            raise Died

    def note(self, what: str) -> None:
        """A line for the trace."""
        self.trace.append(f"{self.now_s:.3f} {what}")

    def wake(self, task: Task) -> None:
        """Let a task that waits go on now; one that is gone stays gone."""
        if not _gone(task) and not task.run.dead:
            self._push(task, self.now_s)

    def chance(self, probability: float) -> bool:
        """Whether something happens."""
        return self.random.random() < probability

    # ---------------------------------------------------------------------------------------------- for the world

    def spawn(self, process: Process, name: str, work: Callable[[], object], *, after_s: float = 0.0) -> Task:
        """Begin a task in a process."""

        def run() -> None:
            try:
                work()
            except (Died, SimulationEnded):
                pass
            finally:
                if task in process.tasks:
                    process.tasks.remove(task)

        task = Task(process=process, name=name, run=greenlet(run, parent=self._hub), life=process.life)
        task.run.task = task  # type: ignore[attr-defined]
        process.tasks.append(task)
        self._push(task, self.now_s + after_s)
        return task

    def kill(self, process: Process) -> None:
        """SIGKILL: no task of it touches the world again."""
        process.dead, process.doomed = True, False
        process.life += 1
        process.frozen_until = 0.0
        self.note(f"killed {process.name}")
        doomed, process.tasks = process.tasks, []
        for task in doomed:
            if task.run is not getcurrent() and task.run:
                task.run.parent = getcurrent()
                task.run.throw(Died)
        self.on_death(process)

    def freeze(self, process: Process, for_s: float) -> None:
        """SIGSTOP, and SIGCONT after for_s."""
        self.note(f"froze {process.name} for {for_s:.0f} s")
        process.frozen_until = self.now_s + for_s

    def run(self, *, until_s: float, done: Callable[[], bool]) -> bool:
        """Run until `done`, or until a time; True where it is done. The hub."""
        self._hub = getcurrent()
        while self._waiting:
            at, ticket, task = heapq.heappop(self._waiting)
            process = task.process
            if ticket != task.ticket or task.life != process.life or task.run.dead:
                continue
            if at > until_s:
                self._push(task, at)
                self.now_s = until_s
                return done()
            if process.frozen_until > at:
                self._push(task, process.frozen_until + self.random.random() * 0.01)
                continue
            self.now_s = max(self.now_s, at)
            self.steps += 1
            if process.mortal and self._fate(task):
                continue
            task.run.switch()
            if self.steps % 64 == 0 and done():
                return True
        return done()

    def close(self) -> None:
        """End every task, so that nothing of the run is left."""
        for _, _, task in self._waiting:
            task.process.dead = True
            if task.run:
                task.run.parent = getcurrent()
                task.run.throw(SimulationEnded)
        self._waiting.clear()

    def _fate(self, task: Task) -> bool:
        """Whether the task does not go on now, because its process dies or freezes at this very point."""
        dice = self.random.random()
        if task.process.doomed or dice < self.chances.die:
            self.kill(task.process)
            return True
        if dice < self.chances.die + self.chances.freeze:
            self.freeze(task.process, self.random.choice((1, 5, 20, 70, 150, 400)) * self.random.uniform(0.5, 1.5))
            self.on_freeze(task.process)
            self._push(task, task.process.frozen_until)
            return True
        return False

    def _push(self, task: Task, at: float) -> None:
        self._number += 1
        task.ticket = self._number
        heapq.heappush(self._waiting, (at, self._number, task))


def _gone(task: Task) -> bool:
    return task.process.dead or task.life != task.process.life
