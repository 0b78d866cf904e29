"""Direct uploads: what a caller said he would put, in an id that only this install can have made. Pure.

Nothing is kept of an upload until its memo is asked for: one that was abandoned leaves at most an object."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass

from pipeline.errors import JobFailed
from pipeline.hosting.names import DIRECT

_LONGEST_ID = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that may be put at `key` of the inbox bucket. sha256: hex digits, where the caller said it."""

    key: str
    file_name: str
    size_bytes: int
    sha256: str | None = None


def new_upload(file_name: str, size_bytes: int, sha256: str | None) -> Upload:
    """An upload under a name that nobody guesses."""
    return Upload(key=f"{DIRECT}{secrets.token_hex(16)}", file_name=file_name, size_bytes=size_bytes, sha256=sha256)


def upload_id(secret: bytes, upload: Upload) -> str:
    """The id by which its memo is asked for."""
    content = [upload.key, upload.file_name, upload.size_bytes, upload.sha256]
    # Characters as they are: escaped, a name of emoji would be three times as long. json.loads takes surrogates too.
    said = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return f"{_text(said)}.{_text(_mac(secret, said))}"


def read_upload_id(secret: bytes, text: str) -> Upload:
    """The upload that an id of this install stands for. Raises JobFailed (`no-such-upload`)."""
    said, _, mac = text.partition(".")
    try:
        if len(text) > _LONGEST_ID or not text.isascii():
            raise ValueError(text)
        content = _bytes(said)
        if not hmac.compare_digest(_bytes(mac), _mac(secret, content)):
            raise ValueError(text)
        key, file_name, size_bytes, sha256 = json.loads(content)
    except ValueError:  # binascii.Error and JSONDecodeError are such
        raise JobFailed("no-such-upload", "There is no such upload: ask for one with POST /v1/uploads.") from None
    return Upload(key=key, file_name=file_name, size_bytes=size_bytes, sha256=sha256)


def _mac(secret: bytes, content: bytes) -> bytes:
    return hmac.new(secret, b"upload:" + content, hashlib.sha256).digest()


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
