"""Recordings of each kind become memos, by the shipped ffmpeg."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline.audio import AudioRunner, convert, inspect, sniff
from pipeline.audio.child import Limits, input_args, run
from pipeline.audio.report import stream_hash
from pipeline.audio.transcode import hash_args
from pipeline.errors import Misuse, RecordingRejected
from pipeline.model import AudioSettings
from tests.integration.audio.conftest import Make

SETTINGS = AudioSettings()
PERSONAL = ("-metadata", "title=Secret title", "-metadata", "artist=Anna", "-metadata", "location=+48.1+002.3/")
STEREO = "aevalsrc=0.3*sin(440*2*PI*t)|0.3*sin(440*2*PI*t):d=3:s=48000"
INVERTED = "aevalsrc=0.3*sin(440*2*PI*t)|-0.3*sin(440*2*PI*t):d=3:s=48000"
TALK = "aevalsrc='0.4*random(0)*gt(mod(t,5),0.6)':s=16000"

KINDS = {
    "opus.ogg": (("-c:a", "libopus"), "transcode"),
    "opus.webm": (("-c:a", "libopus"), "transcode"),
    "flac.flac": ((), "transcode"),
    "pcm.wav": ((), "pass-through"),
    "pcm.aiff": ((), "pass-through"),
    "pcm.caf": ((), "pass-through"),
    "mp3.mp3": ((), "pass-through"),
    "adts.aac": (("-c:a", "aac"), "pass-through"),
    "amr.amr": (("-c:a", "libopencore_amrnb", "-ar", "8000"), "pass-through"),
    "aac.m4a": (("-c:a", "aac"), "pass-through"),
    "alac.m4a": (("-c:a", "alac"), "transcode"),
    "aac.mkv": (("-c:a", "aac"), "remux"),
    "aac.mov": (("-c:a", "aac"), "remux"),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_becomes_a_memo(name: str, make: Make, tmp_path: Path) -> None:
    """Accepted types pass, AAC-LC is rewrapped, the rest is encoded; the result is of an accepted type and as long."""
    args, action = KINDS[name]
    recording = make(name, *args)
    assert inspect(recording, SETTINGS).action == action
    memo = convert(recording, tmp_path / "out", SETTINGS)
    assert memo.action == action and memo.path is not None
    assert memo.duration_s == pytest.approx(3, abs=0.1)
    assert inspect(memo.path, SETTINGS).action == "pass-through"
    assert hashlib.sha256(Path(memo.path).read_bytes()).hexdigest() == memo.sha256
    assert [path.name for path in (tmp_path / "out").iterdir()] == [Path(memo.path).name]


def test_a_clean_accepted_recording_is_not_touched(make: Make, tmp_path: Path) -> None:
    """A WAV that needs nothing keeps every byte."""
    recording = make("a.wav")
    memo = convert(recording, tmp_path / "out", SETTINGS)
    assert memo.path is not None and Path(memo.path).read_bytes() == recording.read_bytes()


@pytest.mark.parametrize("name", ["a.m4a", "a.mp3", "a.wav", "a.aiff", "a.caf", "a.flac", "a.mov"])
def test_nothing_personal_is_left(name: str, make: Make, tmp_path: Path) -> None:
    """Title, artist and place are in no byte of the memo, whatever the container."""
    aac = ("-c:a", "aac", "-movflags", "use_metadata_tags") if name == "a.mov" else ()
    recording = make(name, *PERSONAL, *aac, "-write_id3v2", "1") if name == "a.aiff" else make(name, *PERSONAL, *aac)
    assert b"Secret" in recording.read_bytes()
    memo = convert(recording, tmp_path / "out", SETTINGS)
    assert memo.path is not None
    content = Path(memo.path).read_bytes()
    assert not any(word in content for word in (b"Secret", b"Anna", b"48.1"))


@pytest.mark.parametrize(
    ("name", "demuxer"), [("a.m4a", "mov"), ("a.wav", "wav"), ("a.caf", "caf"), ("a.aiff", "aiff")]
)
def test_the_frames_are_the_same_without_the_tags(
    name: str, demuxer: str, make: Make, tmp_path: Path, ffmpeg: str
) -> None:
    """Taking the tags out changes no audio frame."""
    recording = make(name, *PERSONAL)
    memo = convert(recording, tmp_path / "out", SETTINGS)
    assert memo.action == "remux" and memo.path is not None
    demuxer = sniff.look(recording).demuxer
    hashes = [
        stream_hash(run(ffmpeg, hash_args(demuxer, path), Limits()).report) for path in (recording, Path(memo.path))
    ]
    assert hashes[0] is not None and hashes[0] == hashes[1]


def test_an_inverted_channel_does_not_become_silence(make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """One channel is the other upside down: the memo is as loud as one of them."""
    memo = convert(make("a.flac", source=INVERTED), tmp_path / "out", SETTINGS)
    plain = convert(make("b.flac", source=STEREO), tmp_path / "out", SETTINGS)
    assert abs(_peak_db(str(memo.path), ffmpeg) - _peak_db(str(plain.path), ffmpeg)) < 1
    assert -12 < _peak_db(str(memo.path), ffmpeg) < -9


def _peak_db(path: str, ffmpeg: str) -> float:
    from pipeline.audio import downmix, report

    args = [*input_args("mov", Path(path)), "-af", downmix.MEASURE_ONE, "-f", "null", "-"]
    return report.levels(run(ffmpeg, args, Limits()).report)[0].peak_db


def test_a_browser_recording_without_a_length_is_measured(make: Make, tmp_path: Path) -> None:
    """MediaRecorder writes WebM without a duration: the length comes from its time stamps."""
    recording = make("live.webm", "-c:a", "libopus", "-live", "1", source="sine=440:d=20:r=48000")
    found = inspect(recording, SETTINGS)
    assert found.duration_s == pytest.approx(20, abs=0.1)
    assert convert(recording, tmp_path / "out", SETTINGS).duration_s == pytest.approx(20, abs=0.1)


def test_an_m4a_in_pieces_is_put_together(make: Make, tmp_path: Path) -> None:
    """A fragmented M4A, as Safari records, keeps its frames and gets one moov in front."""
    recording = make("a.m4a", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "500000")
    memo = convert(recording, tmp_path / "out", SETTINGS)
    assert memo.action == "remux" and memo.path is not None
    content = Path(memo.path).read_bytes()
    assert b"moof" not in content and content.index(b"moov") < content.index(b"mdat")


def test_a_small_limit_lowers_the_bitrate_first(make: Make, tmp_path: Path) -> None:
    """A recording that fits only at fewer bits is kept whole and uses at least 95 % of the limit."""
    settings = AudioSettings(max_bytes=250_000)
    memo = convert(make("a.flac", "-t", "60", source=TALK), tmp_path / "out", settings)
    assert not memo.trimmed and memo.duration_s == pytest.approx(60, abs=0.1)
    assert 0.95 * 250_000 <= memo.size_bytes < 250_000


def test_a_smaller_limit_cuts_at_a_pause(make: Make, tmp_path: Path) -> None:
    """What does not fit at the floor is cut in the pause of 0.6 s that comes every 5 s."""
    settings = AudioSettings(max_bytes=250_000)
    memo = convert(make("a.flac", "-t", "120", source=TALK), tmp_path / "out", settings)
    assert memo.trimmed and memo.source_duration_s == pytest.approx(120, abs=0.1)
    assert memo.duration_s % 5 < 0.6
    assert memo.size_bytes < 250_000


def test_split_keeps_everything(make: Make, tmp_path: Path) -> None:
    """The parts, each under the limit, are together as long as the recording."""
    settings = AudioSettings(max_bytes=250_000, overflow="split")
    memo = convert(make("a.flac", "-t", "160", source=TALK), tmp_path / "out", settings)
    assert memo.path is None and len(memo.parts) >= 2
    assert sum(part.duration_s for part in memo.parts) == pytest.approx(160, abs=0.1)
    assert all(part.size_bytes < 250_000 for part in memo.parts)
    memos = AudioRunner(None).prepare(tmp_path / "in" / "a.flac", tmp_path / "again", settings)
    assert [one.sha256 for one in memos] == [part.sha256 for part in memo.parts]


def test_reject_leaves_nothing(make: Make, tmp_path: Path) -> None:
    """What may neither be cut nor split is refused, and the folder stays empty."""
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(RecordingRejected) as caught:
        convert(make("a.flac", "-t", "120", source=TALK), out, AudioSettings(max_bytes=250_000, overflow="reject"))
    assert caught.value.code == "too-long" and not list(out.iterdir())


@pytest.mark.parametrize("name", ["-x.wav", "a:b.wav", "%d.wav", "two words 'quoted'.wav", "wrong.mp3"])
def test_odd_and_wrong_names_are_safe(name: str, make: Make, tmp_path: Path) -> None:
    """A name is never an option, a protocol or a pattern, and a wrong extension is corrected."""
    recording = make("a.wav").rename(tmp_path / name)
    memo = convert(recording, tmp_path / "out", SETTINGS)
    assert memo.path is not None and Path(memo.path).name == Path(name).stem + ".wav"


def test_an_existing_file_is_never_overwritten(make: Make, tmp_path: Path) -> None:
    """Another file of the name stays, and the memo gets a number; the same memo again is the same file."""
    recording, out = make("a.flac"), tmp_path / "out"
    out.mkdir()
    (out / "a.m4a").write_bytes(b"mine")
    first, second = (convert(recording, out, SETTINGS).path for _ in range(2))
    assert (out / "a.m4a").read_bytes() == b"mine"
    assert first == second == str(out / "a-2.m4a")


def test_progress_rises_to_the_end(make: Make, tmp_path: Path) -> None:
    """Progress is a share between 0 and 1 and never falls."""
    seen: list[float] = []
    convert(make("a.flac", source="anoisesrc=d=600:r=16000:a=0.1"), tmp_path / "out", SETTINGS, seen.append)
    assert seen and seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1


def test_bad_paths_are_misuse(tmp_path: Path) -> None:
    """A path that is missing or a folder is no recording to judge."""
    for path, code in ((tmp_path / "none.wav", "no-such-file"), (tmp_path, "is-a-directory")):
        with pytest.raises(Misuse) as caught:
            inspect(path, SETTINGS)
        assert caught.value.code == code


def test_rejects_are_answers_of_inspect(make: Make, tmp_path: Path) -> None:
    """An empty file, a text, a film without sound and a header without sound each have their code."""
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.m4a").write_text("Dear Anna")
    (tmp_path / "header.wav").write_bytes(make("a.wav").read_bytes()[:44])
    film = make("film.mp4", "-c:v", "mpeg4", source="testsrc=d=1:s=64x64")
    found = [inspect(path, SETTINGS).code for path in (tmp_path / "empty.wav", tmp_path / "text.m4a", film)]
    assert found == ["empty-file", "not-media", "no-audio-stream"]
    assert inspect(tmp_path / "header.wav", SETTINGS).action == "reject"
