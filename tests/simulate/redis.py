"""Redis, which nobody may rely on: hints that get lost, doubled and reordered, windows and locks that vanish."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.errors import PartUnreachable
from pipeline.model import Lane
from pipeline.sending.pacing import WINDOW_S
from tests.simulate.scheduler import Task
from tests.simulate.world import World


@dataclass
class Redis:
    """Queues, keys with an end, windows. Also what the real `Hints` takes for the Celery app and its connection."""

    world: World
    queues: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    keys: dict[str, float] = field(default_factory=dict)
    windows: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[str, list[Task]] = field(default_factory=lambda: defaultdict(list))

    def wipe(self) -> None:
        """FLUSHALL."""
        self.world.sim.note("Redis is wiped")
        for store in (self.queues, self.keys, self.windows):
            store.clear()  # type: ignore[attr-defined]

    def next_hint(self, *queues: str) -> str | None:
        """BRPOP: the next job id of the first queue that has one, or None after a while."""
        sim = self.world.sim
        if not any(self.queues[queue] for queue in queues):
            for queue in queues:
                self.idle[queue].append(sim.task)
            sim.pause("waits for a hint", sim.random.uniform(30, 300))
        hints = next((self.queues[queue] for queue in queues if self.queues[queue]), [])
        return hints.pop(sim.random.randrange(min(len(hints), 3))) if hints else None

    # ------------------------------------------------------------------------------- as the Celery app and its client

    def send_task(self, _name: str, args: list[str], queue: str) -> None:
        self._reached()
        weather = self.world.weather
        for _ in range(2 if self.world.sim.chance(weather.hint_doubled) else 1):
            if not self.world.sim.chance(weather.hint_lost):
                self.queues[queue].append(args[0])
        while self.idle[queue]:
            self.world.sim.wake(self.idle[queue].pop(0))

    @contextmanager
    def connection_or_acquire(self) -> Iterator[Redis]:
        yield self

    @property
    def default_channel(self) -> Redis:
        return self

    @property
    def client(self) -> Redis:
        return self

    def llen(self, queue: str) -> int:
        self._reached()
        return len(self.queues[queue])

    def set(self, name: str, _value: int, *, nx: bool, ex: int) -> bool:
        self._reached()
        now = self.world.sim.now()
        if nx and self.keys.get(name, 0) > now:
            return False
        self.keys[name] = now + ex
        return True

    def _reached(self) -> None:
        self.world.sim.pause("Redis")
        if self.world.sim.chance(self.world.weather.redis_away):
            raise OSError("simulated: no Redis")


class Pacer:
    """The port: a moving window, as the real one keeps it in Redis."""

    def __init__(self, redis: Redis, limit: int) -> None:
        self._redis, self._limit = redis, limit

    def wait_s(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        return self._ask(chat_id)

    def take(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        wait_s = self._ask(chat_id)
        if not wait_s:
            self._redis.windows[chat_id].append(self._redis.world.sim.now())
            self._redis.world.may_freeze()
            self._redis.world.sim.pause("has taken a place")
        return wait_s

    def _ask(self, chat_id: str) -> float:
        try:
            self._redis._reached()
        except OSError as error:
            raise PartUnreachable("redis-unreachable", str(error)) from None
        now = self._redis.world.sim.now()  # by its own clock, at the moment when it decides
        window = self._redis.windows[chat_id]
        window[:] = [at for at in window if at > now - WINDOW_S]
        return window[0] + WINDOW_S - now + 0.05 if len(window) >= self._limit else 0.0
