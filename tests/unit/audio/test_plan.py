"""What is done with a recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.audio.plan import decide
from pipeline.audio.probe import Heard
from pipeline.audio.report import Level
from pipeline.model import Action, AudioSettings, AudioStream, Probe

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
