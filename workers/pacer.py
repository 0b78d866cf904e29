"""Pacing shared by all workers: a moving window in Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal

import redis
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from pipeline.errors import PartUnreachable
from pipeline.model import Lane
from pipeline.sending.pacing import MESSAGES_A_MINUTE, WINDOW_S, for_backfills
from workers.app import KEY_PREFIX


class RedisPacer:
    """`pipeline.ports.Pacer` on the broker's Redis; connects when first asked. line_daily_limit: messages from one line
    in any 24 h; None for no limit."""

    def __init__(self, url: str | None, line_daily_limit: int | None = None) -> None:
        self._url = url
        self._window: MovingWindowRateLimiter | None = None
        self._of_chat = _shared_and_backfills(
            partial(RateLimitItemPerSecond, multiples=WINDOW_S), MESSAGES_A_MINUTE, "pace"
        )
        day, most = RateLimitItemPerDay, line_daily_limit
        self._of_line = _shared_and_backfills(day, most, "pace-line") if most else {"live": (), "backfill": ()}

    def wait_s(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        """Seconds until there is a place in the chat's window, and in the line's; 0 where there is one. Raises
        PartUnreachable."""
        with _reached():
            return self._refused_s("test", self._places(chat_id, line, lane))

    def take(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        """Take a place in the chat's window, and in the line's: 0, or the seconds until one is free. Raises
        PartUnreachable."""
        places = self._places(chat_id, line, lane)
        with _reached():
            # All are asked first, so that no place of one is taken for nothing.
            return (self._refused_s("test", places) if len(places) > 1 else 0.0) or self._refused_s("hit", places)

    def _places(self, chat_id: str, line: str | None, lane: Lane) -> list[tuple[RateLimitItem, str]]:
        of_chat = [(limit, chat_id) for limit in self._of_chat[lane]]
        return of_chat + [(limit, line) for limit in self._of_line[lane] if line]

    def _refused_s(self, ask: Literal["test", "hit"], places: Sequence[tuple[RateLimitItem, str]]) -> float:
        """How long the first limit that refuses has to be waited for; 0 where none does."""
        limiter = self._connected()
        for limit, who in places:
            if not getattr(limiter, ask)(limit, who):
                return max(limiter.get_window_stats(limit, who).reset_time - time.time(), 0.0) + 0.05
        return 0.0

    def _connected(self) -> MovingWindowRateLimiter:
        if self._url is None:
            raise PartUnreachable("redis-unreachable", "No broker is set: nothing is sent without its pacing.")
        if self._window is None:
            storage = RedisStorage(
                self._url, key_prefix=KEY_PREFIX.removesuffix(":"), socket_timeout=5, socket_connect_timeout=3
            )
            self._window = MovingWindowRateLimiter(storage)
        return self._window


def _shared_and_backfills(
    kind: Callable[..., RateLimitItem], limit: int, name: str
) -> Mapping[Lane, tuple[RateLimitItem, ...]]:
    """What each lane has to keep: a limit for both, and a smaller one for backfills."""
    shared = kind(limit, namespace=name)
    return {"live": (shared,), "backfill": (kind(for_backfills(limit), namespace=f"{name}-backfill"), shared)}


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        text = f"Redis does not answer ({type(error).__name__}): nothing is sent without its pacing."
        raise PartUnreachable("redis-unreachable", text) from error
