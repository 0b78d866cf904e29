"""What in a file tells of people and places, and how it is taken out without touching a single audio frame.

Titles, artists, places, pictures and chapters must not reach a public URL; names of programs may stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.audio import boxes, chunks, ending, kept, sound

_TECHNICAL_ID3 = frozenset({b"TSSE", b"TLEN", b"TFLT", b"TMED"})
MAX_TECHNICAL_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What stands around and between the sound. personal: something may tell of people, or is no sound at all.
    cut_off: the sound breaks off. wrong_size: the header does not tell how long the sound is. foreign_bytes: between
    and behind frames that stand by themselves."""

    personal: bool = False
    cut_off: bool = False
    wrong_size: bool = False
    foreign_bytes: int = 0


def examine(path: Path, container: str, skip_bytes: int = 0, layout: boxes.Layout | None = None) -> Found:
    """Look at a file beyond what ffmpeg's report of its tags shows. layout: of an MP4 family. Raises OSError."""
    if layout is not None:
        return Found(personal=layout.personal, cut_off=layout.cut_off)
    if container in chunks.KEPT:
        read = chunks.read(path, container, skip_bytes)
        return Found(personal=read.personal or skip_bytes > 0, cut_off=read.cut_off, wrong_size=read.wrong_size)
    if container in sound.FRAMED:
        found = sound.find(path, container)
        return Found(
            personal=_has_more_than_sound(path, found), cut_off=found.cut_off,
            foreign_bytes=found.size_bytes - found.ranges[0][0] - sum(end - start for start, end in found.ranges),
        )  # fmt: skip
    return Found(cut_off=ending.is_cut_off(path, container, skip_bytes))


def _has_more_than_sound(path: Path, found: sound.Sound) -> bool:
    """Whether anything but a technical ID3v2 tag in front stands around or between the frames."""
    if len(found.ranges) != 1 or found.ranges[0] != (found.tag_bytes, found.size_bytes):
        return True
    if not found.tag_bytes:
        return False
    with path.open("rb") as file:
        return found.tag_bytes > MAX_TECHNICAL_BYTES or not _only_names_programs(file.read(found.tag_bytes))


def _only_names_programs(tag: bytes) -> bool:
    """Whether one plain ID3v2.3 or 2.4 tag names programs and lengths, and nothing else. (id3.org, ID3v2.4.)"""
    if tag[3] not in (3, 4) or tag[5]:
        return False
    at = 10
    while at + 10 <= len(tag) and tag[at]:
        size = int.from_bytes(tag[at + 4 : at + 8], "big")
        if tag[at : at + 4] not in _TECHNICAL_ID3 or size > 127:  # below that both versions count alike
            return False
        at += 10 + size
    return not tag[at:].strip(b"\0")


def strip(path: Path, container: str, skip_bytes: int, to: Path, stay: kept.Tags = ()) -> bool:
    """Write a copy without anything personal but the tags that stay, where it is done without ffmpeg; False where it
    must be done with it."""
    if container in chunks.KEPT:
        chunks.copy(path, container, skip_bytes, to, kept.chunk(container, stay))
        return True
    if container in sound.FRAMED:
        with path.open("rb") as source, to.open("wb") as sink:
            sink.write(kept.head(container, stay))
            for start, end in sound.find(path, container).ranges:
                chunks.copy_range(source, sink, start, end - start)
        return True
    return False
