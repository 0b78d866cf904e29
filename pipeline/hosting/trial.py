"""The bucket and the CDN, tried as memos use them: one small object of chance bytes under `m/`, removed again."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.errors import JobFailed, MemolineError, Misuse, PartUnreachable
from pipeline.hosting.names import cdn_url
from pipeline.hosting.s3 import S3
from pipeline.model import Hosted

_TYPE = "audio/x-m4a"


class NotRemoved(Misuse):
    """All went well, but the object may not be removed."""


@contextmanager
def trial_object(s3: S3, cdn: str) -> Iterator[Hosted]:
    """Put an object as a memo is put, checksum and condition included, read it back, and remove it at the end.

    Raises PartUnreachable, Misuse (`s3-refused`; NotRemoved at the end), JobFailed (`s3-wrong`) where S3 does not do
    what it says."""
    bucket, name = s3.need_bucket(), f"doctor-{secrets.token_hex(16)}.m4a"
    key, content = f"m/{name}", secrets.token_bytes(2_000)
    # Nobody may keep it: at the CDN, too, it goes with the object.
    headers = {"ContentType": _TYPE, "CacheControl": "no-store", "ContentDisposition": f'inline; filename="{name}"'}
    with TemporaryDirectory(prefix="memoline-") as folder:
        first, other = Path(folder) / "first", Path(folder) / "other"
        first.write_bytes(content)
        other.write_bytes(content[::-1])
        digest = hashlib.sha256(content).hexdigest()
        try:
            s3.put_new(bucket, key, first, headers, digest)
            _refuses_another(s3, bucket, key, other, headers)
            if s3.read(bucket, key) != content:
                raise JobFailed("s3-wrong", f"Bucket {bucket!r} gives other bytes back than were put there.")
            yield Hosted(
                object_key=key,
                file_name=name,
                url=cdn_url(cdn, key),
                mime_type=_TYPE,
                size_bytes=len(content),
                duration_s=0.0,
                bitrate_kbps=0.0,
                sha256=digest,
                action="doctor",
            )
        except BaseException:
            with suppress(MemolineError):
                _remove(s3, bucket, key)
            raise
        _remove(s3, bucket, key)


def _refuses_another(s3: S3, bucket: str, key: str, other: Path, headers: dict[str, str]) -> None:
    """Other bytes under the same name must be refused: by this no memo is overwritten, and no send begun twice."""
    try:
        s3.put_new(bucket, key, other, headers, hashlib.sha256(other.read_bytes()).hexdigest())
    except JobFailed:
        return
    text = f"Bucket {bucket!r} let an object be overwritten that was put with If-None-Match: use an S3 that heeds it."
    raise JobFailed("s3-wrong", text)


def _remove(s3: S3, bucket: str, key: str) -> None:
    try:
        s3.delete(bucket, key)
    except PartUnreachable:
        with suppress(MemolineError):
            s3.delete(bucket, key)
    except Misuse as error:
        text = f"s3://{bucket}/{key} was put as a trial and may not be removed: remove it. {error.message}"
        raise NotRemoved(error.code, text) from None
