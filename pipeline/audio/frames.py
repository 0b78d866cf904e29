"""Formats without a magic number, told by frames that follow each other. Pure functions on bytes.

Sources: ISO/IEC 11172-3 and 13818-3 (MPEG audio), 13818-7 (ADTS), 13818-1 (transport streams).
"""

from __future__ import annotations

from collections.abc import Callable

_RATES = ((11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000), (44100, 48000, 32000))
_V1 = {
    3: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2 = {
    3: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    1: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def mpeg_frame_bytes(data: bytes, at: int) -> int:
    """Length of the MPEG audio frame whose header stands at `at`; 0 where none does."""
    if len(data) < at + 4 or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
    rate_index, bit_index, padding = data[at + 2] >> 2 & 3, data[at + 2] >> 4, data[at + 2] >> 1 & 1
    if version == 1 or layer == 0 or rate_index == 3 or bit_index in (0, 15):
        return 0
    kbps, rate = (_V1 if version == 3 else _V2)[layer][bit_index], _RATES[version][rate_index]
    if layer == 3:
        return (12_000 * kbps // rate + padding) * 4
    return (72_000 if layer == 1 and version != 3 else 144_000) * kbps // rate + padding


def mpeg_run(data: bytes, at: int, wanted: int = 3) -> bool:
    """Whether frames follow each other from `at`: `wanted` of them, or fewer that reach the end of the data."""
    seen = 0
    while seen < wanted:
        length = mpeg_frame_bytes(data, at)
        if not length or (seen == 0 and at + length > len(data)):
            return False
        seen, at = seen + 1, at + length
        if at + 4 > len(data) or (seen >= 1 and data.startswith((b"TAG", b"APETAG"), at)):
            return True
    return True


def find_mpeg(data: bytes) -> int | None:
    """Where four MPEG frames of one kind in a row begin, behind anything."""
    return _first(data, _four_alike)


def _first(data: bytes, is_run: Callable[[bytes, int], bool]) -> int | None:
    """The first place with a sync byte where a run of frames begins."""
    at = data.find(b"\xff")
    while at != -1:
        if is_run(data, at):
            return at
        at = data.find(b"\xff", at + 1)
    return None


def _four_alike(data: bytes, at: int) -> bool:
    """Four frames of one kind, or two and more that reach the end of a short file."""
    kind = _kind(data, at)
    for seen in range(4):
        if seen >= 2 and at + 4 > len(data):
            return True
        length = mpeg_frame_bytes(data, at)
        if not length or _kind(data, at) != kind:
            return False
        at += length
    return True


def _kind(data: bytes, at: int) -> tuple[int, int] | None:
    """Version, layer and sample rate; whether a checksum follows may differ, as in a first frame that is an index."""
    return (data[at + 1] & 0xFE, data[at + 2] & 0x0C) if at + 2 < len(data) else None


def ac3_kind(data: bytes) -> str | None:
    """`ac3` or `eac3` by the sync word and the stream's version (ETSI TS 102 366); E-AC-3 wants a second frame."""
    if data[:2] != b"\x0b\x77" or len(data) < 8:
        return None
    if data[5] >> 3 <= 10:
        return "ac3"
    return "eac3" if data.find(b"\x0b\x77", 8) != -1 else None


def is_flac_frame(data: bytes) -> bool:
    """Whether a FLAC frame header, right by its own checksum, stands at the start (RFC 9639, section 9.1)."""
    if len(data) < 16 or data[0] != 0xFF or data[1] & 0xFE != 0xF8 or data[2] >> 4 == 0 or data[2] & 15 == 15:
        return False
    coded = next((extra for limit, extra in ((0x80, 0), (0xE0, 1), (0xF0, 2), (0xF8, 3)) if data[4] < limit), 5)
    end = 5 + coded + {6: 1, 7: 2}.get(data[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(data[2] & 15, 0)
    return _crc8(data[:end]) == data[end]


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def adts_frame_bytes(data: bytes, at: int) -> int:
    """Length of the ADTS frame whose header stands at `at`; 0 where none does."""
    if len(data) < at + 7 or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0 or data[at + 2] >> 2 & 15 > 12:
        return 0
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length > 7 else 0


def adts_run(data: bytes, at: int, wanted: int = 3) -> bool:
    """Whether ADTS frames follow each other from `at`: `wanted` of them, or fewer up to the end or a tag."""
    for seen in range(wanted):
        length = adts_frame_bytes(data, at)
        if not length:
            return seen > 0 and (at + 7 > len(data) or data.startswith((b"TAG", b"APETAG"), at))
        at += length
    return True


def find_adts(data: bytes) -> int | None:
    """Where the first run of ADTS frames begins, behind anything."""
    return _first(data, adts_run)


def is_transport_stream(data: bytes) -> bool:
    """Whether the sync byte returns every 188 (or, with a time stamp in front, 192) bytes."""
    return any(
        len(data) > first + 2 * step
        and all(data[at] == 0x47 for at in range(first, min(len(data), first + 8 * step), step))
        for first, step in ((0, 188), (4, 192))
    )
