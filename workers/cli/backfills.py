"""backfill, backfills: many recordings, planned, run, looked after and reported on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.backfills import BackfillState
from pipeline.errors import Misuse
from workers.cli import options
from workers.cli.jobs import by
from workers.cli.output import Output

if TYPE_CHECKING:
    from pipeline.backfills import Backfill
    from pipeline.ledger.ledger import SqlLedger

backfill_id = click.argument("backfill_id", metavar="BACKFILL")
_COLUMNS = ("backfill_id", "state", "rows", "open", "failures", "created_at", "source")


@click.command()
@click.argument("source", metavar="[SOURCE]", required=False)
@click.option("--chat", metavar="ID", help="For rows that name no chat.")
@click.option("--time-zone", metavar="ZONE", help="Of the persons, for quiet hours, where a row names none.")
@click.option("--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Their name of a column of ours.")
@click.option("--dry-run", is_flag=True, help="Inspect everything, say what would happen and when it would end.")
@click.option("--save-plan", metavar="FILE", type=click.Path(dir_okay=False), help="Keep what --dry-run says.")
@click.option("--plan", metavar="FILE", type=click.Path(dir_okay=False), help="Run a plan as it was shown.")
@click.option("--max-failures", metavar="N|P%", help="Stop it when more rows fail, or a larger share of them.")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), metavar="N", help="Inspect so many at once.")
@click.option("--wait", is_flag=True, help="Until every job has ended.")
@options.json_lines
def backfill(
    source: str | None,
    chat: str | None,
    time_zone: str | None,
    columns: tuple[str, ...],
    dry_run: bool,
    save_plan: str | None,
    plan: str | None,
    max_failures: str | None,
    jobs: int | None,
    wait: bool,
    as_json: bool,
) -> int:
    """Register many recordings: those of a folder, a bucket prefix, or a manifest (.csv with a header, .jsonl).

    Running it twice makes no second job, and one that was broken off goes on where it was.

    Example: memoline backfill manifest.csv --dry-run
    """
    from workers.cli import backfilling

    if (source is None) == (plan is None):
        raise Misuse("usage", "Say either SOURCE or --plan FILE.")
    if plan is not None and (chat or time_zone or columns or dry_run or save_plan):
        raise Misuse(
            "usage", "A plan is run as it was shown: beside --plan, only --max-failures and --wait are options."
        )
    if save_plan and not dry_run:
        raise Misuse("usage", "--save-plan keeps what --dry-run says: say both.")
    order = backfilling.ordered(source or plan or "", chat, time_zone, columns, max_failures, by_plan=plan is not None)
    if dry_run:
        from workers.cli.planned import plan as inspect_all

        return inspect_all(order, save_plan, jobs, as_json=as_json, by=by())
    return backfilling.run(order, wait=wait, as_json=as_json, by=by())


@click.group(invoke_without_command=True)
@options.json_lines
@click.pass_context
def backfills(ctx: click.Context, as_json: bool) -> int | None:
    """List all backfills, oldest first; pause, resume or cancel one, or report on it.

    BACKFILL is its id, or the beginning of it. Example: memoline backfills pause 3f9a
    """
    if ctx.invoked_subcommand is not None:
        return None
    ledger, out = _ledger(), Output(as_json=as_json)
    rows = [_shown(ledger, one) for one in ledger.backfills()]
    out.table([row | {"rows": sum(row["rows"].values())} for row in rows] if not as_json else rows, _COLUMNS)  # type: ignore[attr-defined]
    if out.aligned and not rows:
        out.say("no backfills yet: `memoline backfill SOURCE` makes one")
    return 0


@backfills.command()
@backfill_id
@options.json_lines
def show(backfill_id: str, as_json: bool) -> int:
    """Show one: its rows by what became of them, its jobs by their state, what it was asked for."""
    ledger = _ledger()
    return _tell(ledger, ledger.backfill(backfill_id), as_json)


@backfills.command()
@backfill_id
@options.json_lines
def pause(backfill_id: str, as_json: bool) -> int:
    """Let nothing more of it begin; what is being sent at this moment still is."""
    ledger = _ledger()
    return _tell(ledger, ledger.move_backfill(ledger.backfill(backfill_id), BackfillState.PAUSED), as_json)


@backfills.command()
@backfill_id
@options.json_lines
def resume(backfill_id: str, as_json: bool) -> int:
    """Let one go on that was paused, or stopped by too many failures (their limit holds no more)."""
    from pipeline.settings import load_settings
    from workers.hints import open_hints

    ledger = _ledger()
    one = ledger.resume_backfill(ledger.backfill(backfill_id))
    open_hints(load_settings().broker_url).wake_some(ledger.waiting_of(one.backfill_id, 100))
    if not one.registered_at and not as_json:
        Output(as_json=as_json).say(f"Not all of its rows are registered: run it again ({one.source}).")
    return _tell(ledger, one, as_json)


@backfills.command()
@backfill_id
@options.json_lines
def cancel(backfill_id: str, as_json: bool) -> int:
    """End it: what was not sent yet is CANCELLED."""
    from pipeline.settings import load_settings
    from workers.backfill_care import cancel_jobs
    from workers.wiring import connect

    ledger = _ledger()
    one = ledger.move_backfill(ledger.backfill(backfill_id), BackfillState.CANCELLED, "Cancelled on request.")
    parts = connect(load_settings(), by())
    while cancel_jobs(parts, ledger, one):
        pass
    return _tell(ledger, one, as_json)


@backfills.command()
@backfill_id
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@options.json_lines
def report(backfill_id: str, kind: str, as_json: bool) -> int:
    """Write every row with what became of it, and a summary to stderr.

    Example: memoline backfills report 3f9a > report.csv
    """
    from workers.cli.reporting import write_report

    ledger = _ledger()
    one = ledger.backfill(backfill_id)
    out = Output(as_json=as_json or kind == "json")
    write_report(ledger.row_ends(one.backfill_id), out)
    out.say(_summary(_shown(ledger, one)))
    return 0


def _tell(ledger: SqlLedger, one: Backfill, as_json: bool) -> int:
    fields = _shown(ledger, one)
    Output(as_json=as_json).row(fields, _summary(fields))
    return 0


def _shown(ledger: SqlLedger, one: Backfill) -> dict[str, object]:
    from workers.views import backfill_json

    return backfill_json(one, ledger.counts_of(one.backfill_id))


def _summary(fields: dict[str, object]) -> str:
    from workers.cli.reporting import summary

    return summary(fields)


def _ledger() -> SqlLedger:
    from pipeline.settings import load_settings
    from workers.wiring import open_ledger

    return open_ledger(load_settings())
