"""A picture of a recording: what of it is in the memo, where it was cut, and the pauses there. Pure: levels to shapes.

On top the whole recording; below it, for each cut, the seconds round it, in which the pause can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 1000
POINTS = 900
"""Columns of the wave, and so how many levels are asked for, however long the recording is."""
CLOSE_S = 6.0
"""Seconds shown before and after a cut."""
FLOOR_DB = -60.0
FOUND_DB = 5.0
"""From this confidence on there is a pause to be shown."""
_LEFT, _GAP = 50, 34
_WHOLE_HEIGHT, _CLOSE_HEIGHT = 160, 110
_MOST_CLOSE = 24
KEPT, OTHER, DROPPED = "#2a6fb0", "#5aa0dc", "#c4c8cc"
CUT, PAUSE, TEXT, PAPER = "#d03030", "#ffe08a", "#30363c", "#ffffff"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What went into one memo: its beginning and end in the recording, in seconds."""

    begin_s: float
    end_s: float
    cut: bool
    confidence_db: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Close:
    """The levels round a cut, or of all. step_s: from one to the next; begin_s: of the first."""

    begin_s: float
    step_s: float
    levels_db: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A filled box or, with words, text that begins at its left lower corner. In points from the left upper corner."""

    left: float
    top: float
    width: float
    height: float
    colour: str
    words: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Shapes, the later ones above the earlier ones."""

    width: int
    height: int
    shapes: tuple[Shape, ...]


def drawn(
    title: str, levels_db: Sequence[float], step_s: float, parts: Sequence[Part], close: Sequence[Close]
) -> Picture:
    """The picture. levels_db: of the whole recording, one a step; close: one for each part that ends in a cut."""
    top = 34.0
    total_s = max(len(levels_db) * step_s, parts[-1].end_s if parts else 0.0, 0.001)
    shapes = [_text(_LEFT, 22, title)]
    whole = Close(begin_s=0.0, step_s=step_s, levels_db=tuple(levels_db))
    shapes += _panel(whole, total_s, parts, top, _WHOLE_HEIGHT)
    top += _WHOLE_HEIGHT + _GAP
    for number, (view, part) in enumerate(zip(close, [row for row in parts if row.cut], strict=False), 1):
        if number > _MOST_CLOSE:
            shapes.append(_text(_LEFT, top + 12, f"and {len(close) - _MOST_CLOSE} more cuts"))
            top += 20
            break
        said = f"cut {number}: {clock(part.end_s, fine=True)}" + _sure(part.confidence_db)
        shapes.append(_text(_LEFT, top + 12, said))
        length_s = len(view.levels_db) * view.step_s
        if (part.confidence_db or 0) >= FOUND_DB:
            shapes += _pause(view, part.end_s, length_s, top + 20)
        shapes += _panel(view, length_s, parts, top + 20, _CLOSE_HEIGHT)
        top += 20 + _CLOSE_HEIGHT + _GAP
    return Picture(width=WIDTH, height=round(top), shapes=tuple(shapes))


def pause_round(levels_db: Sequence[float], at: int) -> tuple[int, int]:
    """(first, behind the last) of the levels round `at` that are no more than 6 dB above the ones next to it."""
    quiet = max(levels_db[max(at - 3, 0) : at + 4], default=0.0) + 6
    first, last = at, at
    while first > 0 and levels_db[first - 1] <= quiet:
        first -= 1
    while last < len(levels_db) and levels_db[last] <= quiet:
        last += 1
    return first, last


def clock(seconds: float, *, fine: bool = False) -> str:
    """A moment as people write it: 1:02:03, or with hundredths."""
    tick = round(seconds * 100)
    hours, minutes, rest = tick // 360_000, tick // 6000 % 60, tick % 6000 / 100
    shown = f"{rest:05.2f}" if fine else f"{int(rest):02d}"
    return f"{hours}:{minutes:02d}:{shown}" if hours else f"{minutes}:{shown}"


def _sure(confidence_db: float | None) -> str:
    if confidence_db is None:
        return ""
    found = "no pause was found" if confidence_db < FOUND_DB else f"in a pause {confidence_db:.0f} dB below the speech"
    return f", {found}"


def _pause(view: Close, cut_s: float, length_s: float, top: float) -> Iterator[Shape]:
    at = int((cut_s - view.begin_s) / view.step_s)
    if not 0 <= at < len(view.levels_db):
        return
    first, behind = pause_round(view.levels_db, at)
    if behind > first:
        scale = POINTS / max(length_s, 0.001)
        yield Shape(
            left=_LEFT + first * view.step_s * scale, top=top, width=(behind - first) * view.step_s * scale,
            height=_CLOSE_HEIGHT, colour=PAUSE,
        )  # fmt: skip


def _panel(view: Close, length_s: float, parts: Sequence[Part], top: float, height: float) -> Iterator[Shape]:
    """A wave with its cuts and a time axis."""
    begin_s, step_s = view.begin_s, view.step_s
    scale = POINTS / max(length_s, 0.001)
    middle = top + height / 2
    for at, level in enumerate(view.levels_db):
        tall = max(height * (1 - max(level, FLOOR_DB) / FLOOR_DB), 1.0)
        yield Shape(
            left=_LEFT + at * step_s * scale, top=middle - tall / 2, width=max(step_s * scale, 0.5), height=tall,
            colour=_colour(begin_s + (at + 0.5) * step_s, parts),
        )  # fmt: skip
    for part in parts:
        if part.cut and begin_s <= part.end_s <= begin_s + length_s:
            yield Shape(left=_LEFT + (part.end_s - begin_s) * scale - 1, top=top, width=2, height=height, colour=CUT)
    tick_s = _tick(length_s)
    first = -(-begin_s // tick_s)
    while first * tick_s <= begin_s + length_s:
        left = _LEFT + (first * tick_s - begin_s) * scale
        yield Shape(left=left, top=top + height, width=1, height=4, colour=TEXT)
        yield _text(left - 12, top + height + 17, clock(first * tick_s))
        first += 1


def _colour(at_s: float, parts: Sequence[Part]) -> str:
    for number, part in enumerate(parts):
        if part.begin_s <= at_s < part.end_s:
            return OTHER if number % 2 else KEPT
    return DROPPED


def _tick(length_s: float) -> float:
    """Seconds between two marks: at most twelve of them."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    return next((step for step in steps if length_s / step <= 12), 3600 * (1 + length_s // 43_200))


def _text(left: float, top: float, words: str) -> Shape:
    return Shape(left=left, top=top, width=0, height=12, colour=TEXT, words=words)
