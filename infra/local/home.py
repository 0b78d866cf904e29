"""Where the embedded stack keeps its files, and how they are written: whole or not at all, for the owner only.

MEMOLINE_HOME/
    stack.env       settings of the running stack
    secrets.json    what was made up once: key pairs, passwords, tokens
    ports.json      which port each part has
    run/            supervisor.lock, status.json, <part>.ready
    log/            <part>.log
    broker/ s3/ linq/ cdn-cache/ cdn-keys/ tls/     each part's own
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import Misuse, PartUnreachable
from pipeline.precedence import STACK_FILE

FOLDERS = ("run", "log", "broker", "s3", "linq", "cdn-cache", "cdn-keys", "tls")
MIN_FREE_BYTES = 20_000_000
"""Below this the parts would start and fail at their first write."""
MAX_LOG_BYTES = 10_000_000


def make_folders(home: Path) -> None:
    """The home and its folders, readable by their owner only. Raises PartUnreachable (`disk-full`), Misuse
    (`home-unusable`)."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in FOLDERS:
            (home / name).mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise unusable(home, error) from None
    check_free(home)


def check_free(home: Path) -> None:
    """Raises PartUnreachable (`disk-full`) where the stack could not even write its logs."""
    free = shutil.disk_usage(home).free
    if free < MIN_FREE_BYTES:
        text = f"Only {free // 1000} kB are free in {home}: free {MIN_FREE_BYTES // 1_000_000} MB or name another home."
        raise PartUnreachable("disk-full", text, home=str(home), free_bytes=free)


def unusable(home: Path, error: OSError) -> PartUnreachable | Misuse:
    """The one sentence about a home that cannot be written: its disk is full, or another folder must be named."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return PartUnreachable("disk-full", f"The disk of {home} is full: free some space or name another home.")
    text = f"MEMOLINE_HOME {home} cannot be used ({error.strerror}): name a folder that can be written."
    return Misuse("home-unusable", text, setting="MEMOLINE_HOME")


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, mode 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """An object kept in a file; empty where there is none or it is broken."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_stack_env(home: Path, values: Mapping[str, str]) -> None:
    """Tell the stack's settings to every command that runs with this home."""
    lines = [f"{name}={_quoted(value)}\n" for name, value in sorted(values.items())]
    write_private(home / STACK_FILE, "".join(lines))


def log_path(home: Path, part: str) -> Path:
    """The log of a part."""
    return home / "log" / f"{part}.log"


def open_log(home: Path, part: str) -> int:
    """A descriptor that appends to the part's log. A log over 10 MB is first moved aside, replacing an older one."""
    path = log_path(home, part)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def last_line(home: Path, part: str) -> str:
    """The last line that a part wrote, at most 300 characters; empty where it wrote nothing."""
    try:
        with log_path(home, part).open("rb") as file:
            file.seek(max(0, log_path(home, part).stat().st_size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:300] if lines else ""


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
