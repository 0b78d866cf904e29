"""What the stack makes up once and keeps: key pairs, passwords and tokens, in `secrets.json` with mode 0600."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from infra.local.home import read_json, write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """s3_*: key pair of the embedded S3's owner; broker_password; linq_api_key: bearer token of the sandbox;
    api_token: for `/v1`; webhook_secret: of the sandbox's subscription, empty until it was made."""

    s3_access_key_id: str
    s3_secret_access_key: str = field(repr=False)
    broker_password: str = field(repr=False)
    linq_api_key: str = field(repr=False)
    api_token: str = field(repr=False)
    webhook_secret: str = field(default="", repr=False)


def load_credentials(home: Path) -> Credentials:
    """Those of this home; what is missing is made up and kept."""
    path = home / "secrets.json"
    kept = {k: v for k, v in read_json(path).items() if k in _NAMES and isinstance(v, str)}
    credentials = Credentials(**(_made_up() | kept))
    if asdict(credentials) != kept:
        save_credentials(home, credentials)
    return credentials


def save_credentials(home: Path, credentials: Credentials) -> None:
    """Keep them for the next start."""
    write_private(home / "secrets.json", json.dumps(asdict(credentials), indent=1) + "\n")


def _made_up() -> dict[str, str]:
    return {
        # The shape of an AWS key id, which some clients check.
        "s3_access_key_id": "AKIA" + "".join(secrets.choice(_BASE32) for _ in range(16)),
        "s3_secret_access_key": secrets.token_urlsafe(30),
        "broker_password": secrets.token_hex(24),
        "linq_api_key": f"sandbox-{secrets.token_hex(16)}",
        "api_token": secrets.token_urlsafe(32),
    }


_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_NAMES = frozenset(field.name for field in fields(Credentials))
