"""Waveforms of real conversions, by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.integration.audio.conftest import Make

TALK = "aevalsrc='0.3*random(0)*gt(mod(t,2.1),0.5)':s=44100:d=60"


def _convert(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MEMOLINE_")}
    command = [sys.executable, "-m", "workers", "convert", *arguments, "-o", str(folder / "out"), "--json"]
    return subprocess.run(command, check=False, env={**clean, **settings}, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["cut.svg", "cut.PNG"])
def test_a_picture_is_drawn(name: str, make: Make, tmp_path: Path) -> None:
    """The file that was named, of its kind; JSON tells its path, and the seconds kept and dropped."""
    recording = make("a.mp3", "-b:a", "64k", source=TALK)
    small = {"MEMOLINE_MAX_BYTES": "400000", "MEMOLINE_OVERFLOW": "cut"}
    ran = _convert(tmp_path, str(recording), "--waveform", str(tmp_path / name), **small)
    assert ran.returncode == 0, ran.stderr
    fields = json.loads(ran.stdout)
    assert fields["waveform"] == str(tmp_path / name)
    assert fields["trimmed"] and fields["kept_s"] + fields["dropped_s"] == pytest.approx(60, abs=0.1)
    content = (tmp_path / name).read_bytes()
    if name.endswith("svg"):
        assert len(ET.fromstring(content)) > 900 and b"dropped" in content and b"in a pause" in content
    else:
        assert content.startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in", "out", name])


def test_several_recordings_get_their_pictures_in_a_folder(make: Make, tmp_path: Path) -> None:
    """Named like the memos; one picture for two recordings is a usage error, and nothing is converted."""
    make("a.flac")
    make("b.ogg", "-c:a", "libopus")
    ran = _convert(tmp_path, str(tmp_path / "in"), "--waveform", str(tmp_path / "pictures"))
    assert ran.returncode == 0
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["a.svg", "b.svg"]
    for wrong in ("one.svg", "one.jpg"):
        ran = _convert(tmp_path / "again", str(tmp_path / "in"), "--waveform", str(tmp_path / wrong))
        assert ran.returncode == 2 and json.loads(ran.stdout)["error"]["code"] == "bad-waveform"
        assert not (tmp_path / "again").exists()
