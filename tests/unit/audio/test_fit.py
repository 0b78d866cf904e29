"""How many bits a second fit."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import fit
from pipeline.audio.encode import MAX_ENCODES

limits = st.integers(100_000, 50_000_000)
seconds = st.floats(1, 20_000)
rates = st.sampled_from([8000, 16000, 22050, 32000, 44100, 48000])


@given(limits, seconds, rates)
def test_what_is_planned_whole_is_never_predicted_over_the_limit(limit: int, length_s: float, rate: int) -> None:
    """The coding for the whole recording stays under the limit by the measured formula."""
    coding = fit.whole(limit, length_s, rate, 64, 24)
    if coding:
        predicted = fit.predicted_bytes(coding.bitrate_kbps, length_s, coding.sample_rate_hz)
        assert int(predicted) <= limit  # a file has whole bytes
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
    assert int(fit.predicted_bytes(kbps, coding.keep_s, coding.sample_rate_hz)) <= limit  # a file has whole bytes
    assert fit.predicted_bytes(kbps, coding.keep_s + 1, coding.sample_rate_hz) > limit - 200


BOUNDS = fit.Bounds(limit_bytes=10_000_000, most_kbps=64, least_kbps=24, source_rate_hz=48000)


def _measured(coding: fit.Coding, size: int, used_s: float, *, whole: bool = True, even: bool = True) -> fit.Measured:
    return fit.Measured(coding=coding, size_bytes=size, used_s=used_s, whole=whole, even=even)


@given(st.integers(10_000_000, 30_000_000), st.floats(24, 64))
def test_a_memo_over_the_limit_is_made_smaller(size: int, kbps: float) -> None:
    """After an overrun the next encode has fewer bits, ends at the limit, or uses the careful coder."""
    after = fit.again(_measured(fit.coding_at(kbps, 48000), size, 2000), BOUNDS, 2000)
    assert after is not None
    assert after.careful or after.bitrate_kbps < kbps or after.fill


def test_a_cut_that_leaves_room_is_lengthened() -> None:
    """A little by prediction; all of it, with more bits, where silence made it cheap evenly; else until it is full."""
    coding = fit.cut_to(10_000_000, 24, 48000)
    assert coding.keep_s is not None
    near, far = (_measured(coding, size, coding.keep_s * 0.97, whole=False) for size in (9_400_000, 4_000_000))
    after = fit.again(near, BOUNDS, 6000)
    assert after is not None and after.keep_s is not None and near.used_s < after.not_before_s <= after.keep_s
    all_of_it = fit.again(far, BOUNDS, 6000)
    assert all_of_it is not None and all_of_it.keep_s is None and all_of_it.bitrate_kbps > 24
    uneven = fit.again(replace(far, even=False), BOUNDS, 6000)
    assert uneven is not None and uneven.fill


def test_what_is_good_is_left_alone() -> None:
    """Between 95 % and the limit, or where the limit does not bind, one encode is enough."""
    fitted = fit.coding_at(28, 48000)
    free = fit.coding_at(64, 48000)
    for coding, size in ((fitted, 9_600_000), (free, 1_000_000)):
        assert not fit.again(_measured(coding, size, 2700), BOUNDS, 2700)


class _Sound:
    """A recording whose seconds cost between next to nothing (digital silence) and the whole bitrate."""

    def __init__(self, loud: list[bool]) -> None:
        self.loud = loud

    def encode(self, coding: fit.Coding, limit: int) -> fit.Measured:
        rate = coding.sample_rate_hz
        count = rate // 1024
        frames = [
            round((coding.bitrate_kbps if busy else 1.5) * 125 * 0.99 / count)
            for busy in self.loud
            for _ in range(count)
        ]
        most = max(int((coding.keep_s or 1e9) * rate / 1024), 1)
        if coding.fill:
            most = bisect_left(list(accumulate(frames)), limit) + 1
        whole, frames = most >= len(frames), frames[:most]
        size_bytes = int(sum(frames) + fit.CONTAINER_BYTES + 4.002 * len(frames))
        used_s = len(frames) * 1024 / rate
        measured = _measured(coding, size_bytes, used_s, whole=whole, even=fit.is_even(frames))
        if size_bytes < limit:
            return measured
        fits_s, enough_s = (
            fit.seconds_of_frames(frames, share * limit, rate) for share in (fit.NEARLY, fit.ENOUGH)
        )  # fmt: skip
        return replace(measured, fits_s=fits_s, enough_s=enough_s)

    @property
    def duration_s(self) -> float:
        return float(len(self.loud))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(5, 200)), min_size=1, max_size=8), st.integers(50_000, 400_000))
def test_whatever_the_sound_is_the_limit_is_used_and_never_passed(parts: list[tuple[bool, int]], limit: int) -> None:
    """Speech and digital silence in any order: within four encodes nothing more can be had, and the memo is under the
    limit, with 95 % of it used where the limit binds."""
    sound = _Sound([busy for busy, seconds in parts for _ in range(seconds)])
    bounds = replace(BOUNDS, limit_bytes=limit)
    least = fit.cut_to(limit, 24, 48000)
    coding: fit.Coding | None = fit.whole(limit, sound.duration_s, 48000, 64, 24) or least
    good: list[fit.Measured] = []
    for _ in range(MAX_ENCODES):
        if coding is not None:
            made = sound.encode(coding, limit)
            good += [made] if made.size_bytes < limit else []
            coding = fit.again(made, bounds, sound.duration_s * 0.999)
    if made.size_bytes >= limit:  # the last encode is cut by copy then
        good.append(sound.encode(replace(made.coding, fill=False, keep_s=made.fits_s), limit))
    assert good, "nothing fits"
    # Of two that keep all, seconds differ only by how many frames a second has here.
    best = max(good, key=lambda one: (one.whole, one.whole or one.used_s, one.size_bytes))
    binds = not best.whole or best.coding.bitrate_kbps < 63
    mostly_silent = sum(sound.loud) < 0.25 * sound.duration_s  # more bits change nothing then
    assert not binds or mostly_silent or best.size_bytes >= 0.94 * limit


@pytest.mark.parametrize(
    ("kbps", "source_hz", "rate_hz", "cutoff_hz"),
    [
        (64, 48000, 48000, None),
        (64, 44100, 44100, None),
        (64, 32000, 32000, None),
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
