"""Strings planted in every place that a format has for them are in no byte of the memo, and its frames are the same."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio import convert, inspect, sniff
from pipeline.audio.child import Limits, run
from pipeline.audio.report import stream_hash
from pipeline.audio.transcode import hash_args
from pipeline.recordings import AudioSettings
from tests.integration.audio.conftest import Make

SECRET = "Zq7Alice"
RAW = SECRET.encode()
WIDE = SECRET.encode("utf-16-le")
SETTINGS = AudioSettings()
Plant = Callable[[bytes], bytes]

BARE = ("-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1")
FORMATS = {
    "mp3": ("-c:a", "libmp3lame", "-id3v2_version", "0"),
    "aac": ("-c:a", "aac"),
    "amr": ("-c:a", "libopencore_amrnb", "-ar", "8000"),
    "wav": (),
    "aiff": (),
    "caf": (),
    "m4a": ("-c:a", "aac"),
}


def syncsafe(size: int) -> bytes:
    return bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])


def id3(version: int, name: bytes, body: bytes, *, flags: int = 0, pad: bytes = b"", footer: bool = False) -> bytes:
    """An ID3v2 tag with one frame."""
    if version == 2:
        frame = name + len(body).to_bytes(3, "big") + body
    else:
        size = syncsafe(len(body)) if version == 4 else len(body).to_bytes(4, "big")
        frame = name + size + bytes(2) + body
    head = bytes([version, 0, flags | (0x10 if footer else 0)]) + syncsafe(len(frame + pad))
    return b"ID3" + head + frame + pad + (b"3DI" + head if footer else b"")


def ape(version: int, *, header: bool) -> bytes:
    item = len(RAW).to_bytes(4, "little") + bytes(4) + b"Artist\0" + RAW
    fields = struct.pack("<III", version, len(item) + 32, 1)
    flags = 0x80000000 if header else 0
    head = b"APETAGEX" + fields + struct.pack("<I", flags | 0x20000000) + bytes(8)
    return (head if header else b"") + item + b"APETAGEX" + fields + struct.pack("<I", flags) + bytes(8)


ID3V1 = b"TAG" + RAW.ljust(125, b"\0")
LYRICS1 = b"LYRICSBEGIN" + RAW + b"LYRICSEND"
LYRICS2_BODY = b"LYRICSBEGIN" + b"LYR" + b"%05d" % len(RAW) + RAW
LYRICS2 = LYRICS2_BODY + b"%06d" % len(LYRICS2_BODY) + b"LYRICS200"
ID3_KINDS = {
    "v2.2": id3(2, b"TT2", b"\0" + RAW),
    "v2.3": id3(3, b"TIT2", b"\0" + RAW),
    "v2.3 wide": id3(3, b"TIT2", b"\1\xff\xfe" + WIDE),
    "v2.3 unsync": id3(3, b"PRIV", RAW + b"\0\xff\0\xe0", flags=0x80),
    "v2.3 picture": id3(3, b"APIC", b"\0image/png\0\3" + RAW + b"\0\x89PNG"),
    "v2.4 comment": id3(4, b"COMM", b"\3eng\0" + RAW),
    "v2.4 padding": id3(4, b"TSSE", b"\3Lavf", pad=bytes(20) + RAW),
    "v2.4 footer": id3(4, b"TIT2", b"\3" + RAW, footer=True),
    "v2.4 geob": id3(4, b"GEOB", b"\3text/plain\0a\0b\0" + RAW),
    "v2.4 ufid": id3(4, b"UFID", b"me\0" + RAW),
}
BEHIND = {
    "ID3v1": ID3V1,
    "ID3v1 extended": b"TAG+" + RAW.ljust(223, b"\0") + ID3V1,
    "ID3v2.4 appended": id3(4, b"TIT2", b"\3" + RAW, footer=True),
    "APEv1": ape(1000, header=False),
    "APEv2": ape(2000, header=True),
    "APEv2 and ID3v1": ape(2000, header=True) + ID3V1,
    "Lyrics3": LYRICS1 + ID3V1,
    "Lyrics3v2": LYRICS2 + ID3V1,
    "text": b"\nrecorded by " + RAW,
}


def framed_places(name: str) -> dict[str, Plant]:
    """Places of MP3, ADTS and AMR, which are frames and nothing else."""
    places: dict[str, Plant] = {f"ahead {kind}": lambda c, t=tag: t + c for kind, tag in ID3_KINDS.items()}
    places |= {f"behind {kind}": lambda c, t=tag: c + t for kind, tag in BEHIND.items()}
    places["twice"] = lambda c: ID3_KINDS["v2.3"] + ID3_KINDS["v2.4 comment"] + c
    if name != "amr":
        places["APE ahead"] = lambda c: ape(2000, header=True) + c
        places["between"] = lambda c: c + ID3V1 + ID3_KINDS["v2.3"] + c
        places["junk ahead"] = lambda c: b"recorded by " + RAW + bytes(20) + c
    return places


def riff_chunk(name: bytes, body: bytes, order: str = "<") -> bytes:
    return name + struct.pack(order + "I", len(body)) + body + bytes(len(body) & 1)


def with_chunk(name: bytes, body: bytes, *, first: bool = False, order: str = "<") -> Plant:
    """A RIFF or AIFF file with one chunk more, behind the sound or in front."""

    def plant(content: bytes) -> bytes:
        chunk = riff_chunk(name, body, order)
        content = content[:12] + chunk + content[12:] if first else content + chunk
        return content[:4] + struct.pack(order + "I", len(content) - 8) + content[8:]

    return plant


def info(name: bytes) -> bytes:
    return b"INFO" + riff_chunk(name, RAW + b"\0")


WAV_PLACES: dict[str, Plant] = {
    **{f"INFO {name}": with_chunk(b"LIST", info(name.encode())) for name in ("INAM", "IART", "ICMT", "ICRD", "ISRC")},
    "INFO first": with_chunk(b"LIST", info(b"INAM"), first=True),
    "INFO behind software": with_chunk(b"LIST", b"INFO" + riff_chunk(b"ISFT", b"Lavf\0\0") + info(b"IART")[4:]),
    "labels": with_chunk(b"LIST", b"adtl" + riff_chunk(b"labl", bytes(4) + RAW)),
    "notes": with_chunk(b"LIST", b"adtl" + riff_chunk(b"note", bytes(4) + RAW)),
    **{
        f"chunk {name}": with_chunk(name.encode(), RAW.ljust(700, b"\0"))
        for name in ("bext", "iXML", "axml", "cart", "_PMX", "id3 ", "ID3 ", "DISP", "afsp", "umid", "abcd", "cue ")
    },
    "padding": with_chunk(b"JUNK", bytes(30) + RAW, first=True),
    "filler": with_chunk(b"FLLR", bytes(30) + RAW, first=True),
    "rest": lambda content: content + RAW[:7],
    "behind the whole": lambda content: content + ID3V1,
    "ahead of the whole": lambda content: ID3_KINDS["v2.3"] + content,
}
AIFF_PLACES: dict[str, Plant] = {
    **{
        f"chunk {name}": with_chunk(name.encode(), RAW.ljust(40, b"\0"), order=">")
        for name in ("NAME", "AUTH", "(c) ", "ANNO", "COMT", "APPL", "ID3 ", "MIDI", "MARK", "INST", "AESD", "abcd")
    },
    "first": with_chunk(b"NAME", RAW, first=True, order=">"),
    "rest": lambda content: content + RAW[:7],
    "ahead of the whole": lambda content: ID3_KINDS["v2.3"] + content,
}


def caf_chunk(name: bytes, body: bytes) -> Plant:
    """A CAF file with one chunk more in front of its sound."""

    def plant(content: bytes) -> bytes:
        at = content.index(b"data")
        return content[:at] + name + struct.pack(">q", len(body)) + body + content[at:]

    return plant


CAF_PLACES: dict[str, Plant] = {
    "info": caf_chunk(b"info", struct.pack(">I", 1) + b"title\0" + RAW + b"\0"),
    "info lying": caf_chunk(b"info", struct.pack(">I", 1) + b"encoder\0Lavf\0" + RAW + b"\0"),
    **{
        f"chunk {name}": caf_chunk(name.encode(), RAW)
        for name in ("strg", "uuid", "note", "edct", "user", "midi", "umid")
    },
    "padding": caf_chunk(b"free", bytes(20) + RAW),
    "markers": caf_chunk(b"mark", RAW),
    "regions": caf_chunk(b"regn", RAW),
    "ahead of the whole": lambda content: ID3_KINDS["v2.3"] + content,
}


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def in_moov(extra: bytes) -> Plant:
    """An M4A whose index, which comes last, has one box more."""

    def plant(content: bytes) -> bytes:
        at = content.index(b"moov") - 4
        size = struct.unpack_from(">I", content, at)[0]
        return content[:at] + struct.pack(">I", size + len(extra)) + content[at + 4 :] + extra

    return plant


def item(kind: bytes, value: bytes = RAW) -> bytes:
    return box(kind, box(b"data", struct.pack(">II", 1, 0) + value))


def ilst(*items: bytes) -> bytes:
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    return box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", b"".join(items))))


M4A_PLACES: dict[str, Plant] = {
    **{f"top {kind}": lambda c, k=kind: c + box(k.encode(), bytes(16) + RAW)
       for kind in ("uuid", "free", "skip", "meta", "udta", "xml ", "wide", "abcd")},
    **{f"moov {kind}": in_moov(box(kind.encode(), bytes(16) + RAW))
       for kind in ("uuid", "free", "skip", "meta", "abcd", "cprt")},
    **{f"udta {kind}": in_moov(box(b"udta", box(kind.encode("latin-1"), bytes(4) + RAW)))
       for kind in ("©xyz", "titl", "auth", "perf", "albm", "chpl", "name", "©nam", "Xtra", "XMP_", "free")},
    **{f"ilst {kind}": in_moov(ilst(item(b"\xa9too", b"Lavf"), item(kind.encode("latin-1"))))
       for kind in ("©nam", "©ART", "©cmt", "©day", "covr", "desc", "trkn", "apID", "sonm", "abcd")},
    "udta loci": in_moov(box(b"udta", box(b"loci", bytes(6) + RAW + bytes(14) + b"earth" + bytes(2)))),
    "ilst free form": in_moov(ilst(box(b"----", box(b"mean", bytes(4) + b"me") + box(b"name", bytes(4) + RAW)))),
    "keys": in_moov(box(b"meta", box(b"hdlr", bytes(8) + b"mdta" + bytes(13)) + box(b"keys", bytes(8) + RAW))),
    "handler": lambda c: c.replace(b"SoundHandler", RAW.ljust(12, b" ")),
    "in the sound's box": lambda c: c.replace(
        c[c.index(b"mdat") - 4 : c.index(b"mdat")], struct.pack(">I", c.index(b"moov") - c.index(b"mdat") + 8), 1
    ).replace(c[c.index(b"moov") - 4 : c.index(b"moov") + 4], RAW + c[c.index(b"moov") - 4 : c.index(b"moov") + 4], 1),
}  # fmt: skip

PLACES: dict[str, dict[str, Plant]] = {
    "mp3": framed_places("mp3"),
    "aac": framed_places("aac"),
    "amr": framed_places("amr"),
    "wav": WAV_PLACES,
    "aiff": AIFF_PLACES,
    "caf": CAF_PLACES,
    "m4a": M4A_PLACES,
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Callable[[str], bytes]:
    """A recording of each format, without any tag."""
    import subprocess

    folder = tmp_path_factory.mktemp("plain")

    def made(name: str) -> bytes:
        path = folder / f"a.{name}"
        if not path.exists():
            source = ("-f", "lavfi", "-i", "anoisesrc=d=1:a=0.1:r=16000")
            words = [ffmpeg, "-nostdin", "-loglevel", "error", *source, *FORMATS[name], *BARE, str(path)]
            subprocess.run(words, check=True)
        return path.read_bytes()

    return made


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in PLACES.items() for place in places])
def test_no_byte_tells_of_anybody(
    name: str, place: str, plain: Callable[[str], bytes], tmp_path: Path, ffmpeg: str
) -> None:
    """Wherever a string was planted, it is gone, and every audio frame is there."""
    clean, told, out = tmp_path / f"clean.{name}", tmp_path / f"told.{name}", tmp_path / "out"
    clean.write_bytes(plain(name))
    told.write_bytes(PLACES[name][place](plain(name)))
    content = told.read_bytes()
    assert RAW[:7] in content or WIDE in content
    found, memo = inspect(told, SETTINGS), convert(told, out, SETTINGS)
    assert (found.action, memo.action, found.code) == ("remux", "remux", "stripped")
    assert memo.path is not None and Path(memo.path).suffix == f".{name}"
    left = Path(memo.path).read_bytes()
    assert RAW[:7] not in left and WIDE not in left and SECRET.encode("utf-16-be") not in left
    assert inspect(memo.path, SETTINGS).action == "pass-through"
    if place == "between":
        assert left == plain(name) * 2
    else:
        assert _hash(Path(memo.path), ffmpeg) == _hash(clean, ffmpeg)


def _hash(path: Path, ffmpeg: str) -> str:
    found = stream_hash(run(ffmpeg, hash_args(sniff.look(path).demuxer, path), Limits()).report)
    assert found is not None
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_recording_without_tags_passes(name: str, plain: Callable[[str], bytes], tmp_path: Path) -> None:
    """So the tests above fail where nothing is planted."""
    path = tmp_path / f"a.{name}"
    path.write_bytes(plain(name))
    assert inspect(path, SETTINGS).action == ("remux" if name == "m4a" else "pass-through")
    assert inspect(path, SETTINGS).code != "stripped"


KEEPS = ("title", "artist")
METADATA = ("-metadata", "title=The title", "-metadata", "artist=The artist", "-metadata", "comment=The comment")


@pytest.mark.parametrize("name", ["mp3", "wav", "caf", "m4a", "aiff", "ogg", "flac"])
def test_chosen_tags_stay(name: str, make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """A title that settings let stay is in the memo, of whatever format, and the comment is gone; the sound is the
    same, and a memo of the memo is the same again."""
    codec = {"ogg": ("-c:a", "libopus")}.get(name, FORMATS.get(name, ()))
    codec = tuple(word for word in codec if word not in ("-id3v2_version", "0"))
    made = make(f"a.{name}", *codec, *METADATA, *(("-write_id3v2", "1") if name == "aiff" else ()))
    settings = AudioSettings(keep_tags=KEEPS)
    memo = convert(made, tmp_path / "out", settings)
    content = Path(memo.path or "").read_bytes()
    assert b"The title" in content and b"The artist" in content and b"The comment" not in content
    again = convert(memo.path or "", tmp_path / "again", settings)
    assert Path(again.path or "").read_bytes() == content
    bare = convert(made, tmp_path / "bare", SETTINGS)
    assert b"The title" not in Path(bare.path or "").read_bytes()
    assert _hash(Path(bare.path or ""), ffmpeg) == _hash(Path(memo.path or ""), ffmpeg)
