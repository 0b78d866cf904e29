"""The Celery door: another program's Celery app, a real broker, a real audio worker."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
import redis

from infra.local import stack
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.refusals import RefusalBook
from pipeline.model import Refusal
from pipeline.settings import Settings, load_settings
from tests.support.local_stack import part, s3_client
from tests.support.waiting import eventually
from workers.clock import SteadyClock

CHAT = "5e0d0000-0000-4000-8000-000000000001"
TASK = "memoline.send_voice_memo"
PARTS = frozenset({"broker", "s3", "linq", "cdn", "audio"})


class Door:
    """Another program's side, and what came of its calls."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = celery.Celery("another", broker=settings.broker_url, set_as_current=False)
        self.app.conf.broker_transport_options = {"global_keyprefix": "memoline:"}
        self.ledger = SqlLedger(settings.ledger_url, SteadyClock())
        self.book = RefusalBook(self.ledger.database)

    def put(self, name: str, content: bytes = b"sound") -> str:
        """An object of the inbox."""
        bucket = self.settings.need("inbox_bucket")
        s3_client(self.settings).put_object(Bucket=bucket, Key=name, Body=content)
        return f"s3://{bucket}/{name}"

    def call(self, *args: object, task: str = TASK, **kwargs: object) -> str:
        """Send the task by its name; its id."""
        return str(self.app.send_task(task, args=args, kwargs=kwargs, queue="register", ignore_result=True).id)

    def job(self, key: str) -> Any:
        """The job with this key, once it is there."""
        return eventually(lambda: next((j for j in self.ledger.jobs() if j.key == key), None), f"a job of {key}")

    def refusal(self, task_id: str) -> Refusal:
        """The refusal of this call, once it is there."""
        kept = lambda: next((one for one in self.book.latest(100) if one.task_id == task_id), None)  # noqa: E731
        return eventually(kept, f"a refusal of {task_id}")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A stack whose audio worker is the only consumer."""
    home = tmp_path_factory.mktemp("celery") / "home"
    stack.up({}, home, only=PARTS)
    try:
        yield Door(load_settings({"MEMOLINE_HOME": str(home)}, folder=home / "run"))
    finally:
        stack.down(home)


def test_a_call_becomes_a_job_that_is_looked_up_by_its_key(door: Door) -> None:
    """By position or by name, twice or once: one job for a key."""
    recording = door.put("by-celery/a b+c.ogg")
    door.call(recording, CHAT, key="celery-1", overflow="cut", hold_s=600)
    door.call(recording=recording, chat_id=CHAT, key="celery-1", overflow="cut", hold_s=600)
    job = door.job("celery-1")
    assert (job.source, job.chat_id, job.overflow) == (recording, CHAT, "cut")
    assert job.not_before > job.created_at
    last = door.call(door.put("by-celery/other.ogg"), CHAT, key="celery-2")
    door.job("celery-2")
    assert sum(j.key == "celery-1" for j in door.ledger.jobs()) == 1
    assert not [one for one in door.book.latest(100) if one.task_id == last]


@pytest.mark.parametrize(
    ("args", "kwargs", "code"),
    [
        ((), {}, "missing-key"),
        (("s3://inbox/a.ogg", CHAT), {}, "missing-key"),
        (("/etc/passwd", CHAT), {"key": "k"}, "bad-recording"),
        (([1], CHAT), {"key": "k"}, "bad-recording"),
        (("s3://elsewhere/a.ogg", CHAT), {"key": "k"}, "bucket-not-allowed"),
        (("s3://INBOX/none.ogg", CHAT), {"key": "k"}, "no-such-object"),
        (("s3://INBOX/a\ud800.ogg", CHAT), {"key": "k"}, "bad-recording"),
        (("s3://INBOX/a.ogg", "bob"), {"key": "k"}, "bad-chat-id"),
        (("s3://INBOX/a.ogg", CHAT), {"key": "k\0"}, "bad-key"),
        (("s3://INBOX/a.ogg", CHAT), {"key": 7}, "bad-key"),
        (("s3://INBOX/a.ogg", CHAT), {"key": "k", "hold_s": "long"}, "bad-hold"),
        (("s3://INBOX/a.ogg", CHAT), {"key": "k", "kye": "typo"}, "unknown-field"),
        (("s3://INBOX/a.ogg", CHAT, "k", "cut"), {}, "unknown-field"),
    ],
)
def test_a_bad_call_is_kept_as_refused(door: Door, args: Any, kwargs: dict[str, object], code: str) -> None:
    """By its stable code, where `memoline refused` shows it; nothing is lost silently."""
    inbox = door.settings.need("inbox_bucket")
    named = [one.replace("INBOX", inbox) if isinstance(one, str) else one for one in args]
    refusal = door.refusal(door.call(*named, **kwargs))
    assert refusal.code == code
    assert refusal.message


def test_a_key_with_other_input_is_refused(door: Door) -> None:
    """The first job stays as it is."""
    door.call(door.put("reused/a.ogg"), CHAT, key="reused")
    job = door.job("reused")
    refusal = door.refusal(door.call(door.put("reused/b.ogg", b"other"), CHAT, key="reused"))
    assert (refusal.code, refusal.key) == ("key-reused", "reused")
    assert door.ledger.get(job.job_id).source == job.source


def test_junk_in_the_queue_ends_nobody(door: Door) -> None:
    """A task nobody knows is kept as refused; what is no message at all is passed over; the worker goes on."""
    pid = part(door.settings.home, "audio").pid
    assert door.refusal(door.call("x", task="memoline.send_voice_mail")).code == "unknown-task"
    queue = redis.Redis.from_url(door.settings.need("broker_url"))
    with door.app.connection_for_write() as connection:
        producer = connection.Producer(auto_declare=False)
        for body, kind in ((b"{", "application/json"), (b"\x80\x04.", "application/x-python-serialize"), (b"", "x/y")):
            headers = {"task": TASK, "id": uuid.uuid4().hex, "lang": "py"}
            more: dict[str, Any] = {"content_type": kind, "content_encoding": "binary"}
            producer.publish(body, routing_key="register", exchange="register", headers=headers, **more)
    door.call(door.put("after-junk.ogg"), CHAT, key="after-junk")
    door.job("after-junk")
    eventually(lambda: queue.llen("memoline:register") == 0, "the queue is empty")
    # The main process has a connection to the ledger by now: children that it forks later must have their own.
    children = _children(pid)
    for child in children:
        os.kill(child, signal.SIGKILL)
    eventually(lambda: _children(pid) and not set(_children(pid)) & set(children), "new children")
    assert door.refusal(door.call("s3://elsewhere/a.ogg", CHAT, key="k")).code == "bucket-not-allowed"
    assert door.refusal(door.call("y", task="memoline.send_voice_mail")).code == "unknown-task"
    assert part(door.settings.home, "audio").pid == pid


def _children(pid: int | None) -> list[int]:
    """The processes that a worker's pool has now."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_audio_worker_asks_for_calls_first(door: Door) -> None:
    """A call that waits lies nowhere else but in Redis; a hint that waits is the ledger's."""
    [queues] = (door.app.control.inspect(timeout=10).active_queues() or {}).values()
    assert [queue["name"] for queue in queues] == ["register", "audio", "audio-backfill"]


def test_what_a_killed_worker_had_taken_becomes_a_job(door: Door) -> None:
    """Killed with calls in hand: all of them are jobs in the end, each once."""
    recordings = [door.put(f"killed/{number}.ogg") for number in range(40)]
    pid = part(door.settings.home, "audio").pid
    assert pid is not None
    for number, recording in enumerate(recordings):
        door.call(recording, CHAT, key=f"killed-{number}")
        if number == 20:
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: part(door.settings.home, "audio").pid not in (pid, None), "a new worker")
    queue = redis.Redis.from_url(door.settings.need("broker_url"))

    def all_there() -> bool:
        # What it had taken is given out again after two minutes: let them pass for those that wait.
        for name, since in queue.zscan_iter("memoline:unacked_index"):
            queue.zadd("memoline:unacked_index", {name: since - 121}, xx=True)
        return sum((job.key or "").startswith("killed-") for job in door.ledger.jobs()) == 40

    eventually(all_there, "40 jobs", deadline_s=150, every_s=0.5)
    assert len({job.key for job in door.ledger.jobs()}) == len(door.ledger.jobs())


def test_a_part_that_is_away_loses_no_call(door: Door) -> None:
    """S3 is away for a while: the call waits in the queue, and becomes a job."""
    recording = door.put("put-off.ogg")
    pid = part(door.settings.home, "s3").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        task_id = door.call(recording, CHAT, key="put-off")
    finally:
        os.kill(pid, signal.SIGKILL)
    door.job("put-off")
    assert not [one for one in door.book.latest(100) if one.task_id == task_id]
