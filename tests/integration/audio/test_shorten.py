"""Recordings that are accepted but too large are cut by copy, by the shipped ffmpeg."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.audio import convert, inspect, sniff
from pipeline.audio.child import Limits, input_args, run
from pipeline.audio.report import counts, stream_hash
from pipeline.audio.transcode import hash_args
from pipeline.recordings import AudioSettings
from tests.integration.audio.conftest import Make

TALK = "aevalsrc='0.3*random(0)*gt(mod(t,2.1),0.5)':s=44100:d=120"
SMALL = AudioSettings(max_bytes=600_000)
CUT = AudioSettings(overflow="cut")
KINDS = {
    "a.mp3": (("-b:a", "64k"), 400_000),
    "changing.mp3": (("-q:a", "5"), 400_000),
    "bare.mp3": (("-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0"), 400_000),
    "a.aac": (("-c:a", "aac"), 400_000),
    "a.m4a": (("-c:a", "aac"), 400_000),
    "a.amr": (("-c:a", "libopencore_amrnb", "-ar", "8000", "-b:a", "12.2k"), 80_000),
    "a.wav": (("-c:a", "pcm_s24le"), 5_000_000),
    "float.wav": (("-c:a", "pcm_f32le", "-ar", "8000"), 2_000_000),
    "a.aiff": ((), 4_000_000),
    "a.caf": (("-ar", "16000"), 1_500_000),
    "ima.caf": (("-c:a", "adpcm_ima_qt"), 1_060_000),
}


def samples(path: Path, ffmpeg: str, filters: str = "anull") -> str:
    """A hash of the decoded sound, after the filters."""
    source = input_args(sniff.look(path).demuxer, path)
    return str(stream_hash(run(ffmpeg, [*source, "-af", filters, "-f", "streamhash", "-"], Limits()).report))


def packets(path: Path, ffmpeg: str, first: int | None = None) -> tuple[str | None, int]:
    """(hash, number) of a file's packets, or of its first ones."""
    args = hash_args(sniff.look(path).demuxer, path, first)
    report = run(ffmpeg, ["-loglevel", "verbose", *args[2:]], Limits()).report
    return stream_hash(report), counts(report).packets


@pytest.mark.parametrize("name", KINDS)
def test_an_accepted_recording_keeps_its_frames(name: str, make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """With overflow `cut` nothing is encoded: the memo is of the same kind, under the limit and uses it but for the
    pause's window, ends in a pause, and decodes to the recording's own samples from the first one on."""
    args, limit = KINDS[name]
    recording = make(name, *args, "-metadata", "title=Secret", source=TALK)
    settings = replace(CUT, max_bytes=limit)
    seen = inspect(recording, settings)
    assert (seen.action, seen.code) == ("remux", "shortened")
    memo = convert(recording, tmp_path / "out", settings)
    path = Path(memo.path or "")
    assert memo.trimmed and memo.action == "remux" and path.suffix == recording.suffix
    assert 0.93 * limit < memo.size_bytes < limit
    assert memo.duration_s % 2.1 < 0.5, "it ends outside a pause"
    assert (memo.pause_confidence_db or 0) > 15
    assert memo.dropped_s == pytest.approx(120 - memo.duration_s, abs=0.2)
    assert b"Secret" not in path.read_bytes()
    assert inspect(path, AudioSettings()).action == "pass-through"
    for filters in ("atrim=end=1", f"atrim=start={memo.duration_s - 2}:end={memo.duration_s - 0.2}"):
        assert samples(path, ffmpeg, filters) == samples(recording, ffmpeg, filters)


def lame_delay(path: Path, delay: int | None) -> None:
    """Rewrite the coder's delay in the index of an MP3 made by ffmpeg; None takes the coder's name and delay out."""
    content = bytearray(path.read_bytes())
    name = content.index(b"Lav")
    if delay is None:
        content[name : name + 36] = bytes(36)
    else:
        content[name + 21 : name + 24] = (delay << 12).to_bytes(3, "big")
    path.write_bytes(content)


@pytest.mark.parametrize("delay", [0, 576, 1105, 2000, None])
def test_the_delay_of_an_mp3_stays_what_it_was(delay: int | None, make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """The index in front of an MP3 tells how many samples to leave out at its start: no more and no fewer for the cut
    memo, whatever the recording's says."""
    recording = make("a.mp3", "-b:a", "64k", source=TALK)
    lame_delay(recording, delay)
    memo = convert(recording, tmp_path / "out", replace(CUT, max_bytes=400_000))
    assert memo.action == "remux" and memo.trimmed
    assert samples(Path(memo.path or ""), ffmpeg, "atrim=end=1") == samples(recording, ffmpeg, "atrim=end=1")


def test_the_index_of_a_cut_mp3_tells_its_length(make: Make, tmp_path: Path) -> None:
    """Players show the memo's length, not the recording's."""
    from mutagen.mp3 import MP3

    memo = convert(make("a.mp3", "-q:a", "5", source=TALK), tmp_path / "out", replace(CUT, max_bytes=400_000))
    assert MP3(memo.path).info.length == pytest.approx(memo.duration_s, abs=0.1)  # type: ignore[no-untyped-call]


def test_a_copy_that_keeps_more_than_an_encode_is_taken(make: Make, tmp_path: Path) -> None:
    """AMR has fewer bits a second than the least that an encode is given: by default too it is cut by copy."""
    recording = make("a.amr", "-c:a", "libopencore_amrnb", "-ar", "8000", "-b:a", "12.2k", source=TALK)
    memo = convert(recording, tmp_path / "out", AudioSettings(max_bytes=100_000))
    assert (memo.action, Path(memo.path or "").suffix) == ("remux", ".amr")
    assert memo.duration_s > 55


def test_an_encode_that_keeps_more_than_a_copy_is_taken(make: Make, tmp_path: Path) -> None:
    """By default an MP3 of 64 kb/s is encoded at fewer bits and stays whole."""
    memo = convert(make("a.mp3", "-b:a", "64k", source="sine=440:d=120"), tmp_path / "out", SMALL)
    assert memo.action == "transcode" and not memo.trimmed


def test_channels_that_cancel_each_other_are_not_copied(make: Make, tmp_path: Path) -> None:
    """What must not pass as it is must not be cut by copy either, and is encoded and cut."""
    both = "aevalsrc='0.3*sin(440*2*PI*t)|-0.3*sin(440*2*PI*t)':d=60:s=48000"
    memo = convert(make("a.mp3", "-b:a", "64k", source=both), tmp_path / "out", replace(CUT, max_bytes=300_000))
    assert memo.action == "transcode" and memo.trimmed


def test_a_recording_whose_bits_come_late_is_cut_well(make: Make, tmp_path: Path) -> None:
    """A minute of silence costs nearly nothing: the first guess is far off, the memo is not. (The last 5 % of the
    seconds, where the pause is sought, hold more than 5 % of the bytes.)"""
    late = "aevalsrc='0.3*random(0)*gt(mod(t,2.1),0.5)*gt(t,60)':s=44100:d=120"
    for name in ("late.m4a", "late.mp3"):
        made = make(name, "-c:a", *(("aac",) if name.endswith("a") else ("libmp3lame", "-q:a", "5")), source=late)
        memo = convert(made, tmp_path / "out", replace(CUT, max_bytes=200_000))
        assert memo.action == "remux" and 0.8 * 200_000 < memo.size_bytes < 200_000


@pytest.mark.corpus
@pytest.mark.skipif(not os.environ.get("MEMOLINE_TEST_CORPUS"), reason="MEMOLINE_TEST_CORPUS is not set")
@pytest.mark.slow
def test_real_recordings_are_cut_by_copy(tmp_path: Path) -> None:
    """Every accepted recording of some length, at a limit of half its size: cut, under the limit, and by copy but for
    those whose sound must not pass as it is."""
    encoded = []
    for number, path in enumerate(sorted(Path(os.environ["MEMOLINE_TEST_CORPUS"], "files").rglob("*.*"))):
        seen = inspect(path, AudioSettings())
        if seen.action not in ("pass-through", "remux") or not seen.accepted_as or (seen.duration_s or 0) < 4:
            continue
        settings = replace(CUT, max_bytes=max(seen.size_bytes // 2, 20_000))
        memo = convert(path, tmp_path / str(number), settings)
        assert memo.size_bytes < settings.max_bytes, path
        if memo.action == "transcode":
            encoded.append(path.name)
    assert encoded == []
