"""What the child processes of the races do: `python -m tests.contract.ledger.children WHAT URL GATE OUT [WORD]`.

Each waits until the file GATE is there, so that all begin at once, and writes what came of it to OUT.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pipeline.errors import Fenced, KeyReused
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.model import Job, State
from tests.support.ledger import add
from tests.support.waiting import eventually


class WallClock:
    """The time of the machine."""

    def now(self) -> float:
        return time.time()


def compete(ledger: SqlLedger, job: Job, word: str) -> str:
    """Move a job from the rev that all children read before the gate opened."""
    try:
        return ledger.move(job, State.PREPARING, by=word, epoch=1).job_id
    except Fenced:
        return "fenced"


def add_one(ledger: SqlLedger, word: str) -> str:
    """Register the same key: with the same input, or with input of one's own."""
    try:
        return str(add(ledger, "a", key="k", fingerprint=word).seq)
    except KeyReused:
        return "reused"


def write_for_ever(ledger: SqlLedger, out: Path) -> None:
    """Add and move job after job, naming each durable one in OUT, until killed."""
    with out.open("a") as told:
        for n in range(1_000_000):
            job = ledger.move(add(ledger, str(n)), State.PREPARING, by="writer", epoch=1)
            told.write(f"{job.job_id}\n")
            told.flush()


def main() -> None:
    """Run one child."""
    what, url, gate, out = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    word = sys.argv[5] if len(sys.argv) > 5 else ""
    ledger = SqlLedger(url, WallClock())
    job = ledger.get("job-a") if what == "move" else None
    out.with_suffix(".ready").touch()
    eventually(gate.exists, "the gate opens", every_s=0.001)
    if what == "migrate":
        migrate(url)
        out.write_text("done")
    elif what == "move" and job:
        out.write_text(compete(ledger, job, word))
    elif what == "add":
        out.write_text(add_one(ledger, word))
    elif what == "write":
        write_for_ever(ledger, out)


if __name__ == "__main__":
    main()
