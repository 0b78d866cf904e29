"""What is told of a backfill: a summary, and a report of every row."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields

from pipeline.backfills import RowEnd
from workers.cli.output import Output, shown

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the beginning of a field."""


def write_report(rows: Iterable[RowEnd], out: Output) -> None:
    """Every row: as JSON lines, or as CSV with a header. Names of recordings come from anybody, so no field of the CSV
    is a formula."""
    if out.as_json:
        for row in rows:
            out.row(asdict(row), "")
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([field.name for field in fields(RowEnd)])
    for row in rows:
        writer.writerow([_field(value) for value in asdict(row).values()])
    sys.stdout.flush()


def summary(told: Mapping[str, object]) -> str:
    """A backfill in a line or two."""
    rows, jobs = told["rows"], told["jobs"]
    assert isinstance(rows, Mapping) and isinstance(jobs, Mapping)  # noqa: S101 (of `views.backfill_json`)
    read = ", ".join(f"{count} {status}" for status, count in rows.items()) or "no rows"
    states = ", ".join(f"{count} {state}" for state, count in jobs.items()) or "no jobs"
    why = f" ({told['message']})" if told["message"] else ""
    return f"{told['backfill_id']} {told['state']}{why}: {read}; {states}"


def _field(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
