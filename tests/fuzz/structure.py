"""Where the parts of a file begin and end, well enough to move them about. Pure."""

from __future__ import annotations

import struct
from itertools import pairwise


def parts(data: bytes) -> list[tuple[int, int]]:
    """(start, end) of the chunks, boxes, pages or blocks of a file; empty where its kind is not known."""
    if data[:4] in (b"RIFF", b"RF64", b"RIFX", b"FORM"):
        return _sized(data, 12, ">I" if data[:4] in (b"RIFX", b"FORM") else "<I", size_at=4, header=8, even=True)
    if data[:4] == b"caff":
        return _sized(data, 8, ">Q", size_at=4, header=12)
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return _boxes(data)
    if data[:4] == b"fLaC":
        return _flac(data)
    for sync in (b"OggS", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\x1f\x43\xb6\x75", b"wvpk"):
        found = _between(data, sync)
        if len(found) > 2:
            return found
    return []


def _sized(
    data: bytes, at: int, layout: str, *, size_at: int, header: int, even: bool = False
) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while at + header <= len(data) and len(found) < 500:
        size = struct.unpack_from(layout, data, at + size_at)[0]
        end = min(at + header + size + (size & 1 if even else 0), len(data))
        found.append((at, end))
        at = end
    return found


def _boxes(data: bytes, start: int = 0, end: int | None = None, depth: int = 0) -> list[tuple[int, int]]:
    """All boxes, inner ones too."""
    found: list[tuple[int, int]] = []
    at, end = start, len(data) if end is None else end
    while at + 8 <= end and len(found) < 500:
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > end:
            break
        found.append((at, at + size))
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"moof", b"traf", b"ilst") and depth < 6:
            found += _boxes(data, at + 8, at + size, depth + 1)
        at += size
    return found


def _flac(data: bytes) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at = 4
    while at + 4 <= len(data):
        end = min(at + 4 + int.from_bytes(data[at + 1 : at + 4], "big"), len(data))
        found.append((at, end))
        if data[at] & 0x80:
            break
        at = end
    return found + _between(data[at:], b"\xff\xf8", at)


def _between(data: bytes, sync: bytes, offset: int = 0) -> list[tuple[int, int]]:
    starts: list[int] = []
    at = data.find(sync)
    while at != -1 and len(starts) < 500:
        starts.append(offset + at)
        at = data.find(sync, at + len(sync))
    return list(pairwise([*starts, offset + len(data)]))
