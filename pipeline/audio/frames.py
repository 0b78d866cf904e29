"""Formats without a magic number, told by frames that follow each other. Pure functions on bytes.

Sources: ISO/IEC 11172-3 and 13818-3 (MPEG audio), 13818-7 (ADTS), 14496-3 (LATM in LOAS), 13818-1 (transport streams),
ETSI EN 300 961 (GSM), the Bluetooth A2DP specification (SBC).
"""

from __future__ import annotations

from collections.abc import Callable

_FOREIGN_BYTES = 1 << 16
_XING = (b"Xing", b"Info")
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
    return _first(data, lambda here, at: _four_alike(mpeg_frame_bytes, MPEG_MASK, here, at))


def index_at(data: bytes, at: int) -> bool:
    """Whether the MPEG frame at `at` is an index (Xing, Info or VBRI), which tells an MP3 by itself."""
    length = mpeg_frame_bytes(data, at)
    return bool(length) and any(
        data.startswith(names, at + place) for place, names in ((36, (*_XING, b"VBRI")), (21, _XING), (13, _XING))
    )


def find_index(data: bytes) -> int | None:
    """Where the first such frame begins."""
    return _first(data, index_at)


def _first(data: bytes, is_run: Callable[[bytes, int], bool]) -> int | None:
    """The first place with a sync byte where a run of frames begins."""
    at = data.find(b"\xff")
    while at != -1:
        if is_run(data, at):
            return at
        at = data.find(b"\xff", at + 1)
    return None


def _four_alike(frame_bytes: Callable[[bytes, int], int], mask: int, data: bytes, at: int) -> bool:
    """Four frames of one kind, or two and more that reach the end of a short file. mask: the header's bits that all
    frames of a recording share."""
    kind = int.from_bytes(data[at : at + 4], "big") & mask
    for seen in range(4):
        if seen >= 2 and at + 4 > len(data):
            return True
        length = frame_bytes(data, at)
        if not length or int.from_bytes(data[at : at + 4], "big") & mask != kind:
            return False
        at += length
    return True


MPEG_MASK = 0xFFFE0C00
"""Sync word, version, layer and sample rate; whether a checksum follows may differ, as in a first frame that is an
index."""
ADTS_MASK = 0xFFF6FCC0
"""Sync word, profile, sample rate and channels."""


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


_AMR_NB = (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1)
_AMR_WB = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1)
"""Bytes of a frame, header included, by its type (RFC 4867, section 5.3)."""


def amr_nb_frame_bytes(data: bytes, at: int) -> int:
    """Length of the AMR narrow-band frame at `at`; 0 where its header has bits or a type that no frame has."""
    return _AMR_NB[data[at] >> 3 & 15] if at < len(data) and not data[at] & 0x83 else 0


def amr_wb_frame_bytes(data: bytes, at: int) -> int:
    """As `amr_nb_frame_bytes`, for wide band."""
    return _AMR_WB[data[at] >> 3 & 15] if at < len(data) and not data[at] & 0x83 else 0


def loas_frame_bytes(data: bytes, at: int) -> int:
    """Length of the LATM frame behind a LOAS sync word (11 bits, 0x2B7) at `at`; 0 where none stands."""
    if len(data) < at + 3 or data[at] != 0x56 or data[at + 1] & 0xE0 != 0xE0:
        return 0
    return ((data[at + 1] & 0x1F) << 8 | data[at + 2]) + 3


def sbc_frame_bytes(data: bytes, at: int) -> int:
    """Length of the SBC frame at `at`; 0 where none stands."""
    if len(data) < at + 4 or data[at] != 0x9C:
        return 0
    blocks, mode, bands = (data[at + 1] >> 4 & 3) * 4 + 4, data[at + 1] >> 2 & 3, 8 if data[at + 1] & 1 else 4
    channels, pool = 1 if mode == 0 else 2, data[at + 2]
    bits = blocks * channels * pool if mode < 2 else (bands if mode == 3 else 0) + blocks * pool
    return 4 + bands * channels // 2 + (bits + 7) // 8


def is_run(frame_bytes: Callable[[bytes, int], int], data: bytes, wanted: int) -> bool:
    """Whether the data begins with `wanted` frames, or with two and more that end where it ends."""
    at = seen = 0
    while seen < wanted:
        length = frame_bytes(data, at)
        if not length:
            return seen >= 2 and at >= len(data)
        at, seen = at + length, seen + 1
    return True


def is_gsm(data: bytes) -> bool:
    """Whether each 33 bytes begin with the four bits that files of GSM 06.10 frames have (libgsm: 0xD)."""
    return len(data) >= 8 * 33 and all(data[at] >> 4 == 0xD for at in range(0, len(data) - 32, 33))


def find_adts(data: bytes) -> int | None:
    """Where four ADTS frames of one kind in a row begin, behind anything."""
    return _first(data, lambda here, at: _four_alike(adts_frame_bytes, ADTS_MASK, here, at))


def transport_start(data: bytes) -> int | None:
    """Where a transport stream begins: the sync byte returns every 188 (or, with a time stamp in front, 192) bytes. At
    the very start a short file may have three packets, behind foreign bytes there must be eight."""
    for step, first in ((188, 0), (192, 4)):
        if len(data) > first + 2 * step and _returns(data, first, step, 8):
            return 0
    at = data.find(b"\x47", 0, _FOREIGN_BYTES)
    while at != -1:
        if len(data) > at + 8 * 188 and _returns(data, at, 188, 8):
            return at
        at = data.find(b"\x47", at + 1, _FOREIGN_BYTES)
    return None


def _returns(data: bytes, first: int, step: int, times: int) -> bool:
    return all(data[at] == 0x47 for at in range(first, min(len(data), first + times * step), step))
