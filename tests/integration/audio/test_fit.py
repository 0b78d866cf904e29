"""The limit is used and never passed, however the sound is spread over the recording."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.audio import boxes, convert, transcode
from pipeline.audio.prove import encoded
from pipeline.errors import RecordingRejected
from pipeline.recordings import AudioSettings
from tests.integration.audio.conftest import Make

LOUD = "0.3*(random(0)-0.5)"
SPREAD = {
    "pauses of 60 %": f"{LOUD}*gt(mod(t,5),3)",
    "pauses of 50 %": f"{LOUD}*gt(mod(t,5),2.5)",
    "pauses of 40 %": f"{LOUD}*gt(mod(t,5),2)",
    "a silent end": f"{LOUD}*lt(t,60)",
    "a silent beginning": f"{LOUD}*gt(t,50)",
    "a silent middle": f"{LOUD}*not(between(t,15,80))",
    "no pause": LOUD,
}


@pytest.mark.parametrize("spread", SPREAD)
def test_a_small_limit_is_used(spread: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 95 % of it, at the least bitrate, in at most three encodes; and the memo decodes to its last sample."""
    encodes: list[object] = []
    plain = transcode.encode_args

    def counted(*args: object, **more: object) -> list[str]:
        encodes.append(args)
        return plain(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(transcode, "encode_args", counted)
    source = f"aevalsrc='{SPREAD[spread]}':d=160:s=16000"
    settings = AudioSettings(max_bytes=150_000, bitrate_kbps=24, min_bitrate_kbps=24)
    memo = convert(make("a.flac", source=source), tmp_path / "out", settings)
    assert 0.95 * settings.max_bytes <= memo.size_bytes < settings.max_bytes or not memo.trimmed
    assert memo.trimmed or spread == "a silent end"
    assert len(encodes) <= 3


def test_frames_are_told_of_once(make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """Time stamps that waver by one sample would need an entry each in the index, 8 bytes for every few frames."""
    memo = convert(make("a.flac", source="anoisesrc=d=100:r=16000"), tmp_path / "out", AudioSettings())
    path = Path(memo.path or "")
    frames = boxes.frame_bytes(path)
    assert path.stat().st_size - sum(frames) < 900 + 4.01 * len(frames)
    assert sum(frames) and encoded(path, ffmpeg, samples=3_200_000, sample_rate_hz=32_000).duration_s == 100


def test_what_may_not_be_cut_is_refused_although_its_header_let_it_fit(make: Make, tmp_path: Path) -> None:
    """Of 31.4 s a header tells 30, which would just fit; with `compress` the reason tells that it was cut."""
    path = make("short.webm", "-c:a", "libopus", "-b:a", "64k", source="anoisesrc=d=31.4:r=48000")
    content = bytearray(path.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3  # Duration, a double in milliseconds
    content[at : at + 8] = struct.pack(">d", 30_000)
    path.write_bytes(content)
    settings = AudioSettings(max_bytes=98_600, bitrate_kbps=24, min_bitrate_kbps=24)
    with pytest.raises(RecordingRejected) as caught:
        convert(path, tmp_path / "refused", replace(settings, overflow="reject"))
    assert caught.value.code == "too-long"
    memo = convert(path, tmp_path / "out", settings)
    assert memo.trimmed and "cut" in memo.reason and memo.size_bytes < 98_600
