"""The `memoline` command. Slow libraries are imported by the commands that need them."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from workers.cli.guard import run

    sys.exit(run(sys.argv[1:]))
