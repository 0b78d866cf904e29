"""Where a recording is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.pause import FRAME_S, valley


def _speech_with_pause(frames: int, pause_at: int, floor_db: float) -> list[float]:
    levels = [-20.0 - (at % 7) for at in range(frames)]
    levels[pause_at : pause_at + 20] = [floor_db] * 20
    return levels


def test_the_cut_falls_into_the_pause() -> None:
    """A pause 40 dB deep, two seconds before the end, is taken, with the short fade."""
    cut = valley(_speech_with_pause(1000, 880, -60), 100.0)
    assert 100 - (1000 - 880) * FRAME_S <= cut.at_s <= 100 - (1000 - 900) * FRAME_S
    assert cut.fade_s == 0.02


def test_a_pause_further_back_is_found_when_none_is_near() -> None:
    """The window widens to 20 seconds as long as nothing deep is found."""
    cut = valley(_speech_with_pause(1000, 200, -60), 100.0)
    assert 83.9 < cut.at_s < 84.5


def test_without_a_pause_the_cut_is_at_the_end_with_a_long_fade() -> None:
    """Even sound is cut at the last moment that fits."""
    cut = valley([-20.0] * 1000, 100.0)
    assert (cut.at_s, cut.fade_s) == (100.0, 0.15)


@given(st.lists(st.floats(-120, 0), max_size=1000))
def test_a_cut_is_never_later_than_the_limit(levels: list[float]) -> None:
    """Whatever the sound is, the cut lies inside the window."""
    end_s = 50.0
    assert end_s - len(levels) * FRAME_S <= valley(levels, end_s).at_s <= end_s


@given(st.lists(st.floats(-120, 0), min_size=20, max_size=300), st.floats(0, 40))
def test_louder_or_quieter_sound_is_cut_at_the_same_place(levels: list[float], louder_db: float) -> None:
    """Only differences of levels count, as long as all of it can be heard."""
    audible = [max(level, -45.0) for level in levels]
    here, there = valley(audible, 50.0), valley([level + louder_db for level in audible], 50.0)
    assert abs(here.depth_db - there.depth_db) < 1e-6


def test_a_soft_syllable_is_no_pause_where_there_are_true_ones() -> None:
    """Two seconds before the end the speech is 20 dB softer for a while; ten seconds before there is a pause."""
    levels = _speech_with_pause(1000, 500, -62)
    levels[900:920] = [-43.0] * 20
    assert 89.9 < valley(levels, 100.0).at_s < 90.5


def test_one_silence_is_as_good_as_another() -> None:
    """Digital silence far back is not better than room tone that nobody hears."""
    levels = _speech_with_pause(1000, 100, -120)
    levels[900:920] = [-88.0] * 20
    assert valley(levels, 100.0).at_s > 97
