"""What ffmpeg prints, made into values. The only file that reads its words; tests pin it to the shipped version.

There is no ffprobe in the package, and ffmpeg has no machine-readable form of these lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.recordings import AudioStream

_INPUT = re.compile(r"^Input #0, .*, from '")
_STREAM = re.compile(
    r"^  Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\([^)]*\))?: (Audio|Video|Subtitle|Data|Attachment|Unknown)(.*)$"
)
_AUDIO = re.compile(r"^: (\w+)(?: \(([^()/]+)\))?(?: \(([^()/]+)\))?(?: \([^)]*/ 0x[0-9A-Fa-f]+\))?(?:, (.*))?$")
_DURATION = re.compile(r"^  Duration: (?:(\d+):(\d\d):(\d\d(?:\.\d+)?)|N/A)")
_TAG = re.compile(r"^ {4}([^ :][^:]*?) *: ?(.*)$")
_STREAM_TAG = re.compile(r"^ {6}([^ :][^:]*?) *: ?(.*)$")
# Anchored at the names that ffmpeg prints: the lines of a recording's own tags begin with blanks.
_READ = re.compile(
    r"^\[in#0/\S+ @ \w+\] +Input stream #0:\d+ \(audio\): (\d+) packets read \((\d+) bytes\);"
    r"(?: (\d+) frames decoded;(?: (\d+) decode errors)?(?: \((\d+) samples\))?)?",
    re.MULTILINE,
)
_WRITTEN = re.compile(
    r"^\[out#0/\S+ @ \w+\] +Output stream #0:0 \(audio\): (?:\d+ frames encoded \((\d+) samples\); )?"
    r"(\d+) packets muxed \((\d+) bytes\)",
    re.MULTILINE,
)
_TIME = re.compile(r"^(?:size|frame)=.* time=(\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)
_LEVEL = re.compile(r"^\[astats@(\w+) @ \w+\] (Channel|Peak level dB|RMS level dB): (\S+)", re.MULTILINE)
_STEP_LEVEL = re.compile(r"^lavfi\.astats\.Overall\.RMS_level=(-?(?:inf|\d+\.\d+))$", re.MULTILINE)
_LOUDNESS = re.compile(r"^  Integrated loudness:\n +I: +(-?\d+\.\d) LUFS", re.MULTILINE)

_NO_DECODER = re.compile(
    r"^(?:\[\S+ @ \w+\] )+(?:Codec \((\w+)\) not on whitelist|.*no decoder found for: (\w+)$)", re.M
)
_GAVE_UP = re.compile(r"^\[in#0/\S+ @ \w+\] Error during demuxing:", re.MULTILINE)
_PROTECTED = re.compile(r"^\[\S+ @ \w+\] (?:Ext )?DRM protected stream detected", re.MULTILINE)

_LAYOUTS_BY_CHANNELS = {
    1: "mono",
    2: "stereo downmix binaural",
    3: "2.1 3.0 3.0(back)",
    4: "4.0 quad quad(side) 3.1",
    5: "5.0 5.0(side) 4.1",
    6: "5.1 5.1(side) 6.0 6.0(front) hexagonal 3.1.2",
    7: "6.1 6.1(back) 6.1(front) 7.0 7.0(front)",
    8: "7.1 7.1(wide) 7.1(wide-side) octagonal cube 5.1.2 5.1.2(back)",
    10: "5.1.4 7.1.2",
    12: "7.1.4 7.2.3 9.1.2",
    14: "9.1.4",
    16: "hexadecagonal 9.1.6",
    24: "22.2",
}
LAYOUT_CHANNELS = {name: count for count, names in _LAYOUTS_BY_CHANNELS.items() for name in names.split()}

TECHNICAL_TAGS = frozenset(
    {
        *(
            "major_brand",
            "minor_version",
            "compatible_brands",
            "encoder",
            "creation_time",
            "handler_name",
        ),
        *("vendor_id", "timecode", "duration", "itunsmpb", "itunnorm", "tsse", "tsrc", "tlen", "software", "isft"),
        *("variant_bitrate", "alpha_mode", "channels", "rate"),
    }
)
"""Names that tell of programs, not of people or places."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What opening a file told. opened: False where the demuxer refused it. tags: by name in lower case, but
    for technical ones. other_streams: pictures, subtitles, data."""

    opened: bool
    duration_s: float | None
    audio: tuple[AudioStream, ...]
    has_video: bool
    has_other_streams: bool
    tags: Mapping[str, str]
    has_chapters: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What passed through a run. samples: decoded per channel. packet_bytes: compressed audio read.
    written_samples: encoded per channel; written_packets, written_bytes: put into the file. time_s: the last time
    stamp."""

    packets: int
    packet_bytes: int
    decode_errors: int
    samples: int
    written_samples: int | None
    written_packets: int
    written_bytes: int
    time_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """One channel as `astats` measured it, in dBFS. Silence is minus infinity."""

    peak_db: float
    rms_db: float


def header(report: str) -> Header:
    """Read the block that ffmpeg prints for its input, and nothing before or after it."""
    lines = _input_block(report)
    audio: list[AudioStream] = []
    video = other = chapters = False
    duration_s: float | None = None
    tags: dict[str, str] = {}
    grouped = False
    for line in lines:
        grouped = line.startswith("  Stream group #") or (grouped and line.startswith("    "))
        # The streams of a group (IAMF) stand deeper, where elsewhere tags stand.
        if stream := _STREAM.match(line[2:] if grouped and line.startswith("    Stream #") else line):
            kind, rest = stream[2], stream[3]
            if kind == "Audio":
                audio.append(_audio(int(stream[1]), rest))
            else:
                picture = "(attached pic)" in rest
                video = video or (kind == "Video" and not picture)
                other = other or kind != "Video" or picture
        elif length := _DURATION.match(line):
            duration_s = _seconds(length[1], length[2], length[3]) if length[1] else None
        elif line.startswith("  Chapters:"):
            chapters = True
        elif not line.endswith((" Metadata:", " Side data:")) and (tag := _TAG.match(line) or _STREAM_TAG.match(line)):
            tags.setdefault(tag[1].strip().lower(), tag[2])
    personal = {
        name: value
        for name, value in tags.items()
        if name not in TECHNICAL_TAGS and not name.startswith(("chapter", "replay"))
    }
    return Header(
        opened=bool(lines), duration_s=duration_s, audio=tuple(audio), has_video=video, has_other_streams=other,
        tags=personal, has_chapters=chapters,
    )  # fmt: skip


def _input_block(report: str) -> list[str]:
    # Not splitlines(): a tag may hold the other characters that Python takes for a line's end.
    lines = report.split("\n")
    start = next((at for at, line in enumerate(lines) if _INPUT.match(line)), None)
    if start is None:
        return []
    block: list[str] = [lines[start]]
    for line in lines[start + 1 :]:
        if line and not line.startswith((" ", "[")):
            break
        block.append(line)
    return block


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _audio(index: int, rest: str) -> AudioStream:
    found = _AUDIO.match(rest)
    codec = found[1] if found else "unknown"
    profile = found[2] if found and found[2] and found[2] != "native" else None
    parts = [part.strip() for part in ((found[4] if found else None) or "").split(", ")]
    rate = next((int(part[:-3]) for part in parts if re.fullmatch(r"\d+ Hz", part)), 0)
    kbps = next((float(part.split()[0]) for part in parts if re.match(r"\d+ kb/s", part)), None)
    layout = parts[1] if rate and len(parts) > 1 else (parts[0] if parts else "")
    return AudioStream(
        index=index, codec=codec, profile=profile, sample_rate_hz=rate, channels=_channels(layout), layout=layout,
        bitrate_kbps=kbps,
    )  # fmt: skip


def _channels(layout: str) -> int:
    if layout in LAYOUT_CHANNELS:
        return LAYOUT_CHANNELS[layout]
    counted = re.match(r"(\d+) channels", layout)
    return int(counted[1]) if counted else 0


def counts(report: str) -> Counts:
    """Read the sums that `-loglevel verbose` prints at the end of a run."""
    read = [found for found in _READ.finditer(report) if int(found[1])]
    written = _WRITTEN.search(report)
    time = list(_TIME.finditer(report))
    first = read[0] if read else None
    return Counts(
        packets=int(first[1]) if first else 0,
        packet_bytes=int(first[2]) if first else 0,
        decode_errors=int(first[4] or 0) if first else 0,
        samples=int(first[5] or 0) if first else 0,
        written_samples=int(written[1]) if written and written[1] else None,
        written_packets=int(written[2]) if written else 0,
        written_bytes=int(written[3]) if written else 0,
        time_s=_seconds(time[-1][1], time[-1][2], time[-1][3]) if time else None,
    )


def levels(report: str, name: str = "levels") -> tuple[Level, ...]:
    """Read the channels that the `astats` of this name measured, in their order. The last block counts, where filters
    were rebuilt."""
    measured: dict[int, dict[str, float]] = {}
    channel = 0
    for source, word, value in _LEVEL.findall(report):
        if source != name:
            continue
        if word == "Channel":
            channel = int(value)
            measured[channel] = {}
        elif channel:
            measured[channel][word] = float(value)
    silent = float("-inf")
    return tuple(
        Level(peak_db=row.get("Peak level dB", silent), rms_db=row.get("RMS level dB", silent))
        for _, row in sorted(measured.items())
    )


def level_each_step(report: str) -> tuple[float, ...]:
    """Read the level of each step, in dBFS, that `ametadata` printed."""
    return tuple(float(value) for value in _STEP_LEVEL.findall(report))


def loudness_lufs(report: str) -> float | None:
    """The integrated loudness that `ebur128` measured."""
    found = _LOUDNESS.findall(report)
    return float(found[-1]) if found else None


def lacks_decoder(report: str, codec: str) -> bool:
    """Whether no decoder that may be used knows the sound. codec: as the header names it."""
    return any(codec in found.groups() for found in _NO_DECODER.finditer(report))


def gave_up(report: str) -> bool:
    """Whether the demuxer ended before the file's end, as where the links of an Ogg file differ in rate or channels."""
    return bool(_GAVE_UP.search(report))


def is_protected(report: str) -> bool:
    """Whether the demuxer saw that the sound is protected by a key."""
    return bool(_PROTECTED.search(report))


def stream_hash(report: str) -> str | None:
    """The hash that the `streamhash` muxer printed."""
    found = re.search(r"^0,a,SHA256=([0-9a-f]{64})$", report, re.MULTILINE)
    return found[1] if found else None
