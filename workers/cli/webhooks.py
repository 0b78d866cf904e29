"""webhooks: Linq's reports of what was delivered; the subscription by which they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.errors import PartUnreachable
from workers.cli.options import json_lines
from workers.cli.output import Output

if TYPE_CHECKING:
    from pipeline.sending.subscriptions import Subscription
    from workers.webhooks import Made

url_option = click.option("--url", metavar="URL", help="Of the receiver, where there are subscriptions for several.")
show_secret = click.option(
    "--show-secret", is_flag=True, help="Print the new signing secret, once, for the other hosts that run `serve`."
)


@click.group()
def webhooks() -> None:
    """Make, check, rotate and remove the webhook subscription at Linq."""


@webhooks.command()
@click.option("--url", required=True, metavar="URL", help="Where Linq reaches `memoline serve`: https://your.host")
@click.option(
    "--line",
    "lines",
    multiple=True,
    metavar="NUMBER",
    help="Only events of this line of yours; repeatable. Without it, one that is there already keeps its lines.",
)
@show_secret
@json_lines
def create(url: str, lines: tuple[str, ...], show_secret: bool, as_json: bool) -> int:
    """Subscribe to all events that count. One that is there already is mended. The signing secret is kept in
    MEMOLINE_HOME, readable by its owner only, where `serve` finds it without a restart.

    Example: memoline webhooks create --url https://memos.example.org
    """
    from pipeline.settings import load_settings
    from workers import webhooks as work

    made = work.create(load_settings(), url, lines)
    verb = "made" if made.new else "there already"
    _say(Output(as_json=as_json), made, verb, show_secret)
    return 0


@webhooks.command("list")
@json_lines
def list_all(as_json: bool) -> int:
    """List the account's subscriptions."""
    from pipeline.settings import load_settings
    from workers import webhooks as work

    out, settings = Output(as_json=as_json), load_settings()
    found = work.open_subscriptions(settings).all()
    own = {one.id for one in work.ours(settings, found)}
    rows = [_row(one) | {"ours": one.id in own} for one in found]
    out.table(rows, ("subscription_id", "active", "ours", "target_url"))
    return 0


@webhooks.command()
@url_option
@json_lines
def check(url: str | None, as_json: bool) -> int:
    """Look at the subscription from both ends: its target and events at Linq, a signed test of the receiver, the
    clocks. Exit status 4 where something is wrong."""
    from pipeline.settings import load_settings
    from workers.webhook_check import check as look

    out, status = Output(as_json=as_json), 0
    for one in look(load_settings(), url):
        row = {"check": one.check, "level": one.level, "message": one.message}
        out.row(row, f"{one.level:<5} {one.check:<16} {one.message}")
        status = max(status, PartUnreachable.exit_status if one.level == "fail" else 0)
    return status


@webhooks.command()
@url_option
@show_secret
@json_lines
def rotate(url: str | None, show_secret: bool, as_json: bool) -> int:
    """Replace the subscription by one with a new signing secret; nothing is lost meanwhile. The old one goes once the
    receiver takes the new secret; until then both stay, and the command can be given again."""
    from pipeline.settings import load_settings
    from workers import webhooks as work

    _say(Output(as_json=as_json), work.rotate(load_settings(), url), "made", show_secret)
    return 0


@webhooks.command()
@click.argument("subscription_id", metavar="[ID]", required=False)
@url_option
@json_lines
def remove(subscription_id: str | None, url: str | None, as_json: bool) -> int:
    """Remove a subscription: the one with this id, or Memoline's own. Polling still finds out what was delivered."""
    from pipeline.settings import load_settings
    from workers import webhooks as work

    out = Output(as_json=as_json)
    for one in work.remove(load_settings(), subscription_id, url):
        out.row(_row(one) | {"removed": True}, f"removed {one.id}, which led to {one.target_url}")
    return 0


def _say(out: Output, made: Made, verb: str, show: bool) -> None:
    row = _row(made.subscription) | {"new": made.new, "removed": list(made.removed), "secret_file": made.secret_file}
    lines = [f"subscription {made.subscription.id} {verb}: {made.subscription.target_url}"]
    lines += [f"replaced {one}" for one in made.removed]
    if made.secret_file:
        lines.append(f"its signing secret is kept in {made.secret_file}")
    if show and made.secret:
        row["signing_secret"] = made.secret
        lines.append(f"LINQ_WEBHOOK_SECRET={made.secret}")
    out.row(row, "\n".join(lines))


def _row(one: Subscription) -> dict[str, object]:
    return {
        "subscription_id": one.id,
        "target_url": one.target_url,
        "active": one.active,
        "events": list(one.events),
        "lines": list(one.lines),
        "created_at": one.created_at,
    }
