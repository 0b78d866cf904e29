"""Celery messages as hints. A hint says "look at this job"; losing one costs time, never a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.ledger.states import POLLED
from pipeline.model import Job, State
from workers.log import logger

if TYPE_CHECKING:
    from celery import Celery

PREPARE = "memoline.prepare"
DELIVER = "memoline.deliver"
REGISTER = "register"
"""Where Celery programs that cannot import us hand in; its messages are no hints (`workers/register.py`)."""
QUEUES = {"audio": ("audio", "audio-backfill"), "send": ("send", "send-backfill")}
"""The hints of each worker, the first queue first: no live memo waits behind hints of a backfill, or behind polls."""
BACKFILL_HINTS = 1_000
"""So many hints wait in a second queue at most, however many rows wait in the ledger."""
HINT_TTL_S = 30
"""How long a second hint for a job is held back: longer than a queue usually takes, and the price of one lost."""


def task_for(job: Job) -> tuple[str, str] | None:
    """(task, queue) of the step that a job waits for, None where it waits for nobody of ours."""
    second = job.lane == "backfill" or job.state in POLLED
    if job.state in (State.RECEIVED, State.PREPARING):
        return PREPARE, QUEUES["audio"][second]
    if job.state in (State.HOSTED, State.SENDING, State.UNCONFIRMED, *POLLED):
        return DELIVER, QUEUES["send"][second]
    return None


class Hints:
    """Publishes hints; never raises. app: the Celery app, None where there is no broker (the sweeper will hint)."""

    def __init__(self, app: Celery | None) -> None:
        self._app = app

    def wake(self, job: Job, *, once_s: int = 0) -> bool:
        """Publish the hint for a job's next step; with once_s at most one in so many seconds. False: not published."""
        target = task_for(job)
        if target is None or self._app is None:
            return False
        task, queue = target
        try:
            if once_s and not self._first(f"{task}:{job.job_id}:{job.rev}", once_s):
                return False
            self._app.send_task(task, args=[job.job_id], queue=queue)
        except Exception as error:  # whatever the broker's libraries raise: the sweeper hints again
            logger().info("hint.not-published", job_id=job.job_id, task=task, error=str(error))
            return False
        return True

    def wake_some(self, jobs: Sequence[Job]) -> None:
        """Publish hints for jobs of a backfill as long as their queue is short; the sweeper hints the others."""
        target = task_for(jobs[0]) if jobs else None
        if target is None or self._app is None:
            return
        try:
            room = max(0, BACKFILL_HINTS - self.queue_length(target[1]))
        except Exception as error:  # as in `wake`
            logger().info("hint.not-published", job_id=jobs[0].job_id, task=target[0], error=str(error))
            return
        for job in jobs[:room]:
            if not self.wake(job):
                return

    def queue_length(self, queue: str) -> int:
        """Messages that wait in a queue. Raises what the broker's client raises."""
        with self._client() as client:
            return int(client.llen(queue))

    def _first(self, name: str, ttl_s: int) -> bool:
        with self._client() as client:
            return bool(client.set(f"hint:{name}", 1, nx=True, ex=ttl_s))

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Redis, over a connection of the app's pool: opening one for each hint took most of the sweeper's time."""
        with self._app.connection_or_acquire() as connection:  # type: ignore[union-attr]
            yield connection.default_channel.client


def open_hints(broker_url: str | None) -> Hints:
    """Hints over the broker; without one they go nowhere, and the jobs wait for the sweeper."""
    from workers.app import PUBLISHER_TIMEOUT_S, make_app

    return Hints(make_app(broker_url, socket_timeout_s=PUBLISHER_TIMEOUT_S) if broker_url else None)
