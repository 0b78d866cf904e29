"""Gathering the facts about a recording: bytes looked at, its header opened by ffmpeg, its sound decoded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pipeline.audio import boxes, child, downmix, glance, kept, report, sniff, tags
from pipeline.audio.transcode import EVEN
from pipeline.errors import Misuse, RecordingRejected, ToolFailed
from pipeline.recordings import Probe

_BROKEN = "Open it in the program that made it and export it again."
HEADER_WALL_S = 30
SOUND_SHOWN_S = 10.0
"""Seconds of sound that show that a long recording to be transcoded has any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What decoding gave. whole: to the end of the recording. duration_s: of what was decoded. packet_bytes: the
    compressed audio read. levels: of two channels, as `downmix` measures them, else of each. peak_db: of all samples.
    gave_up: what follows cannot be read. loudness_lufs: where it was asked for."""

    whole: bool
    samples: int
    duration_s: float
    decode_errors: int
    packets: int
    packet_bytes: int
    levels: tuple[report.Level, ...]
    gave_up: bool = False
    peak_db: float = 0.0
    loudness_lufs: float | None = None

    @property
    def silent(self) -> bool:
        """Nothing but digital silence was heard."""
        return self.samples > 0 and self.peak_db == float("-inf")


def checked_path(path: str | Path) -> Path:
    """The path as a readable regular file. Raises Misuse: `no-such-file`, `is-a-directory`, `unreadable`."""
    given = Path(path)
    try:
        if given.is_dir():
            raise Misuse("is-a-directory", f"{given} is a folder: name the recordings in it.", path=str(given))
        if not given.is_file():
            if given.exists():
                raise Misuse("unreadable", f"{given} is not a regular file: name a recording.", path=str(given))
            raise Misuse("no-such-file", f"There is no file {given}: check the path.", path=str(given))
        with given.open("rb"):
            return given
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise Misuse(
            "unreadable", f"{given} cannot be read ({why}): check its permissions.", path=str(given)
        ) from error


def probe(path: Path, ffmpeg: str, keep: Sequence[str] = ()) -> Probe:
    """The facts in the headers of a readable file. keep: names of tags that may stay. Raises RecordingRejected where
    there is nothing to be had."""
    sniffed = sniff.look(path)
    done = child.run(
        ffmpeg,
        ["-loglevel", "info", *child.input_args(sniffed.demuxer, path, sniffed.skip_bytes)],
        child.Limits(wall_s=HEADER_WALL_S, file_bytes=1 << 24),
    )
    return _facts(path, sniffed, done, keep)


def probe_hearing(
    path: Path, ffmpeg: str, limit_s: float | None, keep: Sequence[str] = ()
) -> tuple[Probe, Heard | None]:
    """`probe` and `hear` of a short recording at one start of ffmpeg, which costs as much as seconds of decoding. None
    for what could not be heard: where `hear` would say why. Raises as `probe` does."""
    sniffed = sniff.look(path)
    source, seem = child.input_args(sniffed.demuxer, path, sniffed.skip_bytes), glance.channels(path, sniffed)
    limits = child.Limits(wall_s=HEADER_WALL_S, file_bytes=1 << 26)
    try:
        done = child.run(ffmpeg, _hearing_args(source, limit_s, seem), limits)
    except (RecordingRejected, ToolFailed):
        return probe(path, ffmpeg, keep), None  # its header may be all that there is to say
    if done.out_of_time:
        return probe(path, ffmpeg, keep), None
    facts = _facts(path, sniffed, done, keep)
    if not report.counts(done.report).samples or facts.audio[0].channels == 2 != seem:
        return facts, None
    return facts, _within(heard_in(done.report, facts, whole=True), limit_s)


def _facts(path: Path, sniffed: sniff.Sniffed, done: child.Finished, keep: Sequence[str]) -> Probe:
    header = report.header(done.report)
    if not header.opened:
        raise _refused(done)
    if not header.audio:
        raise RecordingRejected("no-audio-stream", "The file has no audio stream: send one with sound in it.")
    layout = boxes.read(path) if sniffed.demuxer == "mov" else None
    container = "mp4" if sniffed.container.startswith("m4a") and header.has_video else sniffed.container
    found = tags.examine(path, container, sniffed.skip_bytes, layout)
    return Probe(
        path=path,
        size_bytes=path.stat().st_size,
        container=container.removesuffix("-fragmented"),
        demuxer=sniffed.demuxer,
        skip_bytes=sniffed.skip_bytes,
        duration_s=header.duration_s,
        audio=header.audio,
        has_video=header.has_video,
        has_other_streams=header.has_other_streams,
        has_tags=bool(header.tags) or header.has_chapters or found.personal,
        truncated=found.cut_off,
        kept_tags=kept.chosen(header.tags.items(), keep),
        wrong_size=found.wrong_size,
        foreign_bytes=found.foreign_bytes,
        moov_first=layout.moov_first if layout else None,
        fragmented=sniffed.container.endswith("-fragmented"),
    )


_FFMPEGS_WORDS = ("Input #0", "[in#0", "Error opening input", "Invalid data found", "processing input")
"""What ffmpeg, of any version, says of an input. Without such a word it never came to look at it."""


def _refused(done: child.Finished) -> RecordingRejected:
    if done.out_of_time or not any(words in done.report for words in _FFMPEGS_WORDS):
        raise ToolFailed(done.argv, done.returncode, done.report)
    return RecordingRejected("broken", f"The recording is damaged: its beginning makes no sense. {_BROKEN}")


def hear(facts: Probe, ffmpeg: str, limit_s: float | None) -> Heard:
    """Decode the first audio stream, at most limit_s seconds of it, and measure its levels. Writes nothing."""
    source = child.input_args(facts.demuxer or "", facts.path, facts.skip_bytes)
    args = _hearing_args(source, limit_s, facts.audio[0].channels)
    done = child.run(ffmpeg, args, child.Limits(wall_s=wall_s(facts, limit_s), file_bytes=1 << 26))
    if done.out_of_time:
        raise ToolFailed(done.argv, done.returncode, done.report)
    return _within(heard_in(done.report, facts, whole=True), limit_s)


def _hearing_args(source: Sequence[str], limit_s: float | None, channels: int) -> list[str]:
    # Seconds of sound, not of time stamps: with `-t` a recording that paused would seem to end at its gap.
    keep = [EVEN, f"atrim=end={limit_s:.3f}"] if limit_s else []
    filters = ",".join([*keep, downmix.measuring_filter(channels)])
    return ["-loglevel", "verbose", *source, *("-map", "0:a:0", "-vn", "-sn", "-dn"), "-af", filters, "-f", "null", "-"]


def _within(heard: Heard, limit_s: float | None) -> Heard:
    return replace(heard, whole=limit_s is None or heard.duration_s < limit_s - 0.1)


def heard_in(text: str, facts: Probe, *, whole: bool) -> Heard:
    """What the report of a run says of the sound that it decoded. Raises RecordingRejected where no sound came out and
    the report says why: `encrypted`, `unsupported`."""
    stream, found = facts.audio[0], report.counts(text)
    if not found.samples and report.is_protected(text):
        raise sniff.protected()
    if not found.samples and report.lacks_decoder(text, stream.codec):
        why = f"The sound is {stream.codec}, which cannot be decoded here: export it as WAV or M4A."
        raise RecordingRejected("unsupported", why)
    peaks = report.levels(text, "mixed")
    return Heard(
        whole=whole, samples=found.samples, duration_s=found.samples / (stream.sample_rate_hz or 1),
        decode_errors=found.decode_errors, packets=found.packets, packet_bytes=found.packet_bytes,
        levels=(report.levels(text) if stream.channels == 2 else ()) or peaks,
        peak_db=max((level.peak_db for level in peaks), default=0.0),
        gave_up=report.gave_up(text),
    )  # fmt: skip


def loudness_lufs(facts: Probe, ffmpeg: str, mix: downmix.Downmix, limit_s: float | None) -> float | None:
    """The integrated loudness (EBU R 128) of a downmix, of at most limit_s seconds; None where nothing is measured."""
    keep = [EVEN, f"atrim=end={limit_s:.3f}"] if limit_s else []
    args = [
        *("-loglevel", "info", *child.input_args(facts.demuxer or "", facts.path, facts.skip_bytes)),
        *("-map", "0:a:0", "-vn", "-sn", "-dn"),
        *("-af", ",".join([*keep, mix.filters, "ebur128=framelog=quiet"]), "-f", "null", "-"),
    ]
    done = child.run(ffmpeg, args, child.Limits(wall_s=wall_s(facts, limit_s)))
    return None if done.out_of_time else report.loudness_lufs(done.report)


def run_length_s(facts: Probe, ffmpeg: str) -> float | None:
    """Seconds of the first audio stream by its time stamps: a demux, 1 to 2 % of what an encode costs."""
    args = [
        *("-loglevel", "verbose", *child.input_args(facts.demuxer or "", facts.path, facts.skip_bytes)),
        *("-map", "0:a:0", "-c", "copy", "-f", "null", "-"),
    ]
    done = child.run(ffmpeg, args, child.Limits(wall_s=120))
    return report.counts(done.report).time_s or None


def wall_s(facts: Probe, limit_s: float | None) -> float:
    """A wall limit for decoding: real time at 10 times the speed of playing, and a minute."""
    known = min(value for value in (facts.duration_s, limit_s, 6 * 3600.0) if value)
    return 60 + known / 10


def version(ffmpeg: str) -> str:
    """The version that an ffmpeg calls itself, e.g. `n9.0.2-17`. Raises Misuse `no-ffmpeg` where it has none."""
    return _version(ffmpeg, Path(ffmpeg).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _version(ffmpeg: str, _changed_at: int) -> str:
    done = child.run(ffmpeg, ["-version"], child.Limits(wall_s=10))
    found = re.search(r"^ffmpeg version (\S+)", done.report, re.MULTILINE)
    if not found:
        raise Misuse("no-ffmpeg", "The ffmpeg that is named is no ffmpeg: correct MEMOLINE_FFMPEG or unset it.")
    return found[1]
