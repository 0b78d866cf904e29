"""`make chaos`: jobs under faults of every kind, on real processes, beside the naive worker under the same ones.

Ends with a table, and with status 1 where a memo of ours was lost, came twice or out of order, where a state is untrue,
or where more is held for a person than nobody can know."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.chaos.storm import Size, run, table, to_stderr
from tests.chaos.systems import Memoline, Naive
from tests.conftest import pytest_configure
from tests.support import postgres


def main() -> int:
    """Exit status 1 where the promise was broken."""
    pytest_configure()
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chats", type=int, default=20)
    parser.add_argument("--systems", default="sqlite,postgresql,naive", help="which, and in which order")
    asked = parser.parse_args()
    size = Size(jobs=asked.jobs, faults=asked.faults, seed=asked.seed, chats=asked.chats)
    verdicts = []
    with ExitStack() as stack:
        for name in asked.systems.split(","):
            if name == "postgresql" and postgres.binaries() is None:
                to_stderr("postgresql: left out, its server cannot be found (see tests/support/postgres.py)")
                continue
            server = None
            if name == "postgresql":
                server = stack.enter_context(postgres.private_server(postgres.binaries() or Path()))
            make = Naive if name == "naive" else partial(Memoline, database=server)
            verdict = run(make, size, to_stderr)
            verdicts.append((name, verdict))
            to_stderr(f"{name}: " + ", ".join(f"{state} {count}" for state, count in verdict.states.most_common()))
            to_stderr(f"{name}: " + ", ".join(f"{fault} {count}" for fault, count in sorted(verdict.struck.items())))
    print(f"jobs {size.jobs}, chats {size.chats}, faults {size.faults}, seed {size.seed}\n")
    print(table([verdict for _, verdict in verdicts]))
    return 0 if all(verdict.kept for name, verdict in verdicts if name != "naive") else 1


if __name__ == "__main__":
    sys.exit(main())
