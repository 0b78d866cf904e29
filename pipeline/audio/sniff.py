"""What a file is, told by its bytes alone. Pure, but for `look`, which reads the few bytes it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.audio import boxes, frames
from pipeline.audio.formats import MAGIC, NOT_AUDIO, READS_ID3, Magic
from pipeline.errors import RecordingRejected

HEAD_BYTES = 1 << 18
GARBAGE_BYTES = 1 << 17
"""How far MPEG frames are sought behind a damaged or foreign beginning."""

_PRINTABLE = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D, 0x1B}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sniffed:
    """A container, the ffmpeg demuxer that must read it, and how many bytes of other things stand in front of it."""

    container: str
    demuxer: str
    skip_bytes: int = 0


def id3_end(head: bytes) -> int:
    """Where the ID3v2 tag at the start ends; 0 where there is none. (id3.org, ID3v2.4 section 3.1.)"""
    if head[:3] != b"ID3" or len(head) < 10 or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def recognise(head: bytes, *, behind_tag: bool = False) -> Sniffed:
    """The container that these first bytes (at least HEAD_BYTES of a longer file) open. behind_tag: an ID3 tag stood in
    front of them, which makes a damaged MP3 of what is otherwise unknown.

    Raises RecordingRejected: `empty-file`, `playlist`, `midi`, `unsupported`, `not-media`, `no-audio-stream`.
    """
    if not head.strip(b"\x00") and len(head) < HEAD_BYTES:
        raise _empty() if not head else _refusal("not-media", "nothing but zero bytes")
    found = _by_magic(head) or _by_frames(head)
    if found:
        return found
    _refuse_known(head)
    if inside := _behind_foreign(head[:GARBAGE_BYTES]):
        return inside
    if behind_tag or frames.find_mpeg(head[:GARBAGE_BYTES]) is not None:
        return Sniffed(container="mp3", demuxer="mp3")
    if frames.find_adts(head[:GARBAGE_BYTES]) is not None:
        return Sniffed(container="aac", demuxer="aac")
    raise _refusal("not-media", "text" if is_text(head) else "no audio format that is known here")


def _by_magic(head: bytes) -> Sniffed | None:
    for row in MAGIC:
        if _opens(row, head, 0):
            if row.container == "wav" and head.startswith(b"wvpk", 44):
                raise _refusal("unsupported", "WavPack sound of a version before 4")
            if row.demuxer == "matroska":
                return Sniffed(container="webm" if b"webm" in head[:64] else "matroska", demuxer=row.demuxer)
            return Sniffed(container=row.container, demuxer=row.demuxer)
    return None


def _opens(row: Magic, head: bytes, at: int) -> bool:
    return head.startswith(row.starts, at + row.at) and (not row.also or head.startswith(row.also, at + row.also_at))


def _behind_foreign(head: bytes) -> Sniffed | None:
    """A container behind foreign bytes (a MacBinary header, the wrapping of a transfer), told by eight bytes or more:
    fewer stand in any data by chance."""
    for row in MAGIC:
        at = head.find(row.starts, 1) if len(row.starts) + len(row.also) >= 8 and not row.at else -1
        while at != -1:
            if _opens(row, head, at):
                return Sniffed(container=row.container, demuxer=row.demuxer, skip_bytes=at)
            at = head.find(row.starts, at + 1)
    return None


def _by_frames(head: bytes) -> Sniffed | None:
    """Formats without a magic number: at least two frames must follow each other where the file has room for two."""
    body = head.lstrip(b"\x00") if head[:1] == b"\x00" and head[:4] != b"\x00\x00\x01\xba" else head
    for container, demuxer, is_it in _FRAMED:
        if is_it(body):
            return Sniffed(container=container, demuxer=demuxer)
    if kind := frames.ac3_kind(body):
        return Sniffed(container=kind, demuxer=kind)
    if frames.transport_start(head) is not None:
        return Sniffed(container="mpeg-ts", demuxer="mpegts")
    return None


_FRAMED: tuple[tuple[str, str, Callable[[bytes], bool]], ...] = (
    ("aac", "aac", lambda data: frames.adts_run(data, 0)),
    ("mp3", "mp3", lambda data: frames.mpeg_run(data, 0) or frames.index_at(data, 0)),
    ("flac", "flac", frames.is_flac_frame),
    ("latm", "loas", lambda data: frames.is_run(frames.loas_frame_bytes, data, 4)),
    ("sbc", "sbc", lambda data: frames.is_run(frames.sbc_frame_bytes, data, 8)),
    ("gsm", "gsm", frames.is_gsm),
)
"""(container, demuxer, test) of formats that are told by frames."""


def _refuse_known(head: bytes) -> None:
    text = head.removeprefix(b"\xef\xbb\xbf")
    for magic, offset, code, what in NOT_AUDIO:
        if text.startswith(magic, offset):
            raise _refusal(code, what)
    if is_text(head):
        if _points_elsewhere(text):
            raise _refusal("playlist", "a list of other files")
        raise _refusal("not-media", "text")


def is_text(head: bytes) -> bool:
    """Whether the start reads as text: no zero byte in the first 4 kB and hardly a control character."""
    sample = head[:4096]
    if sample[:2] in (b"\xff\xfe", b"\xfe\xff") and sample[2:4] != b"\x00\x00":
        sample = sample[2:].replace(b"\x00", b"")
    odd = sum(byte not in _PRINTABLE and byte < 0x80 for byte in sample)
    try:
        sample[: max(len(sample) - 4, 0)].decode()
    except UnicodeDecodeError:
        odd += sum(byte >= 0x80 for byte in sample)
    return odd * 20 <= len(sample)


def _points_elsewhere(text: bytes) -> bool:
    start = text[:2048].lower().lstrip()
    if start.startswith((b"<asx", b"<smil", b"<?wpl", b"<playlist", b"cue ", b"#extinf")):
        return True
    if b"<smil" in start or b"<asx" in start or b"<mpd" in start or b"xspf" in start:
        return True
    if start.startswith((b"rem ", b"performer ", b"title ", b"file ")) and b"track " in start:
        return True
    lines = [line for line in start.splitlines() if line and not line.startswith(b"#")][:5]
    return bool(lines) and all(line.startswith((b"http://", b"https://", b"rtsp://", b"mms://")) for line in lines)


def _empty() -> RecordingRejected:
    return RecordingRejected("empty-file", "The file is empty: record it again or upload it completely.")


def _refusal(code: str, what: str) -> RecordingRejected:
    advice = "export the sound itself as a file" if code in ("playlist", "midi") else "send a sound recording"
    return RecordingRejected(code, f"The file holds {what}, which cannot become a voice memo: {advice}.")


def protected() -> RecordingRejected:
    """The refusal of sound that cannot be had without a key."""
    return RecordingRejected("encrypted", "The recording is protected by a key: export it without protection.")


def look(path: Path) -> Sniffed:
    """Recognise a file. ID3 tags in front of anything are stepped over; of MP4 families the boxes are looked at.

    Raises RecordingRejected, as `recognise` does, and `encrypted`; OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        start = 0
        head = file.read(HEAD_BYTES)
        if not head:
            raise _empty()
        for _ in range(4):
            step = id3_end(head)
            if not step:
                break
            start += step
            file.seek(start)
            head = file.read(HEAD_BYTES)
        if start and not head:
            raise RecordingRejected("no-sound", "The file holds a tag and no sound: record it again.")
        sniffed = recognise(head, behind_tag=start > 0)
        if start and sniffed.container == "mov":
            raise _refusal("not-media", "a tag in front of an MP4 container, whose index is wrong by it")
        if sniffed.demuxer in READS_ID3:
            start = 0
    return _refine(path, replace(sniffed, skip_bytes=start + sniffed.skip_bytes))


def _refine(path: Path, sniffed: Sniffed) -> Sniffed:
    if sniffed.container != "mov":
        return sniffed
    layout = boxes.read(path)
    if layout.encrypted:
        raise protected()
    return replace(sniffed, container=layout.container)
