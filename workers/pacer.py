"""Pacing shared by all workers: moving windows in Redis, by the clock of Redis, since those of hosts differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, Literal

import redis
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerSecond
from redis.commands.core import Script

from pipeline.errors import PartUnreachable
from pipeline.model import Lane
from pipeline.sending.pacing import MESSAGES_A_MINUTE, WINDOW_S, for_backfills
from workers.app import KEY_PREFIX

_WINDOWS: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local wait_s = 0
for i, window in ipairs(KEYS) do
    local most, lasts_s = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
    local last = tonumber(redis.call('LINDEX', window, 0) or 0)
    if last > now then  -- the clock went back: the last place is as if it were taken now
        local places = redis.call('LRANGE', window, 0, -1)
        redis.call('DEL', window)
        for _, place in ipairs(places) do
            redis.call('RPUSH', window, string.format('%.6f', place - last + now))
        end
        redis.call('EXPIRE', window, lasts_s)
    end
    local oldest = redis.call('LINDEX', window, most - 1)
    if oldest and oldest + lasts_s >= now then
        wait_s = math.max(wait_s, oldest + lasts_s - now + 0.05)
    end
end
if wait_s == 0 and ARGV[1] == 'take' then
    for i, window in ipairs(KEYS) do
        redis.call('LPUSH', window, string.format('%.6f', now))
        redis.call('LTRIM', window, 0, ARGV[2 * i] - 1)
        redis.call('EXPIRE', window, ARGV[2 * i + 1])
    end
end
return string.format('%.6f', wait_s)
"""
"""Each window lists when its places were taken, the newest first. No place of one is taken where another one refuses.
Called with `ask` or `take`, and for each window how many places it has and for how many seconds. Returns the longest
wait. Their names and form are those of `limits`."""


class RedisPacer:
    """`pipeline.ports.Pacer` on the broker's Redis; connects when first asked. line_daily_limit: messages from one line
    in any 24 h; None for no limit."""

    def __init__(self, url: str | None, line_daily_limit: int | None = None) -> None:
        self._url = url
        self._script: Script | None = None
        self._of_chat = _shared_and_backfills(
            partial(RateLimitItemPerSecond, multiples=WINDOW_S), MESSAGES_A_MINUTE, "pace"
        )
        day, most = RateLimitItemPerDay, line_daily_limit
        self._of_line = _shared_and_backfills(day, most, "pace-line") if most else {"live": (), "backfill": ()}

    def wait_s(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        """Seconds until there is a place in the chat's window, and in the line's; 0 where there is one. Raises
        PartUnreachable."""
        return self._asked("ask", self._places(chat_id, line, lane))

    def take(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        """Take a place in the chat's window, and in the line's: 0, or the seconds until one is free. Raises
        PartUnreachable."""
        return self._asked("take", self._places(chat_id, line, lane))

    def _places(self, chat_id: str, line: str | None, lane: Lane) -> list[tuple[RateLimitItem, str]]:
        of_chat = [(limit, chat_id) for limit in self._of_chat[lane]]
        return of_chat + [(limit, line) for limit in self._of_line[lane] if line]

    def _asked(self, what: Literal["ask", "take"], places: Sequence[tuple[RateLimitItem, str]]) -> float:
        keys = [KEY_PREFIX + limit.key_for(who) for limit, who in places]
        limits = [number for limit, _ in places for number in (limit.amount, limit.get_expiry())]
        with _reached():
            return float(self._connected()(keys=keys, args=[what, *limits]))

    def _connected(self) -> Script:
        if self._url is None:
            raise PartUnreachable("redis-unreachable", "No broker is set: nothing is sent without its pacing.")
        if self._script is None:
            client = redis.Redis.from_url(self._url, socket_timeout=5, socket_connect_timeout=3)
            self._script = client.register_script(_WINDOWS)
        return self._script


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
