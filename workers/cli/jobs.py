"""send, jobs, show, cancel, resolve, assign: jobs, as a person handles them."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pipeline.errors import Misuse
from pipeline.model import Job, State
from workers.cli import options
from workers.cli.output import Output

if TYPE_CHECKING:
    from pipeline.ports import Ledger, Parts

_COLUMNS = ("job_id", "state", "chat_id", "source", "code", "url")


@click.command()
@click.argument("file", metavar="FILE")
@options.chat
@options.key
@click.option("--wait", is_flag=True, help="Until the memo was sent, or was not.")
@click.option(
    "--timeout", "timeout_s", type=float, default=600, show_default=True, metavar="S", help="How long --wait waits."
)
@options.overflow
@options.not_before
@click.option(
    "--hold",
    "hold_s",
    type=click.IntRange(0, 31_536_000),
    default=0,
    metavar="S",
    help="Wait so long; until then cancel it.",
)
@options.callback_url
@options.json_lines
def send(
    file: str,
    chat: str,
    key: str | None,
    wait: bool,
    timeout_s: float,
    overflow: str | None,
    not_before: str | None,
    hold_s: int,
    callback_url: str | None,
    as_json: bool,
) -> int:
    """Send a recording, a file or s3://bucket/key, to a chat as a voice memo. Returns once the job is registered: it
    goes on by itself.

    Example: memoline send note.ogg --chat 5e0d0000-0000-4000-8000-000000000001 --wait
    """
    from pipeline.settings import load_settings
    from workers.cli.waiting import ended, need_running, wait_for
    from workers.doors import open_desk, submit
    from workers.hints import open_hints
    from workers.views import iso
    from workers.wishes import wish_of

    out, settings = Output(as_json=as_json), load_settings()
    asked = {"overflow": overflow, "not_before": not_before, "hold_s": hold_s, "callback_url": callback_url}
    wish = wish_of({"chat_id": chat, **asked}, key, now=time.time())
    desk = open_desk(settings, by())
    job = submit(desk, file, wish)
    open_hints(settings.broker_url).wake(job)
    if job.not_before > time.time():
        out.say(f"It is not sent before {iso(job.not_before)}; until then: memoline cancel {job.job_id}")
    if not wait:
        if settings.broker_url is None:
            out.say(f"No stack runs in {settings.home}: the job waits there until `memoline up` starts one.")
        out.row(_brief(desk.parts.ledger, job), f"{job.job_id} {job.state}")
        return 0
    need_running(settings, job)
    job, status = wait_for(desk.parts.ledger.get, job, out, timeout_s=timeout_s)
    out.row(_brief(desk.parts.ledger, job), ended(job))
    return status


@click.command()
@click.option("--state", metavar="STATE", help="Only in this state, or in these, comma-separated.")
@click.option("--chat", metavar="ID", help="Only of this chat.")
@click.option("--code", metavar="CODE", help="Only with this code.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many; all by default.")
@options.json_lines
def jobs(state: str | None, chat: str | None, code: str | None, limit: int | None, as_json: bool) -> int:
    """List jobs, oldest first. A recording that needed several memos is one job, and each of its parts is one.

    Example: memoline jobs --state HELD
    """
    from pipeline.settings import load_settings
    from workers.cli.job_rows import ID_WIDTH, JOBS, cells, says
    from workers.cli.listing import Listing
    from workers.views import told
    from workers.wiring import open_ledger

    ledger = open_ledger(load_settings())
    found = ledger.jobs(states=_states(state), chat_id=chat, code=code, limit=limit)
    out, now = Output(as_json=as_json), time.time()
    listing = Listing("JOB", [job.job_id[:ID_WIDTH] for job in found], JOBS, "")
    for job in found:
        if out.aligned:
            out.row({}, listing.row(job.job_id[:ID_WIDTH], cells(job, now), says(job, now), ""))
        else:
            out.tabs(told(ledger, job), _COLUMNS)
    if out.aligned and not found:
        out.say("no jobs" if state or chat or code else "no jobs yet: `memoline send` makes one")
    return 0


@click.command()
@options.job_id
@options.json_lines
def show(job_id: str, as_json: bool) -> int:
    """Show one job with its timeline.

    Example: memoline show 3f9a2c
    """
    from pipeline.ledger.callbacks import callbacks_of
    from pipeline.settings import load_settings
    from workers.cli.timeline import timeline
    from workers.views import job_with_history, parts_of
    from workers.wiring import open_ledger

    ledger = open_ledger(load_settings())
    job = ledger.get(ledger.resolve_id(job_id))
    history, parts = ledger.history(job.job_id), parts_of(ledger, job)
    callbacks, audit = callbacks_of(ledger, job), ledger.audit(job_id=job.job_id)
    told = timeline(job, history, time.time(), parts=parts, callbacks=callbacks, audit=audit)
    row = job_with_history(job, history, parts=parts, callbacks=callbacks, audit=audit)
    Output(as_json=as_json).row(row, told)
    return 0


@click.command()
@options.job_id
@options.json_lines
def cancel(job_id: str, as_json: bool) -> int:
    """End a job that was not sent yet, or say truthfully that it is too late. Of one that goes in parts, those end that
    were not sent yet."""
    from pipeline import decisions

    return decide(job_id, as_json, decisions.cancel)


@click.command()
@options.job_id
@options.chat
@options.json_lines
def assign(job_id: str, chat: str, as_json: bool) -> int:
    """Give a job that is HELD for want of a chat (no-chat) its chat."""
    from pipeline import decisions
    from workers.wishes import check_chat_id

    chat_id = check_chat_id(chat)
    return decide(job_id, as_json, lambda parts, job: decisions.assign(parts, job, chat_id))


@click.command()
@options.job_id
@click.option("--sent", metavar="MESSAGE_ID", help="It is in the chat.")
@click.option("--resend", is_flag=True, help="It is not in the chat: send it again.")
@click.option("--give-up", is_flag=True, help="Let it be.")
@click.option("--why", default="", help="Kept in the history.")
@options.json_lines
def resolve(job_id: str, sent: str | None, resend: bool, give_up: bool, why: str, as_json: bool) -> int:
    """Decide about a job whose outcome nobody knows (HELD, outcome-unknown), or anew about one that was given up. Look
    into the chat first.

    Example: memoline resolve 3f9a2c --resend --why "asked her, nothing came"
    """
    from pipeline import decisions

    if (sent is not None) + resend + give_up != 1:
        raise Misuse("usage", "Say exactly one of --sent MESSAGE_ID, --resend and --give-up.")
    return decide(
        job_id,
        as_json,
        lambda parts, job: decisions.resolve(parts, job, sent=sent, resend=resend, give_up=give_up, why=why),
    )


def decide(job_id: str, as_json: bool, decision: Callable[[Parts, Job], Job]) -> int:
    """Do what a person decided about one job, and print it as it is then."""
    from pipeline.settings import load_settings
    from workers.hints import open_hints
    from workers.views import told
    from workers.wiring import connect, open_ledger

    settings = load_settings()
    ledger = open_ledger(settings)
    parts = connect(settings, by())
    job = decision(parts, ledger.get(ledger.resolve_id(job_id)))
    open_hints(settings.broker_url).wake(job)
    Output(as_json=as_json).row(told(ledger, job), f"{job.job_id} {job.state}")
    return 0


def _states(text: str | None) -> tuple[State, ...]:
    try:
        return tuple(State(name.strip().upper()) for name in text.split(",")) if text else ()
    except ValueError:
        raise Misuse("bad-state", f"{text!r} is no state: the states are {', '.join(State)}.") from None


def _brief(ledger: Ledger, job: Job) -> dict[str, object]:
    from workers.views import told

    names = ("job_id", "state", "url", "message_id", "code", "message", "parts")
    row = told(ledger, job)
    return {name: row[name] for name in names}


def by() -> str:
    """Who acts, for the history."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"
