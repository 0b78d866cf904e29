"""What a backfill would do: every recording inspected, nothing changed."""

from __future__ import annotations

import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.audio import inspect
from pipeline.audio.room import Inspection
from pipeline.errors import MemolineError, PartUnreachable
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Request
from pipeline.sending.forecast import Pace, last_sent_at
from workers.backfill import looked_at, reported
from workers.doors import Desk, job_id_of
from workers.manifest import BadRow, Row
from workers.plan_notes import Notes
from workers.plans import Outlook
from workers.row_requests import content_of
from workers.wishes import Wish


def outlook_of(desk: Desk, row: Row | BadRow, default: Wish) -> tuple[Outlook, str]:
    """What would happen with a row by itself, and the fingerprint of its request. Raises PartUnreachable."""
    found = looked_at(desk, row, default)
    if not isinstance(found, Request):
        told = reported(row, found)
        return Outlook(**{name: getattr(told, name) for name in told.__dataclass_fields__}), ""
    seen = _inspected(desk, found)
    foreseen = seen.foreseen if isinstance(seen, Inspection) else None
    outlook = Outlook(
        line=row.line,
        recording=row.recording,
        status="registered",
        job_id=job_id_of(desk, found),
        chat_id=found.chat_id,
        key=found.key,
        overflow=found.overflow,
        not_before=found.not_before,
        time_zone=found.time_zone,
        size_bytes=found.recording.size_bytes,
        content=content_of(found.recording),
        action=seen.action if isinstance(seen, Inspection) else "reject",
        code=seen.code,
        reason=seen.reason if isinstance(seen, Inspection) else seen.message,
        duration_s=seen.duration_s if isinstance(seen, Inspection) else None,
        memo_bytes=foreseen.memo_bytes if foreseen else 0,
        bitrate_kbps=round(foreseen.bitrate_kbps, 1) if foreseen and foreseen.bitrate_kbps else None,
        keep_s=round(foreseen.keep_s, 1) if foreseen and foreseen.keep_s else None,
        parts=foreseen.parts if foreseen else None,
    )
    return outlook, found.fingerprint


def _inspected(desk: Desk, request: Request) -> Inspection | MemolineError:
    settings = desk.parts.rules.audio_for(request.overflow)
    try:
        if request.recording.uri.startswith("file://"):
            return inspect(request.recording.uri.removeprefix("file://"), settings)
        with tempfile.TemporaryDirectory(prefix="memoline-plan-") as folder:
            copy = Path(folder) / "recording"
            desk.parts.store.fetch(request.recording, copy)
            return inspect(copy, settings)
    except MemolineError as error:
        return error


@dataclass(slots=True)
class Totals:
    """What all rows come to. actions: rows by what would be done with them. made_s: seconds that would be encoded."""

    rows: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    recording_bytes: int = 0
    memo_bytes: int = 0
    memos: int = 0
    made_s: float = 0.0
    not_before: float = 0.0

    def add(self, one: Outlook) -> None:
        """Count a row."""
        self.rows += 1
        self.actions[word_of(one)] += 1
        if one.status != "registered":
            return
        self.recording_bytes += one.size_bytes or 0
        self.memo_bytes += one.memo_bytes or 0
        self.memos += one.parts or 0
        self.not_before = max(self.not_before, one.not_before)
        if one.action == "transcode" and one.duration_s:
            self.made_s += min(one.duration_s, one.keep_s or one.duration_s)


def word_of(one: Outlook) -> str:
    """A row's end in a word: an action, known, duplicate, or the code by which it is not possible."""
    if one.duplicate_of is not None:
        return "duplicate"
    if one.status != "registered":
        return "known" if one.status == "known" else f"not possible ({one.code})"
    if one.action == "transcode" and one.code in ("cut", "split", "fitted"):
        return one.code
    return "cut" if one.code == "shortened" else one.action or ""


def settled_with(
    ledger: SqlLedger,
    notes: Notes,
    batch: Sequence[tuple[Outlook, str] | MemolineError],
    rows: Sequence[Row | BadRow],
) -> list[Outlook]:
    """Rows with what the ledger and the rows before them say: known, a duplicate, a key of other input.

    Raises PartUnreachable, also where that is among the batch."""
    ids = [one[0].job_id for one in batch if isinstance(one, tuple) and one[0].job_id]
    known = ledger.known_jobs([job_id for job_id in ids if job_id])
    chats = [one[0].chat_id for one in batch if isinstance(one, tuple) and one[0].chat_id]
    lines, ahead = ledger.lines_of(sorted({chat for chat in chats if chat})), ledger.open_by_chat(sorted(set(chats)))
    settled = []
    for row, found in zip(rows, batch, strict=True):
        if isinstance(found, PartUnreachable):
            raise found
        if isinstance(found, MemolineError):
            told = reported(row, found)
            settled.append(Outlook(**{name: getattr(told, name) for name in told.__dataclass_fields__}))
            continue
        one, fingerprint = found
        if one.status == "registered":
            one = _among(one, fingerprint, notes, known)
        if one.status == "registered":
            notes.count(one, lines.get(one.chat_id or ""), ahead.get(one.chat_id or "", 0))
        settled.append(one)
    return settled


def _among(one: Outlook, fingerprint: str, notes: Notes, known: Mapping[str, object]) -> Outlook:
    first, same = notes.first(one, fingerprint)
    job = known.get(one.job_id or "")
    same = same and (job is None or one.key is None or getattr(job, "fingerprint", "") == fingerprint)
    nothing = replace(one, action=None, reason=None, code=None, bitrate_kbps=None, keep_s=None, parts=None)
    if not same:
        what = f"Key {one.key!r} belongs to" if one.key else "The same recording and chat are asked for with"
        text = f"{what} another overflow or recording (line {first}, or an earlier job)."
        return replace(nothing, status="reported", code="key-reused", message=text, job_id=None)
    if first < one.line:
        return replace(nothing, status="known", duplicate_of=first)
    return replace(nothing, status="known") if job is not None else one


def summary_of(
    totals: Totals, notes: Notes, *, pace: Pace, now: float, encode_speed: float, cores: int
) -> dict[str, object]:
    """The totals, and when it would end. encode_speed: seconds of sound that one core encodes in a second."""
    encode_s = totals.made_s / encode_speed / max(cores, 1)
    chats, unknown = notes.chats()
    paced_at = last_sent_at(notes.loads(), pace, max(now, 0.0)) if totals.memos else now
    ends_at = max(paced_at, now + encode_s, totals.not_before)
    return {
        "rows": totals.rows,
        "by_end": dict(totals.actions.most_common()),
        "chats": chats,
        "chats_of_unknown_line": unknown if pace.a_day else 0,
        "memos": totals.memos,
        "recording_bytes": totals.recording_bytes,
        "memo_bytes": totals.memo_bytes,
        "encode_s": round(encode_s, 1),
        "sending_s": round(paced_at - now, 1),
        "would_end_at": ends_at,
    }


def measured_speed(folder: Path, convert: Callable[[Path, Path], object], clock: Callable[[], float]) -> float:
    """Seconds of sound that one core encodes in a second here. Two noises are encoded, and their difference counts, so
    that what goes before an encode does not. As AU files, which are never passed through."""
    noise = bytes((n * n * 2_654_435_761 >> 13) & 255 for n in range(32_000))
    took_s = []
    for seconds in (2, 32):
        path = folder / f"{seconds}.au"
        path.write_bytes(b".snd" + struct.pack(">IIIII", 24, seconds * 32_000, 2, 32_000, 1) + noise * seconds)
        begun_s = clock()
        convert(path, folder / f"out-{seconds}")
        took_s.append(clock() - begun_s)
    return 30 / max(took_s[1] - took_s[0], 0.01)
