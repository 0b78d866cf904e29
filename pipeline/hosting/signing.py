"""CloudFront's signed URLs: a memo's URL that ends at a time.

The canned policy, as the CloudFront Developer Guide gives it ("Use signed URLs"): RSA with SHA-1 over the policy, and
base64 with `-_~` for `+=/`."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from pipeline.errors import Misuse

_SIGNED = re.compile(r"\?[^\s\"'<>)]*(?:Signature|Policy|Key-Pair-Id)=[^\s\"'<>)]*")
_KEY = "MEMOLINE_CDN_SIGNING_KEY"
_SMALLEST_BITS = 2048


class UrlSigner:
    """Signs URLs with one key for a set time.

    key_id: the id of the public key at the CDN. pem: the RSA private key; `\\n` in it may stand for the ends of lines.
    Raises Misuse (`bad-setting`) where it is none."""

    def __init__(self, key_id: str, pem: str, ttl_s: float) -> None:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem.replace("\\n", "\n").strip().encode() + b"\n", password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, RSAPrivateKey) or key.key_size < _SMALLEST_BITS:
            text = f"{_KEY} must be an RSA private key of {_SMALLEST_BITS} bits or more in PEM, without a password."
            raise Misuse("bad-setting", text, setting=_KEY)
        self._key = key
        self._key_id = key_id
        self._ttl_s = ttl_s

    def __call__(self, url: str, now: float) -> str:
        """The URL with its signature, valid from now (Unix seconds) on. url: without a query."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA1

        expires = int(now + self._ttl_s)
        condition = {"DateLessThan": {"AWS:EpochTime": expires}}
        policy = json.dumps({"Statement": [{"Resource": url, "Condition": condition}]}, separators=(",", ":"))
        signature = self._key.sign(policy.encode(), PKCS1v15(), SHA1())  # noqa: S303 (the only one that CloudFront takes)
        text = base64.b64encode(signature).decode().translate(str.maketrans("+=/", "-_~"))
        return f"{url}?Expires={expires}&Signature={text}&Key-Pair-Id={self._key_id}"


def load_signer(key_id: str | None, pem: str | None, pem_file: Path | None, ttl_s: float) -> UrlSigner | None:
    """The signer of these settings; None where none is set up, so that URLs are plain.

    Raises Misuse (`bad-setting`)."""
    if key_id is None:
        return None
    if pem is None and pem_file is not None:
        try:
            pem = pem_file.read_text(errors="replace")
        except OSError as error:
            text = f"{_KEY}_FILE {pem_file} cannot be read ({error.strerror})."
            raise Misuse("bad-setting", text, setting=f"{_KEY}_FILE") from None
    return UrlSigner(key_id, pem or "", ttl_s)


def unsigned(text: str) -> str:
    """A text in which no URL lets anybody in: what follows the `?` of a signed one is cut off. Pure."""
    return _SIGNED.sub("", text)
