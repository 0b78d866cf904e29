"""`make bench-bucket`: recordings dropped into the inbox of a real stack, while events are lost, doubled and shuffled,
and the watcher is killed."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote_plus

from pipeline.settings import Settings, load_settings
from tests.conftest import pytest_configure
from tests.support.embedded import ENDED, Embedded, start, stop
from tests.support.local_stack import s3_client, sqs_client
from tests.support.recordings import make_wav
from tests.support.waiting import eventually

ODD = (" ", "+", "%2F", "é", "€", "&", "#", "'")
"""What names of dropped files may hold."""


def main() -> int:
    """Print a line a figure; 1 where a recording was lost or sent twice."""
    parser = argparse.ArgumentParser(prog="tests.bench.bucket")
    parser.add_argument("--objects", type=int, default=1_000)
    parser.add_argument("--chats", type=int, default=50)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as folder:
        figures = under_fire(Path(folder), asked.objects, asked.chats, asked.kills, asked.seed)
    for name, figure in figures.items():
        print(f"{name:<36} {figure:>6}")
    return int(figures["lost"] > 0 or figures["twice"] > 0)


def under_fire(folder: Path, objects: int, chats: int, kills: int, seed: int) -> dict[str, int]:
    """Drop, tell of it badly, kill, wait, count. Returns the figures by name."""
    chance = random.Random(seed)
    embedded = start(folder / "home")
    try:
        settings = load_settings(embedded.env, folder=folder)
        keys = drop(settings, folder, objects, chats, chance)
        began_s = time.monotonic()
        events, untold = tell_badly(settings, keys, chance)
        killed = kill_watcher(embedded, kills, chance)
        eventually(lambda: settled(embedded, len(keys)), "all jobs have ended", deadline_s=3_600, every_s=2)
        took_s = round(time.monotonic() - began_s)
        told = {"events sent": events, "objects without an event": untold, "kill -9 of the watcher": killed}
        return told | report(embedded, settings, keys) | {"seconds until the last delivery": took_s}
    finally:
        stop(embedded)


def drop(settings: Settings, folder: Path, objects: int, chats: int, chance: random.Random) -> list[str]:
    """Put recordings of their own content into the inbox, which tells nobody of them. Returns their keys."""
    s3, base = s3_client(settings), make_wav(folder / "base.wav", duration_s=1).read_bytes()
    bucket = settings.need("inbox_bucket")
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(chats)]
    keys = [f"{ids[n % chats]}/{chance.choice(ODD)}{n:05}{chance.choice(ODD)}.wav" for n in range(objects)]

    def put(numbered: tuple[int, str]) -> None:
        number, key = numbered
        s3.put_object(Bucket=bucket, Key=key, Body=base[:-4] + number.to_bytes(4, "little"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, enumerate(keys)))
    return keys


def tell_badly(settings: Settings, keys: list[str], chance: random.Random) -> tuple[int, int]:
    """Every event two or three times, in any order, up to eight in a message; 5 % never. Returns how many events were
    sent, and of how many objects none was."""
    lost = set(chance.sample(keys, len(keys) // 20))
    told = [key for key in keys if key not in lost for _ in range(chance.choice((2, 3)))]
    chance.shuffle(told)
    sqs, url, bucket = sqs_client(settings), settings.need("inbox_queue_url"), settings.need("inbox_bucket")
    start = 0
    while start < len(told):
        many = told[start : start + chance.randint(1, 8)]
        objects = ({"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/")}} for key in many)
        records = [{"eventName": "ObjectCreated:Put", "s3": one} for one in objects]
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Records": records}))
        start += len(many)
    return len(told), len(lost)


def kill_watcher(embedded: Embedded, kills: int, chance: random.Random) -> int:
    """Kill the watcher at moments that nobody chose; its supervisor starts it again. Returns how often."""
    for _ in range(kills):
        pid = eventually(lambda: watcher_pid(embedded), "the watcher runs", every_s=0.2)
        time.sleep(chance.uniform(0.0, 3.0))  # the moment is the point: nothing is waited for
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: watcher_pid(embedded) != pid, "it is seen to be gone", every_s=0.2)  # type: ignore[misc]
    return kills


def watcher_pid(embedded: Embedded) -> int | None:
    """The watcher's process, once it is ready."""
    parts = {part["name"]: part for part in embedded.run("status").row["parts"]}
    return int(parts["watch"]["pid"]) if parts["watch"]["state"] == "running" else None


def settled(embedded: Embedded, objects: int) -> bool:
    """Whether every object has its job, and every job its end."""
    rows = embedded.run("jobs").rows
    return len(rows) >= objects and all(row["state"] in ENDED for row in rows)


def report(embedded: Embedded, settings: Settings, keys: list[str]) -> dict[str, int]:
    """What came of it, counted at the ledger, at Linq and in the results."""
    rows = embedded.run("jobs").rows
    memos = [memo for chat in {key.partition("/")[0] for key in keys} for memo in embedded.memos(chat)]
    by_source = Counter(row["source"] for row in rows)
    sources = {f"s3://{settings.inbox_bucket}/{key}" for key in keys}
    states = Counter(row["state"] for row in rows)
    sent = Counter(row["message_id"] for row in rows if row["message_id"])
    told = eventually(lambda: _results(settings, keys), "the results are written", deadline_s=120, every_s=1)
    return {
        "objects": len(keys),
        "jobs": len(rows),
        "delivered": states["DELIVERED"],
        "memos in the chats": len(memos),
        "lost": len(sources - by_source.keys()) + len(rows) - len(sent),
        "twice": len(rows) - len(by_source) + len(memos) - len({memo["id"] for memo in memos} & sent.keys()),
        "results that say DELIVERED": told,
    }


def _results(settings: Settings, keys: list[str]) -> int:
    """How many results say that the memo arrived; 0 until it is as many as there are keys."""
    s3, bucket = s3_client(settings), settings.need("bucket")

    def says(key: str) -> bool:
        with suppress(s3.exceptions.NoSuchKey):
            body = s3.get_object(Bucket=bucket, Key=f"result/{key}.memoline.json")["Body"].read()
            return bool(json.loads(body)["state"] == "DELIVERED")
        return False

    with ThreadPoolExecutor(8) as pool:
        told = sum(pool.map(says, keys))
    return told if told == len(keys) else 0


if __name__ == "__main__":
    pytest_configure()
    sys.exit(main())
