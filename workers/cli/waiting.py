"""Waiting for jobs to end, as `--wait` does."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.errors import JobFailed, PartUnreachable, RecordingRejected, Unconfirmed
from pipeline.model import Job, State
from pipeline.settings import Settings
from workers.cli.output import Output

LOOK_EVERY_S = 0.2
AFTER_SENT_S = 5.0
"""How long a SENT memo is given to be delivered before the wait ends: a receipt may never come."""

_STATUS = {
    State.REJECTED: RecordingRejected.exit_status,
    State.FAILED: JobFailed.exit_status,
    State.CANCELLED: JobFailed.exit_status,
    State.ERASED: JobFailed.exit_status,
    State.HELD: Unconfirmed.exit_status,
    State.DELIVERED: 0,
}


def need_running(settings: Settings, job: Job) -> None:
    """Raises PartUnreachable where nobody is there to work on the job; it is registered all the same."""
    from workers.broker import ping

    later = f"job {job.job_id} is registered and goes on when it is back"
    if settings.broker_url is None:
        text = f"No stack runs in {settings.home} (`memoline up` starts one): {later}."
        raise PartUnreachable("stack-not-running", text, job_id=job.job_id)
    try:
        ping(settings.broker_url)
    except PartUnreachable as error:
        raise PartUnreachable(error.code, f"{error.message.rstrip('.')}: {later}.", job_id=job.job_id) from None


def ended(job: Job) -> str:
    """How a job ended, for people: where the memo is, or why there is none."""
    good = job.state in (State.SENT, State.DELIVERED)
    if good and job.spans:
        return f"{job.job_id} {job.state} in {len(job.spans)} parts"
    return f"{job.job_id} {job.state} {(job.url if good else job.message) or ''}".rstrip()


def wait_for(get: Callable[[str], Job], job: Job, out: Output, *, timeout_s: float) -> tuple[Job, int]:
    """(the job as it is then, exit status) once it has ended, or was SENT and is not delivered for a while.

    Raises Unconfirmed (`still-open`) when the time is up."""
    ends_s, sent_s = time.monotonic() + timeout_s, None
    state = None
    while True:
        job = get(job.job_id)
        if job.state is not state:
            state = job.state
            out.say(f"{job.job_id} {job.state}")
        if job.state in _STATUS:
            return job, _STATUS[job.state]
        now_s = time.monotonic()
        if job.state is State.SENT:
            sent_s = sent_s or now_s
            if now_s - sent_s > AFTER_SENT_S:
                return job, 0
        if now_s > ends_s:
            text = f"Job {job.job_id} is still {job.state} after {timeout_s:g} s; it goes on by itself."
            raise Unconfirmed("still-open", text, job_id=job.job_id, state=str(job.state))
        try:
            time.sleep(LOOK_EVERY_S)
        except (KeyboardInterrupt, SystemExit):
            out.say(f"Job {job.job_id} is {job.state}; it goes on by itself.")
            raise
