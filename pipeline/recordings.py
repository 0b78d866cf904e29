"""The values of the audio step: what a recording is, what shall be done with it, what came out. All are frozen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

Overflow = Literal["compress", "cut", "split", "reject"]


Loudness = Literal["off", "speech"]


TAG_NAMES = ("title", "artist", "album", "date", "genre")
"""Tags that settings may let stay in a memo."""


class Action(StrEnum):
    """What the audio step does with a recording."""

    PASS_THROUGH = "pass-through"  # noqa: S105 (a word, not a password)
    REMUX = "remux"
    TRANSCODE = "transcode"
    REJECT = "reject"


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioSettings:
    """What the audio step may do. max_bytes: the memo stays under it. bitrates in kb/s (k = 1000). keep_tags: some of
    TAG_NAMES. loudness: `speech` raises what is encoded and too quiet."""

    max_bytes: int = 10_000_000
    overflow: Overflow = "compress"
    bitrate_kbps: float = 64
    min_bitrate_kbps: float = 24
    loudness: Loudness = "off"
    ffmpeg: str | None = None
    keep_tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioStream:
    """One audio stream of a recording. codec: ffmpeg's name, e.g. `aac`. profile: e.g. `LC`."""

    index: int
    codec: str
    profile: str | None
    sample_rate_hz: int
    channels: int
    layout: str
    bitrate_kbps: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """The measured facts of a recording. container: our name (`m4a`, `mp3`, `aac`, `caf`, `wav`, `aiff`, `amr`, `ogg`,
    `webm`, `flac`, `mov`…). duration_s: what its headers or its decoding say; None where neither does.
    skip_bytes: of other things in front of the container. wrong_size: its header does not tell how long the sound is.
    kept_tags: (name, value) of the tags that are to stay. foreign_bytes: between and behind frames that stand by
    themselves, where a decoder takes them for sound.
    moov_first: None where the container has no moov.
    fragmented: an MP4 in pieces. truncated: it breaks off, or less is there than its headers promise."""

    path: Path
    size_bytes: int
    container: str | None
    demuxer: str | None
    duration_s: float | None
    audio: tuple[AudioStream, ...] = ()
    has_video: bool = False
    has_other_streams: bool = False
    has_tags: bool = False
    moov_first: bool | None = None
    encrypted: bool = False
    truncated: bool = False
    fragmented: bool = False
    skip_bytes: int = 0
    wrong_size: bool = False
    kept_tags: tuple[tuple[str, str], ...] = ()
    foreign_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What will be done and why. reason: a few sentences; why: those of them that do not foretell what comes out.
    code: the reject code, or a short name of the reason. keep_s: seconds from the start that are kept; None keeps all.
    gain_db: by which quiet speech is raised."""

    action: Action
    reason: str
    code: str
    accepted_as: str | None = None
    extension: str | None = None
    mime_type: str | None = None
    bitrate_kbps: float | None = None
    sample_rate_hz: int | None = None
    cutoff_hz: int | None = None
    keep_s: float | None = None
    gain_db: float = 0.0
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memo:
    """A file made from a recording, proven. path: where it lies now. bitrate_kbps: the average of the whole file.
    trimmed: sound at the end was left out; source_duration_s: how long the recording was; starts_at_s: where in it
    this memo begins, as a part of several. truncated: the recording itself breaks off. pause_confidence_db: how far the
    pause that it ends in lies below its loud parts (from 15 on it is one; below 5 there was none); None where it ends
    with the recording. plan: what was done; ffmpeg: the version that did it."""

    action: Action
    path: Path
    size_bytes: int
    duration_s: float
    bitrate_kbps: float
    mime_type: str
    extension: str
    sha256: str
    reason: str
    trimmed: bool = False
    truncated: bool = False
    source_duration_s: float | None = None
    starts_at_s: float = 0.0
    pause_confidence_db: float | None = None
    plan: Plan | None = None
    ffmpeg: str | None = None

    @property
    def dropped_s(self) -> float:
        """Seconds at the recording's end that are not in the memo."""
        if not self.trimmed or self.source_duration_s is None:
            return 0.0
        return max(self.source_duration_s - self.starts_at_s - self.duration_s, 0.0)
