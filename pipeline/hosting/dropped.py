"""What is done to objects that others dropped: copied aside, moved once they are finished, tagged. Never at the cost of
what was put under the same name meanwhile: each step names the version, or the ETag, that it means."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from pipeline.errors import JobFailed, Misuse
from pipeline.hosting.aws import Conflict, Gone
from pipeline.hosting.names import UPLOADS
from pipeline.hosting.s3 import S3

COPIED_AT_ONCE_BYTES = 5_000_000_000
"""S3 copies no larger object in one request."""
MOST_TAGS = 10


def copy_aside(s3: S3, bucket: str, key: str, etag: str) -> tuple[str, str]:
    """Copy an object that still has this ETag to a name of our own, inside S3. Returns (key, ETag) of the copy.

    Raises JobFailed (`recording-gone`, `superseded`), PartUnreachable, Misuse (`s3-refused`)."""
    to = f"{UPLOADS}{secrets.token_hex(16)}"
    return to, _copy(s3, bucket, key, to, f"etag:{etag}")


def move(s3: S3, bucket: str, key: str, to: str, version: str) -> bool:
    """Move an object in one version (an id, or `etag:…`) to another name: copy it, look at the copy, remove that
    version and nothing else. False where it is not there any more, in that version; repeated, it does no harm.

    Raises JobFailed (`move-unsafe`) where S3 does not honour conditions on removals, so that what was put meanwhile
    could be lost, or where the object is too large to copy; PartUnreachable, Misuse (`s3-refused`)."""
    version_id, etag = _parts(version)
    there = s3.head(bucket, key, version_id)
    if there is None or (etag and there.etag != etag):
        return False
    if there.size_bytes > COPIED_AT_ONCE_BYTES:
        raise JobFailed("move-unsafe", f"s3://{bucket}/{key} has over 5 GB, which S3 does not copy in one request.")
    if etag and not removes_on_condition(s3, bucket):
        text = f"S3 does not keep to If-Match when it removes: switch versioning on for {bucket!r}, or do not move."
        raise JobFailed("move-unsafe", text)
    try:
        copied = _copy(s3, bucket, key, to, version)
    except JobFailed:
        return False
    now = s3.head(bucket, to)
    if now is None or now.size_bytes != there.size_bytes or now.etag != copied:
        return False  # somebody else writes there: what was dropped stays where it is
    try:
        with s3.translated(bucket):
            s3.client.delete_object(Bucket=bucket, Key=key, **_condition(version_id, etag))
    except (Gone, Conflict):
        return False
    return True


def removes_on_condition(s3: S3, bucket: str) -> bool:
    """Whether S3 honours If-Match on a removal, tried on an object of our own."""
    key = f"{UPLOADS}{secrets.token_hex(16)}"
    s3.write(bucket, key, b"{}")
    try:
        with s3.translated(bucket):
            s3.client.delete_object(Bucket=bucket, Key=key, IfMatch='"0"')
    except (Conflict, Misuse):
        s3.delete(bucket, key)
        return True
    return False


def tag(s3: S3, bucket: str, key: str, tags: Mapping[str, str], version: str) -> bool:
    """Give an object in one version tags beside those that it has. False where it is not there, in that version, or has
    no room for more."""
    version_id, etag = _parts(version)
    there = s3.head(bucket, key, version_id)
    if there is None or (etag and there.etag != etag):
        return False
    which: dict[str, Any] = {"VersionId": version_id} if version_id else {}
    try:
        with s3.translated(bucket):
            found = s3.client.get_object_tagging(Bucket=bucket, Key=key, **which)["TagSet"]
            merged = {one["Key"]: one["Value"] for one in found} | dict(tags)
            if len(merged) > MOST_TAGS:
                return False
            named = [{"Key": name, "Value": value} for name, value in merged.items()]
            s3.client.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": named}, **which)  # type: ignore[typeddict-item]
    except Gone:
        return False
    return True


def _copy(s3: S3, bucket: str, key: str, to: str, version: str) -> str:
    version_id, etag = _parts(version)
    source: dict[str, str] = {"Bucket": bucket, "Key": key}
    if version_id:
        source["VersionId"] = version_id
    condition = {"CopySourceIfMatch": f'"{etag}"'} if etag else {}
    try:
        with s3.translated(bucket):
            done = s3.client.copy_object(Bucket=bucket, Key=to, CopySource=source, **condition)  # type: ignore[arg-type]
            return done["CopyObjectResult"]["ETag"].strip('"')
    except Gone:
        raise JobFailed("recording-gone", f"s3://{bucket}/{key} is not there any more.") from None
    except Conflict:
        raise JobFailed("superseded", f"s3://{bucket}/{key} was overwritten at this moment.") from None


def _parts(version: str) -> tuple[str | None, str | None]:
    """(version id, ETag): one of them."""
    return (None, version.removeprefix("etag:")) if version.startswith("etag:") else (version, None)


def _condition(version_id: str | None, etag: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id else {"IfMatch": f'"{etag}"'}
