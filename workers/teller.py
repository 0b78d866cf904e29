"""Tells the inbox what became of its recordings: writes results, and tags or moves what is finished.

The ledger is the truth and keeps what is still to be told; every step may be done again. A job costs a handful of S3
requests in all: what moves several times within a moment is told once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipeline.errors import JobFailed, MemolineError, PartUnreachable
from pipeline.hosting import dropped
from pipeline.ledger.news import News, NewsBook
from pipeline.model import Job, State
from pipeline.sending.pacing import backoff_s
from pipeline.settings import Settings
from workers.doors import Desk, open_desk
from workers.log import logger
from workers.results import (
    ARRIVING,
    ENDED,
    UNTOLD,
    done_place,
    dropped_version,
    inbox_key,
    place_of,
    result_name,
    result_of,
    result_place,
    told_of,
)
from workers.wiring import open_news_book

TELL_EVERY_S = 2.0
BATCH = 100
THREADS = 8
PUT_OFF_S = 3_600.0


class Teller:
    """Tells of all jobs of the inbox bucket. `round` may be called by several processes at once."""

    def __init__(self, desk: Desk, book: NewsBook) -> None:
        self._desk = desk
        self._book = book
        self._settings = desk.settings
        self._pool = ThreadPoolExecutor(THREADS, "tell")
        book.begin(desk.parts.clock.now())

    def round(self) -> int:
        """Tell what is new. Returns how many jobs were told of. Raises PartUnreachable: the rest stays due."""
        now, count = self._desk.parts.clock.now(), 0
        self._book.follow(now)
        while due := self._book.due(now, BATCH):
            count += self._told(due)
        return count

    def _told(self, due: tuple[News, ...]) -> int:
        results = list(self._pool.map(self._tried, due))
        now = self._desk.parts.clock.now()
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
            if place := place_of(self._settings, one.name, job.job_id):
                self._desk.s3.delete(*place)
            return replace(one, name="", told="erased", done="erased")
        if one.newest and told != told_of(job) and (job.state not in UNTOLD or not told):
            if place := result_place(self._settings, job):
                self._desk.s3.write(*place, self._content(job))
            told = told_of(job)
        return replace(one, told=told, done=self._finish(job, done))

    def _content(self, job: Job) -> bytes:
        result = result_of(job, self._desk.parts.ledger.history(job.job_id))
        return json.dumps(result, ensure_ascii=False, indent=1).encode() + b"\n"

    def _finish(self, job: Job, done: str) -> str:
        """Tag or move what was dropped. Returns what was done by now, so that it is not done again."""
        how, to, version = self._settings.inbox_done, done_place(self._settings, job), dropped_version(job)
        if how == "keep" or to is None or version is None or done.startswith("moved"):
            return done
        bucket, key = to[0], inbox_key(self._settings, job) or ""
        if how == "tag" and job.state in ENDED and done != f"tagged {job.state}":
            tags = {"memoline": str(job.state), "memoline-job": job.job_id}
            there = dropped.tag(self._desk.s3, bucket, key, tags, version)
            return f"tagged {job.state}" if there else "not-there"
        if how == "move" and job.state in ARRIVING:
            return self._move(job, bucket, key, to[1], version)
        return done

    def _move(self, job: Job, bucket: str, key: str, to: str, version: str) -> str:
        try:
            moved = dropped.move(self._desk.s3, bucket, key, to, version)
        except JobFailed as error:
            logger().warning("watch.not-moved", job_id=job.job_id, code=error.code, error=error.message)
            return "moved not"
        return "moved" if moved else "moved not"


def open_teller(settings: Settings) -> Teller | None:
    """The teller that the settings ask for, if any."""
    if settings.results == "off" and settings.inbox_done == "keep":
        return None
    place = f"s3://{settings.need('inbox_bucket')}"
    return Teller(open_desk(settings, "watch"), open_news_book(settings, place, lambda job: result_name(settings, job)))


def tell_for_ever(teller: Teller, stopped: threading.Event) -> None:
    """Tell every few seconds until told to stop. What goes wrong costs a wait and a line in the log."""
    tries = 0
    while not stopped.wait(min(backoff_s(tries), 30) if tries else TELL_EVERY_S):
        try:
            teller.round()
            tries = 0
        except MemolineError as error:
            tries += 1
            logger().warning("watch.telling-put-off", code=error.code, error=error.message)
