"""Nothing leaves this room unproven: an encoded memo decodes to the last planned sample, a copy has the same frames."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.audio import child, report, sniff, transcode
from pipeline.errors import ProofFailed
from pipeline.recordings import Probe

FRAME_SAMPLES = 1024
LONGEST_FRAME_SAMPLES = 1152


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What was measured on the finished file."""

    size_bytes: int
    duration_s: float
    sha256: str


def encoded(path: Path, ffmpeg: str, *, samples: int, sample_rate_hz: int) -> Proof:
    """Decode a memo wholly. Raises ProofFailed where a sample is missing or an error shows: ffmpeg is to blame."""
    args = ["-loglevel", "verbose", *child.input_args("mov", path), "-map", "0:a:0", "-f", "null", "-"]
    done = child.run(ffmpeg, args, child.Limits(wall_s=60 + samples / sample_rate_hz / 10))
    found = report.counts(done.report)
    if done.returncode or found.decode_errors or not samples <= found.samples < samples + FRAME_SAMPLES:
        raise ProofFailed(
            done.argv, done.returncode, f"{found.samples} of {samples} samples decode. {done.report[-200:]}"
        )
    return _proof(path, found.samples / sample_rate_hz)


def copied(path: Path, ffmpeg: str, facts: Probe, duration_s: float, *, packets: int | None = None) -> Proof:
    """Demux a copy and compare its frames' hash with the recording's, or with that of its first packets. Raises
    ProofFailed where they differ."""
    before = _frames(facts.demuxer or "", facts.path, ffmpeg, packets, facts.skip_bytes)
    sniffed = sniff.look(path)
    after = _frames(sniffed.demuxer, path, ffmpeg)
    if before.hash is None or before.hash != after.hash:
        raise ProofFailed(after.argv, 0, "The copied frames are not the recording's.")
    return _proof(path, duration_s)


def begins_alike(path: Path, ffmpeg: str, facts: Probe) -> bool:
    """Whether a copy's first second decodes to the recording's samples: no coder's delay was added or lost."""
    pairs = ((facts.demuxer or "", facts.path, facts.skip_bytes), (sniff.look(path).demuxer, path, 0))
    runs = [child.run(ffmpeg, transcode.opening_args(*pair), child.Limits()) for pair in pairs]
    before, after = (report.stream_hash(done.report) for done in runs)
    return before is not None and before == after


def sliced(path: Path, ffmpeg: str, facts: Probe, samples: int, foreign_frames: int) -> Proof:
    """Decode a copy of the bytes between the tags. It has the recording's samples, but for a last frame or two that
    was never whole and foreign_frames: tags behind the sound had been read as its end. Raises ProofFailed where more is
    missing, or what is left is damaged."""
    args = ["-loglevel", "verbose", *child.input_args(facts.demuxer or "", path), "-map", "0:a:0", "-f", "null", "-"]
    done = child.run(ffmpeg, args, child.Limits())
    found = report.counts(done.report)
    lost = samples - found.samples
    # Of a recording of a few frames, half may not be missing.
    most = min((2 + foreign_frames) * LONGEST_FRAME_SAMPLES, samples // 2)
    if not -2 * LONGEST_FRAME_SAMPLES <= lost <= most or (found.decode_errors - 1) * 50 > found.packets:
        raise ProofFailed(
            done.argv, done.returncode, f"{found.samples} of {samples} samples are left without the tags."
        )
    return _proof(path, found.samples / (facts.audio[0].sample_rate_hz or 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frames:
    argv: tuple[str, ...]
    hash: str | None


def _frames(demuxer: str, path: Path, ffmpeg: str, packets: int | None = None, skip_bytes: int = 0) -> _Frames:
    done = child.run(ffmpeg, transcode.hash_args(demuxer, path, packets, skip_bytes), child.Limits())
    return _Frames(argv=done.argv, hash=report.stream_hash(done.report))


def as_is(path: Path, duration_s: float) -> Proof:
    """Measure a file that is the recording, byte for byte."""
    return _proof(path, duration_s)


def _proof(path: Path, duration_s: float) -> Proof:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Proof(size_bytes=path.stat().st_size, duration_s=duration_s, sha256=digest)
