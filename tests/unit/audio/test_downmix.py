"""How channels become one."""

from __future__ import annotations

import pytest

from pipeline.audio.downmix import LEFT, MID, MONO, RIGHT, SIDE, cancels, choose
from pipeline.audio.report import Level

SILENT = float("-inf")


def _levels(left: float, right: float, middle: float, side: float) -> tuple[Level, ...]:
    return tuple(Level(peak_db=value, rms_db=value) for value in (left, right, middle, side))


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (_levels(-20, -20, -20, SILENT), MID),
        (_levels(-20, -20, SILENT, -20), SIDE),
        (_levels(-20, -20, -23, -23), MID),
        (_levels(-20, SILENT, -26, -26), LEFT),
        (_levels(-50, -20, -26, -26), RIGHT),
        (_levels(SILENT, SILENT, SILENT, SILENT), MID),
    ],
)
def test_two_channels(levels: tuple[Level, ...], expected: object) -> None:
    """Equal, inverted, independent, one-sided and silent pairs each have their recipe."""
    assert choose(2, "stereo", levels) is expected


def test_only_an_inverted_pair_cancels() -> None:
    """One speaker plays nothing of an inverted pair."""
    assert cancels(_levels(-20, -20, SILENT, -20))
    assert not cancels(_levels(-20, -20, -20, SILENT))
    assert not cancels(())


def test_one_channel_is_left_alone_and_many_name_only_what_exists() -> None:
    """A mono file loses no level; 5.1 puts the centre first and ends in a limiter; unknown layouts are averaged."""
    assert choose(1, "mono", ()) is MONO
    film = choose(6, "5.1", ()).filters
    assert "1*FC" in film and "0.35*BL" in film and "SL" not in film and film.endswith("level=false")
    assert "c2" in choose(3, "3 channels", ()).filters and "c3" not in choose(3, "3 channels", ()).filters
