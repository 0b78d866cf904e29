"""Which audio files the voice-memo endpoint accepts, told by their first bytes."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 65_536
_MP4_BRANDS = (b"M4A ", b"M4B ", b"mp4", b"iso", b"dash", b"MSNV", b"avc1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """extension: without dot. mime_types: labels accepted for it; the first is the one that answers use."""

    extension: str
    mime_types: tuple[str, ...]


# The vendor's list for this endpoint. `.aif` is not in it, nor are FLAC and OGG.
FORMATS = (
    Format(extension="m4a", mime_types=("audio/x-m4a", "audio/mp4")),
    Format(extension="mp3", mime_types=("audio/mpeg", "audio/mp3")),
    Format(extension="aac", mime_types=("audio/aac",)),
    Format(extension="caf", mime_types=("audio/x-caf",)),
    Format(extension="wav", mime_types=("audio/wav", "audio/x-wav")),
    Format(extension="aiff", mime_types=("audio/aiff", "audio/x-aiff")),
    Format(extension="amr", mime_types=("audio/amr",)),
)


def by_extension(filename: str) -> Format | None:
    """The format that the file's name claims."""
    extension = filename.rpartition(".")[2].lower()
    return next((known for known in FORMATS if known.extension == extension), None)


def by_mime_type(mime_type: str) -> Format | None:
    """The format that a Content-Type claims; parameters are ignored."""
    bare = mime_type.partition(";")[0].strip().lower()
    return next((known for known in FORMATS if bare in known.mime_types), None)


def by_content(head: bytes) -> Format | None:
    """The format that the first bytes (up to HEAD_BYTES) are of; None for everything that is not accepted."""
    extension = _sniff(_after_id3(head)) or ("mp3" if head[:3] == b"ID3" else None)
    return by_extension(f".{extension}") if extension else None


def _sniff(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return "m4a" if head[8:12].startswith(_MP4_BRANDS) else None
    if head[:4] == b"caff":
        return "caf"
    if head[:4] == b"RIFF":
        return "wav" if head[8:12] == b"WAVE" else None
    if head[:4] == b"FORM":
        return "aiff" if head[8:12] in {b"AIFF", b"AIFC"} else None
    if head.startswith((b"#!AMR\n", b"#!AMR-WB\n")):
        return "amr"
    return _sniff_mpeg(head)


def _sniff_mpeg(head: bytes) -> str | None:
    """ADTS and MP3 share their sync word; the two layer bits tell them apart (00 is ADTS, 01 is layer III)."""
    if head[:4] == b"ADIF":
        return "aac"
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    return {0: "aac", 1: "mp3"}.get((head[1] >> 1) & 0b11)


def _after_id3(head: bytes) -> bytes:
    """What follows a leading ID3v2 tag, whose length is four bytes of seven bits."""
    if head[:3] != b"ID3" or len(head) < 10:
        return head
    length = 0
    for byte in head[6:10]:
        length = (length << 7) | (byte & 0x7F)
    return head[10 + length :]
