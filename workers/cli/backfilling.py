"""The backfill command's way from arguments to rows."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pipeline.errors import MemolineError
from pipeline.model import Job
from pipeline.settings import load_settings
from workers.backfill import RowReport, run_backfill
from workers.cli.output import Output, shown
from workers.cli.waiting import ended, need_running, wait_for
from workers.doors import open_desk
from workers.hints import open_hints
from workers.wishes import check_chat_id


def run(source: str, chat: str | None, *, dry_run: bool, wait: bool, as_json: bool, by: str) -> int:
    """Register every row; returns the exit status, the highest of all rows."""
    out, settings = Output(as_json=as_json), load_settings()
    chat_id = check_chat_id(chat) if chat else None
    desk = open_desk(settings, by)
    hints = open_hints(settings.broker_url)
    registered: list[Job] = []

    def on_row(row: RowReport) -> None:
        fields = {
            "line": row.line,
            "recording": row.recording,
            "status": row.status,
            "job_id": row.job_id,
            "code": row.code,
            "message": row.message,
        }
        name = row.recording or f"line {row.line}"
        out.row(fields, shown(f"{name}: {_words(row, dry_run)} {row.job_id or row.message or ''}".rstrip()))
        if row.job_id and not dry_run:
            job = desk.parts.ledger.get(row.job_id)
            registered.append(job)
            hints.wake(job)

    if not as_json and not dry_run and sys.stdin.isatty() and sys.stdout.isatty():
        preview = run_backfill(desk, source, chat_id=chat_id, dry_run=True, on_row=lambda _: None)
        if not _confirmed(preview.registered, source):
            return 0
    report = run_backfill(desk, source, chat_id=chat_id, dry_run=dry_run, on_row=on_row)
    would = "would be " if dry_run else ""
    out.say(f"{report.registered} {would}registered, {report.known} known, {report.reported} not possible")
    status = 1 if report.reported else 0
    if not wait or dry_run:
        return status
    if registered:
        need_running(settings, registered[0])
    for job in registered:
        status = max(status, _waited(desk.parts.ledger.get, job, out))
    return status


def _words(row: RowReport, dry_run: bool) -> str:
    if row.status == "reported":
        return "not possible."
    return "would be registered as" if dry_run and row.status == "registered" else row.status


def _waited(get: Callable[[str], Job], job: Job, out: Output) -> int:
    try:
        job, status = wait_for(get, job, out, timeout_s=86_400)
    except MemolineError as error:
        out.error(error)
        return error.exit_status
    if status:
        out.say(f"{job.source}: {ended(job)}")
    return status


def _confirmed(count: int, source: str) -> bool:
    import click

    return click.confirm(f"Register {count} recordings of {source}?", default=True, err=True)
