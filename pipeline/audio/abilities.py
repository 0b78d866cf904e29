"""What an ffmpeg must be able to do for us, and whether it can: for `doctor`, since another may be named."""

from __future__ import annotations

import re
import subprocess

from pipeline.audio.formats import DECODERS, MAGIC
from pipeline.audio.transcode import MUXERS

_WITHIN_S = 20
_LINE = re.compile(r"^ [ .A-Z]{2,6} +([\w,-]+) ", re.MULTILINE)

NEEDED_DECODERS = ("aac", "alac", "amrnb", "amrwb", "flac", "mp3float", "opus", "pcm_s16le", "vorbis")
"""Without one of these, recordings of telephones, browsers or studios are rejected; a rarer one is only told."""
NEEDED_DEMUXERS = ("aac", "aiff", "amr", "caf", "flac", "matroska", "mov", "mp3", "ogg", "wav")
FILTERS = ("aresample", "atrim", "afade", "pan", "volume", "ebur128")


def lacking(ffmpeg: str) -> tuple[list[str], list[str]]:
    """What this ffmpeg lacks: what nothing works without, and what only rare recordings want. Raises OSError and
    subprocess.SubprocessError where it cannot be run."""
    has = {kind: _listed(ffmpeg, kind) for kind in ("encoders", "muxers", "decoders", "demuxers", "filters")}
    wanted = {
        "encoders": ("aac",),
        "muxers": (*MUXERS.values(), "null"),
        "decoders": NEEDED_DECODERS,
        "demuxers": NEEDED_DEMUXERS,
        "filters": FILTERS,
    }
    grave = [f"{kind[:-1]} {name}" for kind, names in wanted.items() for name in names if name not in has[kind]]
    demuxers = sorted({magic.demuxer for magic in MAGIC} - has["demuxers"] - set(NEEDED_DEMUXERS))
    decoders = [name for name in DECODERS.split() if name not in has["decoders"] and name not in NEEDED_DECODERS]
    return grave, [*(f"demuxer {name}" for name in demuxers), *(f"decoder {name}" for name in decoders)]


def _listed(ffmpeg: str, kind: str) -> set[str]:
    done = subprocess.run(
        [ffmpeg, "-hide_banner", f"-{kind}"], capture_output=True, text=True, timeout=_WITHIN_S, check=False
    )
    return {name for names in _LINE.findall(done.stdout) for name in names.split(",")}
