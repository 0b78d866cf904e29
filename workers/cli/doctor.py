"""doctor: tries each real part as it is used, and says what is wrong and what to do."""

from __future__ import annotations

from collections import Counter

import click

from workers.cli.options import json_lines
from workers.cli.output import Output


@click.command()
@json_lines
def doctor(as_json: bool) -> int:
    """Try every part as it is used: ffmpeg, disk, ledger, Redis, bucket, CDN, inbox, Linq, webhooks, clocks.

    Sends nothing, and leaves nothing behind."""
    from pipeline.settings import load_settings
    from workers.checks import CHECKS
    from workers.checkup import examined
    from workers.cli.listing import Listing

    out, settings = Output(as_json=as_json), load_settings()
    listing = Listing("PART", list(CHECKS), (("LEVEL", 5),), "")
    levels: Counter[str] = Counter()
    status = 0
    for found in examined(CHECKS, settings):
        part = found.part
        status = max(status, found.exit_status)
        levels[found.level] += 1
        told = f"{found.level:<5} {found.part:<12} {found.message}"
        fields = {"part": found.part, "level": found.level, "message": found.message}
        out.row(fields, listing.row(part, (found.level,), found.message, told))
    if out.aligned:
        out.say(", ".join(f"{count} {level}" for level, count in levels.items()))
    return status
