"""Pacing on a real Redis: one window for all workers, and a line's own limit."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

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
