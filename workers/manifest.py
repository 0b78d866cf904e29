"""Manifests: which recording goes to which chat. CSV with a header, or JSON lines; read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pipeline.errors import Misuse

COLUMNS = ("recording", "chat_id", "key", "overflow", "not_before", "time_zone")
LONGEST_LINE = 1_000_000
"""Characters of a JSON line: so many are held at once."""
CSV_SUFFIXES = (".csv",)
JSON_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What a saved plan remembers of a recording. content: the SHA-256 of a file, the version of an object."""

    size_bytes: int
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a manifest as it was written, nothing checked but its form. line: counted from 1, of its last line
    where a quoted field holds line breaks. planned: in a plan, what the recording was then."""

    line: int
    recording: str
    chat_id: str | None = None
    key: str | None = None
    overflow: str | None = None
    not_before: str | float | None = None
    time_zone: str | None = None
    planned: Planned | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    """A line that cannot be understood."""

    line: int
    code: str
    message: str
    recording: str = ""


def is_manifest(path: Path) -> bool:
    """Whether a name ends as a manifest's does."""
    return path.suffix.lower() in CSV_SUFFIXES + JSON_SUFFIXES


def read_manifest(path: Path, names: Mapping[str, str] | None = None) -> Iterator[Row | BadRow]:
    """The rows of a manifest, in its order. names: our columns by what the manifest calls them; with any, columns that
    nobody knows are left out. Raises Misuse (`no-such-file`, `unreadable`) where it cannot be read.

    A header without `recording`, or with a column that nobody knows, is one BadRow and the end: a misspelt
    `not_before` must not send at once."""
    try:
        # Bytes that are no UTF-8 survive as surrogates, so that only their own row is refused.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from (_csv_rows if path.suffix.lower() in CSV_SUFFIXES else _json_rows)(file, names or {})
    except FileNotFoundError:
        raise Misuse("no-such-file", f"There is no manifest {path}.", path=str(path)) from None
    except OSError as error:
        raise Misuse("unreadable", f"{path} cannot be read: {error.strerror}.", path=str(path)) from None


def _csv_rows(file: TextIO, names: Mapping[str, str]) -> Iterator[Row | BadRow]:
    reader = csv.reader(file, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        yield BadRow(line=1, code="bad-manifest", message=f"The header cannot be read as CSV: {error}.")
        return
    if missing := [theirs for theirs in names if theirs not in header]:
        text = f"There is no column {_shown(missing[0])}: the header says {_shown(','.join(header))}."
        yield BadRow(line=1, code="wrong-column", message=text)
        return
    header = _ours(header, names)
    if problem := _header_problem(header, names):
        yield BadRow(line=1, code="wrong-column", message=problem)
        return
    while True:
        before = reader.line_num
        try:
            fields = next(reader, None)
        except csv.Error as error:
            which = f"Lines {before + 1} to {reader.line_num}" if reader.line_num > before + 1 else "The row"
            text = f"{which} cannot be read as CSV: {error}."
            yield BadRow(line=reader.line_num, code="bad-row", message=text)
            continue
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield _csv_row(reader.line_num, header, fields)


def _ours(theirs: list[str], names: Mapping[str, str]) -> list[str]:
    """A header in our words. A column of theirs that has a name of ours, which another one got, is left out."""
    taken = set(names.values())
    return [names.get(name) or (f"({name})" if name in taken else name) for name in theirs]


def _header_problem(header: list[str], names: Mapping[str, str]) -> str | None:
    unknown = [] if names else [name for name in header if name not in COLUMNS]
    if "recording" not in header:
        said = f"it says {_shown(','.join(header))}" if header else "the manifest is empty"
        return f"The first line must name the columns, `recording` among them; {said}."
    if unknown:
        return f"Column {_shown(unknown[0])} is not known: a manifest has {', '.join(COLUMNS)}."
    known = [name for name in header if name in COLUMNS]
    if len(set(known)) != len(known):
        return "A column is named twice."
    return None


def _csv_row(line: int, header: list[str], fields: list[str]) -> Row | BadRow:
    if len(fields) > len(header):
        text = f"The row has {len(fields)} fields and the header {len(header)}: put a field with commas in quotes."
        return BadRow(line=line, code="wrong-column", message=text, recording=_shown(fields[0]))
    named = zip(header, (field.strip() or None for field in fields), strict=False)
    return _checked(line, {name: field for name, field in named if name in COLUMNS})


def _json_rows(file: TextIO, names: Mapping[str, str]) -> Iterator[Row | BadRow]:
    for line, text in enumerate(_lines(file), start=1):
        if not text.strip():
            continue
        if len(text) > LONGEST_LINE:
            text_of = f"The line is longer than {LONGEST_LINE:,} characters."
            yield BadRow(line=line, code="bad-row", message=text_of)
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield BadRow(line=line, code="bad-row", message="The line is no JSON.")
            continue
        yield _checked(line, _renamed(value, names)) if isinstance(value, dict) else _no_object(line)


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file; of one that is too long, its beginning."""
    while text := file.readline(LONGEST_LINE + 1):
        more = text
        while len(more) > LONGEST_LINE and not more.endswith("\n"):
            more = file.readline(LONGEST_LINE + 1)
        yield text


def _renamed(value: dict[str, object], names: Mapping[str, str]) -> dict[str, object]:
    if not names:
        return value
    ours = dict(zip(value, _ours(list(value), names), strict=True))
    return {ours[name]: field for name, field in value.items() if ours[name] in COLUMNS}


def _no_object(line: int) -> BadRow:
    return BadRow(line=line, code="bad-row", message='The line is no JSON object such as {"recording": "a.ogg"}.')


def _checked(line: int, values: Mapping[str, object]) -> Row | BadRow:
    """A row of the right form, or what is wrong with it."""
    recording = values.get("recording")
    shown = _shown(recording) if isinstance(recording, str) else ""
    for name, value in values.items():
        if name not in COLUMNS:
            text = f"{_shown(name)} is not known: a row has {', '.join(COLUMNS)}."
            return BadRow(line=line, code="wrong-column", message=text, recording=shown)
        number = name == "not_before" and isinstance(value, int | float) and not isinstance(value, bool)
        if not (value is None or number or isinstance(value, str)):
            return BadRow(line=line, code="bad-row", message=f"{name} must be a text.", recording=shown)
        if isinstance(value, str) and not _is_text(value):
            return BadRow(line=line, code="not-utf8", message=f"{name} is not UTF-8 text.", recording=shown)
    if not isinstance(recording, str) or not recording.strip():
        return BadRow(line=line, code="no-recording", message="The row names no recording.")
    return Row(line=line, **values)  # type: ignore[arg-type]


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def _shown(text: str) -> str:
    """A text that can be printed, in at most 100 characters."""
    return text[:100].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
