"""Recordings of each kind become memos, by the shipped ffmpeg."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.audio import AudioRunner, convert, inspect, sniff
from pipeline.audio.child import Limits, input_args, run
from pipeline.audio.report import stream_hash
from pipeline.audio.transcode import hash_args
from pipeline.errors import Misuse, RecordingRejected
from pipeline.recordings import AudioSettings
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
    "aac.m4a": (("-c:a", "aac", "-movflags", "+faststart"), "pass-through"),
    "index-last.m4a": (("-c:a", "aac"), "remux"),
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
    ends = [part.starts_at_s + part.kept_s for part in memo.parts]
    assert [part.starts_at_s for part in memo.parts[1:]] == pytest.approx(ends[:-1], abs=0.01)
    assert all(end % 5 < 0.6 for end in ends[:-1]), "a part ends outside a pause"
    assert all((part.pause_confidence_db or 0) > 15 for part in memo.parts[:-1])
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


def test_aac_out_of_a_transport_stream_keeps_its_frames(make: Make, tmp_path: Path) -> None:
    """The ADTS header before each packet is the container's: without it the frames are the same."""
    memo = convert(make("a.ts", "-c:a", "aac", "-f", "mpegts"), tmp_path / "out", AudioSettings())
    assert (memo.action, Path(memo.path or "").suffix) == ("remux", ".m4a")


def test_a_recording_that_paused_is_not_taken_for_a_short_one(make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """Time stamps jump over the pause; the sound behind it counts, in inspect too."""
    gap = ("-af", "asetpts='PTS+gt(T,3)*20/TB'", "-c:a", "libopus", "-f", "matroska")
    made = make("gap.mka", *gap, source="sine=440:d=30:r=48000")
    assert inspect(made, AudioSettings()).duration_s == pytest.approx(50, abs=0.5)
    assert convert(made, tmp_path / "out", AudioSettings()).duration_s == pytest.approx(30, abs=0.5)


def test_links_of_an_ogg_file_are_all_counted(make: Make, tmp_path: Path) -> None:
    """Two recordings one after the other in one file, as some recorders write them after a pause."""
    one = make("one.ogg", "-c:a", "libopus", source="sine=440:d=20:r=48000")
    two = make("two.ogg", "-c:a", "libopus", source="sine=550:d=20:r=48000")
    chained = tmp_path / "chained.ogg"
    chained.write_bytes(one.read_bytes() + two.read_bytes())
    assert inspect(chained, AudioSettings()).duration_s == pytest.approx(40, abs=0.5)
    memo = convert(chained, tmp_path / "out", AudioSettings(max_bytes=200_000))
    assert memo.duration_s == pytest.approx(40, abs=0.5)


def ape_tag(*, header: bool) -> bytes:
    """An APEv2 tag with one item; header: with one, as in front of a file, else with its footer alone."""
    item = (5).to_bytes(4, "little") + bytes(4) + b"Artist\x00Alice"
    size = len(item) + 32
    fields = (2000).to_bytes(4, "little") + size.to_bytes(4, "little") + (1).to_bytes(4, "little")
    footer = b"APETAGEX" + fields + (0x80000000 if header else 0).to_bytes(4, "little") + bytes(8)
    head = b"APETAGEX" + fields + (0xA0000000).to_bytes(4, "little") + bytes(8)
    return (head if header else b"") + item + footer


def id3_tag() -> bytes:
    """An ID3v2.4 tag with an artist."""
    frame = b"TPE1" + (6).to_bytes(4, "big") + bytes(2) + b"\x03Alice"
    return b"ID3\x04\x00\x00" + bytes([0, 0, 0, len(frame)]) + frame


@pytest.mark.parametrize("front", [b"", ape_tag(header=True), id3_tag() + ape_tag(header=True), bytes(200)])
@pytest.mark.parametrize("end", [b"", ape_tag(header=False), id3_tag(), b"TAG" + b"Alice".ljust(125, b"\0")])
def test_an_mp3_loses_whatever_stands_around_its_frames(
    make: Make, tmp_path: Path, ffmpeg: str, front: bytes, end: bytes
) -> None:
    """Tags at either end, also where they are unusual, and bytes by which no receiver would know an MP3."""
    plain = make("plain.mp3", "-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0").read_bytes()
    odd = tmp_path / "odd.mp3"
    odd.write_bytes(front + plain + end)
    memo = convert(odd, tmp_path / "out", AudioSettings())
    assert Path(memo.path or "").read_bytes() == plain
    assert memo.action == ("remux" if front or end else "pass-through")


def test_a_header_that_says_too_little_changes_the_plan(make: Make, tmp_path: Path) -> None:
    """An MP3 of changing bitrate without an index is longer than its first frame says: the overflow rule holds all the
    same."""
    loud = make("loud.mp3", "-c:a", "libmp3lame", "-b:a", "320k", "-write_xing", "0", source="sine=440:d=3:r=24000")
    quiet = make("quiet.mp3", "-c:a", "libmp3lame", "-b:a", "8k", "-write_xing", "0", source="anoisesrc=d=120:r=24000")
    lie = tmp_path / "lie.mp3"
    lie.write_bytes(loud.read_bytes() + quiet.read_bytes())
    small = AudioSettings(max_bytes=100_000, bitrate_kbps=24, min_bitrate_kbps=24)
    memo = convert(lie, tmp_path / "cut", small)
    assert memo.trimmed and 90_000 < memo.size_bytes < 100_000
    with pytest.raises(RecordingRejected) as caught:
        convert(lie, tmp_path / "refused", replace(small, overflow="reject"))
    assert caught.value.code == "too-long"


def test_a_cut_grows_until_the_limit_is_used(make: Make, tmp_path: Path) -> None:
    """Silence costs nearly nothing, so more fits than was planned: found by encoding on, in three encodes at most."""
    talk = "aevalsrc='0.4*random(0)*gt(mod(t,4),0.5)*not(between(t,30,300))':d=700:s=16000"
    long = make("quiet.flac", "-c:a", "flac", source=talk)
    memo = convert(long, tmp_path / "out", AudioSettings(max_bytes=600_000, min_bitrate_kbps=24, bitrate_kbps=24))
    assert memo.trimmed
    assert 0.95 * 600_000 <= memo.size_bytes < 600_000
    assert f"About {memo.duration_s / 60:.1f} minutes of 11.7 minutes fit" in memo.reason


def test_a_long_name_is_shortened(make: Make, tmp_path: Path) -> None:
    """`convert` names its memo like the recording, in as many bytes as file systems take."""
    long = make("a.ogg", "-c:a", "libopus").rename(tmp_path / ("ü" * 125 + ".ogg"))
    memo = convert(long, tmp_path / "out", AudioSettings())
    assert Path(memo.path or "").name.startswith("ü" * 120)


@pytest.mark.parametrize("kind", [b"free", b"skip", b"note"])
def test_padding_that_tells_something_is_taken_out(make: Make, tmp_path: Path, kind: bytes) -> None:
    """A box that no player needs may hold anything; one of zeros is left alone."""
    fast = ("-c:a", "aac", "-movflags", "+faststart")
    plain = make("a.m4a", *fast).read_bytes()
    secret = b"dear Alice"
    odd = tmp_path / "odd.m4a"
    odd.write_bytes(plain + (8 + len(secret)).to_bytes(4, "big") + kind + secret)
    memo = convert(odd, tmp_path / "out", AudioSettings())
    assert memo.action == "remux" and secret not in Path(memo.path or "").read_bytes()
    odd.write_bytes(plain + (16).to_bytes(4, "big") + b"free" + bytes(8))
    assert inspect(odd, AudioSettings()).action == "pass-through"


def test_other_peoples_hidden_folders_are_left_alone(make: Make, tmp_path: Path) -> None:
    """A stack's home may lie where memos are written, and be old."""
    home = tmp_path / "out" / ".memoline-prod"
    home.mkdir(parents=True)
    (home / "ledger.db").write_text("all jobs")
    os.utime(home, (0, 0))
    convert(make("a.wav"), tmp_path / "out", AudioSettings())
    assert (home / "ledger.db").read_text() == "all jobs"


@pytest.mark.parametrize("over", [False, True], ids=["fits without its picture", "too large all the same"])
def test_what_only_a_picture_makes_too_large_keeps_its_frames(over: bool, make: Make, tmp_path: Path) -> None:
    """It is not encoded for want of room that its sound does not need."""
    sound = make("memo.mp3", "-b:a", "64k", source="sine=440:d=10:r=48000").read_bytes()
    picture = b"\0image/jpeg\0\3\0" + b"\xff\xd8" + b"j" * 200_000
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    size = len(frame)
    syncsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path = tmp_path / "with-picture.mp3"
    path.write_bytes(b"ID3\3\0\0" + syncsafe + frame + sound)
    limit = 60_000 if over else 100_000
    memo = convert(path, tmp_path / "out", settings=replace(SETTINGS, max_bytes=limit))
    assert memo.size_bytes < limit
    assert memo.action == ("transcode" if over else "remux")
    assert inspect(path, settings=replace(SETTINGS, max_bytes=limit)).action == memo.action
