"""Which settings hold in a running stack, so that a later `up` can say what it does not take over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from infra.local.environment import told_environment
from infra.local.home import read_json, write_private
from pipeline.precedence import merge, outside_parts, read_stack_file
from pipeline.settings import checked

_FILE = Path("run") / "asked.json"


def remember(home: Path, explicit: Mapping[str, str]) -> None:
    """Keep what holds now, as hashes: some values are secret. Call it for a stack that runs."""
    write_private(home / _FILE, json.dumps(_prints(_holding(home, explicit))) + "\n")


def differing(home: Path, explicit: Mapping[str, str]) -> tuple[str, ...]:
    """Names whose values would be others if the running stack were started now, also those no longer set."""
    then = read_json(home / _FILE)
    now = _prints(_holding(home, explicit))
    return tuple(sorted(name for name in then.keys() | now.keys() if then and then.get(name) != now.get(name)))


def _holding(home: Path, explicit: Mapping[str, str]) -> dict[str, str]:
    """What is in force by these settings: defaults, the stack's own values and `64.0` for 64 make no difference."""
    stack = read_stack_file(home)
    values = told_environment(checked(merge(explicit, stack) | {"MEMOLINE_HOME": str(home)}))
    if "s3" not in outside_parts(explicit, stack):
        return values
    return values | {name: value for name, value in explicit.items() if name.startswith("AWS_")}


def _prints(values: Mapping[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in values.items()}
