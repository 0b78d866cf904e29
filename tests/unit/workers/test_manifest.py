"""Manifests: every row comes out as a row or as what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import Misuse
from workers.manifest import BadRow, Row, read_manifest


def read(tmp_path: Path, content: str | bytes, name: str = "m.csv") -> list[Row | BadRow]:
    """The rows of a manifest with this content."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_manifest(path))


def codes(rows: list[Row | BadRow]) -> list[tuple[int, str]]:
    """(line, code) of each row; "row" for a good one."""
    return [(row.line, row.code if isinstance(row, BadRow) else "row") for row in rows]


def test_a_csv_with_all_columns(tmp_path: Path) -> None:
    """Columns in any order; spaces at the edges and empty fields do not count."""
    text = "chat_id, recording,key,overflow,not_before\nC , a b.ogg,k,cut,2030-01-01T00:00:00Z\n,b.ogg,,,\n"
    assert read(tmp_path, text) == [
        Row(line=2, recording="a b.ogg", chat_id="C", key="k", overflow="cut", not_before="2030-01-01T00:00:00Z"),
        Row(line=3, recording="b.ogg"),
    ]


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    """A byte order mark, CRLF, quoted commas, an empty last line, and short rows."""
    text = b'\xef\xbb\xbfrecording,chat_id\r\n"a,b.ogg",C\r\nc.ogg\r\n\r\n,\r\n'
    assert read(tmp_path, text) == [Row(line=2, recording="a,b.ogg", chat_id="C"), Row(line=3, recording="c.ogg")]


@pytest.mark.parametrize(
    "text",
    ["", "a.ogg,C\n", "recording,chat\na.ogg,C\n", "recording,not_befor\na.ogg,x\n", "recording,key,key\na,b,c\n"],
)
def test_a_header_that_is_not_understood_ends_it(tmp_path: Path, text: str) -> None:
    """No row is registered under a header with a missing, unknown or doubled column."""
    assert codes(read(tmp_path, text)) == [(1, "wrong-column")]


def test_a_utf16_manifest_is_refused_as_a_whole(tmp_path: Path) -> None:
    """Its header is no text that we know."""
    assert codes(read(tmp_path, "recording,chat_id\na.ogg,C\n".encode("utf-16"))) == [(1, "wrong-column")]


def test_a_bad_row_does_not_hide_the_good_ones(tmp_path: Path) -> None:
    """Latin-1 bytes, too many fields, no recording and stray quotes are reported; the rest goes on."""
    text = b'recording,chat_id\na.ogg,C\nm\xfcll.ogg,C\nb.ogg,C,extra\n,C\n"x"y,C\nz.ogg,C\n'
    assert codes(read(tmp_path, text)) == [
        (2, "row"),
        (3, "not-utf8"),
        (4, "wrong-column"),
        (5, "no-recording"),
        (6, "bad-row"),
        (7, "row"),
    ]


def test_json_lines(tmp_path: Path) -> None:
    """Texts, null for nothing, a number as a time; anything else is reported with its line."""
    lines = [
        '{"recording": "a.ogg", "chat_id": "C", "key": null, "not_before": 1900000000}',
        "",
        "no json",
        "[1]",
        '{"recording": 1}',
        '{"recording": "a.ogg", "chat": "C"}',
        '{"recording": "a.ogg", "not_before": true}',
        '{"recording": "a\\ud800.ogg"}',
        '{"recording": "a\\u0000.ogg"}',
        '{"chat_id": "C"}',
        "[" * 100_000,
        '{"recording": "z.ogg"}',
    ]
    rows = read(tmp_path, "\n".join(lines), "m.jsonl")
    assert rows[0] == Row(line=1, recording="a.ogg", chat_id="C", not_before=1900000000)
    assert codes(rows)[1:] == [
        (3, "bad-row"),
        (4, "bad-row"),
        (5, "bad-row"),
        (6, "wrong-column"),
        (7, "bad-row"),
        (8, "not-utf8"),
        (9, "not-utf8"),
        (10, "no-recording"),
        (11, "bad-row"),
        (12, "row"),
    ]


def test_rows_are_read_as_they_are_needed(tmp_path: Path) -> None:
    """The first row of a manifest is there before the second is read."""
    path = tmp_path / "m.csv"
    with path.open("w", buffering=1) as file:
        file.write("recording\na.ogg\n")
        file.write("b.ogg\n" * 100_000)
    rows = read_manifest(path)
    assert next(rows) == Row(line=2, recording="a.ogg")
    path.write_text("")
    assert len(list(rows)) < 100_000


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    """It is not there, or is a folder: one error, before any row."""
    (tmp_path / "folder.csv").mkdir()
    for name, code in (("none.csv", "no-such-file"), ("folder.csv", "unreadable")):
        with pytest.raises(Misuse) as caught:
            list(read_manifest(tmp_path / name))
        assert caught.value.code == code
