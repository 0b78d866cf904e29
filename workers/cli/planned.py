"""backfill --dry-run: every recording inspected, several at once, with a bar; the totals, and when it would end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

from pipeline.audio import convert
from pipeline.recordings import AudioSettings
from pipeline.sending.forecast import Pace
from pipeline.sending.pacing import for_backfills
from pipeline.settings import load_settings
from workers.backfill import Order, ledger_of
from workers.cli.bar import CountBar
from workers.cli.crew import cores, results
from workers.cli.listing import length, size
from workers.cli.output import Output, shown
from workers.doors import Desk, open_desk
from workers.manifest import BadRow, Row
from workers.plan_notes import Notes
from workers.planning import (
    Totals,
    measured_speed,
    outlook_of,
    settled_with,
    summary_of,
)
from workers.plans import Outlook, PlanFile
from workers.sources import absolute, rows_of
from workers.views import iso

BATCH_ROWS = 500
"""Inspected by one crew: its processes are forked anew for each batch."""


def plan(order: Order, save: str | None, jobs: int | None, *, as_json: bool, by: str) -> int:
    """Say what would happen with each row, and what all come to. Returns 1 where a row is not possible."""
    out, settings = Output(as_json=as_json), load_settings()
    desk, totals = open_desk(settings, by), Totals()
    limit = settings.line_daily_limit
    pace = Pace(a_day=for_backfills(limit) if limit else None, quiet=settings.quiet)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memoline-plan-")))
        notes = stack.enter_context(closing(Notes(folder)))
        rows = iter(rows_of(desk, order.source, order.names))
        first = list(islice(rows, 1))  # a source that cannot be read is told before anything else
        file = stack.enter_context(_saved(save, order, desk)) if save else None
        bar = stack.enter_context(closing(CountBar("inspected", _count(desk, order))))
        for one in _outlooks(desk, order, chain(first, rows), notes, jobs or cores(), bar.draw):
            totals.add(one)
            bar.done()
            if file:
                file.row(one)
            with bar.away():
                out.row(_fields(one), shown(_words(one)))
        # Where nothing is encoded, its speed does not matter.
        speed = _speed(folder, settings.audio) if totals.made_s else 1.0
        told = summary_of(totals, notes, pace=pace, now=time.time(), encode_speed=speed, cores=jobs or cores())
        told["would_end_at"] = iso(_number(told["would_end_at"]))
        if file:
            file.end(told)
    if as_json:
        empty = dict.fromkeys(("line", "job_id", "code", "message"))
        out.row(empty | {"recording": order.source, "status": "summary", "summary": told}, "")
    else:
        _say(out, told)
    return 1 if any(word.startswith("not possible") for word in totals.actions) else 0


def _speed(folder: Path, audio: AudioSettings) -> float:
    return measured_speed(
        folder, lambda path, to: convert(path, to, replace(audio, max_bytes=10_000_000)), time.monotonic
    )


def _say(out: Output, told: Mapping[str, object]) -> None:
    for line in _totals(told):
        out.say(line)


def _saved(save: str, order: Order, desk: Desk) -> PlanFile:
    return PlanFile(Path(save).absolute(), absolute(order.source), desk.settings.audio)


def _outlooks(
    desk: Desk, order: Order, rows: Iterable[Row | BadRow], notes: Notes, at_once: int, draw: Callable[[], None]
) -> Iterator[Outlook]:
    ledger, left = ledger_of(desk), iter(rows)
    # Nothing that this process has open in a database must cross a fork.
    while batch := list(islice(left, BATCH_ROWS)):
        work = results(
            lambda row, _: outlook_of(desk, row, order.default), batch, at_once, lambda _number, _share: draw()
        )
        with closing(work) as done:
            rows_of_batch = iter(batch)
            while group := list(islice(done, 2 * at_once)):
                yield from settled_with(ledger, notes, group, list(islice(rows_of_batch, len(group))))
                notes.close()
                ledger.close()


def _count(desk: Desk, order: Order) -> int | None:
    """How many rows there are: a first reading, which looks at no recording. None where nobody looks at the bar."""
    return sum(1 for _ in rows_of(desk, order.source, order.names)) if CountBar.wanted() else None


def _fields(one: Outlook) -> dict[str, object]:
    fields = asdict(one)
    del fields["content"]
    return fields | {"not_before": iso(one.not_before)}


def _words(one: Outlook) -> str:
    return f"{one.line}: {one.recording or 'the line'}: {_what(one)}"


def _what(one: Outlook) -> str:
    if one.duplicate_of is not None:
        return f"the same as line {one.duplicate_of}"
    if one.status == "known":
        return f"known: job {one.job_id}"
    if one.status == "reported":
        return f"not possible: {one.message} [{one.code}]"
    what = {"pass-through": "passes as it is", "remux": "re-wrapped", "reject": f"would be REJECTED ({one.code}):"}
    said = what.get(one.action or "", f"transcoded at {one.bitrate_kbps:g} kb/s" if one.bitrate_kbps else "transcoded")
    if one.parts and one.parts > 1:
        said += f", split into {one.parts}"
    elif one.keep_s and one.duration_s and one.duration_s - one.keep_s > 0.05:
        said += f", cut: {length(one.duration_s - one.keep_s)} of {length(one.duration_s)} left out"
    return f"{said}. {one.reason}" if one.action != "reject" else f"{said} {one.reason}"


def _totals(told: Mapping[str, object]) -> Iterator[str]:
    ends = told["by_end"]
    assert isinstance(ends, Mapping)  # noqa: S101 (of `summary_of`)
    yield f"{told['rows']} rows: " + (", ".join(f"{count} {word}" for word, count in ends.items()) or "none")
    bytes_in, bytes_out = (int(_number(told[name])) for name in ("recording_bytes", "memo_bytes"))
    yield f"{told['memos']} memos to {told['chats']} chats; {size(bytes_in)} become about {size(bytes_out)}"
    encode, sending = (length(_number(told[name])) for name in ("encode_s", "sending_s"))
    yield f"encoding takes about {encode} on a machine like this, sending {sending}"
    end = told["would_end_at"]
    local = datetime.fromisoformat(str(end)).astimezone() if end else None
    yield f"it would end at {local:%Y-%m-%d %H:%M %z}" if local else "it would end at once"
    if told["chats_of_unknown_line"]:
        yield f"(the line of {told['chats_of_unknown_line']} chats is not known yet: counted as one line)"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
