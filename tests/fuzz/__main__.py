"""python -m tests.fuzz [--seed N] [--cases N] [--first N] [--jobs N]: see `make fuzz`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.batch import run


def main() -> int:
    """Print findings as they come, and one line at the end. Exit status 1 where there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    verdicts: Counter[str] = Counter()
    bad, slowest, started = 0, 0.0, time.monotonic()
    for outcome in run(given.seed, given.cases, given.first, given.jobs):
        verdicts[outcome.verdict] += 1
        slowest = max(slowest, outcome.seconds)
        if outcome.findings:
            bad += 1
            kept = Path(tempfile.gettempdir(), f"memoline-fuzz-{given.seed}-{outcome.number}.bin")
            kept.write_bytes(outcome.data)
            print(
                f"case {outcome.number} ({', '.join(outcome.forgers)}; kept as {kept}):", *outcome.findings, sep="\n  "
            )
        if sum(verdicts.values()) % 500 == 0:
            print(
                f"{sum(verdicts.values())} cases, {bad} with findings, {time.monotonic() - started:.0f} s", flush=True
            )
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    print(f"seed {given.seed}: {sum(verdicts.values())} cases, {bad} with findings, slowest {slowest:.1f} s; {told}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
