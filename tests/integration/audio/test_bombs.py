"""Files that ask for very much end within their limits, with a code."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from pipeline.audio import child, convert, inspect
from pipeline.audio.child import Limits, run
from pipeline.errors import MemolineError, RecordingRejected
from pipeline.recordings import AudioSettings
from tests.integration.audio.conftest import Make
from tests.support.bombs import BOMBS, ape, id3, mp3_frames, sparse

OWN_MEMORY_BYTES = 200_000_000
OWN_CPU_S = 15.0
HEADERS = {
    "rate-of-1-hz.wav": "unsupported",
    "days-at-1-hz.wav": "unsupported",
    "weeks-in-a-kilobyte.flac": "unsupported",
    "1000-channels.wav": "unsupported",
    "65535-channels.wav": "unsupported",
    "rate-infinite.caf": "unsupported",
    "rate-huge.caf": "unsupported",
    "rate-of-4-ghz.wav": "broken",
    "rate-of-0.wav": "broken",
    "no-channel.wav": "no-sound",
    "rate-nan.caf": "no-sound",
    "rate-tiny.caf": "no-sound",
    "rate-negative.caf": "no-sound",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_no_sound_has_is_refused(name: str, tmp_path: Path) -> None:
    """Without decoding: one look at the header tells."""
    (tmp_path / name).write_bytes(BOMBS[name]())
    found = inspect(tmp_path / name, AudioSettings())
    assert (found.action, found.code) == ("reject", HEADERS[name])
    with pytest.raises(RecordingRejected) as caught:
        convert(tmp_path / name, tmp_path / "out", AudioSettings())
    assert caught.value.code == HEADERS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(BOMBS) - set(HEADERS)))
def test_a_bomb_ends_within_limits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own parsing stays small in time and memory; ffmpeg ends by itself or at its limit; the code is known."""
    monkeypatch.setattr(child, "CPU_S", 10.0)
    recording = tmp_path / name
    recording.write_bytes(BOMBS[name]())
    Path("/proc/self/clear_refs").write_text("5")
    before, began_s = _memory("VmRSS"), time.process_time()
    try:
        outcome = convert(recording, tmp_path / "out", AudioSettings()).action
    except MemolineError as error:
        outcome = error.code
    assert outcome in OUTCOMES, outcome
    assert _memory("VmHWM") - before < OWN_MEMORY_BYTES
    assert time.process_time() - began_s < OWN_CPU_S


OUTCOMES = {"pass-through", "remux", "transcode", "broken", "no-sound", "not-media", "too-costly", "no-audio-stream"}


def _memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_computing_beyond_the_limit_is_too_costly(ffmpeg: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of computing, not of waiting: a busy machine refuses nothing for good."""
    monkeypatch.setattr(child, "CPU_S", 0.0)
    with pytest.raises(RecordingRejected) as caught:
        run(ffmpeg, ["-f", "lavfi", "-i", "anoisesrc=d=90000:r=48000", "-f", "null", "-"], Limits(wall_s=100))
    assert caught.value.code == "too-costly"


@pytest.mark.parametrize("tag", [ape(0xFFFFFFFF, 0, 0), id3(b"", 0x0FFFFFFF), ape(0, 0, 0) + id3(b"", 5000)])
def test_a_tag_may_be_longer_than_the_file(tag: bytes, tmp_path: Path) -> None:
    """As it says of itself; found by fuzzing. Whatever comes of it, it is no crash."""
    (tmp_path / "a.mp3").write_bytes(tag + mp3_frames(20))
    assert inspect(tmp_path / "a.mp3", AudioSettings()).action in ("reject", "transcode", "remux")


def test_a_tag_of_250_megabytes_is_stepped_over(tmp_path: Path) -> None:
    """The tag is not read into memory; the sound behind it is found and sent without it."""
    size = 250_000_000
    recording = sparse(tmp_path / "a.mp3", id3(b"", size), size + 10, mp3_frames(300))
    before = _memory("VmRSS")
    made = convert(recording, tmp_path / "out", AudioSettings())
    assert made.duration_s == pytest.approx(300 * 576 / 24000, rel=0.02)
    assert _memory("VmHWM") - before < OWN_MEMORY_BYTES


def test_padding_is_no_sound(make: Make, tmp_path: Path) -> None:
    """A recording of which not one sample decodes becomes no memo of silence (found by fuzzing)."""
    whole = make("a.wma", "-c:a", "wmav2").read_bytes()
    data = whole.index(bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"))
    (tmp_path / "hollow.wma").write_bytes(whole[: data + 50] + bytes(len(whole) - data - 50))
    assert inspect(tmp_path / "hollow.wma", AudioSettings()).code == "no-sound"
    with pytest.raises(RecordingRejected) as caught:
        convert(tmp_path / "hollow.wma", tmp_path / "out", AudioSettings())
    assert caught.value.code == "no-sound" and list((tmp_path / "out").iterdir()) == []
