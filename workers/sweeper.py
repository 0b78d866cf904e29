"""The sweeper: finds every job that should move and hints it again. With Redis wiped, this alone finishes all jobs.

Beside it, in the same process, callers are told what became of their jobs (`workers/callbacks.py`)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from pipeline.errors import MemolineError
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.refusals import RefusalBook
from pipeline.model import Job, StoredRecording
from pipeline.settings import Settings
from workers.backfill_care import cancel_jobs, care_for_all
from workers.callbacks import make_tellers
from workers.eraser import Eraser
from workers.hints import BACKFILL_HINTS, HINT_TTL_S, Hints, open_hints, task_for
from workers.log import logger
from workers.pulse import Pulse
from workers.tidying import remove_dead_work, remove_orphans
from workers.wiring import connect, open_ledger, open_spools, open_store, steady_clock

BATCH = 1_000
CROWDED_S = 1.0
"""When the next sweep comes after one that found more than the queues took."""
TIDY_EVERY_S = 3_600.0
REFUSALS_FOR_S = 30 * 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """hints: so many were published. crowded: a queue had no room for more; what is left is due all the same."""

    hints: int
    crowded: bool


def sweep_for_ever(settings: Settings, stopped: threading.Event, on_ready: threading.Event | None = None) -> None:
    """Sweep every MEMOLINE_SWEEP_EVERY_S, sooner where more is due than the queues take, until told to stop. An
    unreachable part costs a round, nothing else.

    Raises Misuse (`missing-setting`) without a broker, PartUnreachable when the ledger is away at the start."""
    broker_url = settings.need("broker_url")
    ledger, hints, clock = open_ledger(settings), open_hints(broker_url), steady_clock(settings)
    tellers, parts = make_tellers(settings, ledger, clock), connect(settings, "sweep")
    eraser, pulse = Eraser(parts, ledger, settings, stopped), Pulse(settings.home, "sweep")
    telling = threading.Thread(target=tellers.run, args=(stopped,), name="callbacks")
    ttl_s = max(1, min(HINT_TTL_S, round(2 * settings.sweep_every_s)))
    tidy_at = clock.now()
    telling.start()
    eraser.start()
    try:
        if on_ready:
            on_ready.set()
        while True:
            wait_s = settings.sweep_every_s
            try:
                swept = sweep_once(ledger, hints, now=clock.now(), ttl_s=ttl_s)
                wait_s = min(CROWDED_S, settings.sweep_every_s) if swept.crowded else settings.sweep_every_s
                if cancelled := care_for_all(ledger):
                    cancel_jobs(parts, ledger, cancelled[0])
                if clock.now() >= tidy_at:
                    tidy_at = clock.now() + TIDY_EVERY_S
                    tidy_once(settings, ledger, now=clock.now())
            except MemolineError as error:
                logger().warning("sweep.put-off", code=error.code, error=error.message)
            if pulse.wait(stopped, wait_s):
                return
    finally:
        stopped.set()  # or they would be waited for without an end
        telling.join()
        eraser.join()
        pulse.end()


def sweep_once(ledger: SqlLedger, hints: Hints, *, now: float, ttl_s: int) -> Swept:
    """Hint every job that is due, unless its queue is long already."""
    published, crowded = 0, False
    for queue, jobs in _by_queue(ledger.due(now, BATCH)).items():
        room = _room(hints, queue)
        # Those that were hinted a moment ago take no room from the others.
        woken = (job for job in jobs if hints.wake(job, once_s=ttl_s))
        hinted = sum(1 for _ in islice(woken, room))
        published += hinted
        # Hints of a backfill that last for a while are enough.
        crowded |= hinted == room > (BACKFILL_HINTS // 2 if queue.endswith("-backfill") else 0)
    if published:
        logger().info("sweep.hinted", hints=published)
    return Swept(hints=published, crowded=crowded)


def tidy_once(settings: Settings, ledger: SqlLedger, *, now: float) -> None:
    """Remove copies and folders that nobody needs. Raises PartUnreachable, and Misuse where no spool is set up."""
    store = open_store(settings, ledger.install_secret())

    def discard(uri: str) -> None:
        store.discard(StoredRecording(uri=uri, name="", size_bytes=0))

    folders = remove_dead_work(settings.home / "work", now)
    RefusalBook(ledger.database).forget(now - REFUSALS_FOR_S)
    copies = sum(remove_orphans(ledger, spool, discard, now) for spool in open_spools(settings))
    if copies or folders:
        logger().info("sweep.tidied", copies=copies, folders=folders)


def _by_queue(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    grouped: dict[str, list[Job]] = {}
    for job in jobs:
        if target := task_for(job):
            grouped.setdefault(target[1], []).append(job)
    return grouped


def _room(hints: Hints, queue: str) -> int:
    """How many hints a queue may still take. Live ones: ten a core, as more would only keep workers busy with no-ops.
    Those of backfills come from here alone, so their queue must last until the next sweep."""
    most = BACKFILL_HINTS if queue.endswith("-backfill") else 10 * (os.cpu_count() or 1)
    try:
        return max(0, most - hints.queue_length(queue))
    except Exception as error:  # whatever the broker's libraries raise: nothing is hinted this round
        logger().warning("sweep.no-broker", queue=queue, error=f"{type(error).__name__}: {error}")
        return 0
