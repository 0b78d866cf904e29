"""Tells a place what became of its recordings: writes results, and tags or moves what is finished.

The ledger is the truth and keeps what is still to be told; every step may be done again. A job costs a handful of S3
requests in all: what moves several times within a moment is told once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from pipeline.errors import MemolineError, PartUnreachable
from pipeline.ledger.news import News, NewsBook
from pipeline.model import Job, State
from pipeline.ports import Parts
from pipeline.sending.pacing import backoff_s
from pipeline.settings import Settings
from workers.doors import open_desk
from workers.inbox_place import InboxPlace
from workers.log import logger
from workers.results import UNTOLD, result_of, told_of
from workers.views import parts_of
from workers.wiring import open_news_book

TELL_EVERY_S = 2.0
BATCH = 100
THREADS = 8
PUT_OFF_S = 3_600.0


class Place(Protocol):
    """Where recordings are dropped and results are looked for. Each method may be called again; all raise
    PartUnreachable where the place is away, and other errors where this one job cannot be told of.

    name_of: None for jobs of other places. finish: does what is to be done with the recording, given what was done
    before; returns what was done by then."""

    def name_of(self, job: Job) -> str | None: ...
    def write(self, name: str, job: Job, content: bytes) -> None: ...
    def remove(self, name: str, job: Job) -> None: ...
    def finish(self, job: Job, done: str) -> str: ...


class Teller:
    """Tells a place of its jobs. `round` may be called by several processes at once."""

    def __init__(self, parts: Parts, book: NewsBook, place: Place) -> None:
        self._parts = parts
        self._book = book
        self._place = place
        self._pool = ThreadPoolExecutor(THREADS, "tell")
        book.begin(parts.clock.now())

    def round(self, stopped: threading.Event | None = None) -> int:
        """Tell what is new, up to the batch in work once told to stop. Returns how many jobs were told of. Raises
        PartUnreachable: the rest stays due."""
        now, count = self._parts.clock.now(), 0
        self._book.follow(now)
        while not (stopped and stopped.is_set()) and (due := self._book.due(now, BATCH)):
            count += self._told(due)
        return count

    def _told(self, due: tuple[News, ...]) -> int:
        results = list(self._pool.map(self._tried, due))
        now = self._parts.clock.now()
        self._book.out([one for one in results if isinstance(one, News)], now)
        for one, error in zip(due, results, strict=True):
            if isinstance(error, PartUnreachable):
                raise error
            if isinstance(error, MemolineError):
                wait_s = min(backoff_s(one.tries + 1), PUT_OFF_S)
                text = {"code": error.code, "error": error.message, "wait_s": wait_s}
                logger().error("watch.not-told", job_id=one.job.job_id, **text)
                self._book.later(one, now + wait_s)
        return len(results)

    def _tried(self, one: News) -> News | MemolineError:
        try:
            return self._tell(one)
        except MemolineError as error:
            return error

    def _tell(self, one: News) -> News:
        job, told, done = one.job, one.told, one.done
        if job.state is State.ERASED:
            if one.newest:
                self._place.remove(one.name, job)
            return replace(one, told="erased", done="erased")
        if job.erasing:
            return one  # its result goes with it
        if one.newest and told != told_of(job) and (job.state not in UNTOLD or not told):
            self._place.write(one.name, job, self._content(job))
            if self._is_leaving(job):  # who erases it has seen no result, or the one before
                bare = {"job_id": job.job_id, "state": State.ERASED}
                self._place.write(one.name, job, json.dumps(bare).encode() + b"\n")
            told = told_of(job)
        return replace(one, told=told, done=self._place.finish(job, done))

    def _is_leaving(self, job: Job) -> bool:
        now = self._parts.ledger.get(job.job_id)
        return now.erasing or now.state is State.ERASED

    def _content(self, job: Job) -> bytes:
        result = result_of(job, self._parts.ledger.history(job.job_id), parts_of(self._parts.ledger, job))
        return json.dumps(result, ensure_ascii=False, indent=1).encode() + b"\n"


def open_teller(settings: Settings) -> Teller | None:
    """The teller of the inbox bucket, if the settings ask for one."""
    if settings.results == "off" and settings.inbox_done == "keep":
        return None
    desk = open_desk(settings, "watch")
    place = InboxPlace(settings, desk.s3)
    return Teller(desk.parts, open_news_book(settings, f"s3://{settings.need('inbox_bucket')}", place.name_of), place)


def tell_for_ever(teller: Teller, stopped: threading.Event) -> None:
    """Tell every few seconds until told to stop. What goes wrong costs a wait and a line in the log."""
    tries = 0
    while not stopped.wait(min(backoff_s(tries), 30) if tries else TELL_EVERY_S):
        try:
            teller.round(stopped)
            tries = 0
        except MemolineError as error:
            tries += 1
            logger().warning("watch.telling-put-off", code=error.code, error=error.message)
        except Exception:  # whatever it is: what is to be told stays, and the thread lives on
            tries += 1
            logger().exception("watch.telling-failed")
