"""`make bench-load`: LOAD jobs with recordings that pass through, over the whole embedded stack, SQLite and PostgreSQL
side by side in interleaved rounds. No encode is in it: what is left is the ledger, the brokers, S3, the CDN and Linq.

CPU is that of each part and its children. Beside it stands what the ledger alone takes of such a job: where the two are
far apart, the ledger is not the limit. Figures are this machine's at this moment."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.ledger.ledger import SqlLedger
from tests.bench.jobs import AROUND, WORKERS, Round, play
from tests.bench.ledger import moves
from tests.chaos.systems import Memoline
from tests.conftest import pytest_configure
from tests.support.postgres import Server, binaries, private_server
from tests.support.recordings import make_wav
from workers.clock import SteadyClock

JOBS = int(os.environ.get("LOAD", "10000"))
ROUNDS = int(os.environ.get("ROUNDS", "4"))
ALONE = 500
PARTS = (*WORKERS["memoline"], *AROUND["memoline"])


@contextmanager
def ledgers() -> Iterator[dict[str, Server | None]]:
    """The database servers by name; SQLite has none."""
    with ExitStack() as stack:
        found: dict[str, Server | None] = {"SQLite": None}
        if bin_dir := binaries():
            found["PostgreSQL"] = stack.enter_context(private_server(bin_dir))
        yield found


def main() -> None:
    """Print a row a ledger."""
    pytest_configure()
    with tempfile.TemporaryDirectory(prefix="memoline-load-") as name, ledgers() as chosen:
        folder = Path(name)
        source = make_wav(folder / "pass.wav", duration_s=1)
        systems = {kind: Memoline(folder / kind, database) for kind, database in chosen.items()}
        rounds: dict[str, list[Round]] = {kind: [] for kind in systems}
        try:
            for system in systems.values():
                system.start()
                play(system, source, batch=4)
            for _ in range(ROUNDS):
                for kind, system in systems.items():
                    rounds[kind].append(play(system, source, batch=JOBS // ROUNDS))
            for kind, system in systems.items():
                show(kind, rounds[kind], alone_a_second(system.settings.ledger_url))
        finally:
            for system in systems.values():
                system.stop()


def alone_a_second(url: str) -> float:
    """Jobs a second through all transitions by one thread on this ledger, with nothing else of a job."""
    ledger = SqlLedger(url, SteadyClock())
    begun_s = time.monotonic()
    moves(ledger, prefix="alone")(range(ALONE))
    took_s = time.monotonic() - begun_s
    ledger.close()
    return ALONE / took_s


def show(kind: str, rounds: list[Round], alone: float) -> None:
    """Jobs a second over all rounds, CPU a job by part, and the ledger alone."""
    per_round = JOBS // ROUNDS
    rate = len(rounds) / sum(1 / one.jobs_a_second for one in rounds)
    cpu = {part: sum(one.parts[part] for one in rounds) / (per_round * len(rounds)) * 1_000 for part in PARTS}
    print(f"{kind:<11}{per_round * len(rounds)} jobs, {rate:.1f} a second; the ledger alone, one thread: {alone:.0f}")
    print("           CPU ms a job: " + ", ".join(f"{part} {ms:.1f}" for part, ms in cpu.items()), flush=True)


if __name__ == "__main__":
    main()
