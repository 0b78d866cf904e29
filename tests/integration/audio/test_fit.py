"""The limit is used and never passed, however the sound is spread over the recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.audio import boxes, convert, transcode
from pipeline.audio.prove import encoded
from pipeline.model import AudioSettings
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
