"""How many channels a recording seems to have, at a glance at its first bytes: a guess, for what is measured must be
chosen before its header was opened. Who relies on it compares it with the header afterwards."""

from __future__ import annotations

from pathlib import Path

from pipeline.audio import frames
from pipeline.audio.sniff import Sniffed, id3_end

_GLANCE_BYTES = 1 << 16
_MPEG_MONO = 3
"""ISO/IEC 11172-3, 2.4.2.3: the mode in a frame's header."""


def channels(path: Path, sniffed: Sniffed) -> int:
    """1 where that seems to be so, else 2: of two channels more is measured, which serves for one as well."""
    with path.open("rb") as file:
        file.seek(sniffed.skip_bytes)
        head = file.read(_GLANCE_BYTES)
    return 1 if sniffed.container == "amr" or _is_mono(sniffed.container, head) else 2


def _is_mono(container: str, head: bytes) -> bool:
    if container == "wav":
        return head[12:16] == b"fmt " and int.from_bytes(head[22:24], "little") == 1
    at = id3_end(head)
    if container == "mp3":
        return frames.mpeg_frame_bytes(head, at) > 0 and head[at + 3] >> 6 == _MPEG_MONO
    if container == "aac":
        # The last bit of the third byte and the first two of the fourth (ISO/IEC 13818-7, 6.2).
        return head[at : at + 1] == b"\xff" and len(head) >= at + 4 and (head[at + 2] & 1, head[at + 3] >> 6) == (0, 1)
    return False
