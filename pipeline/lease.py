"""Keeping a claim alive while the step runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import MemolineError
from pipeline.model import Job
from pipeline.ports import Parts


@contextmanager
def kept(parts: Parts, job: Job) -> Iterator[None]:
    """Renew the lease of a claimed job every quarter of its length until the block ends.

    Losing the lease does not stop the block: the move at its end names the rev that was read, so whoever took the job
    over has won already, and the result goes nowhere."""
    done = threading.Event()
    keeper = threading.Thread(target=_renew, args=(parts, job, done), name=f"lease-{job.job_id[:8]}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def _renew(parts: Parts, job: Job, done: threading.Event) -> None:
    lease_s = parts.rules.audio_lease_s
    while not done.wait(lease_s / 4):
        try:
            if not parts.ledger.renew(job, parts.clock.now() + lease_s):
                return
        except MemolineError:
            continue  # the ledger may be back, or have room again, before the lease runs out
