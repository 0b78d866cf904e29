"""What the supervisor tells about itself and its parts, in `run/status.json`, written whole at every change."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from infra.local.home import read_json, write_private
from infra.local.processes import Identity, alive

State = Literal["starting", "running", "backoff", "stopped", "outside"]
Phase = Literal["starting", "up", "stopping", "failed", "down"]
PARTS = ("broker", "s3", "cdn", "linq", "audio", "send", "watch", "sweep", "serve")
NAMES = ("supervisor", *PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One part. pid: its main process, None where none of ours runs. url: without password."""

    name: str
    pid: int | None = None
    url: str | None = None
    state: State = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One state of affairs. supervisor: who wrote it; recorded: the main process of each part that was started;
    failure: code, message and facts of what ended the start."""

    supervisor: Identity | None = None
    phase: Phase = "down"
    parts: tuple[PartStatus, ...] = ()
    recorded: tuple[Identity, ...] = ()
    failure: dict[str, Any] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        return alive(self.supervisor)


def write_report(home: Path, report: Report) -> None:
    """Replace the file. Raises OSError."""
    write_private(home / "run" / "status.json", json.dumps(asdict(report)) + "\n")


def read_report(home: Path) -> Report:
    """The last one written; an empty one where there is none."""
    raw = read_json(home / "run" / "status.json")
    try:
        return Report(
            supervisor=Identity(**raw["supervisor"]) if raw["supervisor"] else None,
            phase=raw["phase"],
            parts=tuple(PartStatus(**part) for part in raw["parts"]),
            recorded=tuple(Identity(**identity) for identity in raw["recorded"]),
            failure=raw["failure"],
        )
    except (KeyError, TypeError):
        return Report()
