"""Which settings a stack was started with, so that a later `up` can say what it does not take over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from infra.local.environment import told_environment
from infra.local.home import read_json, write_private
from pipeline.settings import load_settings

_FILE = Path("run") / "asked.json"


def remember(home: Path, explicit: Mapping[str, str]) -> None:
    """Keep what was set and what holds since then, as hashes: some values are secret. Call it for a stack that runs."""
    in_force = told_environment(load_settings({**explicit, "MEMOLINE_HOME": str(home)}, folder=home / "run"))
    write_private(home / _FILE, json.dumps(_prints(dict(explicit) | in_force)) + "\n")


def differing(home: Path, explicit: Mapping[str, str]) -> tuple[str, ...]:
    """Names that are set now to something that does not hold in the running stack."""
    then = read_json(home / _FILE)
    return tuple(sorted(name for name, value in _prints(explicit).items() if then and then.get(name) != value))


def _prints(values: Mapping[str, str]) -> dict[str, str]:
    named = {name: value for name, value in values.items() if name != "MEMOLINE_HOME"}
    return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in named.items()}
