"""Which value of a setting holds: what was set, or what the stack that runs in `MEMOLINE_HOME` wrote about itself.

`memoline up` writes what it started to `MEMOLINE_HOME/stack.env`. A part is outside, and so is used and not started,
when one of its deciding names (`DECIDES`) is set to something else than the running stack's own value. For a part that
is ours the stack's values win, so a stray `AWS_ACCESS_KEY_ID` of the user cannot spoil the embedded S3.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from pipeline.errors import Misuse

STACK_FILE = "stack.env"


REAL_LINQ = "https://api.linqapp.com/api/partner"


DECIDES: Mapping[str, tuple[str, ...]] = {
    "broker": ("MEMOLINE_BROKER_URL",),
    "ledger": ("MEMOLINE_DATABASE_URL",),
    "s3": ("AWS_ENDPOINT_URL_S3", "MEMOLINE_BUCKET"),
    "cdn": ("MEMOLINE_CDN_URL",),
    "linq": ("LINQ_API_V3_BASE_URL", "LINQ_API_V3_API_KEY"),
}
"""Which names decide that a part is outside."""


BELONGS: Mapping[str, tuple[str, ...]] = {
    "broker": ("MEMOLINE_BROKER_URL",),
    "ledger": ("MEMOLINE_DATABASE_URL",),
    "s3": (
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_SQS",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "MEMOLINE_BUCKET",
        "MEMOLINE_INBOX_BUCKET",
        "MEMOLINE_INBOX_QUEUE_URL",
    ),
    "cdn": ("MEMOLINE_CDN_URL", "MEMOLINE_CA_BUNDLE"),
    "linq": ("LINQ_API_V3_BASE_URL", "LINQ_API_V3_API_KEY", "LINQ_WEBHOOK_SECRET", "LINQ_WEBHOOK_SECRET_PREVIOUS"),
}
"""Which of the stack's values go with a part; they are dropped when the part is outside."""


def read_stack_file(home: Path) -> dict[str, str]:
    """What the stack in this home wrote about itself; empty where none was ever started. Raises Misuse
    (`home-unusable`) where it is somebody else's."""
    path = home / STACK_FILE
    try:
        return {k: v for k, v in dotenv_values(path, interpolate=False).items() if v} if path.is_file() else {}
    except OSError as error:
        text = f"MEMOLINE_HOME {home} cannot be read ({error.strerror}): name a folder of your own."
        raise Misuse("home-unusable", text, setting="MEMOLINE_HOME") from None


def outside_parts(explicit: Mapping[str, str], stack: Mapping[str, str]) -> frozenset[str]:
    """Which parts are outside, so that they are used and not started."""
    return frozenset(
        part for part, names in DECIDES.items() if any(n in explicit and explicit[n] != stack.get(n) for n in names)
    )


def merge(explicit: Mapping[str, str], stack: Mapping[str, str]) -> dict[str, str]:
    """The values that hold: for a part of ours the stack's, for one outside only what was set."""
    outside = outside_parts(explicit, stack)
    merged = dict(stack) | dict(explicit)
    for part, names in BELONGS.items():
        for name in names:
            if part in outside:
                _set_or_drop(merged, name, explicit.get(name))
            elif name in stack:
                merged[name] = stack[name]
            elif not stack.keys().isdisjoint(names) and (name.startswith("AWS_") or part == "linq"):
                merged.pop(name, None)
    if "linq" in outside and "LINQ_API_V3_BASE_URL" not in merged:
        merged["LINQ_API_V3_BASE_URL"] = REAL_LINQ
    return merged


def _set_or_drop(values: dict[str, str], name: str, value: str | None) -> None:
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
