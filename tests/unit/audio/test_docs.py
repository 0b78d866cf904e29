"""The page about the audio step names every format, accepted type and reject code that the code knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.audio.formats import ACCEPTED, MAGIC, NOT_AUDIO

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "audio.md").read_text()
TOLD_BY_FRAMES = {"mp3", "aac", "flac", "latm", "sbc", "gsm", "ac3", "eac3", "mpeg-ts"}
IN_CODE = re.compile(r'(?:RecordingRejected|_refusal|_reject)\(\s*"([a-z-]+)"')


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("container", sorted({row.container for row in MAGIC} - {"mov"} | TOLD_BY_FRAMES))
def test_each_container_is_in_the_table(container: str) -> None:
    """A format that is recognised is one that a reader can find."""
    assert f"`{container}`" in section("Formats")


@pytest.mark.parametrize("name", ACCEPTED)
def test_each_accepted_type_is_in_the_table(name: str) -> None:
    """With its type as it is served."""
    row = ACCEPTED[name]
    assert re.search(rf"^\| `{name}` \|.*`{re.escape(row.mime_type)}`", section("Formats"), re.MULTILINE)


def test_each_reject_code_has_its_advice() -> None:
    """Every code that the audio step can refuse with."""
    files = (ROOT / "pipeline" / "audio").glob("*.py")
    codes = {code for file in files for code in IN_CODE.findall(file.read_text())} | {row[2] for row in NOT_AUDIO}
    assert len(codes) > 10
    assert sorted(code for code in codes if f"| `{code}` |" not in section("Reject codes")) == []
