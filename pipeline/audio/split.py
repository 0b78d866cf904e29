"""Where the parts of a split recording may end. Pure.

A part is cut earlier than its share, at a pause, and what is left is shared out anew: so there is one part more than
there would have to be, if need be, and none is too long for the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from pipeline.audio.pause import WINDOW_S

MIN_PART_S = 5.0
"""No part is shorter, as long as a memo can hold twice as much."""
_WINDOW = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One part. share_s: its share of what is left, and the latest end; window_s: how much earlier it may end."""

    share_s: float
    window_s: float


def parts(total_s: float, most_s: float) -> int:
    """How many parts are made of a recording, when a memo holds at most most_s."""
    return max(ceil(total_s / (most_s - _window_s(most_s))), 1)


def next_piece(left_s: float, parts_left: int, most_s: float) -> Piece:
    """The next part of what is left: never so short that the others could not hold the rest."""
    share_s = left_s / parts_left
    earliest_s = max(share_s - _window_s(most_s), left_s - (parts_left - 1) * most_s, min(MIN_PART_S, share_s))
    return Piece(share_s=share_s, window_s=max(share_s - earliest_s, 0.0))


def _window_s(most_s: float) -> float:
    return min(WINDOW_S, _WINDOW * most_s)
