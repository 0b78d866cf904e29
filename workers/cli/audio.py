"""inspect, convert, host: what becomes of a recording, without sending it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pipeline.errors import MemolineError
from workers.cli.options import json_lines
from workers.cli.output import Output, shown


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@json_lines
def inspect(files: tuple[str, ...], as_json: bool) -> int:
    """Say what each recording is and what would be done with it, and why. Changes nothing.

    Example: memoline inspect *.wav lecture.webm
    """
    from pipeline.audio import inspect as look
    from pipeline.environment import load_audio_settings

    out, settings, status = Output(as_json=as_json), load_audio_settings(), 0
    for name in files:
        try:
            found = look(name, settings)
        except MemolineError as error:
            out.error(error, path=name)
            status = max(status, error.exit_status)
            continue
        out.row(found.as_json(), shown(f"{name}: {found.action}. {found.reason}"))
    return status


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "-o", "--out", "out_dir", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Where the memos go."
)
@json_lines
def convert(files: tuple[str, ...], out_dir: Path, as_json: bool) -> int:
    """Do the audio step alone: make each recording a file that Linq accepts. Needs no network.

    Example: memoline convert lecture.webm -o out/
    """
    from pipeline.audio import convert as make
    from pipeline.environment import load_audio_settings

    out, settings, status = Output(as_json=as_json), load_audio_settings(), 0
    for name in files:
        try:
            with _progress(name) as on_progress:
                made = make(name, out_dir, settings, on_progress=on_progress)
        except MemolineError as error:
            out.error(error, path=str(Path(name).absolute()))
            status = max(status, error.exit_status)
            continue
        fields = made.as_json()
        where = fields["path"] or ", ".join(str(part["path"]) for part in made.as_json()["parts"])  # type: ignore[attr-defined]
        out.row(fields, shown(f"{name}: {fields['action']}, {fields['size_bytes']} bytes, {where}"))
    return status


@click.command()
@click.argument("file", metavar="FILE")
@json_lines
def host(file: str, as_json: bool) -> int:
    """Convert a recording, store it, check its URL as the receiver will, and print the URL. Sends nothing.

    Example: memoline host note.ogg
    """
    import secrets
    import tempfile

    from pipeline.audio import AudioRunner
    from pipeline.errors import JobFailed, PartUnreachable
    from pipeline.hosting.spool import opened
    from pipeline.settings import load_settings
    from workers.wiring import open_ledger, open_store

    settings = load_settings()
    with opened(Path(file).absolute()), tempfile.TemporaryDirectory(prefix="memoline-") as folder:
        if settings.bucket is None:
            text = f"No stack runs in {settings.home}: run `memoline up`, or set MEMOLINE_BUCKET and MEMOLINE_CDN_URL."
            raise PartUnreachable("stack-not-running", text)
        memos = AudioRunner(settings.ffmpeg).prepare(Path(file).absolute(), Path(folder), settings.audio)
        if len(memos) > 1:
            raise JobFailed("split-not-sent", f"It needs {len(memos)} memos: use overflow compress or cut.")
        store = open_store(settings, open_ledger(settings).install_secret())
        hosted = store.host(memos[0], f"host-{secrets.token_hex(16)}", 1)
        store.check(hosted)
    fields = {
        "url": hosted.url,
        "action": hosted.action,
        "size_bytes": hosted.size_bytes,
        "duration_s": hosted.duration_s,
        "bitrate_kbps": hosted.bitrate_kbps,
        "mime_type": hosted.mime_type,
        "sha256": hosted.sha256,
        "trimmed": hosted.trimmed,
    }
    Output(as_json=as_json).row(fields, hosted.url)
    return 0


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(Path(name).name, total=1.0)
        yield lambda share: bar.update(task, completed=share)
