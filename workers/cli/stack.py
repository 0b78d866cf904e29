"""up, down, status, env, sandbox: the embedded stack."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.options import Json
from workers.cli.output import Output


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (up, down, status, env, sandbox):
        app.command()(command)


def up(as_json: Json = False) -> int:
    """Start the embedded stack and all processes, supervised; return when all are healthy. Safe to call twice."""
    from infra.local import stack
    from pipeline.settings import explicit_values, load_settings

    out, settings = Output(as_json=as_json), load_settings()
    made = stack.up(explicit_values(), settings.home, on_progress=out.say)
    parts = [_part(part.name, part.pid, part.url, part.state) for part in made.parts]
    verb = "started" if made.started else "already running"
    out.row({"home": str(made.home), "started": made.started, "parts": parts}, f"{verb} in {made.home}")
    return 0


def down(as_json: Json = False) -> int:
    """Stop exactly what `up` started."""
    from infra.local import stack
    from pipeline.settings import load_settings

    settings = load_settings()
    stopped = stack.down(settings.home)
    text = f"stopped what ran in {settings.home}" if stopped else f"nothing runs in {settings.home}"
    Output(as_json=as_json).row({"home": str(settings.home), "stopped": stopped}, text)
    return 0


def status(as_json: Json = False) -> int:
    """Say which parts run, where, and how they are."""
    from infra.local import stack
    from pipeline.settings import load_settings

    out = Output(as_json=as_json)
    parts = [_part(part.name, part.pid, part.url, part.state) for part in stack.status(load_settings().home)]
    if as_json:
        out.row({"parts": parts}, "")
    else:
        out.table(parts, ("name", "state", "pid", "url"))
    return 0


def env(as_json: Json = False) -> int:
    """Print the running stack's settings, for `eval "$(memoline env)"`."""
    from infra.local import stack
    from pipeline.settings import explicit_values, load_settings

    values = stack.environment(load_settings().home, explicit_values())
    lines = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(values.items()))
    Output(as_json=as_json).row(values, lines)
    return 0


def sandbox(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 chooses a free one.")] = 4010,
    api_key_env: Annotated[
        str, typer.Option("--api-key-env", metavar="NAME", help="Holds the key to accept; without it: sandbox-key.")
    ] = "LINQ_API_V3_API_KEY",
    ca_bundle: Annotated[Path | None, typer.Option("--ca-bundle", help="A further CA for fetching memos.")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Keep messages over restarts.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="For faults that come by chance.")] = 0,
    strict_chats: Annotated[bool, typer.Option("--strict-chats", help="Know only chats that were created.")] = False,
    delivery_delay_s: Annotated[float, typer.Option("--delivery-delay-s", min=0, help="Until a memo arrives.")] = 0.2,
    webhook_retry_s: Annotated[float, typer.Option("--webhook-retry-s", min=0, help="Before the second try.")] = 1.0,
    as_json: Json = False,
) -> int:
    """Run the Linq sandbox alone: a server that behaves as the Partner API v3 does. docs/linq-sandbox.md tells more."""
    import os

    from infra.local.sandbox import SandboxConfig, run

    out = Output(as_json=as_json)
    given = os.environ.get(api_key_env)
    config = SandboxConfig(
        port=port,
        api_key=given or "sandbox-key",
        ca_bundle=ca_bundle,
        data_dir=data_dir,
        seed=seed,
        strict_chats=strict_chats,
        delivery_delay_s=delivery_delay_s,
        webhook_retry_s=webhook_retry_s,
    )
    whose = f"that of {api_key_env}" if given else "`sandbox-key`"
    text = "the Linq sandbox listens at {}; the only API key that it takes is {}"
    run(config, on_ready=lambda url: out.row({"base_url": url}, text.format(url, whose)))
    return 0


def _part(name: str, pid: int | None, url: str | None, state: str) -> dict[str, object]:
    return {"name": name, "pid": pid, "url": url, "state": state}
