"""The backfill command's way from arguments to rows."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from pipeline.backfills import HELD_BACK, MaxFailures
from pipeline.ledger.states import OPEN
from pipeline.model import State
from pipeline.sending.quiet import zone_of
from pipeline.settings import Settings, load_settings
from workers.backfill import BackfillReport, Order, RowReport, ledger_of, run_backfill
from workers.cli.output import Output, shown
from workers.cli.waiting import AFTER_SENT_S, LOOK_EVERY_S, need_running
from workers.doors import Desk, open_desk
from workers.hints import open_hints
from workers.manifest import BadRow, Row
from workers.plans import read_plan
from workers.sources import column_names, rows_of
from workers.wishes import Wish, check_chat_id

_BAD_ENDS = {"REJECTED": 3, "FAILED": 1, "CANCELLED": 1, "ERASED": 1, "HELD": 5}


def ordered(
    source: str,
    chat: str | None,
    time_zone: str | None,
    columns: tuple[str, ...],
    max_failures: str | None,
    *,
    by_plan: bool,
) -> Order:
    """What the options ask for. Raises Misuse."""
    if max_failures is not None:
        MaxFailures.parse(max_failures)
    default = Wish(
        chat_id=check_chat_id(chat) if chat else None,
        time_zone=zone_of(time_zone).key if time_zone else None,
        lane="backfill",
    )
    names = column_names(columns)
    return Order(source=source, default=default, names=names, max_failures=max_failures, by_plan=by_plan)


def run(order: Order, *, wait: bool, as_json: bool, by: str) -> int:
    """Register every row; returns the exit status, the highest of all rows."""
    out, settings = Output(as_json=as_json), load_settings()
    desk, hints = open_desk(settings, by), open_hints(settings.broker_url)
    if not as_json and sys.stdin.isatty() and sys.stdout.isatty() and not _confirmed(desk, order):
        return 0
    report = run_backfill(desk, order, _rows(desk, order), on_row=lambda row: _told(out, row), on_jobs=hints.wake_some)
    one = report.backfill_id
    out.say(f"{report.registered} registered, {report.known} known, {report.reported} not possible: backfill {one}")
    status = 1 if report.reported else 0
    return max(status, _waited(desk, report, settings, out)) if wait else status


def _rows(desk: Desk, order: Order) -> Iterable[Row | BadRow]:
    return read_plan(order.source, desk.settings.audio) if order.by_plan else rows_of(desk, order.source, order.names)


def _told(out: Output, row: RowReport) -> None:
    fields = {
        "line": row.line,
        "recording": row.recording,
        "status": row.status,
        "job_id": row.job_id,
        "code": row.code,
        "message": row.message,
        "duplicate_of": row.duplicate_of,
    }
    name = row.recording or f"line {row.line}"
    what = f"not possible. {row.message}" if row.status == "reported" else f"{row.status} {row.job_id}"
    twice = f", as line {row.duplicate_of}" if row.duplicate_of else ""
    out.row(fields, shown(f"{row.line}: {name}: {what}{twice}"))


def _confirmed(desk: Desk, order: Order) -> bool:
    """Ask, after a first reading that looks at no recording."""
    import click

    rows = bad = 0
    for row in _rows(desk, order):
        rows, bad = rows + 1, bad + isinstance(row, BadRow)
    wrong = f", {bad} of them not possible," if bad else ""
    hint = "" if order.by_plan else " (--dry-run says what would happen to each)"
    return click.confirm(f"Register {rows} rows{wrong} of {order.source}?{hint}", default=True, err=True)


def _waited(desk: Desk, report: BackfillReport, settings: Settings, out: Output) -> int:
    """Wait until no job of a row goes on; what did not arrive is told, and counts for the status."""
    import time

    ledger, one = ledger_of(desk), report.backfill_id or ""
    first = next((row for row in ledger.row_ends(one) if row.job_id), None)
    if first is None:
        return 0
    need_running(settings, ledger.get(first.job_id or ""))
    said = -1
    while left := ledger.rows_in(one, *OPEN):
        if left != said:
            out.say(f"{left} rows are open")
            said = left
        if (now := ledger.backfill(one)).state in HELD_BACK:
            out.say(f"Backfill {one} is {now.state}: {left} rows wait.")
            return 1
        time.sleep(LOOK_EVERY_S)
    ends_s = time.monotonic() + AFTER_SENT_S
    while time.monotonic() < ends_s and ledger.rows_in(one, State.SENT):
        time.sleep(LOOK_EVERY_S)
    status = 0
    for row in ledger.row_ends(one):
        if row.state in _BAD_ENDS:
            out.say(f"{row.line}: {row.recording}: {row.job_id} {row.state} {row.message or ''}".rstrip())
            status = max(status, _BAD_ENDS[row.state])
    return status
