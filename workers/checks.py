"""What `memoline doctor` tries, part by part."""

from __future__ import annotations

import shutil
import subprocess
import time
import wave
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.errors import JobFailed, Misuse, PartUnreachable
from pipeline.settings import Settings
from workers.checkup import Check, Lesser

LITTLE_BYTES = 1_000_000_000
OLDEST_REDIS = (6, 2)
SKEW_WARN_S, SKEW_FAIL_S = 5.0, 60.0
"""Leases and deadlines of one host are read by others; S3 refuses what is signed a quarter of an hour off."""
_NEARLY_FULL = 0.8
_MOST_NAMED = 5


def _ffmpeg(settings: Settings) -> str:
    """It runs, has what is needed, and makes a memo of a sound."""
    from pipeline.audio import convert
    from pipeline.audio.abilities import lacking
    from pipeline.audio.child import find_ffmpeg
    from pipeline.audio.probe import version

    path = find_ffmpeg(settings.ffmpeg)
    told = f"{path}: version {version(path)}"
    try:
        grave, rare = lacking(path)
    except (OSError, subprocess.SubprocessError) as error:
        raise Misuse("no-ffmpeg", f"{path} cannot be run ({error}): correct MEMOLINE_FFMPEG or unset it.") from None
    if grave:
        text = f"{told} lacks {_named(grave)}: unset MEMOLINE_FFMPEG, or name one that has them."
        raise Misuse("ffmpeg-lacks", text)
    with TemporaryDirectory(prefix="memoline-") as folder:
        sound = Path(folder) / "second.wav"
        with wave.open(str(sound), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(1)  # of 8 bits, which no receiver takes as it is
            file.setframerate(8_000)
            file.writeframes(bytes(128 + (n % 20) for n in range(8_000)))
        convert(sound, Path(folder) / "out", replace(settings.audio, overflow="compress"))
    if rare and settings.ffmpeg:
        raise Lesser(f"{told}; it lacks {_named(rare)}: recordings of these kinds are rejected")
    return f"{told}, makes memos"


def _disk(settings: Settings) -> str:
    from workers.wiring import make_home

    free = shutil.disk_usage(make_home(settings.home)).free
    if free < LITTLE_BYTES:
        raise Lesser(f"only {free / 1e9:.1f} GB are free in {settings.home}: make room, or jobs wait with `disk-full`")
    return f"{settings.home} is writable, {free / 1e9:.0f} GB are free"


def _ledger(settings: Settings) -> str:
    from pipeline.ledger.durability import durability
    from pipeline.ledger.engine import shown
    from workers.wiring import open_ledger

    ledger = open_ledger(settings)
    ledger.writable()
    found = durability(ledger.database)
    told = f"{shown(ledger.database.url)}, revision {found.revision}, {found.settings}"
    if found.wrong:
        raise PartUnreachable(
            "ledger-not-durable", f"{told}: {'; '.join(found.wrong)}. Mend that, or sends may be lost."
        )
    jobs = sum(one.jobs for one in ledger.waiting_by_state(time.time()).values())
    return f"{told}; {jobs} jobs are not at their end"


def _broker(settings: Settings) -> str:
    from workers.broker import described

    found = described(settings.need("broker_url"))
    told = f"{found.name} {'.'.join(map(str, found.version))}"
    if found.name == "redis" and found.version < OLDEST_REDIS:
        raise PartUnreachable("redis-too-old", f"{told} is too old: use Redis 6.2 or newer, or Valkey.")
    if found.evicts:
        text = f"{told} throws keys away when full ({found.evicts}), a chat's pace among them: use noeviction"
        raise Lesser(text)
    if found.full > _NEARLY_FULL:
        raise Lesser(f"{told} uses {found.full:.0%} of its memory, and will refuse hints: raise maxmemory")
    if not found.kept:
        raise Lesser(f"{told} forgets all in a restart, a chat's pace among it: set appendonly yes")
    return f"{told} answers, keeps its data, evicts nothing"


def _s3(settings: Settings) -> str:
    from pipeline.hosting.trial import NotRemoved, trial_object
    from workers.wiring import open_s3

    s3 = open_s3(settings)
    s3.ping()
    try:
        with trial_object(s3, settings.cdn_url or ""):
            pass
    except NotRemoved as error:
        raise Lesser(error.message) from None
    return f"bucket {s3.need_bucket()}: put with checksum and condition, read, removed"


def _cdn(settings: Settings) -> str:
    """From here as Linq would: a good certificate, no redirect, the right type, every byte."""
    from pipeline.hosting.check import UrlCheck
    from pipeline.hosting.trial import NotRemoved, trial_object
    from workers.wiring import open_ledger, open_s3, open_store

    url = settings.need("cdn_url")
    UrlCheck(settings.ca_bundle).reach(url)
    store = open_store(settings, open_ledger(settings).install_secret())
    try:
        with trial_object(open_s3(settings), url) as hosted:
            try:
                store.check(hosted)
            except JobFailed as error:
                raise PartUnreachable(error.code, error.message) from None
    except NotRemoved as error:
        raise Lesser(error.message) from None
    return f"{url} shows an object of the bucket, with its type, by TLS and without a redirect"


def _inbox(settings: Settings) -> str:
    """The bucket tells the queue, and what nobody understands is set aside."""
    from pipeline.hosting.inbox_wiring import queues_told
    from workers.wiring import inbox_queue_state, s3_config

    bucket = settings.inbox_bucket
    if bucket is None:
        return "no inbox is set: nothing is dropped"
    queue = inbox_queue_state(settings)
    if queue is None:
        raise Lesser("MEMOLINE_INBOX_QUEUE_URL is not set: what is dropped is found by listing, within a minute")
    try:
        told = queues_told(s3_config(settings), bucket)
    except Misuse as error:
        raise Lesser(f"{error.message} Whether the bucket tells its queue cannot be seen from here.") from None
    if not told:
        text = f"Bucket {bucket!r} tells nobody of new objects: let it send s3:ObjectCreated:* to {queue.arn}."
        raise PartUnreachable("inbox-not-wired", text)
    if queue.arn not in told:
        raise Lesser(f"bucket {bucket!r} tells {', '.join(told)}, not {queue.arn}: see that its events come there")
    if queue.dead_letters is None:
        raise Lesser(f"{queue.arn} has no dead-letter queue: an event that nobody understands stays in it for days")
    if queue.dead_letters:
        raise Lesser(f"{queue.dead_letters} events failed {queue.tries} times: docs/operations.md, `DeadLetters`")
    return f"bucket {bucket} tells its queue ({queue.waiting} wait), which sets aside after {queue.tries} tries"


def _linq(settings: Settings) -> str:
    """The key is taken, and the lines are well. Nothing is sent."""
    from workers.wiring import open_messenger

    lines = open_messenger(settings).lines()
    ill = [f"line {no} of {len(lines)}: {line.health}" for no, line in enumerate(lines, 1) if not line.is_well]
    if not lines:
        raise Lesser(f"{settings.linq_base_url} takes the key, and shows no line: ask Linq for one")
    if ill:
        raise Lesser(f"{settings.linq_base_url} takes the key; {'; '.join(ill)}: send less, ask Linq why")
    return f"{settings.linq_base_url} takes the key; {len(lines)} line{'s' * (len(lines) > 1)} well"


def _clock(settings: Settings) -> str:
    """Ours against those of the ledger, the broker and Linq."""
    from pipeline.errors import MemolineError
    from pipeline.ledger.durability import durability
    from workers.broker import described
    from workers.webhooks import open_subscriptions
    from workers.wiring import open_ledger

    def linqs() -> float | None:
        there = open_subscriptions(settings).clock()
        return None if there is None else there - time.time()

    ways = {
        "the ledger's": lambda: durability(open_ledger(settings).database).skew_s,
        "the broker's": lambda: described(settings.need("broker_url")).skew_s,
        "Linq's": linqs,
    }
    skews: dict[str, float] = {}
    for whose, ask in ways.items():
        try:
            skew_s = ask()
        except MemolineError:  # its own check tells that
            continue
        if skew_s is not None:
            skews[whose] = skew_s
    if not skews:
        return "no other clock can be seen from here"
    whose, skew_s = max(skews.items(), key=lambda one: abs(one[1]))
    if abs(skew_s) <= SKEW_WARN_S:
        return f"within {SKEW_WARN_S:.0f} s of {', '.join(skews)}"
    text = f"{whose} clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} ours: set this host's by NTP"
    if abs(skew_s) > SKEW_FAIL_S:
        raise PartUnreachable("clock-wrong", f"{text}.")
    raise Lesser(text)


def _webhooks(settings: Settings) -> str:
    from workers.webhook_check import check, worst

    found = worst(check(settings))
    if found.level == "warn":
        raise Lesser(found.message)
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
        raise Lesser(f"Linq renames files ({seen}): {text}")
    return "Linq was never seen to rename a file"


def _pauses(settings: Settings) -> str:
    from pipeline.standing import UNAUTHORIZED
    from workers.wiring import open_ledger

    found = open_ledger(settings).pauses(time.time())
    if any(pause.why == UNAUTHORIZED for pause in found):
        text = "Linq does not take the key, so nothing is sent: set LINQ_API_V3_API_KEY and start the workers anew."
        raise Misuse(UNAUTHORIZED, text, setting="LINQ_API_V3_API_KEY")
    if found:
        raise Lesser(f"{len(found)} wait, among them {found[0].scope} ({found[0].why}): `memoline pauses` lists them")
    return "nobody has to wait"


def _containment(_: Settings) -> str:
    from pipeline.audio.cage import lacking
    from pipeline.audio.keeper import dying

    missing = list(lacking())
    if not dying():
        missing.append("it outlives a worker that is killed (setpriv, of util-linux 2.33 or newer, is missing)")
    if missing:
        raise Lesser(f"the decoder is contained less tightly: {'; '.join(missing)}")
    return "the decoder reaches no other file, no network and no other process, and dies with its worker"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


CHECKS: Mapping[str, Check] = {
    "ffmpeg": _ffmpeg,
    "disk": _disk,
    "ledger": _ledger,
    "broker": _broker,
    "s3": _s3,
    "cdn": _cdn,
    "inbox": _inbox,
    "linq": _linq,
    "webhooks": _webhooks,
    "clock": _clock,
    "matching": _matching,
    "pauses": _pauses,
    "containment": _containment,
}
