"""The `memoline` command. Slow libraries are imported by the commands that need them."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    # As Ctrl-C does: what a command has begun in a folder is removed. Processes that stay set their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from workers.cli.guard import run

    sys.exit(run(sys.argv[1:]))
