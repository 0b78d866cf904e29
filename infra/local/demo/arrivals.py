"""Watching the demonstration's jobs until each has ended, and telling what became of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

ENDED = ("DELIVERED", "REJECTED", "FAILED", "HELD", "CANCELLED")


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """What became of one recording."""

    name: str
    state: str
    url: str | None
    code: str | None
    message: str | None

    @property
    def delivered(self) -> bool:
        """Whether the memo arrived."""
        return self.state == "DELIVERED"

    def line(self) -> str:
        """The line for programs: never wrapped, the name without spaces."""
        name = self.name.replace(" ", "-")
        return f"{self.state.lower()} {name} {self.url if self.delivered else f'{self.code}: {self.message}'}"


def wait_for_all(
    jobs: Callable[[], Sequence[Mapping[str, str]]],
    names: Mapping[str, str],
    say: Callable[[str], None],
    *,
    deadline_s: float,
) -> list[Arrival]:
    """Poll until every job has ended, saying each change. Raises TimeoutError at the deadline."""
    ends_s = time.monotonic() + deadline_s
    seen: dict[str, str] = {}
    while True:
        rows = [row for row in jobs() if "job_id" in row]
        for row in rows:
            if seen.get(row["job_id"]) != row["state"]:
                seen[row["job_id"]] = row["state"]
                say(f"{_name(row, names):22} {row['state']}")
        if len(rows) > len(names) and all(row["state"] in ENDED for row in rows):
            return [_arrival(row, names) for row in rows]
        if time.monotonic() > ends_s:
            late = ", ".join(_name(row, names) for row in rows if row["state"] not in ENDED)
            raise TimeoutError(f"not ended after {deadline_s:.0f} s: {late or 'a job that never came'}")
        time.sleep(0.5)


def _name(row: Mapping[str, str], names: Mapping[str, str]) -> str:
    return names.get(row["job_id"]) or row["source"].rsplit("/", 1)[-1]


def _arrival(row: Mapping[str, str], names: Mapping[str, str]) -> Arrival:
    return Arrival(name=_name(row, names), state=row["state"], url=row["url"], code=row["code"], message=row["message"])


def table(arrivals: Sequence[Arrival]) -> None:
    """The summary for people."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title="What became of them")
    shown.add_column("recording", no_wrap=True)
    shown.add_column("state", no_wrap=True)
    shown.add_column("reason", overflow="fold")
    for arrival in arrivals:
        shown.add_row(arrival.name, arrival.state, arrival.code or "")
    width = None if sys.stdout.isatty() else 100
    Console(width=width).print(shown)
