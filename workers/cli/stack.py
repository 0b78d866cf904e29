"""up, down, status, env, sandbox: the embedded stack."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from workers.cli.options import json_lines
from workers.cli.output import Output

NOT_NEGATIVE = click.FloatRange(min=0)


@click.command()
@json_lines
def up(as_json: bool) -> int:
    """Start the embedded stack and all processes, supervised; return when all are healthy. Safe to call twice."""
    from infra.local import stack
    from pipeline.environment import explicit_values
    from pipeline.settings import load_settings

    out, settings = Output(as_json=as_json), load_settings()
    made = stack.up(explicit_values(), settings.home, on_progress=out.say)
    parts = [_part(part.name, part.pid, part.url, part.state) for part in made.parts]
    verb = "started" if made.started else "already running"
    out.row({"home": str(made.home), "started": made.started, "parts": parts}, f"{verb} in {made.home}")
    return 0


@click.command()
@json_lines
def down(as_json: bool) -> int:
    """Stop exactly what `up` started."""
    from infra.local import stack
    from pipeline.settings import load_settings

    settings = load_settings()
    stopped = stack.down(settings.home)
    text = f"stopped what ran in {settings.home}" if stopped else f"nothing runs in {settings.home}"
    Output(as_json=as_json).row({"home": str(settings.home), "stopped": stopped}, text)
    return 0


@click.command()
@json_lines
def status(as_json: bool) -> int:
    """Say which parts run, where, and how they are."""
    from infra.local import stack
    from pipeline.settings import load_settings

    out = Output(as_json=as_json)
    parts = [_part(part.name, part.pid, part.url, part.state) for part in stack.status(load_settings().home)]
    if as_json:
        out.row({"parts": parts}, "")
        return 0
    out.table(parts, ("name", "state", "pid", "url"))
    return 0


@click.command()
@json_lines
def env(as_json: bool) -> int:
    """Print the running stack's settings, for `eval "$(memoline env)"`."""
    from infra.local import stack
    from pipeline.environment import explicit_values
    from pipeline.settings import load_settings

    values = stack.environment(load_settings().home, explicit_values())
    lines = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(values.items()))
    Output(as_json=as_json).row(values, lines)
    return 0


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=4010, show_default=True, help="0 chooses a free one.")
@click.option(
    "--api-key-env", metavar="NAME", default="LINQ_API_V3_API_KEY", show_default=True,
    help="Holds the key to accept; without it: sandbox-key.",
)  # fmt: skip
@click.option("--ca-bundle", type=click.Path(path_type=Path), help="A further CA for fetching memos.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep messages over restarts.")
@click.option("--seed", type=int, default=0, show_default=True, help="For faults that come by chance.")
@click.option("--strict-chats", is_flag=True, help="Know only chats that were created.")
@click.option("--delivery-delay-s", type=NOT_NEGATIVE, default=0.2, show_default=True, help="Until a memo arrives.")
@click.option("--webhook-retry-s", type=NOT_NEGATIVE, default=1.0, show_default=True, help="Before the second try.")
@json_lines
def sandbox(
    port: int,
    api_key_env: str,
    ca_bundle: Path | None,
    data_dir: Path | None,
    seed: int,
    strict_chats: bool,
    delivery_delay_s: float,
    webhook_retry_s: float,
    as_json: bool,
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
