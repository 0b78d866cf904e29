"""The two Celery tasks. Each takes a job id and nothing else, and may be run any number of times."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from pipeline import jobs
from pipeline.errors import MemolineError, NoSuchJob, PartUnreachable
from pipeline.model import Job, State
from pipeline.ports import Parts
from workers.backfill_care import after_step
from workers.hints import DELIVER, PREPARE, Hints
from workers.log import about_job, logger
from workers.tracing import job_span

AUDIO_TIME_LIMIT_S = 1_500
"""A last net behind the audio step's own limits."""


def register_tasks(app: Celery, parts: Callable[[], Parts], hints: Hints) -> None:
    """Give the app its tasks. parts: called in the process that runs the task, after any fork."""

    @app.task(name=PREPARE, time_limit=AUDIO_TIME_LIMIT_S)  # type: ignore[untyped-decorator]
    def prepare(job_id: str) -> None:
        _run(job_id, jobs.prepare, parts, hints)

    @app.task(name=DELIVER)  # type: ignore[untyped-decorator]
    def deliver(job_id: str) -> None:
        _run(job_id, jobs.deliver, parts, hints)


def _run(job_id: str, step: Callable[[Parts, str], Job | None], parts: Callable[[], Parts], hints: Hints) -> None:
    """Run a step and hint the next one. What goes wrong here is logged and left to the sweeper: the ledger knows."""
    with about_job(job_id):
        job = _stepped(job_id, step, parts)
        if job is not None and job.state is State.HOSTED and step is jobs.prepare:
            hints.wake(job)


def _stepped(job_id: str, step: Callable[[Parts, str], Job | None], parts: Callable[[], Parts]) -> Job | None:
    log = logger().bind(action=step.__name__)
    with job_span(step.__name__, job_id) as current:
        try:
            job = step(parts(), job_id)
            if job is not None:
                after_step(parts().ledger, job)
        except (PartUnreachable, NoSuchJob) as error:
            log.warning("step.put-off", code=error.code, error=error.message)
            return None
        except MemolineError as error:
            log.error("step.failed", code=error.code, error=error.message)
            return None
        except Exception:  # a mistake of ours: told here, where the line has the job's id
            log.exception("step.crashed")
            return None
        if job is not None:
            current.tell(state=str(job.state), code=job.code)
            log.info("step.done", state=str(job.state), code=job.code, linq_trace_id=job.trace_id)
        return job
