"""Small or simple files that ask for very much: hours, channels, rates, tags, boxes, links."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

MB = 1_000_000


def wav(rate: int, channels: int, data: bytes, bits: int = 16, chunks: bytes = b"") -> bytes:
    """A PCM WAV with any header. Chunks stand before the sound."""
    align = channels * bits // 8 % 65536
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * align % (1 << 32), align, bits)
    body = b"WAVE" + fmt + chunks + struct.pack("<4sI", b"data", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body) % (1 << 32)) + body


def caf(rate: float) -> bytes:
    """A PCM CAF whose rate is any floating point number."""
    desc = struct.pack(">d4sIIIII", rate, b"lpcm", 0, 2, 1, 1, 16)
    return (
        b"caff\0\1\0\0"
        + b"desc"
        + struct.pack(">q", len(desc))
        + desc
        + b"data"
        + struct.pack(">qI", 4004, 0)
        + bytes(4000)
    )


def flac_silence(frames: int, rate_hz: int) -> bytes:
    """FLAC of digital silence: 65,535 samples in 11 bytes (RFC 9639)."""
    info = (
        struct.pack(">HH", 65535, 65535)
        + bytes(6)
        + (rate_hz << 44 | 0 << 41 | 15 << 36).to_bytes(8, "big")
        + bytes(16)
    )
    made = [b"fLaC\x80\0\0\x22" + info]
    for number in range(frames):
        head = b"\xff\xf8\x70\x08" + chr(number).encode("utf-8", "surrogatepass") + b"\xff\xfe"
        frame = head + bytes([_crc(head, 8, 0x07)]) + b"\x00\x00\x00"
        made.append(frame + _crc(frame, 16, 0x8005).to_bytes(2, "big"))
    return b"".join(made)


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    crc, top = 0, 1 << bits - 1
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & (1 << bits) - 1
    return crc


def id3(body: bytes, size: int | None = None, version: int = 3) -> bytes:
    """An ID3v2 tag; its size may lie."""
    claimed = len(body) if size is None else size
    return b"ID3" + bytes((version, 0, 0, *(claimed >> shift & 0x7F for shift in (21, 14, 7, 0)))) + body


def box(kind: bytes, payload: bytes) -> bytes:
    """A box of the MP4 family."""
    return struct.pack(">I4s", len(payload) + 8, kind) + payload


def nested(depth: int, payload: bytes = b"", kind: bytes = b"udta") -> bytes:
    """Boxes in boxes."""
    heads = [struct.pack(">I4s", len(payload) + 8 * (depth - at), kind) for at in range(depth)]
    return b"".join(heads) + payload


def ogg_page(serial: int, number: int, flags: int, packets: list[bytes]) -> bytes:
    """One page; packets of at most 254 bytes."""
    head = (
        b"OggS\0"
        + bytes([flags])
        + struct.pack("<qIII", 0, serial, number, 0)
        + bytes([len(packets), *map(len, packets)])
    )
    page = head + b"".join(packets)
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ OGG[(crc >> 24) ^ byte]
    return page[:22] + struct.pack("<I", crc) + page[26:]


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
        table.append(crc)
    return table


OGG = _ogg_table()


def opus_link(serial: int) -> bytes:
    """A whole Ogg stream with one packet of 20 ms."""
    head = b"OpusHead\1\1" + struct.pack("<HIhB", 0, 48000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)
    return ogg_page(serial, 0, 2, [head]) + ogg_page(serial, 1, 0, [tags]) + ogg_page(serial, 2, 4, [b"\x08"])


def mp4(tables: bytes, mdat: bytes, more: bytes = b"") -> bytes:
    """An M4A with one AAC track of silence; `tables` are stts, stsc, stsz, stco."""
    esds = bytes.fromhex("00000000 0319000000 0411401500000000000000000000000000 0502 1188 060102".replace(" ", ""))
    entry = box(
        b"mp4a", bytes(6) + b"\0\1" + bytes(8) + struct.pack(">HHHHI", 1, 16, 0, 0, 48000 << 16) + box(b"esds", esds)
    )
    stsd = box(b"stsd", struct.pack(">II", 0, 1) + entry)
    mdhd = box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 48000, 0xFFFFFFF0, 0x55C4, 0))
    hdlr = box(b"hdlr", bytes(8) + b"soun" + bytes(13))
    dref = box(b"dinf", box(b"dref", struct.pack(">II", 0, 1) + box(b"url ", b"\0\0\0\1")))
    minf = box(b"minf", box(b"smhd", bytes(8)) + dref + box(b"stbl", stsd + tables))
    tkhd = box(b"tkhd", struct.pack(">IIIIIIQQI", 7, 0, 0, 1, 0, 0xFFFFFFF0, 0, 0, 0x01000000) + bytes(44))
    mvhd = box(b"mvhd", struct.pack(">IIIIII", 0, 0, 0, 1000, 0xFFFFFFF0, 0x10000) + bytes(76))
    trak = box(b"trak", tkhd + box(b"mdia", mdhd + hdlr + minf))
    return box(b"ftyp", b"M4A \0\0\0\0M4A isom") + box(b"moov", mvhd + trak + more) + box(b"mdat", mdat)


def table(kind: bytes, *numbers: int) -> bytes:
    """A box of 32-bit numbers, version and flags first."""
    return box(kind, struct.pack(f">{len(numbers) + 1}I", 0, *numbers))


def chunked_silence(chunks: int, each: int) -> bytes:
    """An M4A whose chunks all lie on the same few bytes: chunks x each frames of 1,024 samples."""
    silent = bytes.fromhex("010c00001800") * 4
    head = (table(b"stts", 1, chunks * each, 1024), table(b"stsc", 1, 1, each, 1), table(b"stsz", 6, chunks * each))
    tables = b"".join(head) + table(b"stco", chunks, *([40] * chunks))
    return mp4(tables, silent)


def sparse(path: Path, head: bytes, size: int, tail: bytes = b"") -> Path:
    """A file with a hole."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
        file.seek(0, 2)
        file.write(tail)
    return path


def ape(size: int, items: int, flags: int) -> bytes:
    """The header or footer of an APEv2 tag."""
    return b"APETAGEX" + struct.pack("<IIII8x", 2000, size, items, flags)


FTYP = box(b"ftyp", b"M4A \0\0\0\0")
SOUND = struct.pack("<400h", *([1000, -1000] * 200)) * 20
BOMBS: dict[str, Callable[[], bytes]] = {
    "rate-of-1-hz.wav": lambda: wav(1, 1, SOUND),
    "days-at-1-hz.wav": lambda: wav(1, 1, SOUND * 60),
    "rate-of-4-ghz.wav": lambda: wav(4_000_000_000, 1, SOUND),
    "rate-of-0.wav": lambda: wav(0, 1, SOUND),
    "1000-channels.wav": lambda: wav(8000, 1000, SOUND * 12),
    "65535-channels.wav": lambda: wav(8000, 65535, SOUND * 30, bits=8),
    "no-channel.wav": lambda: wav(8000, 0, SOUND),
    "rate-nan.caf": lambda: caf(float("nan")),
    "rate-infinite.caf": lambda: caf(float("inf")),
    "rate-huge.caf": lambda: caf(1e300),
    "rate-tiny.caf": lambda: caf(1e-300),
    "rate-negative.caf": lambda: caf(-44100.0),
    "hours-in-a-kilobyte.flac": lambda: flac_silence(90, 1000),
    "weeks-in-a-kilobyte.flac": lambda: flac_silence(90, 1),
    "days-in-20-kilobytes.flac": lambda: flac_silence(1500, 655),
    "a-million-empty-chunks.wav": lambda: wav(8000, 1, SOUND, chunks=b"junk\0\0\0\0" * 1_000_000),
    "a-million-names.wav": lambda: wav(
        8000, 1, SOUND, chunks=b"LIST" + struct.pack("<I", 12 * MB + 4) + b"INFO" + b"IART\4\0\0\0abc\0" * MB
    ),
    "a-million-frames-of-id3.mp3": lambda: id3(b"TXXX\0\0\0\1\0\0a" * MB) + mp3_frames(300),
    "a-lying-id3.mp3": lambda: id3(b"TIT2\xff\xff\xff\xff\0\0x", 0x0FFFFFFF) + mp3_frames(300),
    "many-id3-in-front.mp3": lambda: id3(b"") * 100_000 + mp3_frames(300),
    "many-id3-behind.mp3": lambda: mp3_frames(300) + (b"ID3\4\0\x10\0\0\0\0" + b"3DI\4\0\x10\0\0\0\0") * 200_000,
    "many-id3v1-behind.mp3": lambda: mp3_frames(300) + (b"TAG" + bytes(125)) * 100_000,
    "many-ape-in-front.mp3": lambda: ape(0, 0, 0xA0000000) * 200_000 + mp3_frames(300),
    "a-million-ape-items.mp3": lambda: mp3_frames(300) + b"\1\0\0\0\0\0\0\0aa\0b" * MB + ape(12 * MB + 32, MB, 0),
    "all-sync-bytes.mp3": lambda: b"\xff\xfb" * 400_000,
    "boxes-10000-deep.m4a": lambda: FTYP + box(b"moov", nested(10_000)),
    "boxes-deep-and-wide.m4a": lambda: FTYP + box(b"moov", nested(12, box(b"free", b"") * 400_000, b"moov")),
    "many-big-moov.m4a": lambda: FTYP + box(b"moov", nested(12, bytes(3 * MB), b"moov")) * 12,
    "a-million-top-boxes.m4a": lambda: FTYP + box(b"free", b"") * MB,
    "a-million-names.m4a": lambda: chunked_more(box(b"udta", box(b"\xa9nam", b"\0\2\0\0ab") * 700_000)),
    "days-of-frames-on-one-chunk.m4a": lambda: chunked_silence(3_000, 10_000),
    "links-100000.ogg": lambda: b"".join(opus_link(serial % 7) for serial in range(20_000)) * 5,
    "tiny-pages.ogg": lambda: opus_link(1)[:-29] + ogg_page(1, 2, 0, [b""]) * 200_000,
    "empty-packets-for-hours.ogg": lambda: opus_pages(800),
    "a-picture-that-lies.flac": lambda: flac_picture(4000, claimed=0xFFFFFF),
    "a-big-picture.flac": lambda: flac_picture(15 * MB),
}  # fmt: skip


def mp3_frames(count: int) -> bytes:
    """Silent frames, 24 kHz, 32 kb/s."""
    return (b"\xff\xf3\x44\xc4" + bytes(92)) * count


def chunked_more(more: bytes) -> bytes:
    """A short sound M4A with something more in its moov."""
    tables = (
        table(b"stts", 1, 50, 1024)
        + table(b"stsc", 1, 1, 1, 1)
        + table(b"stsz", 6, 50)
        + table(b"stco", 50, *([40] * 50))
    )
    return mp4(tables, bytes.fromhex("010c00001800"), more)


def opus_pages(pages: int) -> bytes:
    """255 lost packets of 60 ms a page: 15 s in 282 bytes."""
    link = opus_link(1)
    return link[: link.rindex(b"OggS")] + b"".join(ogg_page(1, 2 + at, 0, [b"\x18"] * 255) for at in range(pages))


def flac_picture(size: int, claimed: int | None = None) -> bytes:
    """A picture, whose size may lie, before two frames."""
    made = flac_silence(20, 8000)
    picture = struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">IIIII", 0, 1, 1, 1, size) + bytes(size)
    block = b"\x86" + (claimed or len(picture)).to_bytes(3, "big")
    return b"fLaC\0\0\0\x22" + made[8:42] + block + picture + made[42:]
