"""What a backfill needs after its rows are registered: its end noted, too many failures noticed, a cancel finished."""

from __future__ import annotations

from contextlib import suppress

from pipeline import decisions
from pipeline.backfills import Backfill, BackfillState
from pipeline.errors import MemolineError, NotNow
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job, State
from pipeline.ports import Ledger, Parts
from workers.backfill import stopped_if_failing

CANCELLED_AT_ONCE = 200


def care_for_all(ledger: SqlLedger) -> tuple[Backfill, ...]:
    """Move every backfill to where its jobs have brought it. Returns the cancelled ones with jobs left to cancel."""
    for one in ledger.backfills(BackfillState.RUNNING, BackfillState.PAUSED):
        with suppress(NotNow):  # somebody moved it at this moment
            now = stopped_if_failing(ledger, one)
            if now.state is BackfillState.RUNNING and now.registered_at and not ledger.has_open_jobs(now.backfill_id):
                ledger.move_backfill(now, BackfillState.DONE)
    cancelled = ledger.backfills(BackfillState.CANCELLED)
    return tuple(one for one in cancelled if ledger.waiting_of(one.backfill_id, 1))


def cancel_jobs(parts: Parts, ledger: SqlLedger, one: Backfill) -> int:
    """Cancel some of the jobs of a backfill of which nothing is on its way. Returns how many; 0: none is left."""
    done = 0
    for job in ledger.waiting_of(one.backfill_id, CANCELLED_AT_ONCE):
        with suppress(NotNow):  # it turned out to have been sent
            decisions.cancel(parts, job)
        done += 1
    return done


def after_step(ledger: Ledger, job: Job) -> None:
    """Stop the backfill of a job that has just failed, if that is one too many. Never raises: the sweeper looks too."""
    if job.backfill_id is None or job.state not in (State.REJECTED, State.FAILED) or not isinstance(ledger, SqlLedger):
        return
    with suppress(MemolineError):
        stopped_if_failing(ledger, ledger.backfill(job.backfill_id))
