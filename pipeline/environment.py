"""What the environment and `.env` say. Nothing slow is imported here: `memoline inspect` of one file begins with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from pipeline.recordings import AudioSettings

AUDIO_NAMES = frozenset(f"MEMOLINE_{field.name.upper()}" for field in fields(AudioSettings))
"""Settings that the audio step heeds: a field `max_bytes` is set by `MEMOLINE_MAX_BYTES`."""


def explicit_values(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """What the environment and `.env` say about our names; the environment wins; empty counts as not set."""
    values = _dotenv((folder or Path.cwd()) / ".env") | dict(os.environ if environ is None else environ)
    if "AWS_REGION" not in values and "AWS_DEFAULT_REGION" in values:
        values["AWS_REGION"] = values["AWS_DEFAULT_REGION"]
    return {k: v for k, v in values.items() if v != "" and k.startswith(("MEMOLINE_", "LINQ_", "AWS_"))}


def load_audio_settings() -> AudioSettings:
    """Only what the audio step needs, from the environment and `.env`; no stack has a say in it, and no other setting.

    Raises Misuse (`bad-setting`)."""
    given = {name: value for name, value in explicit_values().items() if name in AUDIO_NAMES}
    if not given:
        return AudioSettings()
    from pipeline.settings import checked

    return checked(given).audio


def _dotenv(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path).items() if value is not None}
