"""The few tags that settings let stay, written in the way that the memo's format has for them. Pure.

ADTS and AMR have no place for a tag, and AIFF none for some; those tags go with the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

Tags = tuple[tuple[str, str], ...]
"""Pairs of a name (one of `pipeline.model.TAG_NAMES`), and its value."""

_ID3 = {"title": b"TIT2", "artist": b"TPE1", "album": b"TALB", "date": b"TDRC", "genre": b"TCON"}
_INFO = {"title": b"INAM", "artist": b"IART", "album": b"IPRD", "date": b"ICRD", "genre": b"IGNR"}
_AIFF = {"title": b"NAME", "artist": b"AUTH"}
_OTHER_NAMES = {"author": "artist"}
"""As ffmpeg calls it in AIFF."""

MAX_BYTES = 100
"""Of a value: below 128 all versions of ID3 count alike."""


def chosen(found: Iterable[tuple[str, str]], names: Iterable[str]) -> Tags:
    """The tags that are to stay, in the order of `names`, each cut to what fits."""
    values = {_OTHER_NAMES.get(name, name): value for name, value in found}
    short = {name: _cut(values[name]) for name in names if values.get(name)}
    return tuple((name, value) for name, value in short.items() if value)


def _cut(value: str) -> str:
    return value.encode()[:MAX_BYTES].decode("utf-8", "ignore").strip()


def head(container: str, tags: Tags) -> bytes:
    """What stands in front of an MP3's frames: an ID3v2.4 tag in UTF-8. Nothing for other formats of frames."""
    if container != "mp3" or not tags:
        return b""
    frames = b"".join(
        _ID3[name] + struct.pack(">IH", len(value.encode()) + 1, 0) + b"\3" + value.encode() for name, value in tags
    )
    size = len(frames)
    return b"ID3\4\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + frames


def chunk(container: str, tags: Tags) -> bytes:
    """The chunks for a WAV (LIST INFO), AIFF (a chunk each) or CAF (`info`) file."""
    if container == "wav":
        body = b"INFO" + b"".join(_padded(_INFO[name], value.encode() + b"\0", "<") for name, value in tags)
        return _padded(b"LIST", body, "<") if tags else b""
    if container == "aiff":
        return b"".join(_padded(_AIFF[name], value.encode(), ">") for name, value in tags if name in _AIFF)
    if container == "caf" and tags:
        body = struct.pack(">I", len(tags)) + b"".join(f"{name}\0{value}\0".encode() for name, value in tags)
        return b"info" + struct.pack(">q", len(body)) + body
    return b""


def _padded(name: bytes, body: bytes, order: str) -> bytes:
    return name + struct.pack(f"{order}I", len(body)) + body + bytes(len(body) & 1)


def ffmpeg_args(tags: Tags) -> list[str]:
    """Options that let ffmpeg write them into an M4A."""
    return [word for name, value in tags for word in ("-metadata", f"{name}={value}")]
