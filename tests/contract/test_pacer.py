"""Pacing on a real Redis: one window for all workers, and a line's own limit."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from limits import RateLimitItemPerDay, RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from pipeline.errors import PartUnreachable
from pipeline.sending.pacing import MESSAGES_A_MINUTE, WINDOW_S
from tests.support.local_stack import running_stack
from workers.pacer import RedisPacer


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Redis."""
    with running_stack(tmp_path_factory.mktemp("pacer") / "home", "broker") as running:
        yield running.need("broker_url")


def test_thirty_messages_a_minute_go_to_a_chat_from_all_workers_together(broker: str) -> None:
    """A moving window: a burst is let through, and then a place is free only when its oldest is a minute old."""
    chat_id = str(uuid.uuid4())
    with ThreadPoolExecutor(8) as workers:
        waits = list(workers.map(lambda _: RedisPacer(broker).take(chat_id), range(40)))
    assert waits.count(0.0) == MESSAGES_A_MINUTE
    assert all(0 < wait <= WINDOW_S + 0.1 for wait in waits if wait)
    assert RedisPacer(broker).take(str(uuid.uuid4())) == 0.0, "another chat does not wait"


def test_a_line_has_a_limit_of_its_own(broker: str) -> None:
    """In any 24 hours, over its chats. What it refuses takes no place of the chat, and other lines do not wait."""
    line, pacer = f"+1{uuid.uuid4().int % 10**10}", RedisPacer(broker, line_daily_limit=3)
    chats = [str(uuid.uuid4()) for _ in range(4)]
    waits = [pacer.take(chat_id, line) for chat_id in chats]
    assert waits[:3] == [0.0] * 3 and 86_000 < waits[3] <= 86_401
    assert pacer.take(chats[3], "+19995550100") == pacer.take(chats[3], None) == 0.0
    taken = [RedisPacer(broker).take(chats[3]) for _ in range(MESSAGES_A_MINUTE)]
    assert taken.count(0.0) == MESSAGES_A_MINUTE - 2


@pytest.mark.parametrize("ahead_s", [WINDOW_S + 60.0, -3_600.0])
def test_hosts_whose_clocks_differ_share_one_window(
    broker: str, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    """Thirty together, whatever a host takes the time for; and its wait is one of seconds, not until a time."""
    chat_id, right = str(uuid.uuid4()), time.time
    waits = []
    for number in range(MESSAGES_A_MINUTE + 10):
        monkeypatch.setattr("time.time", right if number % 2 else lambda: right() + ahead_s)
        waits.append(RedisPacer(broker).take(chat_id))
    assert waits[:MESSAGES_A_MINUTE] == [0.0] * MESSAGES_A_MINUTE
    assert all(WINDOW_S - 30 < wait <= WINDOW_S + 0.1 for wait in waits[MESSAGES_A_MINUTE:]), waits
    assert WINDOW_S - 30 < RedisPacer(broker).wait_s(chat_id) <= WINDOW_S + 0.1


def test_places_that_the_version_before_took_count(broker: str) -> None:
    """While one version replaces the other, both keep to the same window, and a day's budget is not forgotten."""
    chat_id, line = str(uuid.uuid4()), f"+1{uuid.uuid4().int % 10**10}"
    before = MovingWindowRateLimiter(RedisStorage(broker, key_prefix="memoline"))
    budget, pace = RateLimitItemPerDay(10, namespace="pace-line"), RateLimitItemPerSecond(30, 61, namespace="pace")
    assert all(before.hit(budget, line) and before.hit(pace, chat_id) for _ in range(9))
    pacer = RedisPacer(broker, line_daily_limit=10)
    assert pacer.take(chat_id, line) == 0.0 and pacer.take(chat_id, line) > 86_000
    assert not before.hit(budget, line)
    assert [pacer.take(chat_id) for _ in range(21)].count(0.0) == MESSAGES_A_MINUTE - 10


def test_a_clock_of_redis_that_goes_back_keeps_nobody_waiting_for_it(broker: str) -> None:
    """As when another node takes over: the places that were taken count as if the last was taken just now."""
    chat_id = str(uuid.uuid4())
    client = redis.Redis.from_url(broker)
    now = float(client.time()[0])  # type: ignore[index]
    client.lpush(f"memoline:pace/{chat_id}/30/61/second", *(now + 3_600 + n for n in range(MESSAGES_A_MINUTE)))
    wait_s = RedisPacer(broker).take(chat_id)
    assert WINDOW_S - MESSAGES_A_MINUTE - 2 < wait_s <= WINDOW_S - MESSAGES_A_MINUTE + 3
    client.close()


def test_without_redis_there_is_no_pace() -> None:
    """And so nothing is sent."""
    for url in (None, "redis://127.0.0.1:9/0"):
        with pytest.raises(PartUnreachable) as caught:
            RedisPacer(url).take("x")
        assert caught.value.code == "redis-unreachable"


def test_a_backfill_leaves_places_to_live_memos(broker: str) -> None:
    """In each chat, and in the line's budget: a live memo goes at once, though a backfill used all that is its."""
    chat_id, line = str(uuid.uuid4()), f"+1{uuid.uuid4().int % 10**10}"
    pacer = RedisPacer(broker, line_daily_limit=40)
    waits = [pacer.take(chat_id, line, lane="backfill") for _ in range(28)]
    assert waits.count(0.0) == 27 and 0 < waits[-1] <= WINDOW_S + 0.1
    assert [pacer.take(chat_id, line) for _ in range(3)] == [0.0] * 3
    assert pacer.take(chat_id, line) > 0
    others = [pacer.take(str(uuid.uuid4()), line, lane="backfill") for _ in range(10)]
    assert others.count(0.0) == 9 and others[-1] > 86_000
    assert pacer.take(str(uuid.uuid4()), line) == 0.0
