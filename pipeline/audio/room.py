"""The doors of the audio room: `inspect`, `convert` and the runner that a worker uses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pipeline.audio import child, plan, prepare, probe
from pipeline.audio.foresee import Foreseen, foresee
from pipeline.audio.scratch import scratch
from pipeline.audio.study import Study, study
from pipeline.disk import NO_ROOM, disk_trouble, writing_in
from pipeline.errors import MemolineError, Misuse, RecordingRejected
from pipeline.recordings import Action, AudioSettings, Memo

MAX_NAME_BYTES = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What a file is and what would be done with it. path: as it was given. accepted_as: the accepted type that it
    already is. truncated: it breaks off before its end. code: short and stable; for a reject, why.
    foreseen: about what it will come to."""

    path: str
    container: str | None
    codec: str | None
    duration_s: float | None
    sample_rate_hz: int | None
    channels: int | None
    size_bytes: int
    accepted_as: str | None
    action: str
    reason: str
    code: str
    truncated: bool = False
    foreseen: Foreseen | None = None

    def as_json(self) -> dict[str, object]:
        """The fields as JSON-ready values."""
        fields = asdict(self)
        del fields["foreseen"]
        return fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """A memo. path: absolute; None where the recording was split, and then `parts` has the memos. trimmed: sound at
    the end was left out; truncated: the recording itself breaks off. bitrate_kbps: the average of the whole file.
    kept_s, dropped_s: seconds of the recording that are in it, and that were left out at its end; starts_at_s: where in
    the recording it begins, as a part of several. pause_confidence_db: of the pause that it ends in, as in
    `pipeline.model.Memo`. waveform: path of the picture, where one was drawn."""

    action: str
    path: str | None
    size_bytes: int
    duration_s: float
    bitrate_kbps: float
    mime_type: str
    sha256: str | None
    trimmed: bool
    reason: str
    source_duration_s: float | None
    kept_s: float
    dropped_s: float
    starts_at_s: float
    pause_confidence_db: float | None
    truncated: bool = False
    waveform: str | None = None
    parts: tuple[Converted, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The fields as JSON-ready values."""
        return {**asdict(self), "parts": [part.as_json() for part in self.parts]}


def _settings(given: AudioSettings | None) -> AudioSettings:
    if given is not None:
        return given
    from pipeline.environment import load_audio_settings

    return load_audio_settings()


def inspect(path: str | Path, settings: AudioSettings | None = None) -> Inspection:
    """Probe and plan; nothing is written. A recording that cannot be used is an answer (`action` is `reject`).

    Raises Misuse for the path (`no-such-file`, `is-a-directory`, `unreadable`) and for the settings.
    """
    audio = _settings(settings)
    file = probe.checked_path(path)
    try:
        known = study(file, child.find_ffmpeg(audio.ffmpeg), audio)
    except RecordingRejected as error:
        return Inspection(
            path=str(path), container=None, codec=None, duration_s=None, sample_rate_hz=None, channels=None,
            size_bytes=file.stat().st_size, accepted_as=None, action=Action.REJECT.value, reason=error.message,
            code=error.code,
        )  # fmt: skip
    stream = known.facts.audio[0]
    return Inspection(
        path=str(path), container=known.facts.container, codec=stream.codec, duration_s=round(known.duration_s, 3),
        sample_rate_hz=stream.sample_rate_hz, channels=stream.channels, size_bytes=known.facts.size_bytes,
        accepted_as=known.plan.accepted_as, action=known.plan.action.value, reason=known.plan.reason,
        code=known.plan.code, truncated=known.facts.truncated,
        foreseen=_foreseen(known, audio),
    )  # fmt: skip


def _foreseen(known: Study, audio: AudioSettings) -> Foreseen:
    most_kbps = plan.most_kbps(known.facts, audio)
    return foresee(known.plan, known.duration_s, known.facts.size_bytes, most_kbps, audio)


def convert(
    path: str | Path,
    out_dir: str | Path,
    settings: AudioSettings | None = None,
    on_progress: Callable[[float], None] | None = None,
    name: str | None = None,
) -> Converted:
    """Make a memo of a recording, in out_dir, named like it with the right extension, or by another name, given without
    extension. No other file is overwritten: it gets `-2` then. on_progress gets the share that is done, 0 to 1.

    Raises RecordingRejected (and leaves nothing in out_dir), Misuse for the path or the folder, ToolFailed.
    """
    file = probe.checked_path(path)
    memos = _prepare(file, Path(out_dir), _settings(settings), on_progress, name or file.stem)
    if len(memos) == 1:
        return _converted(memos[0])
    seconds, size = sum(memo.duration_s for memo in memos), sum(memo.size_bytes for memo in memos)
    return replace(
        _converted(memos[0]), path=None, sha256=None, size_bytes=size, duration_s=seconds, kept_s=round(seconds, 3),
        pause_confidence_db=None,
        bitrate_kbps=round(size / 125 / seconds, 2),
        parts=tuple(_converted(memo) for memo in memos),
    )  # fmt: skip


def _converted(memo: Memo) -> Converted:
    return Converted(
        action=memo.action.value, path=str(memo.path), size_bytes=memo.size_bytes, duration_s=round(memo.duration_s, 3),
        bitrate_kbps=memo.bitrate_kbps, mime_type=memo.mime_type, sha256=memo.sha256, trimmed=memo.trimmed,
        reason=memo.reason, source_duration_s=memo.source_duration_s, kept_s=round(memo.duration_s, 3),
        dropped_s=round(memo.dropped_s, 3), starts_at_s=round(memo.starts_at_s, 3),
        pause_confidence_db=memo.pause_confidence_db, truncated=memo.truncated,
    )  # fmt: skip


class AudioRunner:
    """`pipeline.ports.Runner` on the ffmpeg named, or the one that comes with the package."""

    def __init__(self, ffmpeg: str | None = None) -> None:
        self._ffmpeg = ffmpeg

    def prepare(self, recording: Path, out_dir: Path, settings: AudioSettings) -> tuple[Memo, ...]:
        """One memo in out_dir, or several where it is split. Raises RecordingRejected, ToolFailed, Misuse."""
        ffmpeg = settings.ffmpeg or self._ffmpeg
        return _prepare(probe.checked_path(recording), out_dir, replace(settings, ffmpeg=ffmpeg), None, recording.stem)


def _prepare(
    file: Path, out_dir: Path, settings: AudioSettings, on_progress: Callable[[float], None] | None, name: str
) -> tuple[Memo, ...]:
    ffmpeg = child.find_ffmpeg(settings.ffmpeg)
    known = study(file, ffmpeg, settings, to_make=True)
    if known.plan.action is Action.REJECT:
        raise RecordingRejected(known.plan.code, known.plan.reason)
    with _scratch(out_dir) as place:
        with writing_in(out_dir):
            made = prepare.make(known, place, ffmpeg, settings, on_progress)
        memos = [replace(memo, ffmpeg=probe.version(ffmpeg)) for memo in made]
        if len(memos) == 1:
            return (_publish(memos[0], out_dir, name, file),)
        return tuple(_publish(memo, out_dir, f"{name}-part{at}", file) for at, memo in enumerate(memos, 1))


@contextmanager
def _scratch(out_dir: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            out_dir.mkdir(parents=True, exist_ok=True)
            place = stack.enter_context(scratch(out_dir))
        except OSError as error:
            raise _bad_folder(out_dir, error) from None
        yield place


def _bad_folder(out_dir: Path, error: OSError) -> MemolineError:
    if error.errno in NO_ROOM:
        return disk_trouble(out_dir, error)
    return Misuse("bad-out-dir", f"{out_dir} cannot be written to ({error.strerror}): name another folder.")


def _publish(memo: Memo, out_dir: Path, stem: str, source: Path) -> Memo:
    """Give a finished memo its name, in one step; another file's name is never taken."""
    for number in range(1, 10_000):
        target = out_dir.absolute() / _fitting(
            stem, f".{memo.extension}" if number == 1 else f"-{number}.{memo.extension}"
        )
        try:
            os.link(memo.path, target)
        except FileExistsError:
            if not _is_same(target, memo, source):
                continue
        except OSError:
            if target.exists():
                continue
            memo.path.rename(target)
        return replace(memo, path=target)
    raise RecordingRejected("too-many-names", f"{out_dir} holds too many memos of this name: name another folder.")


def _fitting(stem: str, end: str) -> str:
    """A file name of at most 255 bytes, the most that file systems take."""
    room = MAX_NAME_BYTES - len(end.encode())
    return os.fsdecode(os.fsencode(stem)[:room]) + end


def _is_same(target: Path, memo: Memo, source: Path) -> bool:
    """Whether a file is this very memo from an earlier run, and not the recording itself."""
    if not target.is_file() or target.samefile(source) or target.stat().st_size != memo.size_bytes:
        return False
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == memo.sha256
