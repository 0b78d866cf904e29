"""Where the audio frames of an MP3, ADTS or AMR file stand, and what stands around and between them.

These files are frames and nothing else; tags, junk and a cut-off end are told by walking from frame to frame. The file
is read in blocks, so memory stays flat.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.audio import frames
from pipeline.audio.sniff import GARBAGE_BYTES, id3_end

BLOCK_BYTES = 1 << 18
MAX_WALK_BYTES = 1 << 27
"""Longer files are never passed as they are, so their frames need not be walked; their end is looked at."""
MAX_TAGS = 64
"""More tags than this at one end are no tags any more."""
MAX_GAP_BYTES = 1 << 22
"""How far frames are sought behind a gap in the sound."""

_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]{12}")
_HEADER_BYTES = 10
_FEW_BYTES = 1 << 13
FRAMED = frozenset({"mp3", "aac", "amr"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """ranges: (start, end) of the bytes that are sound, in order; empty where no frame was found. size_bytes: of the
    file. tag_bytes: of the ID3v2 tag at the very start. cut_off: the last frame is not whole."""

    ranges: tuple[tuple[int, int], ...]
    size_bytes: int
    tag_bytes: int
    cut_off: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """How frames of one format are walked. frame_bytes: the length of the frame whose header stands there, 0 for none.
    mask: which header bits all frames of a recording share. find: the first run of frames, behind anything."""

    frame_bytes: Callable[[bytes, int], int]
    mask: int
    find: Callable[[bytes], int | None] | None


_KINDS = {
    "mp3": _Kind(frame_bytes=frames.mpeg_frame_bytes, mask=frames.MPEG_MASK, find=frames.find_mpeg),
    "aac": _Kind(frame_bytes=frames.adts_frame_bytes, mask=frames.ADTS_MASK, find=frames.find_adts),
    "amr": _Kind(frame_bytes=frames.amr_nb_frame_bytes, mask=0, find=None),
    "amr-wb": _Kind(frame_bytes=frames.amr_wb_frame_bytes, mask=0, find=None),
}


def find(path: Path, container: str) -> Sound:
    """The sound of an MP3 (`mp3`), ADTS (`aac`) or AMR (`amr`) file. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        # A tag may say that it is longer than the file.
        tag_bytes = start = min(sum(_tags_ahead(file)), size)
        end = size
        for step in _tags_behind(file, start, size):
            end -= step
        if container == "amr":
            magic = _at(file, start, 9)
            head = 9 if magic.startswith(b"#!AMR-WB\n") else 6
            kind, start, first = _KINDS["amr-wb" if head == 9 else "amr"], start + head, start
        else:
            kind, first = _KINDS[container], None
            start = _first_frame(file, kind, start, end)
        if end - start > MAX_WALK_BYTES:
            return Sound(ranges=((start, end),), size_bytes=size, tag_bytes=tag_bytes, cut_off=False)
        ranges, cut_off = _walk(file, kind, start, end)
        if sum(stop - at for at, stop in ranges) < _FEW_BYTES and not _has_run(file, kind, start):
            ranges = [(start, end)]  # hardly a frame is whole: what a decoder makes of the rest is its own affair
        if first is not None and ranges:
            ranges[0] = (first, ranges[0][1])
        return Sound(ranges=tuple(ranges), size_bytes=size, tag_bytes=tag_bytes, cut_off=cut_off)


def _has_run(file: BinaryIO, kind: _Kind, start: int) -> bool:
    return frames.is_run(kind.frame_bytes, _at(file, start, _FEW_BYTES), 2)


def _first_frame(file: BinaryIO, kind: _Kind, start: int, end: int) -> int:
    """A header right at the start counts although damaged frames follow it; else a run of frames is sought."""
    head = _at(file, start, min(GARBAGE_BYTES, end - start))
    if kind.frame_bytes(head, 0) or kind.find is None:
        return start
    return start + (kind.find(head) or (kind is _KINDS["mp3"] and frames.find_index(head)) or 0)


def _walk(file: BinaryIO, kind: _Kind, start: int, end: int) -> tuple[list[tuple[int, int]], bool]:
    """(ranges of sound, whether the last frame is cut off) between start and end."""
    ranges: list[tuple[int, int]] = []
    at, shared = start, None
    while at < end:
        stop, shared, promised = _run(file, kind, at, end, shared)
        if stop > at:
            ranges.append((at, stop))
        if promised:  # a frame that goes on behind the end
            ranges.append((stop, end))
            return _joined(ranges), True
        if stop >= end:
            break
        step = _foreign(file, kind, stop, end)
        if step is None:
            break
        at, shared = step[0], None
        if not step[1]:
            ranges.append((stop, at))
    return _joined(ranges), False


def _run(file: BinaryIO, kind: _Kind, at: int, end: int, shared: int | None) -> tuple[int, int | None, bool]:
    """Frames of one kind from `at`: (where they end, what their headers share, whether one goes on behind `end`)."""
    while True:
        block = _at(file, at, min(BLOCK_BYTES, end - at))
        last = at + len(block) >= end
        here = 0
        while here < len(block) if last else here + _HEADER_BYTES <= len(block):
            length = kind.frame_bytes(block, here)
            if not length:
                return at + here, shared, False
            header = int.from_bytes(block[here : here + 4], "big") & kind.mask
            if shared is None:
                shared = header
            if header != shared:
                return at + here, shared, False
            if at + here + length > end:
                return at + here, shared, True
            here += length
        if at + here >= end:
            return min(at + here, end), shared, False
        if not here:
            return at, shared, False
        at += here


def _foreign(file: BinaryIO, kind: _Kind, at: int, end: int) -> tuple[int, bool] | None:
    """What stands at `at` instead of a frame: (where sound goes on, whether what is between must go). None where no
    sound follows. Tags and text go; other bytes may be damaged sound that a decoder gets over, and stay."""
    tag = _tag_ahead(_at(file, at, 32)) or (128 if _at(file, at, 3) == b"TAG" else 0)
    if 0 < tag < end - at:
        return at + tag, True
    if kind.find is None:
        rest = _at(file, at, min(BLOCK_BYTES, end - at))
        return None if _TEXT.match(rest) else (end, False)
    here = at
    while here < min(end, at + MAX_GAP_BYTES):
        block = _at(file, here, min(BLOCK_BYTES, end - here))
        found = kind.find(block)
        if found is not None:
            between = _at(file, at, min(BLOCK_BYTES, here + found - at))
            return here + found, bool(_TEXT.match(between))
        if here + len(block) >= end:
            return None
        here += len(block) - 4096
    return end, False


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _tags_ahead(file: BinaryIO) -> Iterator[int]:
    """The size of each ID3v2 or APEv2 tag in front."""
    start = 0
    for _ in range(MAX_TAGS):
        step = _tag_ahead(_at(file, start, 32))
        if not step:
            return
        yield step
        start += step


def _tags_behind(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    """The size of each ID3v1, APEv2, Lyrics3 or ID3v2 tag behind, the last first."""
    for _ in range(MAX_TAGS):
        step = _tag_behind(file, start, end)
        if not step:
            return
        yield step
        end -= step


def _tag_ahead(head: bytes) -> int:
    """The size of the tag that these bytes begin; 0 where none does. An APEv2 header counts neither itself nor flags
    (wiki.hydrogenaudio.org)."""
    if head[:8] == b"APETAGEX" and len(head) == 32:
        return 32 + int.from_bytes(head[12:16], "little")
    return id3_end(head)


def _tag_behind(file: BinaryIO, start: int, end: int) -> int:
    """The size of the tag that ends at `end`, 0 where none does. (id3.org; wiki.hydrogenaudio.org: APEv2, Lyrics3.)"""
    size = 0
    if end - start >= 128 and _at(file, end - 128, 3) == b"TAG":
        size = 128
        if end - start >= 355 and _at(file, end - 355, 4) == b"TAG+":
            size = 355
    elif end - start >= 32 and _at(file, end - 32, 8) == b"APETAGEX":
        footer = _at(file, end - 32, 32)
        body, flags = struct.unpack_from("<I4xI", footer, 12)
        size = body + (32 if flags & 0x80000000 else 0)
    elif end - start >= 15 and _at(file, end - 9, 9) == b"LYRICS200":
        digits = _at(file, end - 15, 6)
        size = int(digits) + 15 if digits.isdigit() else 0
    elif end - start >= 20 and _at(file, end - 9, 9) == b"LYRICSEND":
        at = _at(file, max(start, end - 5100), min(5100, end - start)).rfind(b"LYRICSBEGIN")
        size = min(5100, end - start) - at if at >= 0 else 0
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


def _at(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(max(start, 0))
    return file.read(size)
