"""How the channels become one. Never `-ac 1`: it adds 3 dB to equal channels, and makes an inverted pair silent."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.audio.report import Level

_LAYOUTS: dict[str, tuple[str, ...]] = {
    "2.1": ("FL", "FR"),
    "3.0": ("FL", "FR", "FC"),
    "3.1": ("FL", "FR", "FC"),
    "4.0": ("FL", "FR", "FC", "BC"),
    "4.1": ("FL", "FR", "FC", "BC"),
    "5.0": ("FL", "FR", "FC", "BL", "BR"),
    "5.1": ("FL", "FR", "FC", "BL", "BR"),
    "5.0(side)": ("FL", "FR", "FC", "SL", "SR"),
    "5.1(side)": ("FL", "FR", "FC", "SL", "SR"),
    "6.1": ("FL", "FR", "FC", "BC", "SL", "SR"),
    "7.0": ("FL", "FR", "FC", "BL", "BR", "SL", "SR"),
    "7.1": ("FL", "FR", "FC", "BL", "BR", "SL", "SR"),
}
_WEIGHTS = {"FC": 1.0, "FL": 0.5, "FR": 0.5}
_SURROUND = 0.35
LIMITER = "alimiter=limit=0.71:level=false"
"""Decodes at -1.0 dBTP; 0.841 gave +0.5 (measured)."""

MEASURE_ONE = "astats@levels=measure_perchannel=RMS_level+Peak_level:measure_overall=none"
MEASURE_TWO = "highpass=f=40,pan=4c|c0=c0|c1=c1|c2=0.5*c0+0.5*c1|c3=0.5*c0-0.5*c1," + MEASURE_ONE
"""Left, right, middle and side. The high-pass is needed: a common DC offset hides an inverted channel."""
MEASURE_MIXED = "astats@mixed=measure_perchannel=Peak_level:measure_overall=none"
"""Only the peak: with the level it would cost ten times as much, 8 % of an encode."""
EVERY_FOURTH = "aselect='lt(n,50)+not(mod(n,4))'"
"""Of two channels all of the first second is measured, then a quarter: it costs 12 % of an encode instead of half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Downmix:
    """filters: the ffmpeg filter chain that makes one channel. name: `mono`, `left`, `right`, `mid`, `side`, `many`."""

    name: str
    filters: str


MONO = Downmix(name="mono", filters="aformat=channel_layouts=mono")
LEFT = Downmix(name="left", filters="pan=mono|c0=c0")
RIGHT = Downmix(name="right", filters="pan=mono|c0=c1")
MID = Downmix(name="mid", filters="pan=mono|c0=0.5*c0+0.5*c1")
SIDE = Downmix(name="side", filters="pan=mono|c0=0.5*c0-0.5*c1")


def measuring_filter(channels: int) -> str:
    """The filter chain of the measuring pass."""
    if channels != 2:
        return MEASURE_MIXED
    return f"asplit[all][heard];[heard]{EVERY_FOURTH},{MEASURE_TWO},anullsink;[all]{MEASURE_MIXED}"


def heard_beside(mix: Downmix, channels: int) -> str:
    """The filter chain of a downmix that measures what it is given as it goes."""
    if channels != 2:
        return f"{mix.filters},{MEASURE_MIXED}"
    return f"asplit[mix][heard];[heard]{EVERY_FOURTH},{MEASURE_TWO},anullsink;[mix]{mix.filters},{MEASURE_MIXED}"


def raised(mix: Downmix, gain_db: float) -> Downmix:
    """The same by one static gain louder, with a limiter for its peaks."""
    if not gain_db:
        return mix
    return Downmix(name=mix.name, filters=f"{mix.filters},volume={gain_db:.2f}dB,{LIMITER}")


def speech_gain_db(loudness_lufs: float | None) -> float:
    """The gain that quiet speech gets where it is wanted: below -26 LUFS towards -19, at most 20 dB, for then the noise
    in its pauses is heard; nothing where there is hardly any sound."""
    if loudness_lufs is None or not -70 < loudness_lufs < -26:
        return 0.0
    return min(-19 - loudness_lufs, 20.0)


def _power(level: Level) -> float:
    return float(10 ** (level.rms_db / 10))


def correlation(levels: tuple[Level, ...]) -> float | None:
    """How alike left and right are, -1 (inverted) to 1 (equal); None where it was not measured or a side is silent."""
    if len(levels) != 4:
        return None
    left, right, middle, side = (_power(level) for level in levels)
    if left <= 0 or right <= 0:
        return None
    return float((middle - side) / (left * right) ** 0.5)


def choose(channels: int, layout: str, levels: tuple[Level, ...]) -> Downmix:
    """The downmix for a stream, from what the measuring pass found."""
    if channels <= 1:
        return MONO
    if channels > 2:
        return _many(channels, layout)
    if len(levels) != 4:
        return MID
    gap_db = levels[0].rms_db - levels[1].rms_db
    if gap_db > 20:
        return LEFT
    if gap_db < -20:
        return RIGHT
    corr = correlation(levels)
    return SIDE if corr is not None and corr < -0.5 else MID


def cancels(levels: tuple[Level, ...]) -> bool:
    """Whether a player with one speaker would hear (nearly) nothing of these two channels."""
    corr = correlation(levels)
    return corr is not None and corr < -0.5 and abs(levels[0].rms_db - levels[1].rms_db) <= 20


def _many(channels: int, layout: str) -> Downmix:
    """Centre in front, as film sound has speech there; unknown layouts are averaged. Only channels that exist may be
    named: `pan` loses the others without a word."""
    names = _LAYOUTS.get(layout)
    if names:
        terms = "+".join(f"{_WEIGHTS.get(name, _SURROUND):g}*{name}" for name in names)
    else:
        terms = "+".join(f"{1 / channels:.4f}*c{at}" for at in range(channels))
    return Downmix(name="many", filters=f"pan=mono|c0={terms},{LIMITER}")
