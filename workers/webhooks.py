"""The webhook subscription of this install: made, looked at, rotated, removed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pipeline.errors import JobFailed, Misuse
from pipeline.sending.subscriptions import ROTATION, Subscription, Subscriptions, try_receiver
from pipeline.sending.webhooks import NEEDED_EVENTS, NEW_VERSION, OLD_VERSION
from pipeline.settings import Settings, is_loopback
from workers.webhook_secrets import FILE, KeptSecret, changing, keep, read_kept, retire
from workers.wiring import open_messenger

RECEIVER = "/webhooks/linq"


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What became of a subscription. new: False where it was there already. removed: ids of those that it replaces.
    secret_file: where its secret is kept; None where only the settings know it."""

    subscription: Subscription
    new: bool
    removed: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)
    secret_file: str | None = None


def open_subscriptions(settings: Settings) -> Subscriptions:
    """The account's subscriptions."""
    return Subscriptions(open_messenger(settings))


def create(settings: Settings, url: str, lines: Sequence[str] = ()) -> Made:
    """See to it that a subscription leads to this URL. lines: whose events it gets; where none are named, a new one
    gets those of all, and one that is there already keeps its own.

    Raises Misuse (`bad-url`), JobFailed (`secret-unknown` where there is one whose secret nobody here knows,
    `linq-refused`), PartUnreachable."""
    target, at_linq = target_of(url), open_subscriptions(settings)
    with changing(settings.home):
        found = at_linq.all()
        same = [one for one in found if base_of(one.target_url) == target]
        if same:
            return _already(settings, at_linq, same[-1], lines)
        made, secret = at_linq.create(target, wanted(at_linq), lines)
        return _kept(settings, made, secret)


def rotate(settings: Settings, url: str | None = None) -> Made:
    """Replace the subscription by one with a new secret; called again, it goes on where it could not go on before.

    The old one goes when the receiver is seen to take the new secret, and not before. Raises JobFailed
    (`no-subscription`, `receiver-not-ready`, `linq-refused`), Misuse (`bad-url`, `which-subscription`),
    PartUnreachable."""
    at_linq = open_subscriptions(settings)
    with changing(settings.home):
        old = chosen(ours(settings, at_linq.all()), url)
        known = {one.subscription_id: one for one in read_kept(settings.home) if one.ends_at is None}
        begun = len(old) > 1 and old[-1].id in known
        if begun:
            new = Made(subscription=old[-1], new=True, secret=known[old[-1].id].secret)
            old = old[:-1]
        else:
            events = sorted({*old[-1].events, *wanted(at_linq)})
            target = marked(old[-1].target_url, token_hex(4))
            new = _kept(settings, *at_linq.create(target, events, old[-1].lines))
        need_receiver(settings, new)
        for one in old:
            at_linq.delete(one.id)
        removed = tuple(one.id for one in old)
        retire(settings.home, removed, now=time.time())
    return Made(
        subscription=new.subscription,
        new=True,
        removed=removed,
        secret=new.secret,
        secret_file=str(settings.home / FILE),
    )


def remove(settings: Settings, subscription_id: str | None, url: str | None = None) -> tuple[Subscription, ...]:
    """Remove one subscription by its id, or those of ours. What they signed is taken for a day longer.

    Raises JobFailed (`no-subscription`), Misuse (`which-subscription`), PartUnreachable."""
    at_linq = open_subscriptions(settings)
    with changing(settings.home):
        found = at_linq.all()
        if subscription_id is None:
            gone = chosen(ours(settings, found), url)
        else:
            gone = tuple(one for one in found if one.id == subscription_id)
            if not gone:
                raise JobFailed("no-subscription", f"Linq has no subscription {subscription_id}: see `webhooks list`.")
        for one in gone:
            at_linq.delete(one.id)
        retire(settings.home, [one.id for one in gone], now=time.time())
    return gone


def ours(settings: Settings, found: Sequence[Subscription]) -> tuple[Subscription, ...]:
    """Those that lead to a receiver of Memoline's, or whose secret is kept here."""
    known = {one.subscription_id for one in read_kept(settings.home)}
    return tuple(one for one in found if one.id in known or urlsplit(one.target_url).path.endswith(RECEIVER))


def chosen(found: Sequence[Subscription], url: str | None) -> tuple[Subscription, ...]:
    """Those of one receiver, the oldest first. Raises JobFailed (`no-subscription`), Misuse (`which-subscription`)."""
    if url is not None:
        target = target_of(url)
        found = [one for one in found if base_of(one.target_url) == target]
    if not found:
        text = "Linq has no subscription that leads to Memoline: `memoline webhooks create --url URL` makes one."
        raise JobFailed("no-subscription", text)
    targets = sorted({base_of(one.target_url) for one in found})
    if len(targets) > 1:
        text = f"There are subscriptions for {' and '.join(targets)}: say which by --url."
        raise Misuse("which-subscription", text, targets=targets)
    return tuple(found)


def secret_of(settings: Settings, subscription: Subscription) -> str | None:
    """The secret that should be a subscription's: the one that is kept for it, else the one that is set."""
    kept = next((one.secret for one in read_kept(settings.home) if one.subscription_id == subscription.id), None)
    return kept or (settings.webhook_secret.get_secret_value() if settings.webhook_secret else None)


def wanted(at_linq: Subscriptions) -> list[str]:
    """What a subscription of ours asks for, as far as Linq has it."""
    there = at_linq.event_types()
    return [event for event in NEEDED_EVENTS if not there or event in there]


def need_receiver(settings: Settings, made: Made) -> None:
    """Raises JobFailed (`receiver-not-ready`) where the receiver does not take a new secret."""
    tried = try_receiver(made.subscription.target_url, made.secret or "")
    if tried.status == 200 and tried.ours:
        return
    said = f"answers {tried.status}" if tried.status else f"cannot be reached ({tried.why})"
    text = (
        f"The receiver {made.subscription.target_url} {said} to the new secret, so the old subscription stays beside "
        f"the new one. The new secret is in {settings.home / FILE}: let the hosts that run `memoline serve` know it "
        "(LINQ_WEBHOOK_SECRET, the old one as LINQ_WEBHOOK_SECRET_PREVIOUS), then run this command again."
    )
    raise JobFailed("receiver-not-ready", text, subscription_id=made.subscription.id)


def target_of(url: str) -> str:
    """The full target for what a person says: the receiver's path where there is none, and the payload's version.

    Raises Misuse (`bad-url`)."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0 and parts.username is None and not parts.fragment
    except ValueError:
        good = False
    if not good or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))):
        text = f"{url!r} is no URL that Linq can call: give https://your.host (http:// for this machine alone)."
        raise Misuse("bad-url", text)
    path = parts.path if parts.path.strip("/") else RECEIVER
    query = {name: value for name, value in parse_qsl(parts.query) if name != ROTATION}
    if query.get("version") not in (None, OLD_VERSION):
        del query["version"]
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode({"version": NEW_VERSION} | query), ""))


def base_of(target_url: str) -> str:
    """A target without what rotations added; as it is where it is no URL."""
    try:
        return target_of(target_url)
    except Misuse:
        return target_url


def marked(target_url: str, mark: str) -> str:
    """The target of a subscription that replaces one."""
    parts = urlsplit(base_of(target_url))
    return urlunsplit(parts._replace(query=f"{parts.query}&{ROTATION}={mark}"))


def _already(settings: Settings, at_linq: Subscriptions, found: Subscription, lines: Sequence[str]) -> Made:
    if secret_of(settings, found) is None:
        text = (
            f"Subscription {found.id} leads to {found.target_url} already, and its secret is not known here: set "
            "LINQ_WEBHOOK_SECRET, or make a new one by `memoline webhooks rotate`."
        )
        raise JobFailed("secret-unknown", text, subscription_id=found.id)
    missing = [event for event in wanted(at_linq) if event not in found.events]
    others = lines and set(lines) != set(found.lines)
    if missing or others or not found.active:
        found = at_linq.update(found.id, events=[*found.events, *missing], lines=lines or found.lines)
    return Made(subscription=found, new=False)


def _kept(settings: Settings, made: Subscription, secret: str) -> Made:
    path = keep(
        settings.home,
        KeptSecret(subscription_id=made.id, target_url=made.target_url, secret=secret, made_at=time.time()),
    )
    return Made(subscription=made, new=True, secret=secret, secret_file=str(path))
