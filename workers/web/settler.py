"""Applies the reports that were kept: after they were answered, in a thread of its own, and at the start those that an
earlier process left."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from pipeline import jobs
from pipeline.errors import MemolineError, PartUnreachable
from pipeline.ledger.ledger import SqlLedger
from pipeline.messages import StatusReport
from pipeline.model import Job
from pipeline.ports import Parts
from workers.log import logger
from workers.web.turns import Turns

GROUP = 50
"""Applied in one commit; about 50 ms of work, for which others wait."""
LOOK_AGAIN_S = 1.0
"""When nothing moved: a report may wait for the sender of its job, or the ledger is away."""
IDLE_S = 5.0
"""Another process may have left a report."""
TIDY_EVERY_S = 60.0
KEEP_S = 7 * 86_400.0
MOST_ORPHANS = 100_000
"""An account may have other senders, whose messages fit no job of ours."""
_JOIN_S = 15


class Settler:
    """The thread that moves jobs by what Linq reported. turns: shared with the intake."""

    def __init__(self, parts: Parts, ledger: SqlLedger, turns: Turns) -> None:
        self._parts, self._ledger, self._turns = parts, ledger, turns
        self._news = threading.Event()
        self._closing = False
        self._tidied_s = 0.0
        self._early = 0
        self.name = "settler"
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)

    def start(self) -> None:
        """Begin to apply."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._news.set()

    @property
    def alive(self) -> bool:
        """Whether it works, or was told to end."""
        return self._closing or self._thread.is_alive()

    def close(self) -> None:
        """End after the group in work; what waits is for the next process."""
        self._closing = True
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._closing:
            self._news.clear()
            try:
                found, moved = self._round()
            except Exception as error:  # whatever it is, reports stay noted as waiting, and the thread lives on
                found, moved = 1, 0
                logger().warning("settle.put-off", error=str(error))
            if not moved:
                self._news.wait(LOOK_AGAIN_S if found else IDLE_S)

    def _round(self) -> tuple[int, int]:
        """Apply one group; returns how many reports waited and how many were done with. Those that came too early,
        while the sender of their job is at work, are passed by until all others were looked at."""
        waiting = self._ledger.waiting_reports(GROUP, behind=self._early)
        if not waiting:
            self._tidy()
            early, self._early = self._early, 0
            return early, 0
        try:
            with self._turns.patient(), self._ledger.together():
                applied = jobs.apply_reports(self._parts, waiting)
            settled = jobs.let_go_of(self._parts, applied)
        except Exception as error:
            if _is_ledgers(error):
                raise
            # One of them: the others must not wait for it.
            settled = tuple(self._alone(report) for report in waiting)
        _tell(waiting, settled)
        left = {one.event_id for one in self._ledger.waiting_reports(GROUP, behind=self._early)}
        self._early += sum(one.event_id in left for one in waiting)
        return len(waiting), len(waiting)

    def _alone(self, report: StatusReport) -> Job | None:
        try:
            return jobs.settle_kept(self._parts, (report,))[0]
        except MemolineError as error:
            if _is_ledgers(error):
                raise
            logger().warning("settle.refused", event_id=report.event_id, code=error.code, error=error.message)
        except Exception:
            logger().exception("settle.failed", event_id=report.event_id)
        # It would fail for ever; polling finds out what it said.
        self._ledger.applied({report.event_id or "": None})
        return None

    def _tidy(self) -> None:
        now_s = time.monotonic()
        if now_s - self._tidied_s < TIDY_EVERY_S:
            return
        before = self._parts.clock.now() - KEEP_S
        while self._ledger.forget_reports(before=before, most_orphans=MOST_ORPHANS) and not self._closing:
            pass
        self._tidied_s = now_s


def _is_ledgers(error: Exception) -> bool:
    """Whether the ledger is in trouble, and no report."""
    return isinstance(error, PartUnreachable) or (isinstance(error, MemolineError) and error.code == "disk-full")


def _tell(reports: Sequence[StatusReport], settled: Sequence[Job | None]) -> None:
    for report, job in zip(reports, settled, strict=True):
        if job is not None:
            known = {"status": report.status, "message_id": report.message_id, "job_id": job.job_id}
            logger().info("webhook.applied", **known, state=str(job.state))
