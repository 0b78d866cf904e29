"""The recordings that are forged: small ones of the corpus where there is one, else made by the shipped ffmpeg."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.recordings import make

SMALL_BYTES = 60_000
KINDS = {
    "a.wav": ("-ar", "8000"), "mulaw.wav": ("-ar", "8000", "-c:a", "pcm_mulaw"), "adpcm.wav": ("-c:a", "adpcm_ima_wav"),
    "a.aiff": ("-ar", "8000"), "a.caf": ("-ar", "8000"), "a.au": ("-ar", "8000"), "a.w64": ("-ar", "8000"),
    "a.mp3": ("-b:a", "48k"), "tagged.mp3": ("-b:a", "48k", "-metadata", "title=Secret", "-write_apetag", "1"),
    "a.aac": ("-c:a", "aac"), "a.m4a": ("-c:a", "aac", "-movflags", "+faststart"), "late.m4a": ("-c:a", "aac"),
    "alac.m4a": ("-c:a", "alac"), "pieces.mp4": ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
    "a.mov": ("-c:a", "pcm_s16be", "-ar", "8000"), "a.3gp": ("-c:a", "libopencore_amrnb", "-ar", "8000"),
    "a.amr": ("-c:a", "libopencore_amrnb", "-ar", "8000"), "a.flac": ("-metadata", "title=Secret"),
    "a.ogg": ("-c:a", "libopus", "-metadata", "title=Secret"), "vorbis.ogg": ("-c:a", "libvorbis"),
    "speex.webm": ("-c:a", "libopus"), "a.mka": ("-c:a", "aac"), "a.wma": ("-c:a", "wmav2"),
    "a.wv": ("-c:a", "wavpack"), "a.tta": ("-c:a", "tta"), "a.ac3": ("-c:a", "ac3"),
    "a.ts": ("-c:a", "aac"), "a.flv": ("-c:a", "aac"),
    "a.avi": ("-c:a", "mp3"), "a.mpg": ("-c:a", "mp2"), "a.voc": ("-ar", "8000", "-c:a", "pcm_u8"),
}  # fmt: skip


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """(name, bytes) of each recording, in a steady order. Those that are not in the folder yet are made there."""
    corpus = os.environ.get("MEMOLINE_TEST_CORPUS")
    if corpus:
        found = sorted(path for path in Path(corpus, "files").rglob("*") if path.is_file())
        return [(path.name, path.read_bytes()) for path in found if 0 < path.stat().st_size <= SMALL_BYTES]
    folder.mkdir(parents=True, exist_ok=True)
    for name, args in KINDS.items():
        if not (folder / name).exists():
            make(folder / name, "-ac", "1", *args, duration_s=0.6)
    return [(name, (folder / name).read_bytes()) for name in KINDS]
