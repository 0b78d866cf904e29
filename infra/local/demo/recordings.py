"""The demonstration's recordings: made once with ffmpeg, then kept."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

_PITCH = "(120*t-6*cos(4.1*t))"
_VOICE = "+".join(f"sin(2*PI*{k}*{_PITCH})/{k}" for k in range(1, 9))
_SYLLABLES = "(0.35+0.65*abs(sin(2*PI*1.9*t)))"
_PHRASES = "(0.003+lt(mod(t,7.3),6.4)*lt(mod(t,31),29.5))"
_ROOM = "0.001*(random(0)-0.5)"
SPEECH = f"aevalsrc='0.12*({_VOICE})*{_SYLLABLES}*{_PHRASES}+{_ROOM}':s=48000"
"""A buzzing voice with syllables, phrases of 6.4 s and pauses of 0.9 s, in a quiet room. Enough like speech for an
encoder: without the room's noise ffmpeg's AAC takes 5 to 10 % more bits than asked for, with it 1 % (measured)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One recording of the demonstration. duration_s of speech, encoded with the arguments; repeat > 0 repeats the
    encoded minute that often without encoding it again."""

    name: str
    what: str
    duration_s: int
    encode: tuple[str, ...]
    repeat: int = 0


GPS_AND_TITLE = ("-metadata", "title=Call me back", "-metadata", "location=+52.3731+004.8922/")

SAMPLES = (
    Sample(
        name="browser.ogg",
        what="OGG/Opus, as Firefox records",
        duration_s=12,
        encode=("-c:a", "libopus", "-b:a", "32k"),
    ),
    Sample(
        name="browser.webm",
        what="WebM/Opus, as Chrome records",
        duration_s=9,
        encode=("-c:a", "libopus", "-b:a", "48k"),
    ),
    Sample(
        name="dictaphone.wav",
        what="WAV, needs no transcoding",
        duration_s=8,
        encode=("-ar", "16000", "-c:a", "pcm_s16le"),
    ),
    Sample(name="studio.flac", what="FLAC, 48 kHz stereo", duration_s=15, encode=("-ac", "2", "-c:a", "flac")),
    Sample(
        name="voicemail.amr",
        what="AMR, as a telephone records",
        duration_s=10,
        encode=("-ar", "8000", "-ac", "1", "-c:a", "libopencore_amrnb", "-b:a", "12.2k"),
    ),
    Sample(
        name="memo-with-gps.m4a",
        what="M4A with title and GPS tags",
        duration_s=11,
        encode=("-c:a", "aac", "-b:a", "64k", *GPS_AND_TITLE),
    ),
    Sample(
        name="lecture-45min.ogg",
        what="45 minutes, fits at a lower bitrate",
        duration_s=60,
        encode=("-c:a", "libopus", "-b:a", "32k"),
        repeat=44,
    ),
    Sample(
        name="meeting-70min.mp3",
        what="70 minutes, trimmed at a pause",
        duration_s=60,
        encode=("-ar", "32000", "-c:a", "libmp3lame", "-b:a", "64k"),
        repeat=69,
    ),
    Sample(
        name="sent-twice.ogg",
        what="sent twice with one key",
        duration_s=6,
        encode=(
            "-c:a",
            "libvorbis",
        ),
    ),
)

NOT_AUDIO = "letter.m4a"


def make_recordings(folder: Path, say: Callable[[str], None]) -> None:
    """Make whatever is not there yet. Raises CalledProcessError where ffmpeg fails."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOT_AUDIO).write_text("Dear John,\nthis is a letter and no recording.\n")
    for sample in SAMPLES:
        path = folder / sample.name
        if not path.exists():
            say(f"making {sample.name}: {sample.what}")
            _make(sample, path)


def _make(sample: Sample, path: Path) -> None:
    part = path.with_name(f"part-{path.name}")
    _ffmpeg("-f", "lavfi", "-t", str(sample.duration_s), "-i", SPEECH, *sample.encode, str(part))
    if sample.repeat:
        whole = path.with_name(f"whole-{path.name}")
        _ffmpeg("-stream_loop", str(sample.repeat), "-i", str(part), "-c", "copy", str(whole))
        part.unlink()
        part = whole
    part.replace(path)


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(
        [get_ffmpeg_exe(), "-nostdin", "-y", "-v", "error", *arguments], check=True, stdin=subprocess.DEVNULL
    )
