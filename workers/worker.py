"""The two Celery workers, each in the foreground: `memoline worker audio` and `memoline worker send`."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

from celery import signals

from pipeline.audio.child import find_ffmpeg
from pipeline.audio.probe import version
from pipeline.ports import Parts
from pipeline.settings import Settings
from workers import wiring
from workers.app import make_app
from workers.doors import desk_with
from workers.hints import QUEUES, REGISTER, Hints
from workers.log import set_up_logging
from workers.pulse import EVERY_S, Pulse
from workers.register import Register, register_door
from workers.tasks import register_tasks
from workers.tracing import begin_tracing, end_tracing
from workers.watched import watched

Kind = Literal["audio", "send"]
Connect = Callable[[Settings, str], Parts]
SEND_THREADS = 8
OLD_S = 86_400
"""Longer than any attempt: older working folders belong to nobody."""
NEEDS: Mapping[Kind, tuple[str, ...]] = {"audio": ("bucket", "cdn_url"), "send": ("bucket", "linq_api_key")}
"""Settings without which a worker could only fail job after job."""


class PartsOfProcess:
    """Connects the parts once a process, after any fork: a pool child must not share its parent's connections."""

    def __init__(self, connect: Connect, settings: Settings, by: str) -> None:
        self._connect = connect
        self._settings = settings
        self._by = by
        self._made: tuple[int, Parts] | None = None
        self._making = threading.Lock()

    def __call__(self) -> Parts:
        with self._making:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), watched(self._connect(self._settings, f"{self._by}:{os.getpid()}")))
            return self._made[1]


def run_worker(kind: Kind, settings: Settings, connect: Connect = wiring.connect) -> None:
    """Work on the queues of one kind until SIGTERM; the audio worker also on the one in which other Celery programs
    hand in, since it is the one that may read recordings.

    audio: prefork, one slot a core, so that a crash or a kill hits one job. send: threads, as it only waits for HTTP.
    Raises Misuse (`missing-setting` where a part that it needs is not set, `no-ffmpeg`), PartUnreachable where the
    ledger is away."""
    broker_url = settings.need("broker_url")
    for field in NEEDS[kind]:
        settings.need(field)
    if kind == "audio":
        version(find_ffmpeg(settings.ffmpeg))
        _keep_temporary_files_in(settings.home / "work")
    wiring.open_ledger(settings).close()
    if kind == "audio":
        # The pool's children must not die of a TERM to the whole group: then running jobs are finished or requeued.
        os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    set_up_logging(settings)
    app = make_app(broker_url)
    parts, hints = PartsOfProcess(connect, settings, f"worker-{kind}"), Hints(app)
    register_tasks(app, parts, hints)
    if kind == "audio":
        desk = cache(lambda: desk_with(parts(), settings))
        register_door(app, Register(desk=desk, book=cache(lambda: wiring.open_refusals(settings)), hints=hints))
    pulse = Pulse(settings.home, kind)
    _tell_when_ready(settings, kind, pulse)
    try:
        app.worker_main(_arguments(kind))
    finally:  # Celery tells nobody of a shutdown by SIGQUIT, which SIGTERM is to the audio worker
        pulse.end()
        end_tracing()


def _keep_temporary_files_in(work: Path) -> None:
    """Let what a killed worker leaves lie where the next one finds and removes it."""
    folder = work / "tmp"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in (*work.iterdir(), *folder.iterdir()):
        with suppress(OSError):  # another worker may have removed it at this moment
            if left != folder and time.time() - left.stat().st_mtime > OLD_S:
                shutil.rmtree(left, ignore_errors=True)
    tempfile.tempdir = str(folder)


def _arguments(kind: Kind) -> list[str]:
    pool = (
        ["--pool", "prefork", "--concurrency", str(os.cpu_count() or 1)]
        if kind == "audio"
        else ["--pool", "threads", "--concurrency", str(SEND_THREADS)]
    )
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
    # A call that waits is nowhere else but in Redis, and registering it takes milliseconds.
    queues = (*((REGISTER,) if kind == "audio" else ()), *QUEUES[kind])
    return ["--quiet", "worker", "--queues", ",".join(queues), "--hostname", f"{kind}@%h", *pool, *quiet]


def _tell_when_ready(settings: Settings, kind: Kind, pulse: Pulse) -> None:
    """Write the file by which the supervisor sees that the worker takes work, and let the loop that takes it show from
    then on that it turns. What exports traces is begun in the process that works, after the fork."""
    path = settings.home / "run" / f"{kind}.ready"

    def ready(sender: Any, **_: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{os.getpid()}\n")
        pulse.beat()
        sender.timer.call_repeatedly(EVERY_S, pulse.beat)

    def traces(**_: object) -> None:
        begin_tracing(kind)

    # Connected so, Celery leaves the logging to us.
    signals.setup_logging.connect(_logging_is_set_up, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_process_init.connect(_lead_a_group, weak=False)
    if kind == "audio":
        signals.worker_process_init.connect(traces, weak=False)
        signals.worker_process_shutdown.connect(lambda **_: end_tracing(), weak=False)
    else:
        traces()


def _logging_is_set_up(**_: object) -> None:
    return


def _lead_a_group(**_: object) -> None:
    """Give a pool child its own process group, so that killing it for its time limit takes ffmpeg with it."""
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
