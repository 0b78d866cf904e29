"""Where the parts of a split recording end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.split import MIN_PART_S, next_piece, parts


@given(st.floats(12, 5000), st.floats(1.001, 50), st.lists(st.floats(0, 1), min_size=100, max_size=100))
def test_parts_cover_all_and_none_is_too_long_or_too_short(most_s: float, times: float, where: list[float]) -> None:
    """Wherever in its window each part is cut: they follow each other without gap or overlap to the end, each fits,
    and none is shorter than the minimum."""
    total_s = most_s * times
    count = parts(total_s, most_s)
    ends = [0.0]
    for number in range(count, 0, -1):
        piece = next_piece(total_s - ends[-1], number, most_s)
        assert piece.window_s >= 0
        earlier_s = piece.window_s * where[number % 100] if number > 1 else 0.0
        ends.append(ends[-1] + piece.share_s - earlier_s)
    lengths = [end - begin for begin, end in pairwise(ends)]
    assert abs(ends[-1] - total_s) < 1e-6
    assert max(lengths) <= most_s + 1e-6
    assert min(lengths) >= MIN_PART_S - 1e-6


@given(st.floats(12, 5000), st.floats(0.1, 50), st.floats(1, 10))
def test_a_longer_recording_has_no_fewer_parts(most_s: float, times: float, longer: float) -> None:
    """More sound never needs fewer memos."""
    assert parts(most_s * times, most_s) <= parts(most_s * times * longer, most_s)
