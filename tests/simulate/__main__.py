"""`make simulate`: runs from SEED on, STEPS steps in all. The first broken promise ends it and prints its seed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import count

from tests.conftest import pytest_configure
from tests.simulate.auditor import Broken
from tests.simulate.run import Report, play


def main() -> int:
    """Exit status 1 where a promise was broken."""
    pytest_configure()
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--steps", type=int, default=1_000_000, help="in all; 0 plays the one seed")
    asked = parser.parse_args()
    begun_s, steps, done = time.monotonic(), 0, 0
    moves: Counter[str] = Counter()
    states: Counter[str] = Counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        seeds = count(asked.seed)
        while True:
            batch = [next(seeds) for _ in range(16 if asked.steps else 1)]
            for result in pool.map(_played, batch):
                if isinstance(result, str):
                    print(result)
                    return 1
                steps, done = steps + result.steps, done + 1
                moves += result.moves
                states += result.states
            print(f"{done} runs, {steps} steps, {time.monotonic() - begun_s:.0f} s", file=sys.stderr)
            if steps >= asked.steps:
                break
    print(f"seeds {asked.seed} to {asked.seed + done - 1}: {steps} steps, no promise broken")
    print("ends:  " + ", ".join(f"{state} {number}" for state, number in states.most_common()))
    print("moves: " + ", ".join(f"{move} {number}" for move, number in moves.most_common()))
    return 0


def _played(seed: int) -> Report | str:
    try:
        return play(seed)
    except Broken as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main())
