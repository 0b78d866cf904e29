"""What is remembered of the erased, so that nothing of it comes back: HMACs under the install's secret, which nobody
turns into a key, a message id or a name again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection, delete, select

from pipeline.ledger.tables import reports, tombstones
from pipeline.ledger.upsert import insert_many_new
from pipeline.messages import StatusReport
from pipeline.model import Job


def sign(secret: bytes, kind: str, value: str) -> str:
    """The sign of a value: 64 hex digits."""
    return hmac.new(secret, f"gone:{kind}:{value}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def remember(connection: Connection, secret: bytes, job: Job, file_stems: Iterable[str], *, reported: bool) -> None:
    """Leave the signs of a job that is being erased. file_stems: names, without extension, of its memos; reported:
    whether Linq may still report on it."""
    signs = {sign(secret, "key", job.key)} if job.key is not None else set()
    if reported:
        known = (("message", job.message_id), ("trace", job.trace_id), *(("file", stem) for stem in file_stems))
        signs |= {sign(secret, kind, value) for kind, value in known if value}
    if signs:
        rows = [{"sign": one, "job_id": job.job_id} for one in sorted(signs)]
        insert_many_new(connection, tombstones, rows, tombstones.c.sign)


def owners(connection: Connection, secret: bytes, keys: Iterable[str]) -> Mapping[str, str]:
    """The erased job of each of these idempotency keys that had one."""
    signs = {sign(secret, "key", key): key for key in keys}
    if not signs:
        return {}
    c = tombstones.c
    found = connection.execute(select(c.sign, c.job_id).where(c.sign.in_(signs)))
    return {signs[one]: str(job_id) for one, job_id in found}


def drop_reports(connection: Connection, secret: bytes, kept: Iterable[StatusReport]) -> frozenset[str]:
    """Delete again those of some reports that are about an erased message. Returns their event ids.

    Asked after they were inserted: so an erasing that runs at the same time either sees them or is seen."""
    events: dict[str, set[str]] = {}
    for report in kept:
        for one in _signs_of(secret, report):
            events.setdefault(one, set()).add(str(report.event_id))
    if not events:
        return frozenset()
    found = connection.execute(select(tombstones.c.sign).where(tombstones.c.sign.in_(events))).scalars()
    gone = frozenset().union(*(events[one] for one in found))
    if gone:
        connection.execute(delete(reports).where(reports.c.event_id.in_(gone)))
    return gone


def _signs_of(secret: bytes, report: StatusReport) -> Iterator[str]:
    if report.message_id:
        yield sign(secret, "message", report.message_id)
    if report.trace_id:
        yield sign(secret, "trace", report.trace_id)
    for name in report.file_names:
        yield sign(secret, "file", name.partition(".")[0])
