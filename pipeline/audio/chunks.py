"""The chunks of WAV, AIFF and CAF files: which are sound, which tell of people, and where sizes and file disagree.

Sources: Microsoft's multimedia file formats (RIFF), Apple's AIFF-C and Core Audio Format specifications.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_CHUNKS = 4096
MAX_TEXT_BYTES = 1 << 16
UNKNOWN_SIZE = 0x7FFF0000
"""Programs that write to a pipe do not know how much comes, and write a size from here up (or, some, 0)."""

KEPT = {
    "wav": frozenset({b"fmt ", b"fact", b"data", b"PEAK"}),
    "aiff": frozenset({b"FVER", b"COMM", b"SSND"}),
    "caf": frozenset({b"desc", b"data", b"pakt", b"kuki", b"chan"}),
}
"""What a player needs. Everything else is left out when something personal is taken out."""

_SOUND = {"wav": b"data", "aiff": b"SSND", "caf": b"data"}
_PADDING = frozenset({b"JUNK", b"junk", b"PAD ", b"FLLR", b"fllr", b"free"})
MAX_PADDING_BYTES = 1 << 22
_PROGRAM_KEYS = frozenset({b"encoder", b"encoding application", b"approximate duration in seconds"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A chunk: where its header begins, where its payload, the payload's size, and the size that its header says."""

    name: bytes
    start: int
    body: int
    size: int
    said: int


def walk(file: BinaryIO, container: str, begin: int = 0) -> Iterator[Chunk]:
    """The chunks of an open file whose container begins at `begin`, in order. A size beyond the end is cut to it."""
    end = file.seek(0, os.SEEK_END)
    at, head = (begin + 8, 12) if container == "caf" else (begin + 12, 8)
    for _ in range(MAX_CHUNKS):
        if at + head > end:
            return
        file.seek(at)
        name = file.read(4)
        if container == "caf":
            said = struct.unpack(">q", file.read(8))[0]
        else:
            said = struct.unpack("<I" if container == "wav" else ">I", file.read(4))[0]
        body = at + head
        to_end = end - body
        # A sound chunk of size 0 with bytes behind it was never finished by its writer.
        open_end = said < 0 or (name == _SOUND[container] and to_end and (said == 0 or to_end < said >= UNKNOWN_SIZE))
        size = to_end if open_end else min(said, to_end)
        yield Chunk(name=name, start=at, body=body, size=size, said=said)
        at = body + size + (size & 1 if container != "caf" else 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """personal: something may tell of people. cut_off: the sound breaks off before its header says. wrong_size: the
    header does not tell how long the sound is."""

    personal: bool
    cut_off: bool
    wrong_size: bool


def read(path: Path, container: str, begin: int) -> Layout:
    """The layout of a WAV, AIFF or CAF file. Never raises for what is in it."""
    personal = cut_off = wrong_size = False
    end = begin
    with path.open("rb") as file:
        total = file.seek(0, os.SEEK_END)
        for chunk in walk(file, container, begin):
            personal = personal or _is_personal(file, chunk, container)
            if chunk.name == _SOUND[container] and chunk.said != chunk.size:
                unknown = chunk.said <= 0 or chunk.said >= UNKNOWN_SIZE
                cut_off, wrong_size = cut_off or not unknown, wrong_size or container != "caf" or not unknown
            end = chunk.body + chunk.size
        file.seek(end)
        rest = file.read(MAX_PADDING_BYTES) if total > end else b""
    return Layout(personal=personal or bool(rest.strip(b"\0")), cut_off=cut_off, wrong_size=wrong_size)


def _is_personal(file: BinaryIO, chunk: Chunk, container: str) -> bool:
    if chunk.name in KEPT[container]:
        return False
    file.seek(chunk.body)
    if chunk.name in _PADDING:
        return chunk.size > MAX_PADDING_BYTES or bool(file.read(chunk.size).strip(b"\0"))
    if chunk.size > MAX_TEXT_BYTES:
        return True
    if chunk.name == b"LIST":
        return not _only_names_software(file.read(chunk.size))
    return not (chunk.name == b"info" and container == "caf" and _only_names_programs(file.read(chunk.size)))


def _only_names_software(listed: bytes) -> bool:
    """Whether a LIST chunk of a WAV holds the name of the program that wrote it, and nothing else."""
    if listed[:4] != b"INFO":
        return False
    at = 4
    while at + 8 <= len(listed):
        name, size = struct.unpack_from("<4sI", listed, at)
        if name != b"ISFT":
            return False
        at += 8 + size + (size & 1)
    return not listed[at:]


def _only_names_programs(info: bytes) -> bool:
    """Whether the text chunk of a CAF file (a count, then keys and values, each ended by zero) names programs alone."""
    words = info[4:].split(b"\0")
    count = int.from_bytes(info[:4], "big")
    return len(words) >= 2 * count and not any(words[2 * count :]) and _PROGRAM_KEYS.issuperset(words[: 2 * count : 2])


def copy(path: Path, container: str, begin: int, to: Path, extra: bytes = b"") -> None:
    """Write the chunks that a player needs, with true sizes. extra: whole chunks to set before the sound."""
    pack = {"wav": "<I", "aiff": ">I", "caf": ">q"}[container]
    step = 1
    with path.open("rb") as source, to.open("wb") as sink:
        source.seek(begin)
        sink.write(source.read(8 if container == "caf" else 12))
        for chunk in list(walk(source, container, begin)):
            if chunk.name not in KEPT[container]:
                continue
            size = chunk.size
            if chunk.name in (b"fmt ", b"COMM", b"desc"):
                step = _sample_bytes(source, chunk)
            if chunk.name == _SOUND[container]:
                sink.write(extra)
                head = 8 if container == "aiff" else 4 if container == "caf" else 0
                # Half a sample at a broken end is none.
                size -= (size - head) % step if chunk.said != chunk.size and size > head else 0
            sink.write(chunk.name + struct.pack(pack, size))
            copy_range(source, sink, chunk.body, size)
            if container != "caf" and size & 1:
                sink.write(b"\x00")
        if container != "caf":
            total = sink.tell() - 8
            sink.seek(4)
            sink.write(struct.pack(pack, total))


def _sample_bytes(file: BinaryIO, chunk: Chunk) -> int:
    """Bytes of one sample of all channels, from the chunk that describes the sound; 1 where they do not tell."""
    file.seek(chunk.body)
    head = file.read(20)
    if len(head) < 14:
        return 1
    if chunk.name == b"fmt ":
        step = int.from_bytes(head[12:14], "little")
    elif chunk.name == b"COMM":
        step = int.from_bytes(head[:2], "big") * ((int.from_bytes(head[6:8], "big") + 7) // 8)
    else:
        step = int.from_bytes(head[16:20], "big")
    return step or 1


def copy_range(source: BinaryIO, sink: BinaryIO, start: int, size: int) -> None:
    """Copy bytes from one open file to another, in blocks."""
    source.seek(start)
    while size > 0:
        block = source.read(min(size, 1 << 20))
        if not block:
            return
        sink.write(block)
        size -= len(block)
