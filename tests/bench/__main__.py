"""`make bench`: the audio step against bare ffmpeg and naive pydub, and the ledger, as ratios measured in one run.

Rounds are interleaved, so that other load on the machine hits all alike; the least of each is shown. CPU is that of all
processes of a run, memory the most that they held at once. Memoline runs in a warm worker, as it does in use: its
imports are done; probe, plan, encode and proof are in the figures. Absolute figures are this machine's at this
moment."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.bench import audio
from tests.bench.ledger import ledger_table

LENGTHS_S = (5, 60, 600)
LONG_S = (3600,)


def main() -> None:
    """Print the tables, measured without any setting of the machine's. `--long`: sources of 60 minutes alone."""
    for name in [name for name in os.environ if name.startswith(("LINQ_", "AWS_", "MEMOLINE_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="memoline-bench-") as name:
        folder = Path(name)
        if "--long" in sys.argv[1:]:
            audio.table(folder, LONG_S)
            return
        audio.table(folder, LENGTHS_S)
        audio.trim_table(folder)
        audio.inspect_table(folder)
        ledger_table(folder)


if __name__ == "__main__":
    main()
