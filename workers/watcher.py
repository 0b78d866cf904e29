"""The bucket door: what is dropped into the inbox becomes a job.

Authority falls in this order: the object in the inbox, the ledger's row, the event. An event only says "look", so one
that is lost, doubled or out of order changes nothing; a listing finds what no event told of.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.errors import KeyReused, MemolineError, Misuse, NoSuchJob, PartUnreachable
from pipeline.hosting.names import identity_of_object, job_id_for
from pipeline.hosting.s3 import Head, Listed
from pipeline.hosting.sqs import Queue, QueueMessage
from pipeline.model import Job
from pipeline.sending.pacing import backoff_s
from pipeline.settings import Settings
from workers.doors import Desk, open_desk, register, request_for_object
from workers.hints import Hints, open_hints
from workers.inbox import SIDE_CAR_MAX_BYTES, wish_of
from workers.log import logger
from workers.s3_events import NotAnEvent, is_recording, objects_of, side_car_of
from workers.wishes import Wish

LONG_POLL_S = 5
"""How long one call waits for messages: also how long a stop may take."""
LIST_EVERY_S = 60.0
YOUNG_S = 30.0
"""A listing leaves objects this young to their event, which brings them in order with their batch."""
ROUND_MESSAGES = 100
"""Messages that are put in order together, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An object of the inbox as HEAD shows it."""

    key: str
    head: Head


class Watcher:
    """Turns objects of the inbox into jobs. Every method may be called again for the same object at any time."""

    def __init__(self, desk: Desk, queue: Queue | None, hints: Hints) -> None:
        self._desk = desk
        self._queue = queue
        self._hints = hints
        self._bucket = desk.settings.need("inbox_bucket")
        self._known: dict[str, str] = {}

    def take_messages(self, *, wait_s: int) -> int:
        """Handle the messages that are there, waiting at most wait_s for the first. Returns how many there were.

        Raises PartUnreachable: what is not finished then stays in the queue."""
        if self._queue is None:
            return 0
        messages = _receive(self._queue, wait_s)
        done = self._handle(messages)
        if done:
            for message in self._queue.delete(done):
                logger().info("watch.not-deleted", message_id=message.message_id)
        return len(messages)

    def take_listing(self, *, older_than_s: float, now: float) -> int:
        """Register every object of the inbox that has no job yet. Returns how many it looked at closely."""
        listed = [item for item in self._desk.s3.list(self._bucket) if is_recording(item.key)]
        old = [item for item in listed if now - item.last_modified.timestamp() >= older_than_s]
        new = [item for item in old if not self._is_known(item)]
        failed = self._register_all(item.key for item in new)
        there = {item.key: item.etag for item in old if item.key not in failed}
        self._known = there
        return len(new)

    def _is_known(self, item: Listed) -> bool:
        """Whether an object has its job. Cheap: from memory, else by the id that it has on an unversioned bucket."""
        if self._known.get(item.key) == item.etag:
            return True
        identity = identity_of_object(self._bucket, item.key, f"etag:{item.etag}")
        try:
            self._desk.parts.ledger.get(job_id_for(self._desk.parts.secret, identity))
        except NoSuchJob:
            return False
        return True

    def _handle(self, messages: tuple[QueueMessage, ...]) -> list[QueueMessage]:
        """The messages that are finished: each of their objects has its job, or needs none."""
        keys_of: dict[str, tuple[str, ...]] = {}
        for message in messages:
            try:
                keys_of[message.receipt] = self._keys(message)
            except NotAnEvent as error:
                logger().warning("watch.no-event", message_id=message.message_id, why=str(error), seen=message.received)
        failed = self._register_all(key for keys in keys_of.values() for key in keys)
        return [m for m in messages if m.receipt in keys_of and failed.isdisjoint(keys_of[m.receipt])]

    def _keys(self, message: QueueMessage) -> tuple[str, ...]:
        seen = objects_of(message.body)
        return tuple(one.key for one in seen if one.bucket == self._bucket and is_recording(one.key))

    def _register_all(self, keys: Iterable[str]) -> set[str]:
        """Register objects in the order in which they were put. Returns the keys that could not be."""
        failed: set[str] = set()
        found: list[Found] = []
        for key in dict.fromkeys(keys):
            try:
                head = self._desk.s3.head(self._bucket, key)
            except Misuse as error:
                failed.add(key)
                logger().error("watch.not-readable", key=key, code=error.code, error=error.message)
                continue
            if head is not None:  # one that is gone needs no job
                found.append(Found(key=key, head=head))
        for one in sorted(found, key=lambda one: (one.head.last_modified, one.key)):
            try:
                self._register(one)
            except PartUnreachable:
                raise
            except MemolineError as error:
                failed.add(one.key)
                logger().error("watch.not-registered", key=one.key, code=error.code, error=error.message)
        return failed

    def _register(self, found: Found) -> None:
        uri = f"s3://{self._bucket}/{found.key}"
        problem: MemolineError | None = None
        try:
            wish = wish_of(found.key, found.head.metadata, self._side_car(found.key))
        except Misuse as error:
            wish, problem = Wish(chat_id=None), error
        try:
            job = register(self._desk, request_for_object(self._desk, uri, wish, found.head))
        except KeyReused as error:
            problem = error
            job = register(self._desk, request_for_object(self._desk, uri, Wish(chat_id=None), found.head))
        if job.rev == 1:
            if problem is not None and job.chat_id is None:
                job = self._say_why(job, problem)
            logger().info("watch.registered", key=found.key, job_id=job.job_id, state=str(job.state))
            self._hints.wake(job)

    def _say_why(self, job: Job, problem: MemolineError) -> Job:
        """It waits for a person, as one without a chat does; the reason is what was wrong with its options."""
        why = f"{problem.message} `memoline assign {job.job_id} --chat ID` sends it without these options."
        return self._desk.parts.ledger.note(job, message=why)

    def _side_car(self, key: str) -> bytes | None:
        """The note beside a recording, if there is one. Raises Misuse (`bad-side-car`) where it is a huge one."""
        beside = side_car_of(key)
        head = self._desk.s3.head(self._bucket, beside) if len(beside.encode()) <= 1024 else None
        if head is None:
            return None
        if head.size_bytes > SIDE_CAR_MAX_BYTES:
            raise Misuse("bad-side-car", f"The note beside the recording has over {SIDE_CAR_MAX_BYTES} bytes.")
        with TemporaryDirectory(prefix="memoline-") as folder:
            self._desk.s3.get(self._bucket, beside, Path(folder) / "note")
            return (Path(folder) / "note").read_bytes()


def watch_for_ever(settings: Settings, stopped: threading.Event, on_ready: threading.Event | None = None) -> None:
    """Watch the inbox until told to stop: its events as they come, and a listing every minute, the first at once.

    Raises Misuse (`missing-setting`) without an inbox bucket, PartUnreachable when the ledger is away at the start;
    a part that goes away later costs a wait and a line in the log."""
    desk = open_desk(settings, "watch")
    watcher = Watcher(desk, open_queue(settings), open_hints(settings.broker_url))
    if on_ready:
        on_ready.set()
    next_listing_s, older_than_s, tries = 0.0, 0.0, 0
    while not stopped.is_set():
        try:
            if time.monotonic() >= next_listing_s:
                # Set before: an inbox that cannot be listed must not keep its events waiting.
                next_listing_s = time.monotonic() + LIST_EVERY_S
                watcher.take_listing(older_than_s=older_than_s, now=desk.parts.clock.now())
                older_than_s = YOUNG_S
            watcher.take_messages(wait_s=LONG_POLL_S)
            tries = 0
            if settings.inbox_queue_url is None:
                stopped.wait(LONG_POLL_S)
        except MemolineError as error:
            tries += 1
            logger().warning("watch.put-off", code=error.code, error=error.message, wait_s=min(backoff_s(tries), 30))
            stopped.wait(min(backoff_s(tries), 30))


def open_queue(settings: Settings) -> Queue | None:
    """The queue of the inbox's events; None where there is none, and the listing finds everything."""
    from workers.wiring import s3_config

    if settings.inbox_queue_url is None:
        return None
    endpoint_url = settings.sqs_endpoint_url
    return Queue(s3_config(settings), url=settings.inbox_queue_url, endpoint_url=endpoint_url)


def _receive(queue: Queue, wait_s: int) -> tuple[QueueMessage, ...]:
    """What is in the queue, up to a round: so that objects dropped together are put in order together."""
    messages: dict[str, QueueMessage] = {}
    received = queue.receive(wait_s=wait_s)
    while received:
        # Handed out twice, a message is deleted by its newest receipt only.
        messages |= {message.message_id or message.receipt: message for message in received}
        received = queue.receive(wait_s=0) if len(messages) < ROUND_MESSAGES else ()
    return tuple(messages.values())
