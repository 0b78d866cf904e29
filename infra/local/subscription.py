"""The webhook subscription at the sandbox, by which our receiver hears of deliveries."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from pipeline.errors import PartUnreachable
from pipeline.sending.subscriptions import ROTATION

PAYLOAD_VERSION = "2026-02-03"
PATH = "/v3/webhook-subscriptions"


def webhook_target(http_host: str, http_port: int) -> str:
    """Where `serve` receives webhooks, as the sandbox reaches it."""
    host = "127.0.0.1" if http_host in ("", "0.0.0.0", "::", "localhost") else http_host  # noqa: S104 -- compared only
    return f"http://{f'[{host}]' if ':' in host else host}:{http_port}/webhooks/linq?version={PAYLOAD_VERSION}"


def subscribe(base_url: str, api_key: str, target: str, known_secret: str) -> str:
    """See to it that a subscription of ours is there, for this target. Returns the signing secret for the settings.

    The secret is told once, at creation: where it was lost, or the receiver moved, the subscription is made anew. Those
    that `memoline webhooks rotate` made stay: their secrets are kept with it, and what they have still to say counts.
    Raises PartUnreachable (`linq-unreachable`)."""
    headers = {"Authorization": f"Bearer {api_key}"}
    try:
        with httpx.Client(base_url=base_url, headers=headers, trust_env=False, timeout=10) as client:
            ours = [one for one in _listed(client) if "/webhooks/linq" in one["target_url"]]
            if known_secret and ours and all(_leads_to(target, one) for one in ours):
                return known_secret
            for one in ours:
                client.delete(f"{PATH}/{one['id']}").raise_for_status()
            return _created(client, target)
    except (httpx.HTTPError, KeyError, ValueError) as error:
        text = f"The Linq sandbox refused the webhook subscription: {error!r}"
        raise PartUnreachable("linq-unreachable", text, part="linq") from None


def _leads_to(target: str, subscription: dict[str, Any]) -> bool:
    """Whether events come by it, under the target as it is or with what a rotation added."""
    url = urlsplit(subscription["target_url"])
    query = urlencode([(name, value) for name, value in parse_qsl(url.query) if name != ROTATION])
    return url._replace(query=query).geturl() == target and bool(subscription.get("is_active", True))


def _listed(client: httpx.Client) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get(PATH).raise_for_status().json()["subscriptions"]
    return listed


def _created(client: httpx.Client, target: str) -> str:
    events = client.get("/v3/webhook-events").raise_for_status().json()["events"]
    wanted = [event for event in events if event.startswith(("message.", "chat.", "phone_number."))]
    body = {"target_url": target, "subscribed_events": wanted}
    return str(client.post(PATH, json=body).raise_for_status().json()["signing_secret"])
