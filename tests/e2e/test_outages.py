"""A part goes away while jobs are on their way: each is registered all the same, and arrives once when it is back."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import pytest
import redis

from tests.support.embedded import Embedded
from tests.support.recordings import make_ogg


def pid_of(embedded: Embedded, part: str) -> int:
    """The main process of a part."""
    return next(int(row["pid"]) for row in embedded.run("status").row["parts"] if row["name"] == part)


@pytest.mark.parametrize("part", ["broker", "s3", "cdn", "linq", "audio", "send", "sweep"])
def test_a_killed_part_costs_time_and_nothing_else(embedded: Embedded, tmp_path: Path, part: str) -> None:
    """kill -9 right after one job was handed in and right before another: both arrive, each once. Only where the kill
    hits between the commit of SENDING and the POST's answer may a person have to look."""
    chat_id = str(uuid.uuid4())
    first = embedded.run("send", str(make_ogg(tmp_path / "a.ogg")), "--chat", chat_id)
    os.kill(pid_of(embedded, part), signal.SIGKILL)
    second = embedded.run("send", str(make_ogg(tmp_path / "b.ogg", duration_s=4)), "--chat", chat_id)
    assert (first.status, second.status) == (0, 0)
    rows = [embedded.ended(ran.row["job_id"]) for ran in (first, second)]
    delivered = [row for row in rows if row["state"] == "DELIVERED"]
    assert len(embedded.memos(chat_id)) == len(delivered)
    assert rows[1] in delivered
    assert rows[0] in delivered or (part in ("send", "linq") and rows[0]["code"] == "outcome-unknown")


def test_all_of_redis_may_be_lost(embedded: Embedded, tmp_path: Path) -> None:
    """Every hint is gone: the sweeper finds the jobs in the ledger."""
    chat_id = str(uuid.uuid4())
    recording = make_ogg(tmp_path / "a.ogg")
    jobs = [embedded.run("send", str(recording), "--chat", chat_id).row["job_id"] for _ in range(3)]
    with redis.Redis.from_url(embedded.env["MEMOLINE_BROKER_URL"]) as client:
        client.flushall()
    assert {embedded.ended(job_id)["state"] for job_id in jobs} == {"DELIVERED"}
    assert len(embedded.memos(chat_id)) == 3
