"""A Celery worker whose only task runs an endless ffmpeg through the project's one door. Run as a script:
`python -m tests.chaos.ffmpeg_worker BROKER_URL POOL`."""

from __future__ import annotations

import sys

from celery import Celery, signals

from pipeline.audio.child import Limits, find_ffmpeg, run
from workers.worker import _lead_a_group


def make_app(broker_url: str) -> Celery:
    """An app with the task `endless(to)`, which writes sound to a file until it is ended."""
    app = Celery("dying", broker=broker_url)

    @app.task(name="endless", ignore_result=True)
    def endless(to: str) -> None:
        source = ["-re", "-f", "lavfi", "-i", "sine", "-f", "wav", f"file:{to}"]
        raise RuntimeError(run(find_ffmpeg(None), source, Limits(wall_s=300)))

    return app


if __name__ == "__main__":
    signals.worker_process_init.connect(_lead_a_group, weak=False)
    quiet = ["--without-gossip", "--without-mingle", "--concurrency", "1", "--loglevel", "INFO"]
    make_app(sys.argv[1]).worker_main(["worker", "--pool", sys.argv[2], *quiet])
