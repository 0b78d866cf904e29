"""Pacing shared by all workers: a moving window in Redis."""

from __future__ import annotations

import time

import redis
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from pipeline.errors import PartUnreachable
from workers.app import KEY_PREFIX

MESSAGES_A_MINUTE = 30
"""Linq's limit for one chat, in any 60 s. A token bucket of that rate would grant 59 in the first minute."""


class RedisPacer:
    """`pipeline.ports.Pacer` on the broker's Redis; connects when first asked."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._window: MovingWindowRateLimiter | None = None
        self._limit = RateLimitItemPerMinute(MESSAGES_A_MINUTE, namespace="pace")

    def take(self, chat_id: str) -> float:
        """Take a place in the chat's window: 0, or the seconds until one is free. Raises PartUnreachable."""
        try:
            limiter = self._connected()
            if limiter.hit(self._limit, chat_id):
                return 0.0
            return max(limiter.get_window_stats(self._limit, chat_id).reset_time - time.time(), 0.0) + 0.05
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
