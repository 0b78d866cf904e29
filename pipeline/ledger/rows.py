"""A job as a row, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final, TypeVar

from sqlalchemy import RowMapping

from pipeline.model import Hosted, Job, Request, Span, State, StoredRecording

V = TypeVar("V", StoredRecording, Hosted)

_FIELDS: Final = tuple(field.name for field in fields(Job))
_KEPT: Final = frozenset(
    {
        "seq",
        "job_id",
        "key",
        "fingerprint",
        "state",
        "rev",
        "erase_at",
        "created_at",
        "updated_at",
        "callback_url",
        "backfill_id",
        "parent_id",
        "part_no",
        "spans",
    }
)
CHANGEABLE: Final = frozenset(field.name for field in fields(Job)) - _KEPT
"""What a move or a note may change by name; the rest only the ledger changes, or nobody."""


def to_job(row: RowMapping) -> Job:
    """The job that a row of `jobs` holds."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values["state"] = State(values["state"])
    values["recording"] = _value(StoredRecording, row["recording"])
    values["hosted"] = _value(Hosted, row["hosted"]) if row["hosted"] else None
    values["spans"] = tuple(Span(**span) for span in row["spans"] or ())
    return Job(**values)


def new_row(
    request: Request, *, job_id: str, state: State, code: str | None, message: str | None, now: float
) -> dict[str, Any]:
    """The columns of a job that was just asked for."""
    return {
        "job_id": job_id,
        "key": request.key,
        "fingerprint": request.fingerprint,
        "state": str(state),
        "rev": 1,
        "chat_id": request.chat_id,
        "lane": request.lane,
        "source": plain(request.source),
        "recording": asdict(request.recording),
        "overflow": request.overflow,
        "not_before": request.not_before,
        "callback_url": request.callback_url,
        "backfill_id": request.backfill_id,
        "time_zone": request.time_zone,
        "code": code,
        "message": plain(message),
        "created_at": now,
        "updated_at": now,
    }


def changed_columns(changes: Mapping[str, object]) -> dict[str, Any]:
    """The columns for a set of changed fields. Raises TypeError for a name that is no field, or not changeable."""
    unknown = changes.keys() - CHANGEABLE
    if unknown:
        raise TypeError(f"a job's {', '.join(sorted(unknown))} cannot be changed")
    columns: dict[str, Any] = dict(changes)
    for name, value in changes.items():
        if isinstance(value, StoredRecording | Hosted):
            columns[name] = asdict(value)
    if "hosted" in changes:
        hosted = changes["hosted"]
        columns["file_name"] = hosted.file_name if isinstance(hosted, Hosted) else None
    return columns


def plain(text: str | None) -> str | None:
    """A text that every database takes: file names may hold bytes that are no UTF-8, and PostgreSQL refuses NUL."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _value(kind: type[V], data: Mapping[str, Any]) -> V:
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in data.items() if name in known})
