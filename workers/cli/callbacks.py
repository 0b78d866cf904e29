"""callbacks: who is told what became of jobs."""

from __future__ import annotations

import click

from workers.cli.options import json_lines
from workers.cli.output import Output


@click.group()
def callbacks() -> None:
    """Callbacks to the programs that gave a callback_url. docs/program.md tells more."""


@callbacks.command("list")
@click.option("--waiting", is_flag=True, help="Only those that were neither taken nor given up.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@json_lines
def list_callbacks(waiting: bool, limit: int, as_json: bool) -> int:
    """Show what was told, and what waits to be, the newest first.

    Example: memoline callbacks list --waiting
    """
    from pipeline.ledger.callbacks import CallbackBook
    from pipeline.settings import load_settings
    from workers.views import callback_json
    from workers.wiring import open_ledger

    found = CallbackBook(open_ledger(load_settings()).database).latest(limit, waiting=waiting)
    rows = [callback_json(callback) for callback in found]
    Output(as_json=as_json).table(rows, ("job_id", "state", "attempts", "outcome", "done_at", "next_at"))
    return 0


@callbacks.command()
@json_lines
def secret(as_json: bool) -> int:
    """Print the secret by which a receiver verifies a callback's signature (Standard Webhooks).

    Example: memoline callbacks secret
    """
    from pipeline.settings import load_settings
    from workers.callbacks import secrets_of
    from workers.wiring import open_ledger

    settings = load_settings()
    first = secrets_of(settings, open_ledger(settings).install_secret())[0]
    Output(as_json=as_json).row({"secret": first}, first)
    return 0
