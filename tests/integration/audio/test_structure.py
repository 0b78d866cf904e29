"""Recordings that break off, begin with something else, or hide something: sent as they are there, and said so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio import AudioRunner, convert, inspect, probe, prove
from pipeline.errors import ProofFailed
from pipeline.recordings import AudioSettings
from tests.integration.audio.conftest import Make

SETTINGS = AudioSettings()
NOISE = "anoisesrc=d=4:a=0.1:r=16000"
ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x10TPE1\x00\x00\x00\x06\x00\x00\x03Alice"

BROKEN_OFF = {
    "a.wav": ((), "remux"),
    "a.aiff": ((), "remux"),
    "a.caf": ((), "remux"),
    "a.mp3": (("-c:a", "libmp3lame"), "pass-through"),
    "a.aac": (("-c:a", "aac"), "pass-through"),
    "a.amr": (("-c:a", "libopencore_amrnb", "-ar", "8000"), "pass-through"),
    "a.m4a": (("-c:a", "aac", "-movflags", "+faststart"), "transcode"),
    "a.ogg": (("-c:a", "libopus"), "transcode"),
    "a.mka": (("-c:a", "flac"), "transcode"),
    "a.au": ((), "transcode"),
    "a.w64": ((), "transcode"),
    "a.flac": ((), "transcode"),
    "a.tta": ((), "transcode"),
    "a.wv": ((), "transcode"),
}


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_what_is_there_is_sent_and_the_rest_is_said_to_be_missing(name: str, make: Make, tmp_path: Path) -> None:
    """A recording that lost its second half gives a memo of the first, and both answers say that it is broken off."""
    args, action = BROKEN_OFF[name]
    whole = make(name, *args, source=NOISE)
    assert inspect(whole, SETTINGS).truncated is convert(whole, tmp_path / "whole", SETTINGS).truncated is False
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * 6 // 10 - 3])
    memo = convert(whole, tmp_path / "out", SETTINGS)
    assert (memo.action, memo.truncated) == (action, True)
    assert 1.9 < memo.duration_s < 3 and "breaks off" in memo.reason
    assert inspect(memo.path or "", SETTINGS).action == "pass-through"


@pytest.mark.parametrize("name", [name for name in BROKEN_OFF if name not in ("a.m4a", "a.flac", "a.tta", "a.wv")])
@pytest.mark.parametrize("front", [ID3, b"\x00\x09recording" + bytes(117)])
def test_something_in_front_does_not_hide_the_sound(name: str, front: bytes, make: Make, tmp_path: Path) -> None:
    """A tag where none belongs, or the wrapping of another system."""
    args, _ = BROKEN_OFF[name]
    if front != ID3 and name in ("a.amr", "a.mka", "a.au", "a.ogg", "a.caf"):
        pytest.skip("too few bytes tell it apart from any data")
    made = make(name, *args, source=NOISE)
    content = made.read_bytes()
    made.write_bytes(front + content)
    found, memo = inspect(made, SETTINGS), convert(made, tmp_path / "out", SETTINGS)
    assert found.action == memo.action != "reject"
    assert memo.duration_s == pytest.approx(4, abs=0.15)
    assert b"Alice" not in Path(memo.path or "").read_bytes()
    assert inspect(memo.path or "", SETTINGS).action == "pass-through"


def box(kind: bytes, payload: bytes) -> bytes:
    """An MP4 box."""
    return (8 + len(payload)).to_bytes(4, "big") + kind + payload


def inside_moov(content: bytes, extra: bytes) -> bytes:
    """A file whose moov box, which is the last, has one box more."""
    at = content.index(b"moov") - 4
    size = int.from_bytes(content[at : at + 4], "big")
    assert at + size == len(content)
    return content[:at] + (size + len(extra)).to_bytes(4, "big") + content[at + 4 :] + extra


HIDDEN: dict[str, Callable[[bytes], bytes]] = {
    "padding": lambda content: inside_moov(content, box(b"free", b"dear Alice")),
    "skip": lambda content: inside_moov(content, box(b"skip", b"dear Alice")),
    "unknown": lambda content: inside_moov(content, box(b"abcd", b"dear Alice")),
    "rest": lambda content: inside_moov(content, b"Alice"),
    "handler": lambda content: content.replace(b"SoundHandler", b"Alice's call"),
}


@pytest.mark.parametrize("place", HIDDEN)
def test_an_index_hides_nothing(place: str, make: Make, tmp_path: Path) -> None:
    """Whatever stands in the index beside what players need is taken out; empty padding alone stays."""
    made = make("a.m4a", "-c:a", "aac", source=NOISE)
    made.write_bytes(HIDDEN[place](made.read_bytes()))
    memo = convert(made, tmp_path / "out", SETTINGS)
    assert memo.action == "remux" and b"Alice" not in Path(memo.path or "").read_bytes()
    assert inspect(made, SETTINGS).code == "stripped"


def test_a_damaged_beginning_of_an_mp3_loses_no_frame(make: Make, tmp_path: Path) -> None:
    """The second to fourth headers are broken: the first frame is in the memo."""
    made = make("a.mp3", "-c:a", "libmp3lame", "-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0", source=NOISE)
    content = bytearray(made.read_bytes())
    size = 288
    assert content[:2] == content[size : size + 2] == content[2 * size : 2 * size + 2]
    for frame in (1, 2, 3):
        content[frame * size] = 0
    made.write_bytes(content + b"TAG" + bytes(125))
    memo = convert(made, tmp_path / "out", SETTINGS)
    assert memo.action == inspect(made, SETTINGS).action
    assert Path(memo.path or "").read_bytes() == bytes(content)


def test_a_codec_without_a_decoder_is_unsupported(make: Make, tmp_path: Path) -> None:
    """The code tells a codec that cannot be decoded from a recording without sound."""
    made = make("a.wav", source=NOISE)
    content = bytearray(made.read_bytes())
    content[20:22] = b"\x34\x12"
    made.write_bytes(content)
    assert inspect(made, SETTINGS).code == "unsupported"


def test_the_plan_and_the_version_go_with_the_memo(make: Make, tmp_path: Path) -> None:
    """What was done, and by which ffmpeg, is kept with the job; a hash that outsiders can check is there, too."""
    (memo,) = AudioRunner(None).prepare(make("a.flac", source=NOISE), tmp_path, SETTINGS)
    assert memo.plan and (memo.plan.code, memo.plan.sample_rate_hz) == ("transcoded", 32000)
    assert memo.ffmpeg and memo.ffmpeg.startswith(("n", "9", "8", "7"))
    assert memo.sha256 == hashlib.sha256(memo.path.read_bytes()).hexdigest()


def test_a_memo_that_does_not_prove_right_is_none(make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """A missing sample, and a copy with other frames, each end in the same code."""
    one, two = make("a.m4a", "-c:a", "aac", source=NOISE), make("b.m4a", "-c:a", "aac", source="sine=440:d=4:r=16000")
    samples = probe.hear(probe.probe(one, ffmpeg), ffmpeg, None).samples
    assert prove.encoded(one, ffmpeg, samples=samples, sample_rate_hz=16000).duration_s == pytest.approx(4, abs=0.1)
    with pytest.raises(ProofFailed) as short:
        prove.encoded(one, ffmpeg, samples=samples + 1, sample_rate_hz=16000)
    with pytest.raises(ProofFailed) as other:
        prove.copied(two, ffmpeg, probe.probe(one, ffmpeg), 4.0)
    assert short.value.code == other.value.code == "proof-failed"


@pytest.mark.parametrize(("seconds", "rate"), [(3, 22050), (12, 22050), (3, 44100)])
def test_links_that_cannot_be_read_on_are_said_to_be_missing(
    seconds: int, rate: int, make: Make, tmp_path: Path
) -> None:
    """A second link of another rate cannot be read behind the first; one of the same rate can."""
    one = make("one.ogg", "-c:a", "libvorbis", source=f"sine=440:d={seconds}:r=44100")
    two = make("two.ogg", "-c:a", "libvorbis", source=f"sine=550:d=4:r={rate}")
    one.write_bytes(one.read_bytes() + two.read_bytes())
    memo = convert(one, tmp_path / "out", SETTINGS)
    assert memo.truncated is (rate != 44100) is ("breaks off" in memo.reason)
    assert memo.duration_s == pytest.approx(seconds if memo.truncated else seconds + 4, abs=0.2)


def test_a_copy_without_sound_is_no_proof(make: Make, ffmpeg: str) -> None:
    """Of a recording of two frames, not both may be lost with its tags."""
    made = make("a.mp3", "-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0", source=NOISE)
    facts = probe.probe(made, ffmpeg)
    made.write_bytes(made.read_bytes()[:100])
    with pytest.raises(ProofFailed):
        prove.sliced(made, ffmpeg, facts, 1152, 0)
