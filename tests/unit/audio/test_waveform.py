"""The picture of a recording: levels to shapes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.picture import svg
from pipeline.audio.waveform import (
    CUT,
    DROPPED,
    KEPT,
    PAUSE,
    POINTS,
    WIDTH,
    Close,
    Part,
    Picture,
    clock,
    drawn,
    pause_round,
)

LEVELS = [-20.0, -25.0] * 300


def _cut_at_40(confidence_db: float) -> Picture:
    quiet = [-20.0] * 290 + [-70.0] * 20 + [-20.0] * 290
    close = Close(begin_s=34.0, step_s=0.02, levels_db=tuple(quiet))
    return drawn("a.mp3", LEVELS, 0.1, [Part(begin_s=0, end_s=40, cut=True, confidence_db=confidence_db)], [close])


def test_what_was_kept_and_what_was_dropped_have_their_colours() -> None:
    """Of 60 seconds 40 are kept: two thirds of the columns of the whole are, and the line stands there."""
    shapes = [shape for shape in _cut_at_40(40).shapes if shape.top < 200 and not shape.words]
    kept, dropped = ([shape for shape in shapes if shape.colour == colour] for colour in (KEPT, DROPPED))
    assert (len(kept), len(dropped)) == (400, 200)
    line = next(shape for shape in shapes if shape.colour == CUT)
    assert abs((line.left - kept[0].left) / POINTS - 40 / 60) < 0.01


def test_the_pause_is_drawn_where_it_is_quiet() -> None:
    """0.4 of 12 seconds, round the cut; nothing where no pause was found."""
    pause = next(shape for shape in _cut_at_40(40).shapes if shape.colour == PAUSE)
    assert abs(pause.width / POINTS - 0.4 / 12) < 0.005
    assert not [shape for shape in _cut_at_40(2).shapes if shape.colour == PAUSE]


def test_a_name_cannot_break_the_picture() -> None:
    """A recording's name is words, never markup, and no character that XML forbids."""
    picture = drawn('<script>&"\x00\x1b[31m\ud800.mp3', LEVELS, 0.1, [Part(begin_s=0, end_s=60, cut=False)], [])
    root = ET.fromstring(svg(picture))
    assert not [child for child in root if child.tag.endswith("script")]


@given(
    st.lists(st.floats(-200, 0) | st.just(float("-inf")), max_size=1000),
    st.floats(0.001, 100),
    st.floats(0, 1),
)
def test_a_picture_stays_in_its_frame(levels: list[float], step_s: float, share: float) -> None:
    """Whatever the levels and the length: nothing is drawn outside, and the file is XML."""
    end_s = len(levels) * step_s * share
    picture = drawn("a", levels, step_s, [Part(begin_s=0, end_s=end_s, cut=share < 1)], [])
    assert all(0 <= shape.left <= WIDTH and 0 <= shape.top <= picture.height for shape in picture.shapes)
    ET.fromstring(svg(picture))


def test_moments_are_written_as_people_do() -> None:
    """Minutes and seconds, hours where there are any, hundredths where it matters."""
    assert [clock(0), clock(61.4), clock(3723)] == ["0:00", "1:01", "1:02:03"]
    assert clock(59.999, fine=True) == "1:00.00"


def test_the_pause_round_a_cut_ends_where_it_gets_louder() -> None:
    """All levels that are no more than 6 dB above those at the cut."""
    assert pause_round([-20] * 10 + [-60, -58] * 5 + [-20] * 10, 15) == (10, 20)
