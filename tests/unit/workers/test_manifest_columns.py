"""Manifests of other systems: their names for our columns, their other columns, their broken lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import Misuse
from workers.manifest import LONGEST_LINE, BadRow, Row, read_manifest
from workers.sources import column_names


def read(folder: Path, text: str, *columns: str, name: str = "m.csv") -> list[Row | BadRow]:
    (folder / name).write_text(text)
    return list(read_manifest(folder / name, column_names(columns)))


def test_columns_by_their_names(tmp_path: Path) -> None:
    """Mapped ones are taken, ours are known by their own names, all others are left out."""
    text = "File,Conversation,Notes,overflow\na.ogg,C,hello,cut\n"
    assert read(tmp_path, text, "recording=File", "chat_id=Conversation") == [
        Row(line=2, recording="a.ogg", chat_id="C", overflow="cut")
    ]


def test_a_mapped_column_wins_over_one_of_our_name(tmp_path: Path) -> None:
    """Theirs is what was asked for, also where they use our word for something else."""
    text = "recording,chat_id,real chat\na.ogg,7,C\n"
    assert read(tmp_path, text, "chat_id=real chat") == [Row(line=2, recording="a.ogg", chat_id="C")]


def test_a_mapped_column_that_is_not_there_ends_it(tmp_path: Path) -> None:
    """A misspelt name must not let all rows go without a chat of their own."""
    (only,) = read(tmp_path, "recording,Chat\na.ogg,C\n", "chat_id=chat")
    assert isinstance(only, BadRow) and (only.line, only.code) == (1, "wrong-column")
    (only,) = read(tmp_path, "File,Chat\na.ogg,C\n", "chat_id=Chat")
    assert isinstance(only, BadRow) and "recording" in only.message


def test_json_lines_by_their_names(tmp_path: Path) -> None:
    """Row by row, as far as they have them."""
    rows = [{"File": "a.ogg", "Chat": "C", "x": [1]}, {"File": "b.ogg", "time_zone": "Asia/Tokyo"}]
    text = "\n".join(map(json.dumps, rows))
    assert read(tmp_path, text, "recording=File", "chat_id=Chat", name="m.jsonl") == [
        Row(line=1, recording="a.ogg", chat_id="C"),
        Row(line=2, recording="b.ogg", time_zone="Asia/Tokyo"),
    ]


@pytest.mark.parametrize("text", ["chat_id", "chat=Chat", "chat_id=", "=x", ""])
def test_mappings_that_are_none(text: str) -> None:
    """Refused before anything is read."""
    with pytest.raises(Misuse) as caught:
        column_names((text,))
    assert caught.value.code == "bad-column"


@pytest.mark.parametrize("second", ["chat_id=B", "key=A"])
def test_a_column_is_mapped_once(second: str) -> None:
    """Neither ours nor theirs twice."""
    with pytest.raises(Misuse):
        column_names(("chat_id=A", second))


def test_an_open_quote_names_the_lines_that_it_swallowed(tmp_path: Path) -> None:
    """Nobody has to guess which rows were not read."""
    rows = "".join(f"{n}.ogg,C\n" for n in range(20_000))
    found = read(tmp_path, f'recording,chat_id\n"a.ogg,C\n{rows}')
    bad = [row for row in found if isinstance(row, BadRow)]
    assert bad[0].message.startswith("Lines 2 to ")
    assert isinstance(found[1], Row), "the rest is read"


def test_a_line_without_end_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    """Only its beginning is held in memory."""
    text = '{"recording": "' + "a" * 3 * LONGEST_LINE + '"}\n{"recording": "b.ogg"}\n'
    bad, good = read(tmp_path, text, name="m.jsonl")
    assert isinstance(bad, BadRow) and bad.code == "bad-row" and bad.line == 1
    assert good == Row(line=2, recording="b.ogg")
