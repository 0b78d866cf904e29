"""`make bench-plans`: the sweeper's and the listings' queries over ever more finished jobs, on SQLite and PostgreSQL.

10,000 jobs are open throughout; finished ones are added up to 1,000,000. Shown is the least of five runs, in
milliseconds, so that what grows with the finished jobs is seen; what it is at all is this machine's."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import insert, text

from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.ledger.rows import new_row
from pipeline.ledger.tables import jobs
from pipeline.model import State
from tests.support.ledger import a_request
from tests.support.postgres import binaries, private_server
from workers.clock import SteadyClock

BATCH, ROUNDS, OPEN_CHATS = 5_000, 5, 2_000
NOW = 2_000_000_000.0
OPEN = (State.RECEIVED, State.PREPARING, State.HOSTED, State.SENDING, State.UNCONFIRMED)


def chat_of(number: int) -> str:
    return f"5e0d0000-0000-4000-8000-{number:012d}"


def fill(ledger: SqlLedger, numbers: range, *, is_open: bool) -> None:
    """Jobs with what they have in these states."""
    for first in range(numbers.start, numbers.stop, BATCH):
        rows = [_row(number, is_open) for number in range(first, min(first + BATCH, numbers.stop))]
        with ledger.database.write() as connection:
            connection.execute(insert(jobs), rows)


def _row(number: int, is_open: bool) -> dict[str, object]:
    state = OPEN[number % 5] if is_open else State.DELIVERED
    request = a_request(str(number), chat_id=chat_of(number % (OPEN_CHATS if is_open else 50_000)))
    row = new_row(request, job_id=f"{number:032x}", state=state, code=None, message=None, now=1.0)
    return row | {
        "message_id": None if is_open else f"m-{number}",
        "deadline": 5.0 if state is State.SENDING else 0.0,
        "lease_until": 5.0 if state is State.PREPARING else 0.0,
        "next_look_at": 5.0 if state is State.UNCONFIRMED else 0.0,
    }


def queries_of(ledger: SqlLedger) -> dict[str, Callable[[], object]]:
    """What runs again and again, and what people ask for."""
    chat = chat_of(7)
    return {
        "sweep": lambda: ledger.due(NOW, 1_000),
        "heads of a chat": lambda: ledger.heads(chat, NOW),
        "page of all": lambda: ledger.jobs(limit=100),
        "page of a chat": lambda: ledger.jobs(chat_id=chat, limit=100),
        "page of HOSTED": lambda: ledger.jobs(states=(State.HOSTED,), limit=100),
        "one job": lambda: ledger.get(f"{7:032x}"),
        "oldest open": lambda: ledger.oldest_open_age(NOW),
        "counts": ledger.counts,
    }


def least_ms(work: Callable[[], object]) -> float:
    """The least of a few runs."""
    found = []
    for _ in range(ROUNDS):
        begun_s = time.perf_counter()
        work()
        found.append(1_000 * (time.perf_counter() - begun_s))
    return min(found)


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    """SQLite, and PostgreSQL where there is one."""
    urls = {"SQLite": f"sqlite:///{folder / 'ledger.db'}"}
    found = binaries()
    if found is None:
        yield urls
        return
    with private_server(found) as server:
        yield urls | {"PostgreSQL": server.url}


def measure(kind: str, url: str, sizes: list[int]) -> None:
    """Print a row a size."""
    migrate(url)
    ledger = SqlLedger(url, SteadyClock())
    fill(ledger, range(10_000), is_open=True)
    print(f"\n{kind + ', finished jobs':<26}" + "".join(f"{name:>17}" for name in queries_of(ledger)))
    done = 10_000
    for size in sizes:
        fill(ledger, range(done, 10_000 + size), is_open=False)
        done = 10_000 + size
        with ledger.database.write() as connection:
            connection.execute(text("ANALYZE"))
        row = "".join(f"{least_ms(work):>14.2f} ms" for work in queries_of(ledger).values())
        print(f"{size:<26,}{row}", flush=True)
    ledger.close()


def main() -> None:
    """Print a table a database."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--most", type=int, default=1_000_000, help="finished jobs at the end")
    most = options.parse_args().most
    with tempfile.TemporaryDirectory(prefix="memoline-plans-") as name, databases(Path(name)) as urls:
        for kind, url in urls.items():
            measure(kind, url, [most // 100, most // 10, most])


if __name__ == "__main__":
    main()
