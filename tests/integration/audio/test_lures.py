"""Files and names that point elsewhere: each is refused or read as what it is, and nothing else is ever opened."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.audio import convert, inspect
from pipeline.errors import RecordingRejected
from pipeline.recordings import AudioSettings
from tests.fuzz.mutate import Lures
from tests.fuzz.watch import Canaries
from tests.integration.audio.conftest import Make

ROOT = Path(__file__).parents[3]
REFUSED = {"playlist", "not-media", "broken", "no-audio-stream", "unsupported"}


@pytest.fixture
def canaries(tmp_path: Path) -> Iterator[Canaries]:
    """A sound file and a server that must never be touched."""
    (tmp_path / "canary").mkdir()
    with Canaries(tmp_path / "canary") as found:
        yield found


def lists(canaries: Canaries) -> list[bytes]:
    """Playlists, and the same under disguise."""
    texts = Lures(path=str(canaries.path), url=canaries.url).playlists()
    texts.append(f"http://127.0.0.1/\n{canaries.url}\n".encode())
    texts.append(f"RTSPtext\r\nrtsp://127.0.0.1/{canaries.path}\r\n".encode())
    disguised = [b"\xef\xbb\xbf" + text for text in texts] + [text.decode().encode("utf-16") for text in texts]
    disguised += [b"ID3\3\0\0\0\0\0\0" + text for text in texts] + [b"\n" * 5000 + text for text in texts]
    return texts + disguised


def test_the_canaries_sing(canaries: Canaries) -> None:
    """An open and a request are noticed, or the tests below would prove nothing."""
    assert canaries.touched() == []
    canaries.path.read_bytes()
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys,urllib.request as u\ntry: u.urlopen(sys.argv[1])\nexcept OSError: 0",
            canaries.url,
        ],
        check=True,
        env={key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
    )
    assert len(canaries.touched()) == 2


@pytest.mark.parametrize("extension", ["m4a", "m3u8"])
def test_a_list_of_files_is_refused_and_not_followed(extension: str, canaries: Canaries, tmp_path: Path) -> None:
    """Of every kind, under any name, in any disguise."""
    for number, text in enumerate(lists(canaries)):
        lure = tmp_path / f"{number}.{extension}"
        lure.write_bytes(text)
        with pytest.raises(RecordingRejected) as caught:
            convert(lure, tmp_path / "out", AudioSettings())
        assert caught.value.code in REFUSED, text[:60]
        assert canaries.touched() == [], text[:60]


def dref(kind: bytes, payload: bytes) -> bytes:
    entry = struct.pack(">I4sI", len(payload) + 12, kind, 0) + payload
    return struct.pack(">I4sII", len(entry) + 16, b"dref", 0, 1) + entry


def test_a_movie_whose_sound_lies_elsewhere_has_none(make: Make, canaries: Canaries, tmp_path: Path) -> None:
    """MOV and MP4 can name another file for their data, by a path, an alias or an address."""
    plain = make("a.mov", "-c:a", "pcm_s16be", "-ar", "8000", "-movflags", "+faststart").read_bytes()
    at = plain.index(b"\0\0\0\x1cdref")
    path = str(canaries.path).encode()
    alias = (
        bytes(6)
        + struct.pack(">HHH", 0, 2, 0)
        + bytes([5])
        + b"canar".ljust(27, b"\0")
        + bytes(100)
        + struct.pack(">hH", 18, len(path))
        + path
        + struct.pack(">hh", -1, 0)
    )
    for entry in (
        dref(b"url ", canaries.url.encode() + b"\0"),
        dref(b"url ", b"file://" + path + b"\0"),
        dref(b"alis", alias),
    ):
        lure = tmp_path / "lure.mov"
        lure.write_bytes(with_sizes(plain, at, entry))
        try:
            assert inspect(lure, AudioSettings()).action in ("reject", "remux", "transcode")
            convert(lure, tmp_path / "out", AudioSettings())
        except RecordingRejected:
            pass
        assert canaries.touched() == []


def with_sizes(movie: bytes, at: int, entry: bytes) -> bytes:
    """The movie with another `dref` box, and the sizes of the boxes around it."""
    grown = len(entry) - 28
    made = bytearray(movie[:at] + entry + movie[at + 28 :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = movie.index(kind) - 4
        made[place : place + 4] = struct.pack(">I", struct.unpack_from(">I", movie, place)[0] + grown)
    return bytes(made)


NAMES = (
    "-i.wav", "%03d.wav", "concat:a|b.wav", "subfile,,start,0,end,9,,:x.wav", "data:audio,x.wav", "crypto:x.wav",
    "pipe:0", "fd:", "file:x.wav", "tee:a|b", "https:x.wav", "~root.wav",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(name: str, make: Make, tmp_path: Path) -> None:
    """Not a protocol, a pattern or an option: the file of this name is read, and its memo gets the name."""
    plain = make("plain.wav")
    for other in ("001.wav", "x.wav", "a", "b.wav"):
        shutil.copy(make("other.ogg", "-c:a", "libopus"), plain.with_name(other))
    odd = plain.rename(plain.with_name(name))
    made = convert(odd, tmp_path / "out", AudioSettings())
    assert made.action == "pass-through" and made.path
    assert Path(made.path).read_bytes() == odd.read_bytes() and Path(made.path).stem == odd.stem


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.slow
def test_no_call_reaches_a_canary_or_the_network(make: Make, canaries: Canaries, tmp_path: Path) -> None:
    """As the kernel saw it, over all lures and an encode: no socket but the local one of none, no other file."""
    folder, log = tmp_path / "lures", tmp_path / "strace.log"
    folder.mkdir()
    for number, text in enumerate(lists(canaries)):
        (folder / f"{number}.m4a").write_bytes(text)
    shutil.copy(make("a.ogg", "-c:a", "libopus"), folder / "real.ogg")
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2,socket,connect,execve", "-o", str(log),
         sys.executable, "-m", "workers", "convert", str(folder), "-o", str(tmp_path / "out"), "--json"],
        capture_output=True, text=True, cwd=ROOT, check=False, env=dict(os.environ) | {"MEMOLINE_HOME": str(tmp_path)},
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (
        sum("error" in row for row in rows) == len(lists(canaries))
        and sum("path" in row and "error" not in row for row in rows) == 1
    )
    calls = log.read_text(errors="replace")
    assert "ffmpeg" in calls and "real.ogg" in calls
    assert str(canaries.path) not in calls
    assert not re.search(r"socket\(AF_INET|connect\(.*(AF_INET|sin_port)", calls)
