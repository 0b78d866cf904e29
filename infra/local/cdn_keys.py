"""CloudFront's signed URLs at the embedded CDN: asked for as soon as a public key lies in `cdn-keys/`.

The parameters, the canned policy and the conditions are those of the CloudFront Developer Guide, "Use signed URLs":
RSA with SHA-1 over the policy, base64 with `-_~` for `+=/`; `Expires` for a canned policy, `Policy` for a custom one.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pipeline.errors import Misuse

Verifier = Callable[[str, str], bool]
"""(URL, the client's address) → whether the URL may be seen now."""
SIGNING = ("Expires", "Policy", "Signature", "Key-Pair-Id")
MAX_FIELD_CHARS = 8192


def load_verifier(folder: Path) -> Verifier | None:
    """A verifier for the keys `<key pair id>.pem` in a folder; None where there are none, so that URLs are plain.

    Raises Misuse (`bad-setting`) where a key is there and is no RSA public key."""
    keys = {path.stem: _key(path) for path in sorted(folder.glob("*.pem"))} if folder.is_dir() else {}
    if not keys:
        return None
    return lambda url, address: is_signed(url, keys, now=time.time(), client_ip=address)


def is_signed(url: str, keys: Mapping[str, RSAPublicKey], *, now: float, client_ip: str) -> bool:
    """Whether one of the keys signed this URL and the policy's conditions hold now, for this client.

    keys: by key pair id. now: seconds since 1970. Everything that cannot be understood is not signed."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    signing = [(name, value) for name, value in pairs if name in SIGNING]
    fields = dict(signing)
    own = {"Signature", "Key-Pair-Id"}
    if len(fields) != len(signing) or set(fields) - own not in ({"Expires"}, {"Policy"}) or not own <= set(fields):
        return False
    if any(len(value) > MAX_FIELD_CHARS for value in fields.values()):
        return False
    rest = urlencode([(name, value) for name, value in pairs if name not in SIGNING])
    resource = urlunsplit((parts.scheme, parts.netloc, parts.path, rest, ""))
    try:
        policy = _decoded(fields["Policy"]) if "Policy" in fields else canned_policy(resource, int(fields["Expires"]))
        keys[fields["Key-Pair-Id"]].verify(_decoded(fields["Signature"]), policy, PKCS1v15(), SHA1())  # noqa: S303
        (statement,) = json.loads(policy)["Statement"]
        return _matches(statement["Resource"], resource) and _holds(statement["Condition"], now, client_ip)
    except (InvalidSignature, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return False


def canned_policy(resource: str, expires: int) -> bytes:
    """The policy that `Expires` stands for, byte for byte as it is signed."""
    condition = {"DateLessThan": {"AWS:EpochTime": expires}}
    return json.dumps({"Statement": [{"Resource": resource, "Condition": condition}]}, separators=(",", ":")).encode()


def _matches(pattern: str, resource: str) -> bool:
    """`*` stands for any characters, `?` for one."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, resource, re.DOTALL) is not None


def _holds(condition: Mapping[str, Any], now: float, client_ip: str) -> bool:
    """An end is required; a beginning and an address range are optional; no other condition is known."""
    if set(condition) - {"DateLessThan", "DateGreaterThan", "IpAddress"}:
        return False
    begins = condition.get("DateGreaterThan", {"AWS:EpochTime": 0})["AWS:EpochTime"]
    network = condition.get("IpAddress", {"AWS:SourceIp": "0.0.0.0/0"})["AWS:SourceIp"]
    address = ipaddress.ip_address(client_ip)
    return bool(begins <= now < condition["DateLessThan"]["AWS:EpochTime"]) and address in ipaddress.ip_network(network)


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.translate(str.maketrans("-_~", "+=/")), validate=True)


def _key(path: Path) -> RSAPublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise Misuse("bad-setting", f"{path} is no RSA public key in PEM: replace or remove it.", path=str(path))
    return key
