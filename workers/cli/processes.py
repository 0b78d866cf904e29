"""worker, watch, serve, sweep: the processes, each in the foreground until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from pipeline.errors import Misuse
from workers.cli.options import json_lines

if TYPE_CHECKING:
    from pipeline.settings import Settings


@click.command()
@click.argument("kind", metavar="audio|send")
@json_lines
def worker(kind: str, as_json: bool) -> int:  # noqa: ARG001 (errors are JSON then)
    """Work on a queue: audio prepares recordings (one slot a core), send delivers memos."""
    if kind not in ("audio", "send"):
        raise Misuse("usage", f"{kind!r} is no worker: say `memoline worker audio` or `memoline worker send`.")
    _may_be_told_early()
    from pipeline.settings import load_settings
    from workers.worker import run_worker

    run_worker(cast(Literal["audio", "send"], kind), load_settings())
    return 0


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--results", metavar="beside|off|FOLDER", help="Of DIR: where results are written.  [default: beside]")
@click.option("--done", type=click.Choice(["keep", "move"]), help="Of DIR: move what was sent to DIR/done.")
@json_lines
def watch(folder: Path | None, results: str | None, done: Literal["keep", "move"] | None, as_json: bool) -> int:  # noqa: ARG001
    """Watch the inbox bucket, or a folder, and register what is dropped there.

    Example: memoline watch ~/outbox, then put a recording to ~/outbox/CHAT/note.ogg
    """
    _may_be_told_early()
    if folder is not None:
        from workers.folder_place import FolderWishes
        from workers.folder_watch import watch_folder

        place = results or "beside"
        to = place if place in ("beside", "off") else Path(place).absolute()
        wishes = FolderWishes(results=cast("Path | Literal['beside', 'off']", to), done=done or "keep")
        watch_folder(_ready_to_log("watch"), folder, wishes, _until_told())
        return 0
    if results is not None or done is not None:
        raise Misuse("usage", "--results and --done are of a folder: MEMOLINE_RESULTS and MEMOLINE_INBOX_DONE say it.")
    from workers.watcher import watch_for_ever

    settings = _ready_to_log("watch")
    watch_for_ever(settings, _until_told(), _announced(settings, "watch"))
    return 0


@click.command()
@json_lines
def sweep(as_json: bool) -> int:  # noqa: ARG001
    """Find every job that should move, and hint it again."""
    _may_be_told_early()
    from workers.sweeper import sweep_for_ever

    settings = _ready_to_log("sweep")
    sweep_for_ever(settings, _until_told(), _announced(settings, "sweep"))
    return 0


@click.command()
@json_lines
def serve(as_json: bool) -> int:  # noqa: ARG001
    """Serve the HTTP door and the webhook receiver."""
    _may_be_told_early()
    from workers.web import serve as serve_web

    settings = _ready_to_log("serve")
    serve_web(settings, lambda _: _write_ready(settings, "serve"))
    return 0


def _ready_to_log(process: str) -> Settings:
    from pipeline.settings import load_settings
    from workers.log import set_up_logging
    from workers.tracing import begin_tracing

    settings = load_settings()
    set_up_logging(settings)
    begin_tracing(process)
    return settings


def _may_be_told_early() -> None:
    """Being told to stop is no failure of a process, also before it has begun to listen for that by itself."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _until_told() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


class _Ready(threading.Event):
    """Writes the file by which the supervisor sees that a process is ready."""

    def __init__(self, settings: Settings, part: str) -> None:
        super().__init__()
        self._settings, self._part = settings, part

    def set(self) -> None:
        super().set()
        _write_ready(self._settings, self._part)


def _announced(settings: Settings, part: str) -> threading.Event:
    return _Ready(settings, part)


def _write_ready(settings: Settings, part: str) -> None:
    path: Path = settings.home / "run" / f"{part}.ready"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("ready\n")
