"""doctor: looks at each real part, and says what is wrong and what to do."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipeline.errors import MemolineError, Misuse, PartUnreachable
from workers.cli.options import json_lines
from workers.cli.output import Output

if TYPE_CHECKING:
    from pipeline.settings import Settings

LITTLE_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One check. level: ok, warn or fail."""

    part: str
    level: str
    message: str
    exit_status: int = 0


@click.command()
@json_lines
def doctor(as_json: bool) -> int:
    """Check every part: settings, ffmpeg, disk, ledger, Redis, S3, CDN, Linq, and what contains the decoder."""
    from pipeline.settings import load_settings
    from workers.cli.listing import Listing

    out, settings = Output(as_json=as_json), load_settings()
    listing = Listing("PART", list(CHECKS), (("LEVEL", 5),), "")
    levels: Counter[str] = Counter()
    status = 0
    for part, check in CHECKS.items():
        found = _run(part, check, settings)
        status = max(status, found.exit_status)
        levels[found.level] += 1
        told = f"{found.level:<5} {found.part:<12} {found.message}"
        fields = {"part": found.part, "level": found.level, "message": found.message}
        out.row(fields, listing.row(part, (found.level,), found.message, told))
    if out.aligned:
        out.say(", ".join(f"{count} {level}" for level, count in levels.items()))
    return status


def _run(part: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(part=part, level="ok", message=check(settings))
    except _Warning as warning:
        return Finding(part=part, level="warn", message=str(warning))
    except Misuse as error:
        status = PartUnreachable.exit_status if error.code == "missing-setting" else error.exit_status
        return Finding(part=part, level="fail", message=error.message, exit_status=status)
    except MemolineError as error:
        return Finding(part=part, level="fail", message=error.message, exit_status=PartUnreachable.exit_status)


class _Warning(Exception):
    """Something lesser is missing."""


def _ffmpeg(settings: Settings) -> str:
    from pipeline.audio.child import find_ffmpeg
    from pipeline.audio.probe import version

    path = find_ffmpeg(settings.ffmpeg)
    return f"{path}: version {version(path)}"


def _disk(settings: Settings) -> str:
    from workers.wiring import make_home

    free = shutil.disk_usage(make_home(settings.home)).free
    if free < LITTLE_BYTES:
        raise _Warning(f"only {free / 1e9:.1f} GB are free in {settings.home}")
    return f"{settings.home} is writable, {free / 1e9:.0f} GB are free"


def _ledger(settings: Settings) -> str:
    from pipeline.ledger.engine import shown
    from workers.wiring import open_ledger

    ledger = open_ledger(settings)
    return f"{sum(ledger.counts().values())} jobs in {shown(ledger.database.url)}"


def _broker(settings: Settings) -> str:
    from workers.broker import ping

    ping(settings.need("broker_url"))
    return "Redis answers"


def _s3(settings: Settings) -> str:
    from workers.wiring import open_s3

    s3 = open_s3(settings)
    s3.ping()
    return f"bucket {s3.need_bucket()} is there"


def _cdn(settings: Settings) -> str:
    from pipeline.hosting.check import UrlCheck

    url = settings.need("cdn_url")
    UrlCheck(settings.ca_bundle).reach(url)
    return f"{url} answers, and its certificate is good"


def _linq(settings: Settings) -> str:
    from workers.wiring import open_messenger

    open_messenger(settings).ping()
    return f"{settings.linq_base_url} answers"


def _webhooks(settings: Settings) -> str:
    from workers.webhook_check import check, worst

    found = worst(check(settings))
    if found.level == "warn":
        raise _Warning(found.message)
    if found.level == "fail":
        text = f"{found.check}: {found.message}; `memoline webhooks check` tells more"
        raise PartUnreachable("webhooks-wrong", text)
    return "the subscription leads to a receiver that takes its signatures"


def _matching(settings: Settings) -> str:
    from pipeline.settling import MATCHING_OFF
    from workers.wiring import open_ledger

    seen = open_ledger(settings).flag(MATCHING_OFF)
    if seen:
        text = "sends whose answer is lost wait for a person (`memoline pauses --lift matching` ends that)"
        raise _Warning(f"Linq renames files ({seen}): {text}")
    return "Linq was never seen to rename a file"


def _pauses(settings: Settings) -> str:
    import time

    from pipeline.standing import UNAUTHORIZED
    from workers.wiring import open_ledger

    found = open_ledger(settings).pauses(time.time())
    if any(pause.why == UNAUTHORIZED for pause in found):
        text = "Linq does not take the key, so nothing is sent: set LINQ_API_V3_API_KEY and start the workers anew."
        raise Misuse(UNAUTHORIZED, text, setting="LINQ_API_V3_API_KEY")
    if found:
        raise _Warning(f"{len(found)} wait, among them {found[0].scope} ({found[0].why}): `memoline pauses` lists them")
    return "nobody has to wait"


def _containment(_: Settings) -> str:
    from pipeline.audio.cage import lacking
    from pipeline.audio.keeper import dying

    missing = list(lacking())
    if not dying():
        missing.append("it outlives a worker that is killed (setpriv, of util-linux 2.33 or newer, is missing)")
    if missing:
        raise _Warning(f"the decoder is contained less tightly: {'; '.join(missing)}")
    return "the decoder reaches no other file, no network and no other process, and dies with its worker"


CHECKS: dict[str, Callable[[Settings], str]] = {
    "ffmpeg": _ffmpeg,
    "disk": _disk,
    "ledger": _ledger,
    "broker": _broker,
    "s3": _s3,
    "cdn": _cdn,
    "linq": _linq,
    "webhooks": _webhooks,
    "matching": _matching,
    "pauses": _pauses,
    "containment": _containment,
}
