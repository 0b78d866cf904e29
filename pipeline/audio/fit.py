"""How many bits a second fit: the ladder of mono AAC-LC, and the size formula. Pure.

Ladder and formula were measured with ffmpeg 9.0.2 on thirteen voices in seven languages (PESQ, STOI, Zimtohrli).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

CONTAINER_BYTES = 900
FRAME_BYTES = 4.1
"""What M4A costs, and for each frame of 1,024 samples: 760 and 4.002 were measured."""
OVERSHOOT = 1.04
"""Audio bytes against the bitrate asked for: 0 of 81 files came out over the limit with it, 96.4 to 99.6 % was used."""
GOAL = 0.985
"""Where a second encode aims, as a share of the limit: what it knows from the first is nearly exact."""
USED = 0.95
"""The share of the limit that must be used where the limit binds."""
UNEVEN = 1.25
"""From here on a memo's halves say nothing about what follows."""
NEARLY = 0.995
"""Where to end by known frames: the last ones differ a little when the sound ends there."""
NEAR_ENOUGH, LESS_THAN_PROPORTIONAL = 0.8, 1.15
"""Down to so much of a bitrate, sizes were seen to fall by no less than this power tells."""
ENOUGH = 0.953
"""The same with a little room for what was not measured exactly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """One step of the ladder: from this bitrate on, this sample rate and this edge (None: the encoder's own)."""

    from_kbps: float
    sample_rate_hz: int
    cutoff_hz: int | None


LADDER: tuple[Band, ...] = (
    Band(from_kbps=56, sample_rate_hz=48000, cutoff_hz=None),
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
    """How one memo is encoded. keep_s: seconds from the start that are kept; None keeps all. not_before_s: a cut before
    this would leave too much of the limit unused. fill: encode until the limit is full, wherever that is. careful: with
    the two-loop coder at any bitrate."""

    bitrate_kbps: float
    sample_rate_hz: int
    cutoff_hz: int | None
    keep_s: float | None = None
    not_before_s: float = 0.0
    fill: bool = False
    careful: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What an encode came to. used_s: how much of the recording it took; whole: nothing was left out at the end.
    fits_s: the seconds at which it would be as large as the limit, by its own frames; enough_s: those at which enough
    of the limit would be used. None where it is smaller."""

    coding: Coding
    size_bytes: int
    used_s: float
    whole: bool
    fits_s: float | None = None
    enough_s: float | None = None
    even: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a memo must keep to."""

    limit_bytes: int
    most_kbps: float
    least_kbps: float
    source_rate_hz: int


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


def seconds_of_frames(frame_bytes: Sequence[int], limit_bytes: float, rate_hz: int) -> float | None:
    """How much of an encode fits, by the sizes of its frames; None where all of it does. The same encode, ended there,
    has the same frames: the coder does not look ahead."""
    total: float = CONTAINER_BYTES
    for number, size in enumerate(frame_bytes):
        total += size + FRAME_BYTES
        if total >= limit_bytes:
            # The first frame holds the coder's delay, and two more may be needed to end in good order.
            return max(number - 3, 1) * 1024 / rate_hz
    return None


def is_even(frame_bytes: Sequence[int]) -> bool:
    """Whether both halves of an encode cost about the same."""
    half = len(frame_bytes) // 2
    first, second = sum(frame_bytes[:half]), sum(frame_bytes[half:])
    return max(first, second) <= UNEVEN * min(first, second)


def again(made: Measured, bounds: Bounds, duration_s: float) -> Coding | None:
    """What to encode next; None where the memo is good, or nothing would make it better.

    The fast coder took far more than it was given: the careful one. Over the limit: fewer bits, and below the least
    bitrate fewer seconds. Under 95 % of it although the limit binds: more seconds where some were left out, else more
    bits.
    """
    coding = made.coding
    expected = predicted_bytes(coding.bitrate_kbps, made.used_s, coding.sample_rate_hz)
    if is_fast(coding) and made.size_bytes > OVERRUN * expected and made.size_bytes >= USED * bounds.limit_bytes:
        return replace(coding, careful=True)
    if made.whole:
        return _other_bits(made, bounds)
    if made.fits_s is not None:
        return replace(coding, fill=False, keep_s=made.fits_s, not_before_s=made.enough_s or made.fits_s)
    if made.size_bytes >= USED * bounds.limit_bytes or made.used_s < coding.not_before_s:
        return None  # a pause was chosen that lies further back than it had to
    return _longer(made, bounds, duration_s)


def _other_bits(made: Measured, bounds: Bounds) -> Coding | None:
    coding = made.coding
    binds = coding.bitrate_kbps < bounds.most_kbps - 0.001
    if made.size_bytes < bounds.limit_bytes and (made.size_bytes >= USED * bounds.limit_bytes or not binds):
        return None
    kbps = _scaled_kbps(made, bounds, made.used_s)
    if made.size_bytes >= bounds.limit_bytes and kbps > NEAR_ENOUGH * coding.bitrate_kbps:
        # What silence costs does not fall with the bitrate: a little lower, so that the next one is the last.
        kbps = _floor_bits(coding.bitrate_kbps * (kbps / coding.bitrate_kbps) ** LESS_THAN_PROPORTIONAL)
    if kbps >= bounds.least_kbps:
        better = kbps > 1.01 * coding.bitrate_kbps or made.size_bytes >= bounds.limit_bytes
        return _by_the_same_coder(coding, kbps, bounds) if better else None
    if made.fits_s is not None and coding.bitrate_kbps <= bounds.least_kbps + 0.001:
        return replace(coding, fill=False, keep_s=made.fits_s, not_before_s=made.enough_s or made.fits_s)
    return replace(coding_at(bounds.least_kbps, bounds.source_rate_hz), fill=True, careful=coding.careful)


def _by_the_same_coder(coding: Coding, kbps: float, bounds: Bounds) -> Coding:
    """What the fast one would take is not known from what the careful one took."""
    return replace(coding_at(kbps, bounds.source_rate_hz), careful=not is_fast(coding))


def _scaled_kbps(made: Measured, bounds: Bounds, duration_s: float) -> float:
    """The bitrate at which sound of this kind and length nearly fills the limit. The index does not grow with it."""
    kbps, rate = made.coding.bitrate_kbps, made.coding.sample_rate_hz
    share = max(made.size_bytes - _index_bytes(made.used_s, rate), 1) / (kbps * 125 * max(made.used_s, 0.001))
    for _ in range(2):  # the rate, and with it the index, follows from the bitrate
        sound = GOAL * bounds.limit_bytes - _index_bytes(duration_s, rate)
        kbps = max(min(sound / (125 * max(duration_s, 0.001) * share), bounds.most_kbps), 0.0)
        rate = coding_at(kbps, bounds.source_rate_hz).sample_rate_hz
    return _floor_bits(kbps)


def _index_bytes(duration_s: float, rate_hz: int) -> float:
    return CONTAINER_BYTES + FRAME_BYTES * (ceil(duration_s * rate_hz / 1024) + 1)


def _longer(made: Measured, bounds: Bounds, duration_s: float) -> Coding:
    """More seconds: a little more by prediction, what follows costs the bitrate at most; all, where it should fit; else
    as much as fits, which only encoding on can tell."""
    coding, limit = made.coding, bounds.limit_bytes
    plain = replace(coding, keep_s=None, not_before_s=0.0)
    per_second = FRAME_BYTES * coding.sample_rate_hz / 1024 + coding.bitrate_kbps * 125 * OVERSHOOT
    found_per_second = made.size_bytes / max(made.used_s, 0.001)
    predicted_before = coding.not_before_s > 0  # and silence came instead
    if not predicted_before and found_per_second >= 0.9 * per_second / OVERSHOOT:
        keep_s = made.used_s + (GOAL * limit - made.size_bytes) / per_second
        if keep_s < duration_s - 0.05:
            enough_s = made.used_s + (ENOUGH * limit - made.size_bytes) / found_per_second
            return replace(plain, keep_s=keep_s, not_before_s=min(enough_s, keep_s))
    kbps = _scaled_kbps(made, bounds, duration_s)
    if made.even and kbps > 1.01 * coding.bitrate_kbps:
        return _by_the_same_coder(coding, kbps, bounds)
    return replace(plain, fill=True)
