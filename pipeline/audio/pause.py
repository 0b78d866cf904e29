"""Where to cut: in the quietest moment before the last one that fits. pydub holds the short window of sound.

On voices and noises other than those that its numbers were chosen on, the valley method lands in a true pause in 99 %
of cuts in clean speech and in 98 % with noise 10 dB below it (docs/audio.md), where silence detection by a threshold
finds 16 %. pydub keeps all its sound in memory (a 60-minute file takes 2 GB), so it gets the window and
nothing more.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FRAME_S = 0.02
WINDOW_S = 20.0
_WINDOWS_S = (5.0, 10.0, 20.0)
_REACH = 7
"""Frames on either side that must be quiet too: 0.3 s in all, so that the closure of a consonant is no pause."""
_COST_DB_PER_S = 0.1
DEEP_DB = 15.0
_BETTER_DB = 1.0
_SHALLOW_DB = 5.0
_NEAR_DB = 8.0
"""A nearer place is a pause only if it is nearly as quiet as the quietest of the whole window: in clean speech a soft
syllable lies 15 dB below the loud ones, a pause 40."""
SILENCE_DB = -120.0
_SILENT_DB = -90.0
"""Below this one silence is as good as another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """at_s: where, in seconds. depth_db: how far the pause lies below the loud parts. fade_s: before it."""

    at_s: float
    depth_db: float
    fade_s: float


def valley(levels_db: Sequence[float], end_s: float) -> Cut:
    """The best cut not later than end_s. levels_db: dBFS of the 20 ms frames whose last one ends at end_s."""
    count = len(levels_db)
    around = _highest_around(levels_db)
    best_db, best = 0.0, None
    for window_s in _WINDOWS_S if around else ():
        first = count - min(round(window_s / FRAME_S), count)
        at = min(
            range(max(first, _REACH), count - _REACH),
            key=lambda frame: around[frame - _REACH] + _COST_DB_PER_S * (count - frame) * FRAME_S, default=None,
        )  # fmt: skip
        if at is None:
            continue
        depth_db = sorted(levels_db[first:])[int(0.9 * (count - first - 1))] - around[at - _REACH]
        if best is None or depth_db > best_db + _BETTER_DB:
            best_db, best = depth_db, at
        if best_db >= DEEP_DB and around[best - _REACH] <= max(min(around), _SILENT_DB) + _NEAR_DB:
            break
    if best is None or best_db < _SHALLOW_DB:
        return Cut(at_s=end_s, depth_db=best_db, fade_s=0.15)
    at_s = end_s - (count - best - 0.5) * FRAME_S
    return Cut(at_s=at_s, depth_db=best_db, fade_s=0.02 if best_db >= DEEP_DB else 0.15)


def _highest_around(levels_db: Sequence[float]) -> list[float]:
    """The highest level within reach of each frame that has as many on either side."""
    return [max(levels_db[at : at + 2 * _REACH + 1]) for at in range(len(levels_db) - 2 * _REACH)]


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
