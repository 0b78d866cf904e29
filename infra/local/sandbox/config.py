"""What a sandbox is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import Misuse


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """host: a loopback address; port: 0 chooses a free one; api_key: the only bearer token that is let in.

    ca_bundle: PEM of further authorities that are trusted when memos are fetched and webhooks delivered.
    data_dir: where the state is kept; None keeps it in memory. seed: decides the order of message lists and which
    faults with a probability fire. strict_chats: only chats that were created or declared exist.
    delivery_delay_s: from taking a message to its delivery. webhook_retry_s: wait before a webhook's second try;
    it doubles from there.

    Raises Misuse for a host that is not loopback, an empty key, or a bundle that is not there.
    """

    host: str = "127.0.0.1"
    port: int
    api_key: str = field(repr=False)
    ca_bundle: Path | None = None
    data_dir: Path | None = None
    seed: int = 0
    strict_chats: bool = False
    delivery_delay_s: float = 0.2
    webhook_retry_s: float = 1.0

    def __post_init__(self) -> None:
        if not is_loopback(self.host):
            raise Misuse("bad-setting", f"The Linq sandbox serves loopback only, not {self.host!r}: use 127.0.0.1.")
        if not self.api_key:
            raise Misuse("bad-setting", "The Linq sandbox needs an API key that clients will show: give any text.")
        if self.ca_bundle is not None and not self.ca_bundle.is_file():
            raise Misuse("bad-setting", f"The CA bundle {self.ca_bundle} is not there: give a PEM file.")


def is_loopback(host: str | None) -> bool:
    """True for `localhost` and for addresses of 127.0.0.0/8 and ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
