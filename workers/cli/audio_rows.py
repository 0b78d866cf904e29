"""The cells of recordings and memos, and what became of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pipeline.audio import Converted, Inspection
from workers.cli.listing import elided, length, size

INSPECTED = (("ACTION", 12), ("LENGTH", 8), ("SIZE", 8), ("SOUND", 24))
CONVERTED = (("ACTION", 12), ("LENGTH", 8), ("SIZE", 8), ("KB/S", 5))


def inspected(row: Inspection) -> list[str]:
    """The cells of one inspected recording, for INSPECTED."""
    return [row.action, length(row.duration_s), size(row.size_bytes), _sound(row)]


def converted(row: Converted) -> list[str]:
    """The cells of one memo, for CONVERTED."""
    return [row.action, length(row.duration_s), size(row.size_bytes), f"{row.bitrate_kbps:.0f}"]


def _sound(row: Inspection) -> str:
    if row.codec is None or row.sample_rate_hz is None:
        return "-"
    channels = {1: "mono", 2: "stereo"}.get(row.channels or 0, f"{row.channels} ch")
    kind = row.container if row.codec in (row.container, "mp3") else f"{row.container}/{row.codec}"
    return elided(f"{kind} {row.sample_rate_hz / 1000:g}k {channels}", 24)


def summary(actions: Iterable[str]) -> str:
    """What became of all of them, in one line."""
    counts = Counter(actions)
    order = ("pass-through", "remux", "transcode", "reject", "failed")
    told = ", ".join(f"{counts[name]} {name}" for name in order if counts[name])
    total = counts.total()
    return f"{total} recording{'s' if total != 1 else ''}: {told}"
