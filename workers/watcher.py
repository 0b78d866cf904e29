"""The bucket door: what is dropped into the inbox becomes a job.

Authority falls in this order: the object in the inbox, the ledger's row, the event. An event only says "look", so one
that is lost, doubled or out of order changes nothing; a listing finds what no event told of.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from pipeline.errors import MemolineError
from pipeline.hosting.sqs import Queue, QueueMessage
from pipeline.ledger.inbox import InboxBook
from pipeline.sending.pacing import backoff_s
from pipeline.settings import Settings
from workers.arrivals import Arrivals
from workers.dead_letters import count_dead_letters, dead_letters
from workers.doors import Desk, open_desk
from workers.hints import Hints, open_hints
from workers.inbox_listing import LIST_EVERY_S, Listing, Tally, as_seen
from workers.log import logger
from workers.pulse import Pulse
from workers.s3_events import NotAnEvent, ObjectSeen, objects_of
from workers.teller import open_teller, tell_for_ever
from workers.wiring import open_inbox_book

LONG_POLL_S = 5
"""How long one call waits for messages: also how long a stop may take."""
YOUNG_S = 30.0
"""A listing leaves objects this young to their event, which brings them in order with their batch."""
ROUND_MESSAGES = 100
"""Messages that are put in order together, at most."""
LOOKING_THREADS = 8


class Watcher:
    """Turns objects of the inbox into jobs. Every method may be called again for the same object at any time."""

    def __init__(self, desk: Desk, queue: Queue | None, hints: Hints, book: InboxBook) -> None:
        self._desk = desk
        self._queue = queue
        self._bucket = desk.settings.need("inbox_bucket")
        self._arrivals = Arrivals(desk, hints, ThreadPoolExecutor(LOOKING_THREADS, "look"))
        self._listing = Listing(desk.s3, self._bucket, book, self._arrivals)

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

    def take_listing(self, *, older_than_s: float, now: float) -> Tally:
        """Register every object of the inbox that has no job yet. Raises PartUnreachable, Misuse."""
        return self._listing.take(older_than_s=older_than_s, now=now)

    def look_well(self) -> None:
        """Return if the ledger and S3 answer. After an outage this is asked first: a message that is handed out and put
        off too often is moved aside. Raises PartUnreachable, Misuse."""
        dead_letters(self._desk.parts.ledger)
        self._desk.s3.head(self._bucket, "memoline-is-here")

    def _handle(self, messages: tuple[QueueMessage, ...]) -> list[QueueMessage]:
        """The messages that are finished: each of their objects has its job, or needs none."""
        seen_in: dict[str, tuple[ObjectSeen, ...]] = {}
        for message in messages:
            try:
                seen_in[message.receipt] = self._seen(message)
            except NotAnEvent as error:
                logger().warning("watch.no-event", message_id=message.message_id, why=str(error), seen=message.received)
        seen = [one for objects in seen_in.values() for one in objects]
        arrived = self._arrivals.take(seen)
        failed = arrived.failed | self._arrivals.mend(one.key for one in seen)
        self._listing.remember({one.key: as_seen(one.head) for one in arrived.found if one.key not in failed})
        done = {receipt for receipt, objects in seen_in.items() if failed.isdisjoint(one.key for one in objects)}
        return [message for message in messages if message.receipt in done]

    def _seen(self, message: QueueMessage) -> tuple[ObjectSeen, ...]:
        return tuple(one for one in objects_of(message.body) if one.bucket == self._bucket)


def watch_for_ever(settings: Settings, stopped: threading.Event, on_ready: threading.Event | None = None) -> None:
    """Watch the inbox until told to stop: its events as they come, and a listing now and then, the first at once.

    Raises Misuse (`missing-setting`) without an inbox bucket, PartUnreachable when the ledger is away at the start;
    a part that goes away later costs a wait and a line in the log."""
    desk = open_desk(settings, "watch")
    watcher = Watcher(desk, open_queue(settings), open_hints(settings.broker_url), open_inbox_book(settings))
    telling = _start_telling(settings, stopped)
    if on_ready:
        on_ready.set()
    try:
        _watch(settings, desk, watcher, stopped)
    finally:
        stopped.set()
        if telling:
            telling.join()


def _start_telling(settings: Settings, stopped: threading.Event) -> threading.Thread | None:
    teller = open_teller(settings)
    if teller is None:
        return None
    thread = threading.Thread(target=tell_for_ever, args=(teller, stopped), name="tell", daemon=True)
    thread.start()
    return thread


def _watch(settings: Settings, desk: Desk, watcher: Watcher, stopped: threading.Event) -> None:
    next_listing_s, older_than_s, tries = 0.0, 0.0, 0
    pulse = Pulse(settings.home, "watch")
    while not stopped.is_set():
        pulse.beat()
        try:
            if tries:
                watcher.look_well()
            if time.monotonic() >= next_listing_s:
                # Set before: an inbox that cannot be listed must not keep its events waiting.
                next_listing_s = time.monotonic() + LIST_EVERY_S
                count_dead_letters(settings, desk.parts.ledger)
                tally = watcher.take_listing(older_than_s=older_than_s, now=desk.parts.clock.now())
                next_listing_s = time.monotonic() + tally.next_in_s
                older_than_s = YOUNG_S
            watcher.take_messages(wait_s=LONG_POLL_S)
            tries = 0
            if settings.inbox_queue_url is None:
                pulse.wait(stopped, LONG_POLL_S)
        except MemolineError as error:
            tries += 1
            logger().warning("watch.put-off", code=error.code, error=error.message, wait_s=min(backoff_s(tries), 30))
            pulse.wait(stopped, min(backoff_s(tries), 30))
    pulse.end()


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
