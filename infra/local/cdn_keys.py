"""CloudFront's signed URLs at the embedded CDN: asked for as soon as a public key lies in `cdn-keys/`."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from pipeline.errors import Misuse

Verifier = Callable[[str, str], bool]
"""(URL, the client's address) → whether the URL may be seen now."""


def load_verifier(folder: Path) -> Verifier | None:
    """A verifier for the keys `<key pair id>.pem` in a folder; None where there are none, so that URLs are plain.

    Raises Misuse (`bad-setting`) where keys are there and cannot be used."""
    keys = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.pem"))} if folder.is_dir() else {}
    if not keys:
        return None
    try:
        verify = import_module("pipeline.hosting.signing").verify_signed_url
    except (ImportError, AttributeError):
        raise Misuse("bad-setting", f"Signed URLs cannot be verified here: remove the keys in {folder}.") from None
    return lambda url, address: bool(verify(url, keys, now=time.time(), client_ip=address))
