"""Frames are told from what stands around and between them, and a missing end is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.audio import chunks, ending, sound

MP3_FRAME = b"\xff\xfb\x90\x64" + bytes(413)
ADTS_FRAME = b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)
AMR_FRAME = b"\x3c" + bytes(31)
ID3V1 = b"TAG" + b"Alice".ljust(125, b"\0")
ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x10TPE1\x00\x00\x00\x06\x00\x00\x03Alice"
SOUND = {"mp3": MP3_FRAME * 6, "aac": ADTS_FRAME * 6, "amr": b"#!AMR\n" + AMR_FRAME * 6}


def kept(tmp_path: Path, container: str, content: bytes) -> bytes:
    """The bytes of a file that count as sound."""
    path = tmp_path / "a"
    path.write_bytes(content)
    return b"".join(content[start:end] for start, end in sound.find(path, container).ranges)


@pytest.mark.parametrize("container", SOUND)
@pytest.mark.parametrize("front", [b"", ID3, ID3 * 5, ID3 + bytes(50)])
@pytest.mark.parametrize("end", [b"", ID3V1, ID3, ID3V1[:-1] + b"x" + ID3V1])
def test_only_frames_are_sound(tmp_path: Path, container: str, front: bytes, end: bytes) -> None:
    """Tags at both ends, however many, are no sound."""
    if container == "amr" and front.endswith(b"\0"):
        pytest.skip("an AMR file begins with its magic number")
    assert kept(tmp_path, container, front + SOUND[container] + end) == SOUND[container]


@pytest.mark.parametrize("container", ["mp3", "aac"])
def test_a_tag_between_frames_is_no_sound(tmp_path: Path, container: str) -> None:
    """Two files joined to one keep the tags of the second in the middle, and those of the first."""
    whole = SOUND[container]
    assert kept(tmp_path, container, whole + ID3V1 + ID3 + whole) == whole * 2


def test_damaged_frames_stay_with_the_whole_ones_around_them(tmp_path: Path) -> None:
    """Frames 2 to 4 have broken headers: the first is sound all the same, and nothing between is lost."""
    damaged = MP3_FRAME + (b"\x00" + MP3_FRAME[1:]) * 3 + MP3_FRAME * 5
    assert kept(tmp_path, "mp3", damaged) == damaged


def test_text_between_frames_is_no_sound(tmp_path: Path) -> None:
    """What can be read there was never a frame."""
    assert kept(tmp_path, "mp3", SOUND["mp3"] + b"dear Alice, listen to this" + SOUND["mp3"]) == SOUND["mp3"] * 2


def test_rates_may_change_between_frames(tmp_path: Path) -> None:
    """Recordings of two rates joined to one are all sound."""
    other = b"\xff\xfb\x94\x64" + bytes(380)
    assert kept(tmp_path, "mp3", SOUND["mp3"] + other * 6) == SOUND["mp3"] + other * 6


@pytest.mark.parametrize("container", SOUND)
def test_a_last_frame_that_is_not_whole_is_seen(tmp_path: Path, container: str) -> None:
    """The file breaks off inside a frame, with a tag behind it or without one."""
    path = tmp_path / "a"
    for content, cut in (
        (SOUND[container], False),
        (SOUND[container][:-5], True),
        (SOUND[container][:-5] + ID3V1, True),
    ):
        path.write_bytes(content)
        assert sound.find(path, container).cut_off is cut


def test_endless_tags_end(tmp_path: Path) -> None:
    """More tags than anybody writes are not followed to their end."""
    path = tmp_path / "a"
    path.write_bytes(ID3 * 10_000 + SOUND["mp3"] + ID3V1 * 10_000)
    assert sound.find(path, "mp3").ranges


def riff(said: int, there: int, *more: bytes) -> bytes:
    """A WAV whose data chunk says one size and has another."""
    fmt = b"fmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
    return b"RIFF\xff\xff\xff\xffWAVE" + fmt + b"data" + said.to_bytes(4, "little") + bytes(there) + b"".join(more)


@pytest.mark.parametrize(
    ("said", "there", "cut_off", "wrong_size"),
    [(200, 200, False, False), (200, 100, True, True), (0xFFFFFFFF, 100, False, True), (0, 100, False, True),
     (0x7FFFF000, 100, False, True), (0, 0, False, False)],
)  # fmt: skip
def test_sizes_that_are_wrong_are_told_from_sound_that_is_missing(
    tmp_path: Path, said: int, there: int, cut_off: bool, wrong_size: bool
) -> None:
    """A recorder that writes to a pipe knows no size; a size that is not reached means a missing end."""
    path, to = tmp_path / "a.wav", tmp_path / "b.wav"
    path.write_bytes(riff(said, there))
    found = chunks.read(path, "wav", 0)
    assert (found.cut_off, found.wrong_size, found.personal) == (cut_off, wrong_size, False)
    chunks.copy(path, "wav", 0, to)
    again = chunks.read(to, "wav", 0)
    assert not (again.cut_off or again.wrong_size) and to.stat().st_size == 44 + there


def page(flags: int, payload: int) -> bytes:
    """An Ogg page."""
    return b"OggS\0" + bytes([flags]) + bytes(20) + b"\x01" + bytes([payload]) + bytes(payload)


@pytest.mark.parametrize(
    ("container", "content", "cut_off"),
    [
        ("ogg", page(2, 30) + page(4, 30), False),
        ("ogg", page(2, 30) + page(0, 30), True),
        ("ogg", page(2, 30) + page(4, 30)[:-1], True),
        ("au", b".snd" + (24).to_bytes(4, "big") + (100).to_bytes(4, "big") + bytes(12 + 100), False),
        ("au", b".snd" + (24).to_bytes(4, "big") + (100).to_bytes(4, "big") + bytes(12 + 50), True),
        ("au", b".snd" + (24).to_bytes(4, "big") + b"\xff\xff\xff\xff" + bytes(12 + 50), False),
        ("matroska", b"\x1aE\xdf\xa3\x80\x18\x53\x80\x67\x8a" + bytes(10), False),
        ("matroska", b"\x1aE\xdf\xa3\x80\x18\x53\x80\x67\x8a" + bytes(9), True),
        ("webm", b"\x1aE\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(9), False),
        ("rf64", b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + (92).to_bytes(8, "little") + bytes(72), False),
        ("rf64", b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + (92).to_bytes(8, "little") + bytes(52), True),
        ("w64", bytes(16) + (40).to_bytes(8, "little") + bytes(16), False),
        ("w64", bytes(16) + (80).to_bytes(8, "little") + bytes(16), True),
        ("flac", b"fLaC", False),
    ],
)
def test_a_missing_end_is_seen(tmp_path: Path, container: str, content: bytes, cut_off: bool) -> None:
    """Containers that say how long they are, or mark their last part."""
    path = tmp_path / "a"
    path.write_bytes(content)
    assert ending.is_cut_off(path, container) is cut_off
