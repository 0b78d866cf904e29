"""erase: forget what is known of somebody."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pipeline.errors import MemolineError, Misuse
from pipeline.model import Job, State
from workers.cli import options
from workers.cli.jobs import by
from workers.cli.output import Output

if TYPE_CHECKING:
    from pipeline.ledger.ledger import SqlLedger
    from pipeline.ports import Parts

_NOT_OURS = {
    "not-ours: file": "The recording {source} is a file of yours: it was not touched.",
    "not-ours: object": "The recording {source} lies in a bucket of yours: it was not touched.",
}


@click.command()
@click.argument("job_id", metavar="[JOB]", required=False)
@click.option("--chat", metavar="ID", help="All jobs of this chat, and what is known of it.")
@click.option("--why", default="", help="Kept in the audit: name nobody.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.json_lines
def erase(job_id: str | None, chat: str | None, why: str, yes: bool, as_json: bool) -> int:
    """Erase a job: every copy of its recording and memo, and all that is personal in the ledger. What is left says that
    it was, so that it is never sent again. What may be on its way is erased once that is known.

    Example: memoline erase 3f9a2c --why "asked for by the customer"
    """
    from pipeline.settings import load_settings
    from workers.wiring import connect, open_ledger
    from workers.wishes import check_chat_id

    if (job_id is None) == (chat is None):
        raise Misuse("usage", "Say either JOB or --chat ID.")
    settings = load_settings()
    ledger, out = open_ledger(settings), Output(as_json=as_json)
    chat_id = check_chat_id(chat) if chat else None
    found = ledger.jobs(chat_id=chat_id) if chat_id else (ledger.get(ledger.resolve_id(job_id or "")),)
    if not yes and not as_json and not _confirmed(found, chat_id):
        out.say("nothing was erased")
        return 1
    parts = connect(settings, by())
    # All wishes first: whatever happens then, the sweeper carries them out.
    wanted = [_wanted(parts, job, why) for job in found]
    status = max((_erased(parts, out, job) for job in wanted), default=0)
    if chat_id is not None:
        _forget(ledger, out, chat_id, why)
    return status


def _wanted(parts: Parts, job: Job, why: str) -> Job:
    from pipeline import erasing

    return erasing.want(parts, job, why)


def _erased(parts: Parts, out: Output, job: Job) -> int:
    """Try at once, and print the job as it is then; 0 also where it is left to the sweeper."""
    from pipeline import erasing
    from workers.views import job_json

    now, source = job, job.source
    try:
        now = erasing.carry_out(parts, job)
    except MemolineError as error:
        out.say(f"{job.job_id}: {error.message} It is noted, and tried again by `memoline sweep`.")
    else:
        if now.state is not State.ERASED:
            out.say(f"{job.job_id} may be on its way: it is erased once that is known.")
    if now.state is State.ERASED and job.state is not State.ERASED:
        for word in parts.ledger.audit(job_id=job.job_id)[-1].removed:  # type: ignore[attr-defined]
            if word in _NOT_OURS:
                out.say(_NOT_OURS[word].format(source=source))
    out.row(job_json(now), f"{now.job_id} {now.state}")
    return 0


def _forget(ledger: SqlLedger, out: Output, chat_id: str, why: str) -> None:
    if ledger.forget_chat(chat_id, by=by(), why=why):
        out.say("Nothing is known of the chat any more, unless it is that they opted out.")
    else:
        out.say("Jobs of the chat are left: call this again once they are erased.")


def _confirmed(found: tuple[Job, ...], chat_id: str | None) -> bool:
    """Asked only on a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    what = f"all {len(found)} jobs of chat {chat_id}" if chat_id else f"job {found[0].job_id} ({found[0].state})"
    return click.confirm(f"Erase {what}, with every copy? It cannot be undone.", default=False, err=True)
