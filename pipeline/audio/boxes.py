"""The boxes of an MP4, M4A, MOV or 3GP file (ISO/IEC 14496-12): its kind, its order, and what it says about people."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_MOOV_BYTES = 1 << 25
MAX_FRAMES = 1 << 24
"""Of one size: 95 hours. A count alone takes no room in a file, and would take much in memory."""
MAX_BOXES = 200_000
_NESTED = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"ilst", b"moof", b"traf", b"edts", b"mvex"})
_STRUCTURE = frozenset({b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"styp", b"pdin", b"pnot"})
_KNOWN_INSIDE = _NESTED | frozenset(
    b"mvhd iods tkhd tref elst mdhd hdlr elng smhd nmhd vmhd gmhd dinf stsd stts ctts cslg stsc stsz stz2 stco co64 "
    b"stss sgpd sbgp sdtp saiz saio subs stps stsh padb mehd trex leva mfhd tfhd tfdt trun meta tsel "
    b"\xa9too \xa9swr".split()
)
"""What players need, and names of programs. All else inside, known or not, may tell of people."""

_PADDING = frozenset({b"free", b"skip", b"wide"})
MAX_PADDING_BYTES = 1 << 22
_HANDLERS = frozenset(
    b"SoundHandler|Sound Media Handler|Apple Sound Media Handler|Core Media Audio|Core Media Data Handler|DataHandler|"
    b"Apple Alias Data Handler|GPAC ISO Audio Handler|Mainconcept MP4 Sound Media Handler|sound handler|SoundHandle|"
    b"Nero Audio Handler|soun|Audio|AudioHandler".split(b"|")
)
"""Names that programs give to the part of a player that a track is for. Others may be anything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """container: `m4a`, `mp4`, `mov`, `3gp` or, in pieces, `m4a-fragmented`. personal: some may tell of people.
    cut_off: the last sound goes on behind the end of the file."""

    container: str
    moov_first: bool | None
    encrypted: bool
    personal: bool
    cut_off: bool


def _top(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of the payload, its size as the header says) of each top-level box."""
    end = file.seek(0, 2)
    at = 0
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            raw = file.read(8)
            size, header = (int.from_bytes(raw, "big"), 16) if len(raw) == 8 else (0, 16)
        elif size == 0:
            size = end - at
        if size < header:
            return
        yield kind, at + header, size - header
        at += size


def _inner(data: bytes | memoryview, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """(kind, payload) of every box inside, outer before inner; the payload of one that holds others is left out, or
    nested boxes would multiply memory. Broken sizes end the walk of their level; the rest then comes as a box without
    a name."""
    view, at = memoryview(data), 0
    while at + 8 <= len(view):
        size, kind = struct.unpack_from(">I4s", view, at)
        if size < 8 or at + size > len(view):
            break
        payload = view[at + 8 : at + size]
        inside = _children(kind, payload) if depth < 12 else None
        yield kind, b"" if inside is not None else bytes(payload)
        if inside is not None:
            yield from _inner(inside, depth + 1)
        at += size
    if rest := bytes(view[at:]).strip(b"\0"):
        yield b"", rest


def _children(kind: bytes, payload: memoryview) -> memoryview | None:
    if kind in _NESTED:
        return payload
    if kind == b"meta":
        return payload if bytes(payload[4:8]) in (b"hdlr", b"keys", b"ilst") else payload[4:]
    return None


def read(path: Path) -> Layout:
    """The layout of a file of this family. Never raises for what is in it."""
    kinds: list[bytes] = []
    brand = b""
    inner: list[tuple[bytes, bytes]] = []
    foreign = False
    sound_bytes = there_bytes = 0
    with path.open("rb") as file:
        total = file.seek(0, 2)
        for kind, start, size in _top(file):
            kinds.append(kind)
            if kind == b"mdat":
                sound_bytes, there_bytes = sound_bytes + size, there_bytes + min(size, total - start)
            foreign = foreign or _is_foreign(file, kind, start, size)
            if kind in (b"ftyp", b"moov", b"moof"):
                if size > MAX_MOOV_BYTES or len(inner) > MAX_BOXES:
                    foreign = True
                    continue
                file.seek(start)
                payload = file.read(size)
                if kind == b"ftyp":
                    brand = payload[:4]
                else:
                    inner.extend(_inner(payload))
            if len(kinds) > 100_000:
                break
    fragmented, listed_bytes = b"moof" in kinds, _listed_bytes(inner)
    return Layout(
        container=_container(brand, fragmented),
        moov_first=kinds.index(b"moov") < kinds.index(b"mdat") if {b"moov", b"mdat"} <= set(kinds) else None,
        encrypted=any(_is_protected(kind, payload) for kind, payload in inner),
        personal=foreign or _tells_of_people(inner) or (not fragmented and sound_bytes != listed_bytes),
        cut_off=there_bytes < (sound_bytes if fragmented else min(sound_bytes, listed_bytes)),
    )


def _is_foreign(file: BinaryIO, kind: bytes, start: int, size: int) -> bool:
    """Whether a top-level box holds what no player needs: an unknown box, or padding that is more than zeros."""
    if kind not in _PADDING:
        return kind not in _STRUCTURE
    file.seek(start)
    return size > MAX_PADDING_BYTES or bool(file.read(size).strip(b"\0"))


def _container(brand: bytes, fragmented: bool) -> str:
    if brand.startswith(b"qt") or not brand:
        return "mov"
    if brand.startswith((b"3gp", b"3g2")):
        return "3gp"
    return "m4a-fragmented" if fragmented else "m4a"


def _is_protected(kind: bytes, payload: bytes) -> bool:
    """Sample entries `enca`, `drms` and Audible's `aavd` name protected sound."""
    return kind == b"stsd" and payload[12:16] in (b"enca", b"drms", b"aavd")


def _listed_bytes(inner: list[tuple[bytes, bytes]]) -> int:
    """The bytes of all samples by their tables: what else is in the sound's boxes, nobody plays."""
    total = 0
    for kind, payload in inner:
        if kind == b"stsz" and len(payload) >= 12:
            each, count = struct.unpack_from(">II", payload, 4)
            total += each * count if each else sum(_sizes(payload))
    return total


def _tells_of_people(inner: list[tuple[bytes, bytes]]) -> bool:
    for kind, payload in inner:
        if kind in _PADDING:
            if payload.strip(b"\0"):
                return True
        elif kind == b"----":
            if b"iTunSMPB" not in payload and b"iTunNORM" not in payload:
                return True
        elif kind == b"hdlr":
            if not _is_usual_handler(payload):
                return True
        elif kind not in _KNOWN_INSIDE:
            return True
    return False


def frame_bytes(path: Path) -> array[int]:
    """The size of each frame of an M4A of one stream, as its `stsz` box lists them; empty where it has none."""
    with path.open("rb") as file:
        for kind, start, size in _top(file):
            if kind == b"moov":
                file.seek(start)
                tables = [payload for name, payload in _inner(file.read(size)) if name == b"stsz"]
                return _sizes(tables[0]) if tables else array("I")
    return array("I")


def _sizes(table: bytes) -> array[int]:
    if len(table) < 12:
        return array("I")
    constant, count = struct.unpack_from(">II", table, 4)
    if constant:
        return array("I", [constant] * min(count, MAX_FRAMES))
    sizes = array("I", table[12 : 12 + 4 * min(count, (len(table) - 12) // 4)])
    if sys.byteorder == "little":
        sizes.byteswap()
    return sizes


def _is_usual_handler(payload: bytes) -> bool:
    """Whether a handler box carries no name, or one that programs give. QuickTime counts its length in front."""
    name = payload[24:]
    if name and name[0] == len(name.rstrip(b"\0")) - 1:
        name = name[1:]
    return not name.strip(b"\0") or name.strip(b"\0") in _HANDLERS
