"""`python -m infra.local.sandbox`: the sandbox in the foreground. Prints its base URL when it is ready."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pipeline.errors import MemolineError

from . import SandboxConfig, run


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 after a signal, or that of the error."""
    given = _parser().parse_args(argv)
    try:
        config = SandboxConfig(
            host=given.host,
            port=given.port,
            api_key=os.environ.get(given.api_key_env, ""),
            ca_bundle=given.ca_bundle,
            data_dir=given.data_dir,
            seed=given.seed,
            strict_chats=given.strict_chats,
            delivery_delay_s=given.delivery_delay_s,
            webhook_retry_s=given.webhook_retry_s,
        )
        run(config, on_ready=_announce)
    except MemolineError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_status
    return 0


def _announce(base_url: str) -> None:
    sys.stdout.write(f"{base_url}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.local.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--api-key-env", default="LINQ_API_V3_API_KEY", help="variable that holds the token to accept")
    parser.add_argument("--ca-bundle", type=Path, help="PEM of further authorities for fetched and called URLs")
    parser.add_argument("--data-dir", type=Path, help="keep the state here (default: in memory)")
    parser.add_argument("--seed", type=int, default=0, help="order of lists, choice of faults")
    parser.add_argument("--strict-chats", action="store_true", help="only created chats exist")
    parser.add_argument("--delivery-delay-s", type=float, default=0.2)
    parser.add_argument("--webhook-retry-s", type=float, default=1.0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
