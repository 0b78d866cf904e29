"""Manifests: which recording goes to which chat. CSV with a header, or JSON lines; read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pipeline.errors import Misuse

COLUMNS = ("recording", "chat_id", "key", "overflow", "not_before")
CSV_SUFFIXES = (".csv",)
JSON_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a manifest as it was written, nothing checked but its form. line: counted from 1, of its last line
    where a quoted field holds line breaks."""

    line: int
    recording: str
    chat_id: str | None = None
    key: str | None = None
    overflow: str | None = None
    not_before: str | float | None = None


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


def read_manifest(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a manifest, in its order. Raises Misuse (`no-such-file`, `unreadable`) where it cannot be read.

    A header without `recording`, or with a column that nobody knows, is one BadRow and the end: a misspelt
    `not_before` must not send at once."""
    try:
        # Bytes that are no UTF-8 survive as surrogates, so that only their own row is refused.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from _csv_rows(file) if path.suffix.lower() in CSV_SUFFIXES else _json_rows(file)
    except FileNotFoundError:
        raise Misuse("no-such-file", f"There is no manifest {path}.", path=str(path)) from None
    except OSError as error:
        raise Misuse("unreadable", f"{path} cannot be read: {error.strerror}.", path=str(path)) from None


def _csv_rows(file: TextIO) -> Iterator[Row | BadRow]:
    reader = csv.reader(file, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        yield BadRow(line=1, code="bad-manifest", message=f"The header cannot be read as CSV: {error}.")
        return
    if problem := _header_problem(header):
        yield BadRow(line=1, code="wrong-column", message=problem)
        return
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield BadRow(line=reader.line_num, code="bad-row", message=f"The row cannot be read as CSV: {error}.")
            continue
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield _csv_row(reader.line_num, header, fields)


def _header_problem(header: list[str]) -> str | None:
    unknown = [name for name in header if name not in COLUMNS]
    if "recording" not in header:
        said = f"it says {_shown(','.join(header))}" if header else "the manifest is empty"
        return f"The first line must name the columns, `recording` among them; {said}."
    if unknown:
        return f"Column {_shown(unknown[0])} is not known: a manifest has {', '.join(COLUMNS)}."
    if len(set(header)) != len(header):
        return "A column is named twice."
    return None


def _csv_row(line: int, header: list[str], fields: list[str]) -> Row | BadRow:
    if len(fields) > len(header):
        text = f"The row has {len(fields)} fields and the header {len(header)}: put a field with commas in quotes."
        return BadRow(line=line, code="wrong-column", message=text, recording=_shown(fields[0]))
    return _checked(line, dict(zip(header, (field.strip() or None for field in fields), strict=False)))


def _json_rows(file: TextIO) -> Iterator[Row | BadRow]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield BadRow(line=line, code="bad-row", message="The line is no JSON.")
            continue
        yield _checked(line, value) if isinstance(value, dict) else _no_object(line)


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
