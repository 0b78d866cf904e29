"""Whether webhooks work: looked at from both ends, for `memoline webhooks check` and `doctor`."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from pipeline.errors import MemolineError
from pipeline.sending.subscriptions import Subscription, Subscriptions, Tried, try_receiver
from pipeline.sending.webhooks import NEEDED_EVENTS, NEW_VERSION, OLD_VERSION
from pipeline.settings import Settings
from workers.webhooks import base_of, chosen, open_subscriptions, ours, secret_of

Level = Literal["ok", "warn", "fail"]
_WITHOUT_THESE_WE_ONLY_POLL = ("message.delivered", "message.failed")
_SKEW_WARN_S, _SKEW_FAIL_S = 30.0, 240.0
"""Signatures count for five minutes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    level: Level
    message: str


def check(settings: Settings, url: str | None = None) -> tuple[Finding, ...]:
    """Look at the subscription, its receiver and the clocks. Raises PartUnreachable and Misuse where Linq cannot be
    asked."""
    at_linq = open_subscriptions(settings)
    try:
        found = chosen(ours(settings, at_linq.all()), url)
    except MemolineError as error:
        if error.code != "no-subscription":
            raise
        text = f"{error.message} Until then polling finds out what was delivered."
        return (Finding(check="subscription", level="warn", message=text),)
    return (*_subscription(found), *_receiver(settings, found[-1]), _linqs_clock(at_linq))


def worst(findings: tuple[Finding, ...]) -> Finding:
    """The one that matters most."""
    return max(findings, key=lambda one: ("ok", "warn", "fail").index(one.level))


def _subscription(found: tuple[Subscription, ...]) -> Iterator[Finding]:
    newest = found[-1]
    if not newest.active:
        yield Finding(check="subscription", level="fail", message=f"{newest.id} is switched off at Linq")
    elif len(found) > 1:
        text = f"{len(found)} lead to {base_of(newest.target_url)}: `memoline webhooks rotate` ends what was begun"
        yield Finding(check="subscription", level="warn", message=text)
    else:
        yield Finding(check="subscription", level="ok", message=f"{newest.id} leads to {newest.target_url}")
    yield _version(newest)
    yield _events(newest)
    if newest.lines:
        text = f"only of {', '.join(newest.lines)}: what other lines send is found out by polling"
        yield Finding(check="lines", level="warn", message=text)


def _version(subscription: Subscription) -> Finding:
    named = parse_qs(urlsplit(subscription.target_url).query).get("version", [""])[-1]
    if named in (NEW_VERSION, OLD_VERSION):
        return Finding(check="version", level="ok", message=f"payloads of {named}")
    text = f"the target names {named or 'no version'}: `memoline webhooks rotate` makes it anew with {NEW_VERSION}"
    return Finding(check="version", level="warn", message=text)


def _events(subscription: Subscription) -> Finding:
    missing = [event for event in NEEDED_EVENTS if event not in subscription.events]
    if not missing:
        return Finding(check="events", level="ok", message=f"all {len(NEEDED_EVENTS)} that count are subscribed to")
    grave = any(event in _WITHOUT_THESE_WE_ONLY_POLL for event in missing)
    how = f"`memoline webhooks create --url '{base_of(subscription.target_url)}'` adds them"
    text = f"{', '.join(missing)} are missing: {how}"
    return Finding(check="events", level="fail" if grave else "warn", message=text)


def _receiver(settings: Settings, subscription: Subscription) -> Iterator[Finding]:
    secret = secret_of(settings, subscription)
    if secret is None:
        text = "its secret is not known here: set LINQ_WEBHOOK_SECRET, or `memoline webhooks rotate`"
        yield Finding(check="secret", level="fail", message=text)
        return
    tried = try_receiver(subscription.target_url, secret)
    yield _taken(tried)
    if tried.status == 200:
        # One that takes anything is not Memoline's, or lets anybody report.
        stranger = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        yield _refused(try_receiver(subscription.target_url, stranger))
    if tried.skew_s is not None:
        yield _clock("receiver's clock", tried.skew_s)


def _taken(tried: Tried) -> Finding:
    if tried.status == 200 and tried.ours:
        return Finding(check="receiver", level="ok", message="it takes what this secret signed")
    if not tried.status:
        text = f"it cannot be reached from here: {tried.why}"
    elif tried.status == 401:
        text = "it does not take what this secret signed"
    elif tried.status == 503 and tried.ours:
        text = "it knows no secret: let `memoline serve` know it"
    else:
        text = f"it answers {tried.status}: that is not Memoline's receiver, or it cannot work"
    return Finding(check="receiver", level="fail", message=text)


def _refused(tried: Tried) -> Finding:
    if tried.status == 401:
        return Finding(check="signature", level="ok", message="it refuses what another secret signed")
    text = f"it answers {tried.status or tried.why} to what another secret signed, and should refuse it with 401"
    return Finding(check="signature", level="fail", message=text)


def _linqs_clock(at_linq: Subscriptions) -> Finding:
    there = at_linq.clock()
    if there is None:
        return Finding(check="Linq's clock", level="ok", message="Linq does not tell its time")
    return _clock("Linq's clock", there - time.time())


def _clock(name: str, skew_s: float) -> Finding:
    how = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} ours"
    if abs(skew_s) <= _SKEW_WARN_S:
        return Finding(check=name, level="ok", message="as ours, within half a minute")
    text = f"{how}: signatures count for five minutes, so set the clock by NTP"
    return Finding(check=name, level="fail" if abs(skew_s) > _SKEW_FAIL_S else "warn", message=text)
