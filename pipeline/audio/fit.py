"""How many bits a second fit: the ladder of mono AAC-LC, and the size formula. Pure.

Ladder and formula were measured with ffmpeg 9.0.2 on thirteen voices in seven languages (PESQ, STOI, Zimtohrli).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

CONTAINER_BYTES = 1500
FRAME_BYTES = 4.1
"""What M4A costs for each frame of 1,024 samples."""
OVERSHOOT = 1.04
"""Audio bytes against the bitrate asked for: 0 of 81 files came out over the limit with it, 96.4 to 99.6 % was used."""
GOAL = 0.985
"""Where a second encode aims, as a share of the limit: what it knows from the first is nearly exact."""
USED = 0.95
"""The share of the limit that must be used where the limit binds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """One step of the ladder: from this bitrate on, this sample rate and this edge (None: the encoder's own)."""

    from_kbps: float
    sample_rate_hz: int
    cutoff_hz: int | None


LADDER: tuple[Band, ...] = (
    Band(from_kbps=80, sample_rate_hz=48000, cutoff_hz=None),
    Band(from_kbps=56, sample_rate_hz=44100, cutoff_hz=14000),
    Band(from_kbps=44, sample_rate_hz=32000, cutoff_hz=12000),
    Band(from_kbps=36, sample_rate_hz=32000, cutoff_hz=10000),
    Band(from_kbps=22, sample_rate_hz=32000, cutoff_hz=7000),
    Band(from_kbps=18, sample_rate_hz=16000, cutoff_hz=6000),
    Band(from_kbps=0, sample_rate_hz=16000, cutoff_hz=None),
)
FAST_CODER_FROM_KBPS = 32
"""From here on ffmpeg's `fast` AAC coder costs nothing that can be measured; below it costs .14 to .18 PESQ."""
OVERRUN = 1.1
"""On loud artificial tones `fast` takes up to twice the bits it was given (124 for 64 kb/s); two-loop does not."""

_USEFUL_KBPS = ((12_000, 32.0), (16_000, 48.0), (24_000, 64.0), (32_000, 80.0), (48_000, 128.0))
_AAC_RATES = (48000, 44100, 32000, 24000, 22050, 16000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coding:
    """How one memo is encoded. keep_s: seconds from the start that are kept; None keeps all. careful: with the two-loop
    coder at any bitrate."""

    bitrate_kbps: float
    sample_rate_hz: int
    cutoff_hz: int | None
    keep_s: float | None = None
    careful: bool = False


def is_fast(coding: Coding) -> bool:
    """Whether the fast coder encodes it."""
    return coding.bitrate_kbps >= FAST_CODER_FROM_KBPS and not coding.careful


def useful_kbps(sample_rate_hz: int, source_kbps: float | None, richness: float, floor_kbps: float) -> float:
    """The bitrate above which a memo would carry nothing that its source has. source_kbps: None where it is lossless.
    richness: kb/s of AAC-LC that one kb/s of the source's codec is worth."""
    by_rate = next((kbps for rate, kbps in _USEFUL_KBPS if sample_rate_hz <= rate), 128.0)
    by_bits = source_kbps * richness if source_kbps else by_rate
    return max(min(by_rate, by_bits), floor_kbps)


def coding_at(kbps: float, source_rate_hz: int) -> Coding:
    """Sample rate and edge for a bitrate. The rate is raised above the source's only to 32 kHz (which wins between 24
    and 48 kb/s also for sources of 16 kHz), or to 16 kHz for telephone sound."""
    band = next(row for row in LADDER if kbps >= row.from_kbps)
    rate = band.sample_rate_hz
    if source_rate_hz <= 12_000:
        rate = 16_000
    elif source_rate_hz < rate:
        rate = next((known for known in _AAC_RATES if known <= source_rate_hz and known >= 32_000), 32_000)
    edges = [edge for edge in (band.cutoff_hz, source_rate_hz // 2 if source_rate_hz < rate else None) if edge]
    return Coding(bitrate_kbps=kbps, sample_rate_hz=rate, cutoff_hz=min(edges) if edges else None)


def predicted_bytes(kbps: float, duration_s: float, rate_hz: int) -> float:
    """The most that a memo will take."""
    frames = ceil(duration_s * rate_hz / 1024) + 1
    return CONTAINER_BYTES + FRAME_BYTES * frames + kbps * 125 * duration_s * OVERSHOOT


def kbps_that_fits(limit_bytes: int, duration_s: float, rate_hz: int) -> float:
    """The highest bitrate at which a memo of this length stays under the limit; negative where none does."""
    frames = ceil(duration_s * rate_hz / 1024) + 1
    return (limit_bytes - CONTAINER_BYTES - FRAME_BYTES * frames) / (125 * max(duration_s, 0.001) * OVERSHOOT)


def seconds_that_fit(limit_bytes: int, kbps: float, rate_hz: int) -> float:
    """The longest memo at this bitrate that stays under the limit."""
    per_second = FRAME_BYTES * rate_hz / 1024 + kbps * 125 * OVERSHOOT
    return max((limit_bytes - CONTAINER_BYTES - 2 * FRAME_BYTES) / per_second, 0.0)


def whole(
    limit_bytes: int, duration_s: float, source_rate_hz: int, most_kbps: float, least_kbps: float
) -> Coding | None:
    """The best coding that keeps the whole recording; None where even the least bitrate is too much."""
    tops = [float("inf"), *(row.from_kbps for row in LADDER)]
    for band, above in zip(LADDER, tops, strict=False):
        wanted = min(most_kbps, above - 0.001)
        rate = coding_at(max(wanted, 0.0), source_rate_hz).sample_rate_hz
        kbps = _floor_bits(min(wanted, kbps_that_fits(limit_bytes, duration_s, rate)))
        if kbps >= max(band.from_kbps, least_kbps):
            return coding_at(kbps, source_rate_hz)
    return None


def _floor_bits(kbps: float) -> float:
    """Whole bits a second, as the encoder takes them."""
    return int(kbps * 1000 + 1e-6) / 1000


def cut_to(limit_bytes: int, kbps: float, source_rate_hz: int) -> Coding:
    """The coding at this bitrate of as many seconds as fit."""
    coding = coding_at(kbps, source_rate_hz)
    return replace(coding, keep_s=seconds_that_fit(limit_bytes, kbps, coding.sample_rate_hz))


def stop_bytes(limit_bytes: int, duration_s: float, rate_hz: int) -> int:
    """Bytes of sound at which a memo of at most this length is nearly full, its index counted in."""
    return max(
        int(GOAL * limit_bytes - CONTAINER_BYTES - FRAME_BYTES * ceil(duration_s * rate_hz / 1024)), limit_bytes // 4
    )


def filled(coding: Coding, used_s: float, size_bytes: int, limit_bytes: int, duration_s: float) -> Coding:
    """The coding that keeps as much as fits, after an encode that was stopped when used_s of the recording had come to
    size_bytes: what follows costs the bitrate at most."""
    per_second = FRAME_BYTES * coding.sample_rate_hz / 1024 + coding.bitrate_kbps * 125 * OVERSHOOT
    keep_s = used_s + (GOAL * limit_bytes - size_bytes) / per_second
    return replace(coding, keep_s=keep_s if keep_s < duration_s - 0.05 else None)


def again(
    coding: Coding, size_bytes: int, limit_bytes: int, duration_s: float, *, source_rate_hz: int, most_kbps: float,
    least_kbps: float,
) -> Coding | None:  # fmt: skip
    """What to encode next after a memo that came out as size_bytes; None where it is good.

    The fast coder took far more than it was given: the careful one. Over the limit: fewer bits, and below the least
    bitrate fewer seconds. Under 95 % of it although the limit binds: more seconds where some were cut, else more bits.
    """
    expected = predicted_bytes(coding.bitrate_kbps, coding.keep_s or duration_s, coding.sample_rate_hz)
    if is_fast(coding) and size_bytes > OVERRUN * expected:
        return replace(coding, careful=True)
    binds = coding.keep_s is not None or coding.bitrate_kbps < most_kbps - 0.001
    if size_bytes < limit_bytes and (size_bytes >= USED * limit_bytes or not binds):
        return None
    scale = GOAL * limit_bytes / max(size_bytes, 1)
    if coding.keep_s is not None:
        keep_s = coding.keep_s * scale
        return replace(coding, keep_s=keep_s if keep_s < duration_s - 0.05 else None)
    kbps = _floor_bits(min(coding.bitrate_kbps * scale, most_kbps))
    if kbps >= least_kbps:
        return replace(coding_at(kbps, source_rate_hz), careful=coding.careful)
    keep_s = duration_s * scale * coding.bitrate_kbps / least_kbps
    return replace(coding_at(least_kbps, source_rate_hz), keep_s=keep_s)
