"""Recordings for tests, made by the shipped ffmpeg."""

from __future__ import annotations

import subprocess
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

SPEECH = (
    "aevalsrc='0.2*(sin(2*PI*140*t)+sin(2*PI*280*t)/2+sin(2*PI*420*t)/3)*(0.3+0.7*abs(sin(2*PI*1.9*t)))"
    "*(0.002+lt(mod(t,5.1),4.3))':s=48000"
)
"""Buzzing syllables with a pause every 5.1 s."""


def make(path: Path, *encode: str, duration_s: float = 3) -> Path:
    """A recording of the given length, encoded with ffmpeg's arguments; returns its path."""
    source = ["-f", "lavfi", "-t", str(duration_s), "-i", SPEECH]
    command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *source, *encode, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def make_ogg(path: Path, *, duration_s: float = 3) -> Path:
    """OGG/Opus, which needs transcoding."""
    return make(path, "-c:a", "libopus", "-b:a", "32k", duration_s=duration_s)


def make_wav(path: Path, *, duration_s: float = 3) -> Path:
    """WAV, which passes through."""
    return make(path, "-ar", "16000", "-c:a", "pcm_s16le", duration_s=duration_s)
