"""The `memoline` command. Slow libraries are imported by the commands that need them."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    # As Ctrl-C does: what a command has begun in a folder is removed. Processes that stay set their own.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _end)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    from workers.cli.guard import run

    sys.exit(run(sys.argv[1:]))


def _end(number: int, _: object) -> None:
    _only_once()
    sys.exit(128 + number)


def _interrupt(number: int, _: object) -> None:  # noqa: ARG001
    _only_once()
    raise KeyboardInterrupt


def _only_once() -> None:
    """A second Ctrl-C must not stop the cleaning up after the first."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
