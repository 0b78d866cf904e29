"""How many bits a second fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio import fit

limits = st.integers(100_000, 50_000_000)
seconds = st.floats(1, 20_000)
rates = st.sampled_from([8000, 16000, 22050, 32000, 44100, 48000])


@given(limits, seconds, rates)
def test_what_is_planned_whole_is_never_predicted_over_the_limit(limit: int, length_s: float, rate: int) -> None:
    """The coding for the whole recording stays under the limit by the measured formula."""
    coding = fit.whole(limit, length_s, rate, 64, 24)
    if coding:
        assert fit.predicted_bytes(coding.bitrate_kbps, length_s, coding.sample_rate_hz) <= limit
        assert 24 <= coding.bitrate_kbps <= 64


@given(limits, seconds, rates)
def test_a_longer_recording_never_gets_more_bits(limit: int, length_s: float, rate: int) -> None:
    """The bitrate falls, or stays, as the recording grows, and once it does not fit it never fits again."""
    shorter, longer = (fit.whole(limit, value, rate, 64, 24) for value in (length_s, length_s * 1.1))
    if longer:
        assert shorter is not None
        assert shorter.bitrate_kbps >= longer.bitrate_kbps


@given(limits, st.floats(16, 96), rates)
def test_a_cut_uses_the_limit_and_stays_under_it(limit: int, kbps: float, rate: int) -> None:
    """As many seconds are kept as the limit takes, and not one more."""
    coding = fit.cut_to(limit, kbps, rate)
    assert coding.keep_s is not None
    assert fit.predicted_bytes(kbps, coding.keep_s, coding.sample_rate_hz) <= limit
    assert fit.predicted_bytes(kbps, coding.keep_s + 1, coding.sample_rate_hz) > limit - 200


@given(st.integers(10_000_000, 30_000_000), st.floats(24, 64))
def test_a_memo_over_the_limit_is_made_smaller(size: int, kbps: float) -> None:
    """After an overrun the next encode has fewer bits or fewer seconds, or the careful coder."""
    coding = fit.coding_at(kbps, 48000)
    after = fit.again(coding, size, 10_000_000, 2000, source_rate_hz=48000, most_kbps=64, least_kbps=24)
    assert after is not None
    assert after.careful or after.bitrate_kbps < kbps or (after.keep_s is not None and after.keep_s < 2000)


def test_a_cut_that_leaves_room_is_lengthened() -> None:
    """Silence costs nearly nothing: seconds are added until the limit or the end binds."""
    coding = fit.cut_to(10_000_000, 24, 48000)
    after = fit.again(coding, 7_000_000, 10_000_000, 6000, source_rate_hz=48000, most_kbps=64, least_kbps=24)
    assert after is not None and after.keep_s is not None and coding.keep_s is not None
    assert after.keep_s == pytest.approx(coding.keep_s * 0.985 / 0.7)
    whole = fit.again(coding, 2_000_000, 10_000_000, 6000, source_rate_hz=48000, most_kbps=64, least_kbps=24)
    assert whole is not None and whole.keep_s is None


def test_what_is_good_is_left_alone() -> None:
    """Between 95 % and the limit, or where the limit does not bind, one encode is enough."""
    fitted = fit.coding_at(28, 48000)
    free = fit.coding_at(64, 48000)
    for coding, size in ((fitted, 9_600_000), (free, 1_000_000)):
        assert not fit.again(coding, size, 10_000_000, 2700, source_rate_hz=48000, most_kbps=64, least_kbps=24)


@pytest.mark.parametrize(
    ("kbps", "source_hz", "rate_hz", "cutoff_hz"),
    [
        (64, 48000, 44100, 14000),
        (64, 32000, 32000, 14000),
        (48, 48000, 32000, 12000),
        (40, 44100, 32000, 10000),
        (24, 48000, 32000, 7000),
        (24, 16000, 32000, 7000),
        (48, 16000, 32000, 8000),
        (24, 8000, 16000, 4000),
        (20, 48000, 16000, 6000),
    ],
)
def test_the_ladder(kbps: float, source_hz: int, rate_hz: int, cutoff_hz: int) -> None:
    """Each band has its measured sample rate and edge; a rate is raised only as far as 32 kHz."""
    coding = fit.coding_at(kbps, source_hz)
    assert (coding.sample_rate_hz, coding.cutoff_hz) == (rate_hz, cutoff_hz)


def test_no_more_bits_than_the_source_carries() -> None:
    """Telephone sound and low bitrates get fewer bits than the setting, but never fewer than the floor."""
    assert fit.useful_kbps(8000, 12.2, 2.0, 24) == pytest.approx(24.4)
    assert fit.useful_kbps(48000, 16, 2.0, 24) == 32
    assert fit.useful_kbps(48000, 6, 2.0, 24) == 24
    assert fit.useful_kbps(16000, None, 1.0, 24) == 48
