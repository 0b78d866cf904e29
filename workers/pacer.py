"""Pacing shared by all workers: a moving window in Redis."""

from __future__ import annotations

import time

import redis
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from pipeline.errors import PartUnreachable
from workers.app import KEY_PREFIX

MESSAGES_A_MINUTE = 30
"""Linq's limit for one chat, in any 60 s. A token bucket of that rate would grant 59 in the first minute."""


class RedisPacer:
    """`pipeline.ports.Pacer` on the broker's Redis; connects when first asked. line_daily_limit: messages from one line
    in any 24 h; None for no limit."""

    def __init__(self, url: str | None, line_daily_limit: int | None = None) -> None:
        self._url = url
        self._window: MovingWindowRateLimiter | None = None
        self._of_chat = RateLimitItemPerMinute(MESSAGES_A_MINUTE, namespace="pace")
        self._of_line = RateLimitItemPerDay(line_daily_limit, namespace="pace-line") if line_daily_limit else None

    def take(self, chat_id: str, line: str | None = None) -> float:
        """Take a place in the chat's window, and in the line's: 0, or the seconds until one is free. Raises
        PartUnreachable."""
        try:
            limiter = self._connected()
            if self._of_line and line and not limiter.test(self._of_line, line):
                return _wait_s(limiter, self._of_line, line)  # first, so that no place of the chat is taken for nothing
            if not limiter.hit(self._of_chat, chat_id):
                return _wait_s(limiter, self._of_chat, chat_id)
            if self._of_line and line and not limiter.hit(self._of_line, line):
                return _wait_s(limiter, self._of_line, line)
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


def _wait_s(limiter: MovingWindowRateLimiter, limit: RateLimitItem, who: str) -> float:
    return max(limiter.get_window_stats(limit, who).reset_time - time.time(), 0.0) + 0.05
