"""Names that cannot be guessed and come out the same again: HMACs under the install's secret. Pure.

An identity says what makes two requests the same job. A job's id, and from it the name of its memo, are HMAC-SHA256 of
it, so a ledger restored from an older copy finds the same names again."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets

from pipeline.recordings import Overflow

UPLOADS = "uploads/"
"""Prefix of our own copies in the inbox bucket; neither watcher nor listing reads it."""

DIRECT = f"{UPLOADS}direct/"
"""Where callers put large files themselves, by a URL that was signed for each."""

_HEX_LENGTH = 32
"""128 bits: no two alike, nobody guesses one."""


def identity_of_key(key: str) -> str:
    """An idempotency key is its own identity, over all doors."""
    return _joined("key", key)


def identity_of_object(bucket: str, key: str, version: str) -> str:
    """An inbox object in one version. version: the S3 version id or `etag:…`; of a file in a watched folder (bucket:
    `file:///…`) `sha256:…`."""
    return _joined("object", bucket, key, version)


def is_of_object(identity: str) -> bool:
    """Whether an identity is that of an inbox object."""
    return identity.startswith('["object",')


def identity_of_backfill(source: str, content: str, chat_id: str) -> str:
    """A row of a backfill. source: path or URI; content: sha256 or object version."""
    return _joined("backfill", source, content, chat_id)


def identity_of_part(job_id: str, part_no: int) -> str:
    """A part of a split, by the job that is split: made again, it is the same job."""
    return _joined("part", job_id, str(part_no))


def random_identity() -> str:
    """A request that is like no other."""
    return _joined("random", secrets.token_hex(16))


def job_id_for(secret: bytes, identity: str) -> str:
    """32 hex digits."""
    return _hmac(secret, "job", identity)


def memo_name(secret: bytes, job_id: str, result_no: int) -> str:
    """32 hex digits for a job's result; another result, another name."""
    return _hmac(secret, "memo", _joined(job_id, str(result_no)))


def memo_key(secret: bytes, job_id: str, result_no: int, extension: str) -> str:
    """The object key of a memo: `m/<name>.<extension>`. Nothing but `m/` is served."""
    return f"m/{memo_name(secret, job_id, result_no)}.{extension}"


def memo_names(secret: bytes, job_id: str, epoch: int) -> frozenset[str]:
    """All names, without extension, that a job in this epoch may have given to its memos."""
    return frozenset(memo_name(secret, job_id, number) for number in range(1, epoch + 1))


def fingerprint(content: str, chat_id: str | None, overflow: Overflow | None) -> str:
    """What the same identity must come with again. content: sha256 or object version."""
    return hashlib.sha256(_joined(content, chat_id or "", overflow or "").encode()).hexdigest()


def cdn_url(base: str, object_key: str) -> str:
    """The public URL of an object."""
    return f"{base.rstrip('/')}/{object_key}"


def _joined(*parts: str) -> str:
    return json.dumps(parts, ensure_ascii=True, separators=(",", ":"))


def _hmac(secret: bytes, purpose: str, text: str) -> str:
    return hmac.new(secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()[:_HEX_LENGTH]
