"""Carries out what is to be erased, and finds what was kept long enough: a thread of the sweeper's process."""

from __future__ import annotations

import threading

from pipeline import erasing
from pipeline.errors import MemolineError
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job, State
from pipeline.ports import Parts
from pipeline.settings import Settings
from workers.log import logger

BATCH = 100
DAY_S = 86_400.0
OUTLIVED_EVERY_S = 60.0
BURIED_EVERY_S = 3_600.0
_SHORTEST_WAIT_S = 5.0
_LONGEST_WAIT_S = 3_600.0
"""Before an erasing is tried again that failed."""
_ON_ITS_WAY_S = 30.0
"""At the longest, before it is asked again whether the outcome of a send is known."""
_JOIN_S = 15


class Eraser:
    """The thread. stopped: when to end, after the job in work."""

    def __init__(self, parts: Parts, ledger: SqlLedger, settings: Settings, stopped: threading.Event) -> None:
        self._parts, self._ledger, self._stopped = parts, ledger, stopped
        self._retention_s = settings.retention_days * DAY_S if settings.retention_days else None
        self._every_s = settings.sweep_every_s
        self._look_at = 0.0
        self._buried_at = 0.0
        self._mark: tuple[int, float, str | None] | None = None
        self._thread = threading.Thread(target=self._run, name="eraser", daemon=True)

    def start(self) -> None:
        """Begin to erase."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended, once it was told to stop."""
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            busy = False
            try:
                busy = self.once()
            except MemolineError as error:
                logger().warning("erase.put-off", code=error.code, error=error.message)
            except Exception:  # whatever it is: the wishes stay, and the thread lives on
                logger().exception("erase.failed")
            if not busy:
                self._stopped.wait(self._every_s)

    def once(self) -> bool:
        """Carry out a batch. Returns whether there may be more to do at once. Raises PartUnreachable."""
        self._find_buried()
        more = self._find_outlived()
        due = self._ledger.erase_due(self._parts.clock.now(), BATCH)
        for job in due:
            if self._stopped.is_set():
                break
            self._erase(job)
        self._mark = self._ledger.audit_mark()
        return more or len(due) == BATCH

    def _find_buried(self) -> None:
        """At the start, now and then, and as soon as the audit is seen to be an older one: the ledger was put back."""
        now = self._parts.clock.now()
        if now < self._buried_at and not self._was_put_back():
            return
        self._buried_at = now + BURIED_EVERY_S
        try:
            erasing.erase_buried(self._parts)
        except MemolineError as error:
            logger().warning("erase.buried-not-read", code=error.code, error=error.message)
            self._buried_at = now + OUTLIVED_EVERY_S

    def _was_put_back(self) -> bool:
        if self._mark is None or self._ledger.audit_mark(self._mark[0]) == self._mark:
            return False
        self._mark = None
        logger().warning("erase.ledger-put-back")
        return True

    def _find_outlived(self) -> bool:
        now = self._parts.clock.now()
        if self._retention_s is None or now < self._look_at:
            return False
        found = self._ledger.want_outlived_erased(now - self._retention_s, BATCH)
        if found < BATCH:
            self._look_at = now + OUTLIVED_EVERY_S
        return found == BATCH

    def _erase(self, job: Job) -> None:
        try:
            done = erasing.carry_out(self._parts, job)
        except MemolineError as error:
            logger().warning("erase.put-off", job_id=job.job_id, code=error.code, error=error.message)
            self._put_off(job, _LONGEST_WAIT_S)
            return
        if done.state is not State.ERASED:
            self._put_off(job, _ON_ITS_WAY_S)
        elif job.state is not State.ERASED:
            logger().info("erase.done", job_id=job.job_id)

    def _put_off(self, job: Job, longest_s: float) -> None:
        """Wait the longer, the longer it lasts already."""
        now, wish = self._parts.clock.now(), self._ledger.erase_wish(job.job_id)
        lasted_s = now - wish.at if wish else _LONGEST_WAIT_S
        self._ledger.erase_later(job.job_id, now + min(max(_SHORTEST_WAIT_S, lasted_s / 4), longest_s))
