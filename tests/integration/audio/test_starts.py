"""How often ffmpeg is started for a recording: a start costs as much as decoding seconds of sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.audio import child, inspect, keeper
from pipeline.audio.room import AudioRunner
from pipeline.recordings import Action, AudioSettings
from tests.integration.audio.conftest import Make

PCM, MP3, OPUS = ("-c:a", "pcm_s16le"), ("-c:a", "libmp3lame"), ("-c:a", "libopus")
TWO = ("-ac", "2")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch, ffmpeg: str) -> list[tuple[str, ...]]:
    """The command lines that were started, in their order."""
    AudioRunner()  # what is imported and found out once a process is not counted
    child.run(ffmpeg, ["-version"], child.Limits())
    begun: list[tuple[str, ...]] = []
    start = keeper.supervise

    def counting(order: keeper.Order, tick: None) -> tuple[int, bool]:
        if "-version" not in order.argv:
            begun.append(order.argv)
        return start(order, tick)

    monkeypatch.setattr(keeper, "supervise", counting)
    return begun


@pytest.mark.parametrize(
    ("name", "coding", "most", "action"),
    [
        ("a.wav", PCM, 1, Action.PASS_THROUGH),
        ("two.wav", (*PCM, *TWO), 1, Action.PASS_THROUGH),
        ("a.mp3", MP3, 1, Action.PASS_THROUGH),
        ("two.mp3", (*MP3, *TWO), 1, Action.PASS_THROUGH),
        ("a.ogg", OPUS, 3, Action.TRANSCODE),  # its header, the encode that listens too, the proof
    ],
)
def test_a_memo_takes_few_starts(
    name: str, coding: tuple[str, ...], most: int, action: Action, make: Make, starts: list[object], tmp_path: Path
) -> None:
    """Header and sound of what passes are looked at together."""
    recording = make(name, *coding, "-map_metadata", "-1", "-fflags", "+bitexact", "-id3v2_version", "0")
    memos = AudioRunner().prepare(recording, tmp_path / "out", AudioSettings())
    assert [memo.action for memo in memos] == [action]
    assert len(starts) == most


@pytest.mark.parametrize(("name", "coding"), [("a.wav", PCM), ("a.ogg", OPUS), ("two.m4a", ("-c:a", "aac", *TWO))])
def test_a_short_recording_is_inspected_in_one_start(
    name: str, coding: tuple[str, ...], make: Make, starts: list[object]
) -> None:
    """Header and sound at once, whatever the number of channels."""
    assert inspect(make(name, *coding), AudioSettings()).duration_s == pytest.approx(3, abs=0.1)
    assert len(starts) == 1
