"""A small run of `make bench-bucket`: bad events, and a watcher that is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.bucket import under_fire


@pytest.mark.slow
def test_nothing_is_lost_or_sent_twice(tmp_path: Path) -> None:
    """40 recordings, events lost, doubled and shuffled, three times kill -9."""
    figures = under_fire(tmp_path, objects=40, chats=10, kills=3, seed=7)
    assert (figures["lost"], figures["twice"]) == (0, 0)
    assert {figures[name] for name in ("objects", "jobs", "delivered", "memos in the chats")} == {40}
    assert figures["results that say DELIVERED"] == 40
