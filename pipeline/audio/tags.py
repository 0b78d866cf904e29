"""What in a file tells of people and places, and how it is taken out without touching a single audio frame.

Titles, artists, places, pictures and chapters must not reach a public URL; names of programs may stay.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mutagen import MutagenError
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.id3 import ID3, ID3NoHeaderError

from pipeline.audio.boxes import Layout
from pipeline.audio.frames import find_adts, find_mpeg
from pipeline.audio.sniff import GARBAGE_BYTES, id3_end

_UNREADABLE = (MutagenError, ValueError, IndexError, KeyError, struct.error, EOFError)
"""What mutagen raises for damaged tags; not all of it is its own."""
_TECHNICAL_ID3 = frozenset({"TSSE", "TLEN", "TFLT", "TMED"})
_TECHNICAL_APE = frozenset(
    {"encoder", "replaygain_track_gain", "replaygain_track_peak", "mp3gain_minmax", "mp3gain_undo"}
)
KEPT_CHUNKS = {
    "wav": frozenset({b"fmt ", b"fact", b"data", b"PEAK"}),
    "aiff": frozenset({b"FVER", b"COMM", b"SSND"}),
    "caf": frozenset({b"desc", b"data", b"pakt", b"kuki", b"chan"}),
}
"""What a player needs. Everything else is left out when something personal is taken out."""

_HARMLESS = frozenset({b"cue ", b"smpl", b"inst", b"dn64"})
_PADDING = frozenset({b"JUNK", b"junk", b"PAD ", b"FLLR", b"fllr", b"free"})
_MAX_PADDING_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A chunk of a WAV, AIFF or CAF file: where its header begins, where its payload, and the payload's size."""

    name: bytes
    start: int
    body: int
    size: int


def chunks(file: BinaryIO, container: str) -> Iterator[Chunk]:
    """The chunks of an open WAV, AIFF or CAF file, in order. A size beyond the end is cut to it."""
    end = file.seek(0, os.SEEK_END)
    at, head = (8, 12) if container == "caf" else (12, 8)
    while at + head <= end:
        file.seek(at)
        name = file.read(4)
        if container == "caf":
            size = struct.unpack(">q", file.read(8))[0]
        else:
            size = struct.unpack("<I" if container == "wav" else ">I", file.read(4))[0]
        body = at + head
        size = end - body if size < 0 else min(size, end - body)
        yield Chunk(name=name, start=at, body=body, size=size)
        at = body + size + (size & 1 if container != "caf" else 0)


def has_personal(path: Path, container: str, layout: Layout | None) -> bool:
    """Whether a file carries what may tell of people, beyond what ffmpeg's own report of its tags shows."""
    if layout is not None:
        return layout.personal
    if container in KEPT_CHUNKS:
        with path.open("rb") as file:
            return any(_chunk_is_personal(file, chunk, container) for chunk in chunks(file, container))
    if container in ("mp3", "aac"):
        return _has_id3_or_ape(path) or _has_more_than_sound(path, container)
    return False


def _chunk_is_personal(file: BinaryIO, chunk: Chunk, container: str) -> bool:
    if chunk.name in KEPT_CHUNKS[container] or chunk.name in _HARMLESS:
        return False
    if chunk.name in _PADDING:
        file.seek(chunk.body)
        return chunk.size > _MAX_PADDING_BYTES or bool(file.read(chunk.size).strip(b"\0"))
    if chunk.name == b"LIST" and chunk.size <= 4096:
        file.seek(chunk.body)
        return not _only_names_software(file.read(chunk.size))
    return not (chunk.name == b"info" and container == "caf")


def _only_names_software(listed: bytes) -> bool:
    if listed[:4] != b"INFO":
        return False
    at = 4
    while at + 8 <= len(listed):
        name, size = struct.unpack_from("<4sI", listed, at)
        if name != b"ISFT":
            return False
        at += 8 + size + (size & 1)
    return True


def _has_id3_or_ape(path: Path) -> bool:
    try:
        if any(frame not in _TECHNICAL_ID3 for frame in ID3(path)):  # type: ignore[no-untyped-call]
            return True
    except ID3NoHeaderError:
        pass
    except _UNREADABLE:
        return True
    try:
        return any(str(key).lower() not in _TECHNICAL_APE for key in APEv2(path))  # type: ignore[no-untyped-call]
    except APENoHeaderError:
        return False
    except _UNREADABLE:
        return True


def strip(path: Path, container: str, to: Path) -> bool:
    """Write a copy without anything personal, where it is done without ffmpeg; False where it must be done with it."""
    if container in KEPT_CHUNKS:
        _copy_chunks(path, container, to)
        return True
    if container in ("mp3", "aac"):
        with path.open("rb") as source, to.open("wb") as sink:
            start, end = _sound(source, container)
            _copy_range(source, sink, start, end - start)
        return True
    return False


def _has_more_than_sound(path: Path, container: str) -> bool:
    """Whether anything but a technical ID3v2 tag in front stands around the frames: tags that mutagen does not look for
    there, or bytes by which a receiver would not know the format."""
    with path.open("rb") as source:
        start, end = _sound(source, container)
        return (start, end) != (id3_end(_at(source, 0, 10)), source.seek(0, os.SEEK_END))


def _sound(file: BinaryIO, container: str) -> tuple[int, int]:
    """Where the frames begin and end: without ID3v2 and APEv2 in front, APEv2, Lyrics3, ID3v2 and ID3v1 behind, however
    often they come, and without foreign bytes before the first frame."""
    start, end = 0, file.seek(0, os.SEEK_END)
    while step := _tag_ahead(_at(file, start, 32)):
        start += step
    while step := _tag_behind(file, start, end):
        end -= step
    head = _at(file, start, min(GARBAGE_BYTES, max(end - start, 0)))
    first = find_adts(head) if container == "aac" else find_mpeg(head)
    return start + (first or 0), end


def _tag_ahead(head: bytes) -> int:
    """The size of the tag that these bytes begin; 0 where none does. An APEv2 header counts neither itself nor flags
    (wiki.hydrogenaudio.org)."""
    if head[:8] == b"APETAGEX" and len(head) == 32:
        return 32 + int.from_bytes(head[12:16], "little")
    return id3_end(head)


def _at(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(max(start, 0))
    return file.read(size)


def _tag_behind(file: BinaryIO, start: int, end: int) -> int:
    """The size of the tag that ends at `end`, 0 where none does. (id3.org; wiki.hydrogenaudio.org: APEv2, Lyrics3.)"""
    size = 0
    if end - start >= 128 and _at(file, end - 128, 3) == b"TAG":
        size = 128
    elif end - start >= 32 and _at(file, end - 32, 8) == b"APETAGEX":
        footer = _at(file, end - 32, 32)
        body, flags = struct.unpack_from("<I4xI", footer, 12)
        size = body + (32 if flags & 0x80000000 else 0)
    elif end - start >= 15 and _at(file, end - 9, 9) == b"LYRICS200":
        digits = _at(file, end - 15, 6)
        size = int(digits) + 15 if digits.isdigit() else 0
    else:
        size = _id3_behind(_at(file, max(start, end - GARBAGE_BYTES), min(GARBAGE_BYTES, end - start)))
    return size if size <= end - start else 0


def _id3_behind(tail: bytes) -> int:
    """The size of an ID3v2 tag that ends where these bytes do, with its footer or without one."""
    at = tail.rfind(b"ID3")
    while at != -1:
        if at + id3_end(tail[at : at + 10]) == len(tail):
            return len(tail) - at
        at = tail.rfind(b"ID3", 0, at)
    return 0


def _copy_chunks(path: Path, container: str, to: Path) -> None:
    with path.open("rb") as source, to.open("wb") as sink:
        head = source.read(8 if container == "caf" else 12)
        sink.write(head)
        for chunk in list(chunks(source, container)):
            if chunk.name in KEPT_CHUNKS[container]:
                _copy_range(source, sink, chunk.start, chunk.body + chunk.size - chunk.start)
                if container != "caf" and chunk.size & 1:
                    sink.write(b"\x00")
        if container != "caf":
            total = sink.tell() - 8
            sink.seek(4)
            sink.write(struct.pack("<I" if container == "wav" else ">I", total))


def _copy_range(source: BinaryIO, sink: BinaryIO, start: int, size: int) -> None:
    source.seek(start)
    while size > 0:
        block = source.read(min(size, 1 << 20))
        if not block:
            return
        sink.write(block)
        size -= len(block)
