"""inspect, convert, host: what becomes of a recording, without sending it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from pipeline.errors import MemolineError, RecordingRejected
from workers.cli.bar import Bar
from workers.cli.crew import cores, results
from workers.cli.gathering import Found, gather, pictures
from workers.cli.options import json_lines
from workers.cli.output import Output

if TYPE_CHECKING:
    from pipeline.audio import Converted, Inspection

at_once = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 256),
    default=cores,
    metavar="N",
    help="So many at once; one a core by default.",
)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@at_once
@json_lines
def inspect(files: tuple[str, ...], jobs: int, as_json: bool) -> int:
    """Say what each recording is and what would be done with it, and why. Changes nothing.

    A folder stands for all files in it and its folders, hidden ones left out. Results come in the order given.

    Example: memoline inspect *.wav archive/
    """
    from pipeline.audio import inspect as look
    from pipeline.environment import load_audio_settings
    from workers.cli.audio_rows import INSPECTED, inspected
    from workers.cli.listing import Listing

    settings, found = load_audio_settings(), gather(files)
    listing = Listing("FILE", [item.path for item in found], INSPECTED, "WHY")

    def work(item: Found, _: Callable[[float], None]) -> Inspection:
        return look(item.path, settings)

    def row(item: Found, seen: Inspection) -> tuple[Mapping[str, object], str]:
        told = f"{item.path}: {seen.action}. {seen.reason}"
        return seen.as_json(), listing.row(item.path, inspected(seen), seen.reason, told)

    bar = Bar([item.path for item in found], [1.0] * len(found), whole="inspected")
    return _run(found, work, row, jobs, Output(as_json=as_json), bar, path_of=str)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "-o", "--out", "out_dir", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Where the memos go."
)
@click.option(
    "--waveform",
    metavar="PICTURE",
    type=click.Path(path_type=Path),
    help="Draw what was kept and where it was cut: a name.svg or name.png, or a folder for a name.svg of each.",
)
@at_once
@json_lines
def convert(files: tuple[str, ...], out_dir: Path, waveform: Path | None, jobs: int, as_json: bool) -> int:
    """Do the audio step alone: make each recording a file that Linq accepts. Needs no network.

    A folder stands for all files in it and its folders, hidden ones and DIR left out; their memos lie in the same
    folders under DIR. Nothing is overwritten: where a name is taken, the memo gets `-2`. Results come in the order
    given.

    Example: memoline convert lecture.webm archive/ -o out/
    """
    from pipeline.audio import convert as make
    from pipeline.audio import draw
    from pipeline.environment import load_audio_settings
    from workers.cli.audio_rows import CONVERTED, converted
    from workers.cli.listing import Listing

    settings, found = load_audio_settings(), gather(files, out_dir)
    listing = Listing("FILE", [item.path for item in found], CONVERTED, "MEMO")
    picture_of = pictures(waveform, found)

    def work(item: Found, tell: Callable[[float], None]) -> Converted:
        made = make(item.path, out_dir / item.into, settings, on_progress=tell, name=item.name)
        picture = picture_of(item)
        return replace(made, waveform=str(draw(item.path, made, picture, settings))) if picture else made

    def row(item: Found, made: Converted) -> tuple[Mapping[str, object], str]:
        where = ", ".join(str(part.path) for part in made.parts or (made,))
        told = f"{item.path}: {made.action}, {made.size_bytes} bytes, {where}"
        told += f", {made.waveform}" if made.waveform else ""
        fields = {"source": str(Path(item.path).absolute()), **made.as_json()}
        return fields, listing.row(item.path, converted(made), f"{_near(where)}: {made.reason}", told)

    bar = Bar([item.path for item in found], [_size_bytes(item.path) for item in found], whole="converted")
    return _run(found, work, row, jobs, Output(as_json=as_json), bar, path_of=os.path.abspath)


Made = TypeVar("Made", "Inspection", "Converted")


def _run(
    found: Sequence[Found],
    work: Callable[[Found, Callable[[float], None]], Made],
    row: Callable[[Found, Made], tuple[Mapping[str, object], str]],
    jobs: int,
    out: Output,
    bar: Bar,
    path_of: Callable[[str], str],
) -> int:
    """Work on all, tell each in order, and return the highest status. row: fields and text of a result; path_of: how
    the path of one that failed is told."""
    from workers.cli.audio_rows import summary
    from workers.cli.listing import length

    actions: list[str] = []
    status = 0

    def checked(item: Found, tell: Callable[[float], None]) -> Made:
        if item.error:
            raise item.error
        return work(item, tell)

    begun_s = time.monotonic()
    try:
        with closing(bar), closing(results(checked, found, jobs, bar.share)) as done:
            for number, (item, result) in enumerate(zip(found, done, strict=True)):
                bar.done(number)
                with bar.away():
                    if isinstance(result, MemolineError):
                        out.error(result, path=path_of(item.path))
                        status = max(status, result.exit_status)
                        actions.append("reject" if isinstance(result, RecordingRejected) else "failed")
                    else:
                        out.row(*row(item, result))
                        actions.append(result.action)
    except (KeyboardInterrupt, SystemExit):
        out.say(f"stopped after {len(actions)} of {len(found)}")
        raise
    if len(found) > 1 and not out.as_json:
        out.say(f"{summary(actions)}; {length(time.monotonic() - begun_s)}")
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
    from pipeline.audio.scratch import scratch
    from pipeline.errors import JobFailed, PartUnreachable
    from pipeline.hosting.spool import opened
    from pipeline.settings import load_settings
    from workers.wiring import open_ledger, open_store

    settings = load_settings()
    with opened(Path(file).absolute()), scratch(Path(tempfile.gettempdir())) as folder:
        if settings.bucket is None:
            text = f"No stack runs in {settings.home}: run `memoline up`, or set MEMOLINE_BUCKET and MEMOLINE_CDN_URL."
            raise PartUnreachable("stack-not-running", text)
        memos = AudioRunner(settings.ffmpeg).prepare(Path(file).absolute(), folder, settings.audio)
        if len(memos) > 1:
            raise JobFailed("split-not-sent", f"It needs {len(memos)} memos: use overflow compress or cut.")
        store = open_store(settings, open_ledger(settings).install_secret())
        hosted = store.host(memos[0], f"host-{secrets.token_hex(16)}", 1)
        store.check(hosted)
        url = store.address(hosted)
    fields = {
        "url": url,
        "action": hosted.action,
        "size_bytes": hosted.size_bytes,
        "duration_s": hosted.duration_s,
        "bitrate_kbps": hosted.bitrate_kbps,
        "mime_type": hosted.mime_type,
        "sha256": hosted.sha256,
        "trimmed": hosted.trimmed,
    }
    Output(as_json=as_json).row(fields, url)
    return 0


def _size_bytes(path: str) -> float:
    """What a recording counts in the whole: about what it takes; something, also where it cannot be read."""
    try:
        return 1.0 + Path(path).stat().st_size
    except (OSError, ValueError):
        return 1.0


def _near(path: str) -> str:
    """A path as it is shorter to read."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
