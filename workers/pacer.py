"""Pacing shared by all workers: a moving window in Redis."""

from __future__ import annotations

import time
from collections.abc import Mapping

import redis
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from pipeline.errors import PartUnreachable
from pipeline.model import Lane
from pipeline.sending.pacing import MESSAGES_A_MINUTE, for_backfills
from workers.app import KEY_PREFIX


class RedisPacer:
    """`pipeline.ports.Pacer` on the broker's Redis; connects when first asked. line_daily_limit: messages from one line
    in any 24 h; None for no limit."""

    def __init__(self, url: str | None, line_daily_limit: int | None = None) -> None:
        self._url = url
        self._window: MovingWindowRateLimiter | None = None
        self._of_chat = _shared_and_backfills(RateLimitItemPerMinute, MESSAGES_A_MINUTE, "pace")
        day, most = RateLimitItemPerDay, line_daily_limit
        self._of_line = _shared_and_backfills(day, most, "pace-line") if most else {"live": (), "backfill": ()}

    def take(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        """Take a place in the chat's window, and in the line's: 0, or the seconds until one is free. Raises
        PartUnreachable."""
        places = [(limit, chat_id) for limit in self._of_chat[lane]]
        places += [(limit, line) for limit in self._of_line[lane] if line]
        try:
            limiter = self._connected()
            # All are asked first, so that no place of one is taken for nothing.
            for taking in (limiter.test, limiter.hit) if len(places) > 1 else (limiter.hit,):
                for limit, who in places:
                    if not taking(limit, who):
                        return _wait_s(limiter, limit, who)
            return 0.0
        except (redis.RedisError, OSError) as error:
            text = f"Redis does not answer ({type(error).__name__}): nothing is sent without its pacing."
            raise PartUnreachable("redis-unreachable", text) from error

    def _connected(self) -> MovingWindowRateLimiter:
        if self._url is None:
            raise PartUnreachable("redis-unreachable", "No broker is set: nothing is sent without its pacing.")
        if self._window is None:
            storage = RedisStorage(
                self._url, key_prefix=KEY_PREFIX.removesuffix(":"), socket_timeout=5, socket_connect_timeout=3
            )
            self._window = MovingWindowRateLimiter(storage)
        return self._window


def _shared_and_backfills(kind: type[RateLimitItem], limit: int, name: str) -> Mapping[Lane, tuple[RateLimitItem, ...]]:
    """What each lane has to keep: a limit for both, and a smaller one for backfills."""
    shared = kind(limit, namespace=name)
    return {"live": (shared,), "backfill": (kind(for_backfills(limit), namespace=f"{name}-backfill"), shared)}


def _wait_s(limiter: MovingWindowRateLimiter, limit: RateLimitItem, who: str) -> float:
    return max(limiter.get_window_stats(limit, who).reset_time - time.time(), 0.0) + 0.05
