"""Whether a file ends before it should, told by its structure alone, for containers that say how long they are."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TAIL_BYTES = 1 << 17


def is_cut_off(path: Path, container: str, begin: int = 0) -> bool:
    """Whether the end of a file is missing. begin: where its container starts. False where its format has no mark."""
    check = _CHECKS.get(container)
    if check is None:
        return False
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(begin)
        return check(file, begin, end)


def _ogg(file: BinaryIO, begin: int, end: int) -> bool:
    """The last page of a stream is marked as such (RFC 3533, section 6), and must be whole."""
    file.seek(max(begin, end - TAIL_BYTES))
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    if at < 0 or len(tail) < at + 27:
        return True
    lengths = tail[at + 27 : at + 27 + tail[at + 26]]
    whole = len(lengths) == tail[at + 26] and len(tail) >= at + 27 + len(lengths) + sum(lengths)
    return not (whole and tail[at + 5] & 4)


def _riff(file: BinaryIO, begin: int, end: int) -> bool:
    """AVI, QCP and the like: the size of the whole stands behind the name."""
    return _reaches(begin + 8, file.read(8)[4:], "<I", end)


def _rf64(file: BinaryIO, begin: int, end: int) -> bool:
    """The sizes stand in a chunk of their own (EBU Tech 3306): of the whole, then of the sound."""
    head = file.read(28)
    return head[12:16] == b"ds64" and _reaches(begin + 8, head[20:28], "<Q", end)


def _w64(file: BinaryIO, begin: int, end: int) -> bool:
    return _reaches(begin, file.read(24)[16:], "<Q", end)


def _au(file: BinaryIO, begin: int, end: int) -> bool:
    head = file.read(12)
    return _reaches(begin + int.from_bytes(head[4:8], "big"), head[8:], ">I", end)


def _reaches(start: int, raw: bytes, form: str, end: int) -> bool:
    """Whether a size reaches beyond the end. Programs that write to a pipe set all bits, or nearly all."""
    if len(raw) != struct.calcsize(form):
        return True
    size = int(struct.unpack(form, raw)[0])
    return size < 1 << (8 * len(raw) - 1) - 1 and start + size > end + 1


def _matroska(file: BinaryIO, begin: int, end: int) -> bool:
    """The segment behind the EBML header says how long it is, or (a live recording) that it does not know."""
    head = file.read(1 << 12)
    length, value, _ = _vint(head, 4)
    at = 4 + length + value
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return False
    length, value, known = _vint(head, at + 4)
    return known and begin + at + 4 + length + value > end


def _vint(data: bytes, at: int) -> tuple[int, int, bool]:
    """(bytes it takes, value, whether it is known) of an EBML size (RFC 8794, section 4)."""
    first = data[at] if at < len(data) else 0x80
    length = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + length], "big") & (1 << 7 * length) - 1
    return length, value, value != (1 << 7 * length) - 1


_CHECKS: dict[str, Callable[[BinaryIO, int, int], bool]] = {
    "ogg": _ogg,
    "avi": _riff,
    "qcp": _riff,
    "rf64": _rf64,
    "w64": _w64,
    "au": _au,
    "webm": _matroska,
    "matroska": _matroska,
}
