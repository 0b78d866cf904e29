"""What is done with a recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.fit import predicted_bytes
from pipeline.audio.plan import decide
from pipeline.audio.probe import Heard
from pipeline.audio.report import Level
from pipeline.recordings import Action, AudioSettings, AudioStream, Probe

STREAM = AudioStream(
    index=0, codec="aac", profile="LC", sample_rate_hz=44100, channels=1, layout="mono", bitrate_kbps=64
)
FACTS = Probe(path=Path("a.m4a"), size_bytes=500_000, container="m4a", demuxer="mov", duration_s=60, audio=(STREAM,))
HEARD = Heard(
    whole=True, samples=60 * 44100, duration_s=60, decode_errors=0, packets=2584, packet_bytes=480_000,
    levels=(Level(peak_db=-3, rms_db=-20),),
)  # fmt: skip
SETTINGS = AudioSettings()


def _with_stream(**changes: object) -> Probe:
    return replace(FACTS, audio=(replace(STREAM, **changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        (FACTS, Action.PASS_THROUGH),
        (replace(FACTS, has_video=True, container="mp4"), Action.REMUX),
        (replace(FACTS, container="mov"), Action.REMUX),
        (replace(FACTS, container="webm"), Action.REMUX),
        (replace(FACTS, fragmented=True), Action.REMUX),
        (_with_stream(profile="HE-AACv2"), Action.TRANSCODE),
        (_with_stream(codec="alac", profile=None), Action.TRANSCODE),
        (_with_stream(channels=6, layout="5.1"), Action.TRANSCODE),
        (replace(FACTS, size_bytes=10_000_000), Action.REMUX),
        (replace(FACTS, truncated=True), Action.TRANSCODE),
    ],
)
def test_an_accepted_container_is_not_enough(facts: Probe, action: Action) -> None:
    """Only plain AAC-LC of one or two channels, alone and whole, passes as it is; its frames are copied elsewhere."""
    assert decide(facts, HEARD, SETTINGS).action is action


def test_damaged_sound_is_encoded_anew() -> None:
    """More than one damaged packet in fifty: the frames are not used as they are."""
    assert decide(FACTS, replace(HEARD, decode_errors=100), SETTINGS).action is Action.TRANSCODE
    assert decide(FACTS, replace(HEARD, decode_errors=1), SETTINGS).action is Action.PASS_THROUGH


def test_inverted_channels_are_mended() -> None:
    """Accepted stereo passes unless its channels cancel each other."""
    levels = tuple(Level(peak_db=value, rms_db=value) for value in (-20, -20, float("-inf"), -20))
    stereo = _with_stream(channels=2, layout="stereo")
    assert decide(stereo, replace(HEARD, levels=levels), SETTINGS).action is Action.TRANSCODE


def test_no_sample_is_no_sound() -> None:
    """A stream that decodes to nothing is refused."""
    plan = decide(FACTS, replace(HEARD, samples=0), SETTINGS)
    assert (plan.action, plan.code) == (Action.REJECT, "no-sound")


@pytest.mark.parametrize(
    ("minutes", "overflow", "code"),
    [
        (10, "compress", "transcoded"), (45, "compress", "fitted"), (70, "compress", "cut"), (45, "cut", "cut"),
        (45, "split", "fitted"), (70, "split", "split"), (45, "reject", "fitted"), (70, "reject", "too-long"),
    ],
)  # fmt: skip
def test_overflow(minutes: int, overflow: str, code: str) -> None:
    """First fewer bits down to the floor; then what the setting says. `cut` keeps the bitrate and cuts earlier."""
    wav = replace(FACTS, container="flac", duration_s=minutes * 60.0, size_bytes=200_000_000)
    wav = replace(wav, audio=(replace(STREAM, codec="flac", profile=None, bitrate_kbps=None),))
    heard = replace(HEARD, whole=False, duration_s=10)
    assert decide(wav, heard, AudioSettings(overflow=overflow)).code == code  # type: ignore[arg-type]


@given(
    st.floats(0.05, 40_000), st.sampled_from([8000, 16000, 22050, 44100, 48000, 96000]), st.floats(6, 2000),
    st.integers(50_000, 100_000_000), st.sampled_from(["compress", "cut", "split", "reject"]),
)  # fmt: skip
def test_no_plan_to_encode_breaks_the_limit(
    duration_s: float, rate_hz: int, source_kbps: float, limit: int, overflow: str
) -> None:
    """For any length, rate, bitrate and limit: what is planned is predicted to fit, in the bitrates that are allowed,
    and a cut lies before the end."""
    stream = replace(STREAM, codec="vorbis", profile=None, sample_rate_hz=rate_hz, bitrate_kbps=source_kbps)
    facts = replace(FACTS, container="ogg", duration_s=duration_s, size_bytes=limit, audio=(stream,))
    settings = AudioSettings(max_bytes=limit, overflow=overflow)  # type: ignore[arg-type]
    planned = decide(facts, None, settings)
    if planned.action is Action.REJECT:
        assert overflow == "reject" and planned.code == "too-long"
        return
    assert planned.bitrate_kbps and planned.sample_rate_hz
    assert settings.min_bitrate_kbps <= planned.bitrate_kbps <= settings.bitrate_kbps
    kept_s = planned.keep_s or duration_s
    assert predicted_bytes(planned.bitrate_kbps, kept_s, planned.sample_rate_hz) <= limit
    assert planned.keep_s is None or (planned.code in ("cut", "split") and planned.keep_s < duration_s)


@given(st.floats(1, 20_000), st.floats(1.01, 3), st.integers(50_000, 100_000_000))
def test_a_larger_limit_never_gives_less(duration_s: float, more: float, limit: int) -> None:
    """More room: more of the recording, or as much of it with at least as many bits."""
    facts = replace(FACTS, container="flac", duration_s=duration_s, size_bytes=10**9)
    facts = replace(facts, audio=(replace(STREAM, codec="flac", profile=None, bitrate_kbps=None),))
    small, large = (decide(facts, None, AudioSettings(max_bytes=size)) for size in (limit, int(limit * more)))
    kept = [(row.keep_s or duration_s, row.bitrate_kbps or 0) for row in (small, large)]
    assert kept[0][0] <= kept[1][0]
    assert kept[0][1] <= kept[1][1]
