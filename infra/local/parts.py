"""How each part of the embedded stack is started and seen to be ready. Values only; `supervisor.py` runs them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from infra.local import broker, probes, s3, subscription, tls
from infra.local.blueprint import Blueprint
from infra.local.credentials import load_credentials
from infra.local.status import PARTS

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "audio": ("worker", "audio"),
    "send": ("worker", "send"),
    "watch": ("watch",),
    "sweep": ("sweep",),
    "serve": ("serve",),
}
"""The parts that are Memoline's own processes, and the command that runs each."""

NEEDS: Mapping[str, frozenset[str]] = {
    "audio": frozenset({"broker"}),
    "send": frozenset({"broker"}),
    "sweep": frozenset({"broker"}),
    "watch": frozenset({"s3"}),
    "serve": frozenset({"linq"}),
}
"""What must be ready before a part is started; what it merely uses later is awaited by the part itself."""

LAST_TO_STOP = (("broker", "s3"), ("cdn", "linq"), tuple(COMMANDS))
"""Parts that end together, in the order opposite to stopping."""

Furnish = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSpec:
    """argv; environment: beside the settings that all parts get; ready: may be asked again and again;
    furnish: done once after each start, returns settings that it found out (only `LINQ_WEBHOOK_SECRET`)."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    ready: Callable[[], bool]
    url: str | None = None
    needs: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    furnish: Furnish | None = None


def part_specs(plan: Blueprint, ministack_venv: Path | None = None) -> tuple[PartSpec, ...]:
    """The wanted parts, in the order in which they are listed. Raises PartUnreachable (`part-failed`) where one is not
    installed."""
    makers: dict[str, Callable[[], PartSpec]] = {
        "broker": partial(_broker, plan),
        "s3": partial(_s3, plan, ministack_venv),
        "cdn": partial(_cdn, plan),
        "linq": partial(_linq, plan),
        **{name: partial(_command, plan, name) for name in COMMANDS},
    }
    return tuple(makers[name]() for name in PARTS if name in plan.wanted)


def ready_file(home: Path, part: str) -> Path:
    """What a part without a port writes when it takes work."""
    return home / "run" / f"{part}.ready"


def _broker(plan: Blueprint) -> PartSpec:
    port, password = plan.ports["broker"], plan.credentials.broker_password
    config = broker.write_config(plan.home, port=port, password=password)
    return PartSpec(
        name="broker",
        argv=(str(broker.server_binary()), config.name),
        cwd=config.parent,
        url=f"redis://127.0.0.1:{port}/0",
        ready=partial(broker.answers, port, password),
    )


def _s3(plan: Blueprint, venv: Path | None) -> PartSpec:
    def furnish() -> Mapping[str, str]:
        s3.furnish(plan.s3)
        return {}

    return PartSpec(
        name="s3",
        argv=(str(s3.ministack_python(venv)), "-m", "ministack"),
        cwd=plan.home / "s3",
        url=plan.s3.url,
        ready=partial(probes.http_ok, f"{plan.s3.url}/_ministack/health"),
        environment=s3.server_environment(plan.home, plan.s3),
        furnish=furnish,
    )


def _cdn(plan: Blueprint) -> PartSpec:
    return PartSpec(
        name="cdn",
        argv=(sys.executable, "-m", "infra.local.cdn"),
        cwd=plan.home,
        url=plan.own["MEMOLINE_CDN_URL"],
        ready=partial(probes.tls_answers, plan.ports["cdn"], tls.ca_bundle(plan.home)),
    )


def _linq(plan: Blueprint) -> PartSpec:
    url, key = plan.own["LINQ_API_V3_BASE_URL"], plan.credentials.linq_api_key
    target = subscription.webhook_target(plan.own["MEMOLINE_HTTP_HOST"], plan.ports["serve"])

    def furnish() -> Mapping[str, str]:
        # Read anew: it may have been made since this stack was drawn.
        known = load_credentials(plan.home).webhook_secret
        return {"LINQ_WEBHOOK_SECRET": subscription.subscribe(url, key, target, known)}

    options = ("--port", str(plan.ports["linq"]), "--data-dir", str(plan.home / "linq"))
    trust = ("--ca-bundle", str(tls.ca_bundle(plan.home)))
    return PartSpec(
        name="linq",
        argv=(sys.executable, "-m", "infra.local.sandbox", *options, *trust),
        cwd=plan.home,
        url=url,
        ready=partial(probes.http_ok, f"{url}/healthz"),
        furnish=furnish,
    )


def _command(plan: Blueprint, name: str) -> PartSpec:
    url = f"http://{_url_host(plan.own['MEMOLINE_HTTP_HOST'])}:{plan.ports['serve']}" if name == "serve" else None
    file = ready_file(plan.home, name)
    return PartSpec(
        name=name,
        argv=(sys.executable, "-m", "workers", *COMMANDS[name]),
        cwd=plan.home,
        url=url,
        needs=NEEDS[name] & plan.wanted,
        ready=partial(probes.http_ok, f"{url}/healthz") if url else file.exists,
    )


def _url_host(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- compared only
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
