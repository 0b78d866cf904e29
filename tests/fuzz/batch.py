"""Many cases, in processes of their own."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.fuzz.case import Outcome, try_case
from tests.fuzz.seeds import seeds
from tests.fuzz.watch import Canaries

BATCH = 25


def batch(seed: int, first: int, count: int, recordings: Path) -> list[Outcome]:
    """Cases in a process of its own, one after the other."""
    found = seeds(recordings)
    with tempfile.TemporaryDirectory(prefix="memoline-fuzz-") as folder:
        place = Path(folder)
        (place / "tmp").mkdir()
        tempfile.tempdir = str(place / "tmp")
        try:
            with Canaries(place) as canaries:
                return [
                    try_case(seed, number, found, canaries, place / "work") for number in range(first, first + count)
                ]
        finally:
            tempfile.tempdir = None


def run(seed: int, cases: int, first: int, jobs: int) -> Iterator[Outcome]:
    """The outcomes of all cases, as they come. Raises BrokenProcessPool where a process died."""
    context = multiprocessing.get_context("spawn")
    end = first + cases
    with (
        tempfile.TemporaryDirectory(prefix="memoline-fuzz-seeds-") as folder,
        ProcessPoolExecutor(jobs, mp_context=context) as pool,
    ):
        seeds(Path(folder))
        waiting = [pool.submit(batch, seed, at, min(BATCH, end - at), Path(folder)) for at in range(first, end, BATCH)]
        try:
            for one in waiting:
                yield from one.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
