"""Forgers of recordings: bytes and a random generator in, other bytes out. Pure: a seed gives the same again."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.fuzz.structure import parts

MOST_BYTES = 400_000
_EDGES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lures:
    """What a forged file points at: a file and an address that must never be read."""

    path: str
    url: str

    def playlists(self) -> list[bytes]:
        """Files of other kinds that name files."""
        path, url = self.path, self.url
        texts = [
            f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n",
            f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:3,\n{url}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile {path}\nfile {url}\n",
            f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\na=control:{url}\r\n",
            f'<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet mimeType="audio/mp4">'
            f'<Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>',
            f'<smil><body><audio src="{url}"/></body></smil>',
            f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
            f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file://{path}">]><CompositionPlaylist>&a;</CompositionPlaylist>',
            f"[playlist]\nFile1={path}\nFile2={url}\nNumberOfEntries=2\n",
            f"[Reference]\nRef1={url}?MSWMExt=.asf\n",
            f"{url}\n",
            f";FFMETADATA1\ntitle=x\n[STREAM]\nsource={path}\n",
            f'AviSource("{path}")\n',
        ]
        return [text.encode() for text in texts]


def mutate(seed: bytes, others: Sequence[bytes], rng: random.Random, lures: Lures) -> tuple[bytes, list[str]]:
    """One to four forgeries, one after the other; their names say which."""
    names = []
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        forger = rng.choice(FORGERS)
        names.append(forger.__name__)
        data = bytearray(forger(data, rng, others, lures)[:MOST_BYTES])
    return bytes(data), names


def _at(data: bytearray, rng: random.Random) -> int:
    """A place, more often near the beginning, where headers are."""
    length = max(len(data), 1)
    return rng.randrange(min(length, 600)) if rng.random() < 0.6 else rng.randrange(length)


def truncate(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    at = _at(data, rng)
    return data[at:] if rng.random() < 0.3 else data[:at]


def flip(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    for _ in range(rng.choice((1, 1, 3, 10, 100, 2000))):
        if data:
            data[_at(data, rng)] ^= 1 << rng.randrange(8)
    return data


def overwrite(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """A run of zeros, of ones, or of noise."""
    at, size = _at(data, rng), rng.choice((1, 4, 16, 256, 4096))
    data[at : at + size] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return data


def insert(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    at, size = rng.choice((0, _at(data, rng))), rng.choice((1, 4, 128, 5000, 140_000))
    data[at:at] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return data


def splice(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """The beginning of one file and the end of another."""
    other = rng.choice(others)
    return data[: _at(data, rng)] + bytearray(other)[rng.randrange(max(len(other), 1)) :]


def chain(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """One file behind another, or behind itself many times."""
    return data + (bytearray(rng.choice(others)) if rng.random() < 0.6 else data * rng.choice((1, 3, 20)))


def swap_header(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    size = rng.choice((4, 8, 12, 16, 40, 64, 512, 4096))
    return bytearray(rng.choice(others)[:size]) + data[size:]


def grow_number(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """Sizes, counts, rates, channels: numbers at even places become odd ones."""
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        size = rng.choice((1, 2, 2, 4, 4, 4, 8))
        at = _at(data, rng) // 2 * 2
        if at + size > len(data):
            continue
        order: Literal["big", "little"] = "big" if rng.random() < 0.5 else "little"
        old = int.from_bytes(data[at : at + size], order)
        new = rng.choice((rng.choice(_EDGES), old * 2, old + 1, old - 1, old ^ 0x80, len(data), rng.getrandbits(32)))
        data[at : at + size] = (new % (1 << 8 * size)).to_bytes(size, order)
    return data


def grow_size(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """The size of a known part lies."""
    found = parts(bytes(data))
    if found:
        start, _ = rng.choice(found)
        data[start : start + 4] = (
            struct.pack(rng.choice((">I", "<I")), rng.choice(_EDGES)) if rng.random() < 0.5 else data[start : start + 4]
        )
        data[start + 4 : start + 8] = struct.pack(rng.choice((">I", "<I")), rng.choice(_EDGES))
    return data


def duplicate_part(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    found = parts(bytes(data))
    if found:
        start, end = rng.choice(found)
        data[start:start] = data[start:end] * rng.choice((1, 2, 50, 1000))
    return data


def remove_part(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    found = parts(bytes(data))
    if found:
        start, end = rng.choice(found)
        del data[start:end]
    return data


def move_part(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    found = parts(bytes(data))
    if len(found) > 1:
        (a, b), (c, d) = sorted(rng.sample(found, 2))
        if b <= c:
            return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
    return data


def foreign_part(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """A part of another file, in this one."""
    other = rng.choice(others)
    found, here = parts(other), parts(bytes(data))
    if found and here:
        (start, end), (at, _) = rng.choice(found), rng.choice(here)
        data[at:at] = other[start:end]
    return data


def nest(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """Boxes in boxes in boxes."""
    inner = bytes(rng.randrange(64))
    for _ in range(rng.choice((10, 100, 3000))):
        inner = struct.pack(">I4s", len(inner) + 8, rng.choice((b"moov", b"trak", b"udta", b"meta", b"ilst"))) + inner
    at = rng.choice(parts(bytes(data)) or [(0, 0)])[0]
    data[at:at] = inner
    return data


def plant_tag(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """Tags in front, behind and inside, true and lying ones, with names of other files in them."""
    words = rng.choice(
        (lures.path, lures.url, f"file:{lures.path}", f"concat:{lures.path}|{lures.url}", "\u2028Äx\n" * 9)
    )
    text = words.encode() * rng.choice((1, 1, 100))
    frame = rng.choice((b"TIT2", b"WXXX", b"APIC", b"GEOB", b"LINK", b"TXXX", b"CHAP", b"\0\0\0\0"))
    body = (frame + struct.pack(">IH", len(text) + 1, rng.choice((0, 0, 0xFFFF))) + b"\0" + text) * rng.choice(
        (1, 3, 500)
    )
    claimed = rng.choice((len(body), len(body), 0, 0x0FFFFFFF, len(body) * 2))
    seven = bytes(claimed >> shift & 0x7F for shift in (21, 14, 7, 0))
    id3 = b"ID3" + bytes((rng.choice((2, 3, 4, 9)), 0, rng.choice((0, 0x10, 0x40, 0x80)))) + seven + body
    ape_size = rng.choice((len(text) + 40, 0, 0xFFFFFFFF))
    ape = b"APETAGEX" + struct.pack(
        "<IIII8x", 2000, ape_size, rng.choice((1, 0xFFFFFFFF)), rng.choice((0, 0x80000000, 0xA0000000))
    )
    item = struct.pack("<II", len(text), rng.choice((0, 2, 4))) + b"Cover Art (front)\0" + text
    lyrics = b"LYRICSBEGIN" + text + rng.choice((b"%06d" % (len(text) + 11), b"999999", b"00000x")) + b"LYRICS200"
    info = b"LIST" + struct.pack("<I4s4sI", len(text) + 12, b"INFO", b"IART", len(text)) + text
    tag = rng.choice(
        (id3, id3, item + ape, ape + item, lyrics, b"TAG" + text[:125].ljust(125, b"\0"), info)
    ) * rng.choice((1, 1, 2, 300))
    where = rng.choice((0, 0, len(data), len(data), _at(data, rng), rng.choice(parts(bytes(data)) or [(0, 0)])[0]))
    data[where:where] = tag
    return data


def plant_list(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """A playlist alone, in front, inside or behind, under a byte order mark, or in 16 bits."""
    text = rng.choice(lures.playlists())
    text = rng.choice(
        (text, text, b"\xef\xbb\xbf" + text, text.decode().encode("utf-16"), b"\0" * 5 + text, b"\n" * 3000 + text)
    )
    where = rng.choice((0, 0, 0, len(data), _at(data, rng)))
    return bytearray(text) if rng.random() < 0.4 else data[:where] + text + data[where:]


def point_elsewhere(data: bytearray, rng: random.Random, others: Sequence[bytes], lures: Lures) -> bytearray:
    """Boxes and names in which some containers name other files."""
    path, url = lures.path.encode(), lures.url.encode()
    flags = struct.pack(">I", 0)
    boxes = [
        _box(
            b"dref", flags + struct.pack(">I", 1) + _box(b"url ", flags + rng.choice((url, b"file://" + path)) + b"\0")
        ),
        _box(b"dref", flags + struct.pack(">I", 1) + _box(b"alis", flags + bytes(10) + path.ljust(140, b"\0"))),
        _box(
            b"moov",
            _box(
                b"rmra", _box(b"rmda", _box(b"rdrf", flags + b"url " + struct.pack(">I", len(url) + 1) + url + b"\0"))
            ),
        ),
        b"\x3e\xb9\x23" + b"\x90" + bytes(16),  # Matroska: NextUID
        b"METADATA_BLOCK_PICTURE=" + path,
    ]
    box = rng.choice(boxes)
    at = data.find(b"dref") - 4
    if at >= 0 and rng.random() < 0.7:
        size = int.from_bytes(data[at : at + 4], "big")
        box = box.ljust(size, b"\0")[: max(size, 8)]
        data[at : at + size] = box
        return data
    where = rng.choice((0, len(data), rng.choice(parts(bytes(data)) or [(0, 0)])[0]))
    data[where:where] = box
    return data


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, kind) + payload


Forger = Callable[[bytearray, random.Random, Sequence[bytes], Lures], bytearray]
FORGERS: tuple[Forger, ...] = (
    truncate, flip, flip, overwrite, insert, splice, chain, swap_header, grow_number, grow_number, grow_size, grow_size,
    duplicate_part, remove_part, move_part, foreign_part, nest, plant_tag, plant_tag, plant_list, point_elsewhere,
)  # fmt: skip
