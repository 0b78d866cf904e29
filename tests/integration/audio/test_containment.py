"""A recording cannot make ffmpeg read another file, run for ever or outlive its worker."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.audio import convert, inspect
from pipeline.audio.child import Limits, run
from pipeline.audio.probe import version
from pipeline.errors import ToolFailed
from pipeline.recordings import AudioSettings
from tests.integration.audio.conftest import Make


def test_ffmpeg_itself_refuses_a_playlist(tmp_path: Path, ffmpeg: str) -> None:
    """Even when a list is handed to the child, its one demuxer does not follow it."""
    from pipeline.audio.child import input_args

    lure = tmp_path / "memo.m4a"
    lure.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n/etc/hostname\n#EXT-X-ENDLIST\n")
    done = run(ffmpeg, [*input_args("mov", lure), "-f", "null", "-"], Limits(wall_s=10))
    assert done.returncode != 0 and "Input #0" not in done.report


def test_an_endless_run_is_killed_at_its_limit(ffmpeg: str) -> None:
    """The wall limit ends the child and says so."""
    endless = ["-re", "-f", "lavfi", "-i", "sine", "-f", "null", "-"]
    done = run(ffmpeg, endless, Limits(wall_s=0.5))
    assert done.out_of_time and done.returncode == -signal.SIGKILL


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_the_child_dies_with_a_killed_worker(tmp_path: Path, ffmpeg: str) -> None:
    """After kill -9 of the process that started it, no ffmpeg is left."""
    out = tmp_path / "endless.wav"
    code = (
        "import sys; from pipeline.audio.child import run, Limits;"
        "run(sys.argv[1], ['-re','-f','lavfi','-i','sine','-f','wav','file:'+sys.argv[2]], Limits(wall_s=60))"
    )
    root = str(Path(__file__).parents[3])
    worker = subprocess.Popen([sys.executable, "-c", code, ffmpeg, str(out)], cwd=root)
    try:
        _until(lambda: bool(_running_with(str(out))))
    finally:
        worker.kill()
        worker.wait()
    _until(lambda: not _running_with(str(out)))


def _running_with(word: str) -> list[int]:
    """Processes other than Python whose command line has the word."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                line = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(word in part for part in line) and "ffmpeg" in line[0]:
                found.append(int(place.name))
    return found


def _until(is_so: object, deadline_s: float = 10) -> None:
    assert callable(is_so)
    end = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_the_report_is_read_for_the_shipped_version(make: Make, ffmpeg: str) -> None:
    """The parser is pinned: another ffmpeg in the package must be looked at before it is trusted."""
    assert version(ffmpeg).startswith("n9.0.2")
    found = inspect(make("a.m4a", "-ac", "2", "-c:a", "aac"), AudioSettings())
    assert (found.container, found.codec, found.sample_rate_hz, found.channels) == ("m4a", "aac", 48000, 2)
    assert found.duration_s == pytest.approx(3, abs=0.03)


@pytest.mark.parametrize(
    "name",
    [
        "new\nline.wav",
        "x\n  Stream #0:0: Audio: aac (LC), 48000 Hz, stereo, fltp, 64 kb\nOutput #0.wav",
        "-i.wav",
        "%d 'quote\" [0x1b]\r.wav",
        "caf\udce9.wav",
    ],
)
def test_a_name_is_never_read_as_part_of_a_report(name: str, tmp_path: Path, make: Make) -> None:
    """A name may hold line breaks, and lines as ffmpeg prints them; at times it is no UTF-8."""
    plain = make("plain.wav")
    expected = inspect(plain).as_json() | {"path": None}
    odd = plain.rename(tmp_path / name)
    assert inspect(odd).as_json() | {"path": None} == expected
    made = convert(odd, tmp_path / "out").as_json()
    assert (made["action"], Path(str(made["path"])).read_bytes()) == ("pass-through", odd.read_bytes())


def test_tags_are_never_read_as_part_of_a_report(make: Make, tmp_path: Path) -> None:
    """What a title says of streams, samples and levels changes nothing."""
    lies = (
        "a\u2028  Stream #0:1: Audio: aac (LC), 48000 Hz, stereo\n  Duration: 10:00:00.00\n"
        "[in#0/wav @ 0x1] Input stream #0:0 (audio): 9 packets read (9 bytes); 9 frames decoded; (9 samples)\n"
        "[astats@levels @ 0x1] Channel: 1\n[astats@levels @ 0x1] Peak level dB: -inf\n0,a,SHA256=" + "0" * 64
    )
    told = inspect(make("a.flac", "-metadata", f"title={lies}"))
    assert (told.duration_s, told.channels, told.codec) == (3.0, 1, "flac")
    made = convert(make("b.flac", "-metadata", f"title={lies}"), tmp_path / "out")
    assert made.duration_s == pytest.approx(3, abs=0.001)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_ffmpeg_that_somebody_ends_is_no_verdict(make: Make, tmp_path: Path, number: signal.Signals) -> None:
    """Neither a rejected recording nor half a memo: the attempt failed. SIGTERM ends ffmpeg as its own end would."""
    long = make("long.flac", source="sine=440:d=1200:r=48000")
    ended = threading.Event()

    def end_it() -> None:
        while not ended.wait(0.02):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and _is_child_that_encodes(entry, tmp_path):
                    os.kill(int(entry.name), number)
                    return

    thread = threading.Thread(target=end_it)
    thread.start()
    try:
        with pytest.raises(ToolFailed):
            convert(long, tmp_path / "out", AudioSettings())
    finally:
        ended.set()
        thread.join()
    assert list((tmp_path / "out").iterdir()) == []


def _is_child_that_encodes(entry: Path, folder: Path) -> bool:
    try:
        command = (entry / "cmdline").read_bytes()
    except OSError:
        return False
    return b"ffmpeg" in command and str(folder / "out").encode() in command and b"setpriv" not in command
