"""The command lines that make sound: pure functions from values to arguments for ffmpeg."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.audio import child, kept
from pipeline.audio.downmix import Downmix, heard_beside
from pipeline.audio.fit import Coding, is_fast
from pipeline.audio.formats import SEEKABLE
from pipeline.audio.pause import Cut
from pipeline.recordings import Probe

Progress = Callable[[float], None]
_CLEAN = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")
EVEN = "asetpts=round(N/SR/TB)"
"""Time by counting samples: streams that begin before zero (Opus) or have gaps would lose some in the edit list."""
_LONG_ENOUGH = "apad=whole_dur=0.1"
"""A few samples make no AAC frame; a click of 4 samples becomes a tenth of a second."""
MUXERS = {"m4a": "ipod", "mp3": "mp3", "aac": "adts", "caf": "caf", "wav": "wav", "aiff": "aiff", "amr": "amr"}
"""ffmpeg's name for the container that an extension of ours stands for."""
_ONE_STREAM = ("-map", "0:a:0", "-vn", "-sn", "-dn")


def _start_args(facts: Probe, from_s: float, *, jump: bool = False) -> tuple[list[str], list[str]]:
    """(input options, filters) that begin at from_s: a jump where there is an index, else decoding up to it."""
    source = child.input_args(facts.demuxer or "", facts.path, facts.skip_bytes)
    if from_s <= 0:
        return source, []
    if jump or facts.container in SEEKABLE:
        return ["-ss", f"{from_s:.6f}", *source], []
    return source, [EVEN, f"atrim=start={from_s:.6f}"]


def encode_args(
    facts: Probe,
    mix: Downmix,
    coding: Coding,
    to: Path,
    *,
    cut: Cut | None = None,
    from_s: float = 0.0,
    stop_bytes: int | None = None,
    listen: bool = False,
) -> list[str]:
    """Encode the recording from from_s to the cut (or its end) as a mono M4A. cut.at_s counts from from_s. stop_bytes:
    of sound; ffmpeg ends the file in good order soon after (by up to 250 kB, measured), and its index comes on top.
    listen: measure the levels as well, which is cheaper than a pass of its own."""
    source, start = _start_args(facts, from_s)
    ends = [_LONG_ENOUGH] if cut is None else []
    if cut:
        fade_at = max(cut.at_s - cut.fade_s, 0)
        ends = [f"atrim=end={cut.at_s:.6f}", f"afade=t=out:st={fade_at:.6f}:d={cut.fade_s:g}:curve=hsin"]
    mixed = heard_beside(mix, facts.audio[0].channels) if listen else mix.filters
    filters = ",".join([*start, EVEN, mixed, *ends])
    coder = ["-aac_coder", "fast"] if is_fast(coding) else []
    edge = ["-cutoff", str(coding.cutoff_hz)] if coding.cutoff_hz else []
    return [
        *("-loglevel", "verbose", *source, *_ONE_STREAM, "-af", filters, "-ar", str(coding.sample_rate_hz)),
        *("-c:a", "aac", "-profile:a", "aac_low", "-b:a", str(round(coding.bitrate_kbps * 1000)), *coder, *edge),
        *(["-fs", str(stop_bytes), *(["-flush_packets", "1"] if coding.fill else [])] if stop_bytes else []),
        *(*_CLEAN, *kept.ffmpeg_args(facts.kept_tags), "-movflags", "+faststart", "-f", "ipod", "-y", f"file:{to}"),
    ]


def copy_args(facts: Probe, to: Path) -> list[str]:
    """Copy the first audio stream's frames into a clean M4A."""
    return [
        *("-loglevel", "verbose", *child.input_args(facts.demuxer or "", facts.path, facts.skip_bytes)),
        *(
            *_ONE_STREAM,
            "-c:a",
            "copy",
            *_CLEAN,
            *kept.ffmpeg_args(facts.kept_tags),
            "-movflags",
            "+faststart",
            "-f",
            "ipod",
            "-y",
            f"file:{to}",
        ),
    ]


def first_frames_args(memo: Path, frames: int, to: Path) -> list[str]:
    """Copy the first frames of an M4A of ours into another, with the tags that were kept in it."""
    return [
        *("-loglevel", "error", *child.input_args("mov", memo), *_ONE_STREAM, "-c:a", "copy", "-frames:a", str(frames)),
        *(*_CLEAN, "-map_metadata", "0", "-movflags", "+faststart", "-f", "ipod", "-y", f"file:{to}"),
    ]


def copy_start_args(facts: Probe, until_s: float, to: Path, *, indexed: bool) -> list[str]:
    """Copy the frames that begin before until_s into a clean file of the kind that its name says. indexed: an MP3 gets
    a frame in front that tells its length and its coder's delay."""
    muxer = MUXERS[to.suffix[1:]]
    special = {"mp3": ["-write_xing", str(int(indexed)), "-id3v2_version", "0"], "ipod": ["-movflags", "+faststart"]}
    return [
        *("-loglevel", "verbose", *_pieces(facts.demuxer)),
        *child.input_args(facts.demuxer or "", facts.path, facts.skip_bytes),
        *(*_ONE_STREAM, "-c:a", "copy", "-t", f"{until_s:.6f}", *_CLEAN, *special.get(muxer, [])),
        *("-f", muxer, "-y", f"file:{to}"),
    ]


def _pieces(demuxer: str | None) -> list[str]:
    """Small packets where they have no size of their own, so that a cut falls where it should: WAV is read in tenths of
    a second else."""
    return ["-max_size", "1024"] if demuxer == "wav" else []


def level_args(facts: Probe, from_s: float, length_s: float, step_samples: int) -> list[str]:
    """Print the level of each step, of samples at 16 kHz, from from_s on; nothing of the sound itself comes out."""
    source, start = _start_args(facts, from_s, jump=True)
    steps = [
        *("aresample=16000", f"atrim=end={length_s:.6f}", f"asetnsamples=n={step_samples}:p=0"),
        *("astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=RMS_level",),
        *("ametadata=mode=print:key=lavfi.astats.Overall.RMS_level:file=-",),
    ]
    filters = ",".join([*start, EVEN, *steps])
    return ["-loglevel", "error", *source, *_ONE_STREAM, "-af", filters, "-f", "null", "-"]


def opening_args(demuxer: str, path: Path, skip_bytes: int) -> list[str]:
    """Hash the first second of the decoded sound to the standard output."""
    return [
        *("-loglevel", "error", *child.input_args(demuxer, path, skip_bytes), *_ONE_STREAM),
        *("-af", f"{EVEN},atrim=end=1", "-f", "streamhash", "-hash", "sha256", "-"),
    ]


def window_args(
    facts: Probe, mix: Downmix, from_s: float, length_s: float, to: Path, *, jump: bool = False
) -> list[str]:
    """Write a short window of the sound as a WAV of 16 kHz. jump: also in MP3, ADTS and AMR, where it lands on the
    right frame, but the first ones are not decoded as they would be on the way there."""
    source, start = _start_args(facts, from_s, jump=jump)
    filters = ",".join([*start, EVEN, mix.filters])
    return [
        *("-loglevel", "error", *source, *_ONE_STREAM, "-af", filters, "-t", f"{length_s:.6f}", "-ar", "16000"),
        *("-c:a", "pcm_s16le", "-map_metadata", "-1", "-fflags", "+bitexact", "-f", "wav", "-y", f"file:{to}"),
    ]


def hash_args(demuxer: str, path: Path, packets: int | None = None, skip_bytes: int = 0) -> list[str]:
    """Hash the packets of the first audio stream, or its first ones, and nothing else, to the standard output. AAC in a
    transport stream has an ADTS header before each packet, which is the container's and no part of the frame."""
    bare = ["-bsf:a", "aac_adtstoasc"] if demuxer == "mpegts" else []
    pieces = _pieces(demuxer) if packets else []
    first = ["-frames:a", str(packets)] if packets else []
    return [
        *("-loglevel", "error", *pieces, *child.input_args(demuxer, path, skip_bytes), "-map", "0:a:0", "-c", "copy"),
        *(*bare, *first, "-f", "streamhash", "-hash", "sha256", "-"),
    ]
