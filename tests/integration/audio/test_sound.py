"""What a memo sounds like: measured on the decoded samples."""

from __future__ import annotations

import array
import re
import subprocess
from pathlib import Path

import pytest

from pipeline.audio import Converted, convert, inspect
from pipeline.recordings import AudioSettings
from tests.integration.audio.conftest import Make

TONE = "0.5*sin(2*PI*300*t)"
OPUS = ("-c:a", "libopus", "-b:a", "64k")


def _samples(memo: Converted, ffmpeg: str, rate_hz: int) -> array.array[float]:
    done = subprocess.run(
        [ffmpeg, "-nostdin", "-loglevel", "error", "-i", str(memo.path), "-ar", str(rate_hz), "-f", "f32le", "-"],
        check=True, capture_output=True,
    )  # fmt: skip
    return array.array("f", done.stdout)


def _rms(samples: array.array[float]) -> float:
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return float((sum(value * value for value in middle) / len(middle)) ** 0.5)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (TONE, TONE),
        (TONE, f"-1*{TONE}"),
        (TONE, f"-0.9*{TONE}+0.3"),
        (f"{TONE}+0.3", f"-1*{TONE}+0.3"),
        (TONE, "0"),
        ("0", TONE),
        (TONE, f"0.02*{TONE}"),
    ],
)
@pytest.mark.parametrize("duration_s", [3, 130])
def test_two_channels_keep_their_level(
    left: str, right: str, duration_s: int, make: Make, tmp_path: Path, ffmpeg: str
) -> None:
    """Equal, inverted, with a constant in them, one side silent or nearly: one channel, as loud as the louder was."""
    stereo = make("a.flac", source=f"aevalsrc={left}|{right}:d={duration_s}:s=16000")
    memo = convert(stereo, tmp_path / "out", AudioSettings())
    samples = _samples(memo, ffmpeg, 8000)
    assert len(samples) == pytest.approx(8000 * duration_s, abs=2)
    assert 0.3 < _rms(samples) < 0.37
    assert max(samples) < 0.85


def test_six_channels_do_not_clip(make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """All six at full level: the limiter holds the sum, and the level stays near the top."""
    film = make("a.flac", source="aevalsrc=" + "|".join(["0.9*sin(2*PI*300*t)"] * 6) + ":c=5.1:d=3:s=48000")
    samples = _samples(convert(film, tmp_path / "out", AudioSettings()), ffmpeg, 48000)
    assert 0.6 < max(samples) < 0.98 and min(samples) > -0.98


def test_hot_stereo_is_not_made_hotter(make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """Two equal channels at full level come out as one of them alone; `-ac 1` would add 3 dB and clip."""
    noise, clip = "anoisesrc=c=pink:a=1:d=3:r=48000:seed=1", "volume=6dB"
    one, two = (
        convert(make(f"{count}.flac", "-af", f"{clip},{pan}", source=noise), tmp_path / "out", AudioSettings())
        for count, pan in (("one", "anull"), ("two", "pan=stereo|c0=c0|c1=c0"))
    )
    levels = [_rms(_samples(memo, ffmpeg, 48000)) for memo in (one, two)]
    assert levels[0] > 0.2 and levels[1] == pytest.approx(levels[0], rel=0.03)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.w64"])
@pytest.mark.parametrize("rate_hz", [48000, 44100, 16000])
def test_no_delay_is_added_or_lost(name: str, rate_hz: int, make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """A click stays where it was, to a sample of 48 kHz, and the memo is exactly as long as the recording."""
    if name == "a.ogg" and rate_hz != 48000:
        pytest.skip("Opus is decoded at 48 kHz")
    click = f"aevalsrc='0.8*between(n,{rate_hz},{rate_hz + 3})':d=2.5:s={rate_hz}"
    encode = {"a.flac": (), "a.ogg": OPUS, "a.w64": ("-f", "w64")}[name]
    memo = convert(make(name, *encode, source=click), tmp_path / "out", AudioSettings())
    samples = _samples(memo, ffmpeg, 48000)
    highest = max(range(len(samples)), key=lambda at: abs(samples[at]))
    middle_of_click = (rate_hz + 1.5) * 48000 / rate_hz
    assert highest == pytest.approx(middle_of_click, abs=2.5 * 48000 / rate_hz)
    assert memo.duration_s == pytest.approx(2.5, abs=0.0002)


def _lufs(path: Path, ffmpeg: str) -> float:
    command = [ffmpeg, "-nostdin", "-i", str(path), "-af", "ebur128=framelog=quiet", "-f", "null", "-"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return float(re.findall(r"I: +(-?[\d.]+) LUFS", printed)[-1])


TALK = "{level}*sin(2*PI*(200+60*sin(2*PI*3*t))*t)*(0.3+0.7*abs(sin(2*PI*1.9*t)))*lt(mod(t,3),2.4)"


@pytest.mark.parametrize(
    ("level", "loudness", "expected_lufs"),
    [(0.02, "speech", -19), (0.02, "off", None), (0.3, "speech", None), (0.001, "speech", "+20")],
)
def test_quiet_speech_is_raised_where_it_is_wanted(
    level: float, loudness: str, expected_lufs: float | str | None, make: Make, tmp_path: Path, ffmpeg: str
) -> None:
    """Below -26 LUFS towards -19, at most by 20 dB; else, and where it is off, nothing changes. The plan says so."""
    recording = make("a.flac", source=f"aevalsrc='{TALK.format(level=level)}':d=20:s=16000")
    settings = AudioSettings(loudness=loudness)  # type: ignore[arg-type]
    before = _lufs(recording, ffmpeg)
    memo = convert(recording, tmp_path / "out", settings)
    after = _lufs(Path(memo.path or ""), ffmpeg)
    wanted = before + 20 if expected_lufs == "+20" else before if expected_lufs is None else float(expected_lufs)
    assert after == pytest.approx(wanted, abs=0.6)
    assert ("raised by" in memo.reason) == (expected_lufs is not None)
    assert ("raised by" in inspect(recording, settings).reason) == (expected_lufs is not None)


def test_silence_is_sent_but_marked(make: Make, tmp_path: Path) -> None:
    """A recording without a sound is a memo without one, and the job says so; two silent channels too."""
    for name, source in (("one.flac", "anullsrc=r=16000:cl=mono:d=2"), ("two.flac", "anullsrc=r=16000:cl=stereo:d=2")):
        memo = convert(make(name, source=source), tmp_path / "out", AudioSettings())
        assert "all digital silence" in memo.reason


def test_the_tail_of_a_loud_end_is_kept(make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """The last samples are decoded as well: no fade, no padding where nothing is cut."""
    memo = convert(make("a.flac", source=f"aevalsrc={TONE}:d=2:s=32000"), tmp_path / "out", AudioSettings())
    samples = _samples(memo, ffmpeg, 32000)
    assert len(samples) == 64000
    assert max(samples[-200:]) > 0.4
