"""failed, refused, retry, pauses: what did not go, why, and how to start it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.errors import JobFailed, Misuse, NotNow
from pipeline.model import Job, State
from workers.cli import options
from workers.cli.jobs import by, decide
from workers.cli.output import Output

if TYPE_CHECKING:
    from pipeline.ledger.ledger import SqlLedger
    from pipeline.model import Reason

DEAD = (State.HELD, State.FAILED, State.REJECTED)
_COLUMNS = ("jobs", "state", "code", "last_at", "do", "example")
_MATCHING = "matching"


@click.command()
@options.json_lines
def failed(as_json: bool) -> int:
    """Show what did not go, or waits for a person, grouped by its reason; and what can be done about each.

    `memoline jobs --code CODE` lists the jobs of one. Example: memoline failed
    """
    from workers.views import iso

    rows = [
        {
            "state": reason.state,
            "code": reason.code,
            "jobs": reason.jobs,
            "never_taken": reason.never_taken,
            "first_at": iso(reason.first_at),
            "last_at": iso(reason.last_at),
            "do": _to_do(reason),
            "example": reason.example,
        }
        for reason in _ledger().reasons(DEAD)
    ]
    Output(as_json=as_json).table(rows, _COLUMNS)
    return 0


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@options.json_lines
def refused(limit: int, as_json: bool) -> int:
    """Show calls of the Celery task memoline.send_voice_memo that could not become a job, the newest first. They are
    kept for 30 days.

    Example: memoline refused
    """
    from pipeline.settings import load_settings
    from workers.views import refusal_json
    from workers.wiring import open_refusals

    rows = [refusal_json(refusal) for refusal in open_refusals(load_settings()).latest(limit)]
    Output(as_json=as_json).table(rows, ("at", "key", "recording", "code", "message"))
    return 0


@click.command()
@click.argument("job_id", metavar="[JOB]", required=False)
@click.option("--code", metavar="CODE", help="With --all: the jobs with this code.")
@click.option("--all", "every", is_flag=True, help="All that have the code.")
@click.option("--chat", metavar="ID", help="With --all: only of this chat.")
@options.overflow
@options.json_lines
def retry(
    job_id: str | None, code: str | None, every: bool, chat: str | None, overflow: str | None, as_json: bool
) -> int:
    """Try a REJECTED job, or a FAILED one that Linq never took, from the beginning: with the settings of now, another
    --overflow if you like, and a new name for its memo. Of one that goes in parts, what is missing.

    Example: memoline retry --code cdn-unreachable --all
    """
    from pipeline import decisions
    from workers.wishes import check_chat_id, check_overflow

    how = check_overflow(overflow)
    if job_id is not None and not every and code is None and chat is None:
        return decide(job_id, as_json, lambda parts, job: decisions.retry(parts, job, overflow=how))
    if job_id is not None or not every or code is None:
        raise Misuse("usage", "Say either JOB, or --code CODE and --all: `memoline failed` shows the codes.")
    of_chat = chat and check_chat_id(chat)
    found = _ledger().jobs(states=(State.FAILED, State.REJECTED), code=code, chat_id=of_chat, parts=False)
    return _retry_all(found, Output(as_json=as_json), overflow)


@click.command()
@click.option("--lift", metavar="SCOPE", help="End this one now, e.g. linq, line:+15550100 or matching.")
@options.json_lines
def pauses(lift: str | None, as_json: bool) -> int:
    """Show who waits and why: a chat (chat:ID), a line of yours (line:NUMBER), everybody (linq); and `matching`, where
    Linq was seen to rename files, so that lost sends are not looked for any more.

    Example: memoline pauses --lift line:+15550100
    """
    import time

    from pipeline.settling import MATCHING_OFF
    from workers.views import iso

    ledger, out = _ledger(), Output(as_json=as_json)
    if lift is not None:
        there = ledger.drop_flag(MATCHING_OFF) if lift == _MATCHING else ledger.lift(lift)
        if not there:
            raise JobFailed("no-such-pause", f"There is no pause {lift!r}: `memoline pauses` lists them.", scope=lift)
        out.row({"scope": lift, "lifted": True}, f"{lift} lifted")
        return 0
    rows: list[dict[str, object]] = [
        {"scope": pause.scope, "until": iso(pause.until), "why": pause.why} for pause in ledger.pauses(time.time())
    ]
    if seen := ledger.flag(MATCHING_OFF):
        rows.append({"scope": _MATCHING, "until": None, "why": seen})
    out.table(rows, ("scope", "until", "why"))
    return 0


def _retry_all(found: tuple[Job, ...], out: Output, overflow: str | None) -> int:
    from pipeline import decisions
    from pipeline.settings import load_settings
    from workers.hints import open_hints
    from workers.views import told
    from workers.wiring import connect
    from workers.wishes import check_overflow

    settings = load_settings()
    parts, hints, status = connect(settings, by()), open_hints(settings.broker_url), 0
    for job in found:
        try:
            again = decisions.retry(parts, job, overflow=check_overflow(overflow))
        except (NotNow, JobFailed) as error:
            status = error.exit_status
            out.error(error)
            continue
        hints.wake(again)
        out.row(told(parts.ledger, again), f"{again.job_id} {again.state}")
    out.say(f"{len(found)} jobs had it.")
    return status


def _to_do(reason: Reason) -> str:
    if reason.state == State.HELD:
        return "memoline assign JOB --chat ID" if reason.code == "no-chat" else "memoline resolve JOB"
    if reason.code == "resolved-given-up":
        return "memoline resolve JOB --resend, if it did not arrive: Linq may have taken it"
    return f"memoline retry --code {reason.code} --all" if reason.never_taken else "nothing: Linq took them"


def _ledger() -> SqlLedger:
    from pipeline.settings import load_settings
    from workers.wiring import open_ledger

    return open_ledger(load_settings())
