"""Which recordings a command works on, and under which names their memos lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.cli.gathering import gather

NAMES = st.sampled_from(["a", "A", "a-2", "a-2-2", "b"])
FILES = st.tuples(st.sampled_from(["", "x/", "y/"]), NAMES, st.sampled_from([".ogg", ".wav", ""]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(files=st.lists(FILES.map("".join), min_size=1, max_size=12))
def test_no_two_recordings_share_a_name_in_a_folder(tmp_path: Path, files: list[str]) -> None:
    """Also on file systems that do not tell upper from lower case; the same recording keeps its name."""
    found = gather(files)
    assert [item.path for item in found] == files
    names: dict[tuple[Path, str], str] = {}
    for item in found:
        assert names.setdefault((item.into, item.name.casefold()), item.path) == item.path
        assert item.name.startswith(Path(item.path).stem)


def test_a_folder_keeps_its_shape(tmp_path: Path) -> None:
    """Each memo goes where its recording lies in the folder; a file that was named goes to DIR itself."""
    for name in ("in/b/2.ogg", "in/a.ogg", "in/out/old.m4a", "in/.x/3.ogg", "4.ogg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = gather(["in", "4.ogg", "in/b/2.ogg"], Path("in/out"))
    assert [(item.path, str(item.into), item.name) for item in found] == [
        ("in/a.ogg", ".", "a"),
        ("in/b/2.ogg", "b", "2"),
        ("4.ogg", ".", "4"),
        ("in/b/2.ogg", ".", "2"),
    ]


@pytest.mark.parametrize("hidden", [[], [".x.ogg"]])
def test_an_empty_folder_is_told(tmp_path: Path, hidden: list[str]) -> None:
    """Or one that holds hidden files only."""
    (tmp_path / "in").mkdir()
    for name in hidden:
        (tmp_path / "in" / name).touch()
    (only,) = gather(["in"])
    assert only.error is not None and only.error.code == "empty-folder"
