"""The door to S3: the one file that speaks to it, whose exceptions become ours here.

Conditional writes: boto3 repeats a PUT whose answer was lost, and the repetition of one that had worked is answered
412. So each conditional PUT carries a token in its metadata, and a 412 is read back: our token means success."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.disk import disk_trouble
from pipeline.errors import JobFailed, Misuse, PartUnreachable
from pipeline.hosting.aws import Conflict, Gone, S3Config, make_client, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TOKEN = "memoline-token"  # noqa: S105 (the name of a metadata field)
_SHA256 = "memoline-sha256"
_TRIES = 3
_SINGLE_PUT_BYTES = 100_000_000
"""Up to here one PUT; memos are always below it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What HEAD says of an object. version_id: None on an unversioned bucket. metadata: lower-case names."""

    size_bytes: int
    etag: str
    version_id: str | None
    last_modified: datetime
    content_type: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """An object in a listing."""

    key: str
    size_bytes: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version of an object; version_id is `null` on a bucket without versions. is_marker: it says that the object was
    deleted, and holds nothing."""

    key: str
    version_id: str
    etag: str
    last_modified: datetime
    is_marker: bool


class S3:
    """S3 for one process; the client is made when first used. All methods raise PartUnreachable (`s3-unreachable`) and
    Misuse (`s3-refused`) where bucket or credentials are wrong."""

    def __init__(self, config: S3Config) -> None:
        self.config = config
        self._made: tuple[int, S3Client] | None = None

    @property
    def client(self) -> S3Client:
        """The client of this process: one made before a fork is not shared."""
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), make_client(self.config, "s3", self.config.endpoint_url))
        return self._made[1]

    def need_bucket(self) -> str:
        """The memo bucket. Raises Misuse (`missing-setting`)."""
        if not self.config.bucket:
            text = "MEMOLINE_BUCKET is not set and no local stack runs: run `memoline up`, or set it."
            raise Misuse("missing-setting", text, setting="MEMOLINE_BUCKET")
        return self.config.bucket

    def head(self, bucket: str, key: str, version_id: str | None = None) -> Head | None:
        """What is known of an object, or of a version of it; None where there is none."""
        which: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        try:
            with self.translated(bucket):
                found = self.client.head_object(Bucket=bucket, Key=key, **which)
        except Gone:
            return None
        return Head(
            size_bytes=found["ContentLength"],
            etag=found["ETag"].strip('"'),
            version_id=None if found.get("VersionId") in (None, "null") else found["VersionId"],
            last_modified=found["LastModified"],
            content_type=found.get("ContentType", ""),
            metadata={name.lower(): value for name, value in found.get("Metadata", {}).items()},
        )

    def put_new(self, bucket: str, key: str, path: Path, headers: Mapping[str, str], sha256: str) -> None:
        """Store a memo under a name that nobody has yet, or that has these bytes already. headers: ContentType,
        CacheControl, ContentDisposition.

        Raises JobFailed (`name-taken`) where other bytes are there."""
        there = self._put_once(bucket, key, path.read_bytes(), {_SHA256: sha256}, headers)
        if there is not None and there.metadata.get(_SHA256) != sha256:
            raise JobFailed("name-taken", f"Another object is at s3://{bucket}/{key} already.")

    def put_once(self, bucket: str, key: str, content: bytes) -> bool:
        """Store a small object under a name that nobody has yet; False where another one is there."""
        return self._put_once(bucket, key, content, {}, {"ContentType": "application/json"}) is None

    def _put_once(
        self,
        bucket: str,
        key: str,
        body: bytes,
        metadata: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Head | None:
        """None where the object is ours, else what is there."""
        token = secrets.token_hex(16)
        for _ in range(_TRIES):
            try:
                with self.translated(bucket):
                    self.client.put_object(
                        Bucket=bucket,
                        Key=key,
                        Body=body,
                        IfNoneMatch="*",
                        ChecksumAlgorithm="CRC32",
                        Metadata={**metadata, _TOKEN: token},
                        **headers,  # type: ignore[arg-type]
                    )
                return None
            except Conflict:
                there = self.head(bucket, key)
                if there is not None:
                    return None if there.metadata.get(_TOKEN) == token else there
                # Else another write was under way, and failed.
        raise PartUnreachable("s3-unreachable", f"s3://{bucket}/{key} is written by others all the time: try again.")

    def read(self, bucket: str, key: str, max_bytes: int | None = None) -> bytes | None:
        """The content of a small object, of one byte more than max_bytes at most; None where there is none."""
        try:
            with self.translated(bucket):
                body = self.client.get_object(Bucket=bucket, Key=key)["Body"]
                return body.read(None if max_bytes is None else max_bytes + 1)
        except Gone:
            return None

    def write(self, bucket: str, key: str, content: bytes) -> None:
        """Store a small JSON object, whatever has the name."""
        with self.translated(bucket):
            self.client.put_object(
                Bucket=bucket, Key=key, Body=content, ContentType="application/json", ChecksumAlgorithm="CRC32"
            )

    def put(self, bucket: str, key: str, path: Path, metadata: Mapping[str, str] | None = None) -> Head:
        """Store a file, in parts where it is large. Returns what is there then."""
        from boto3.exceptions import S3UploadFailedError
        from boto3.s3.transfer import S3Transfer, TransferConfig

        with self.translated(bucket):
            manager = S3Transfer(self.client, TransferConfig(multipart_threshold=_SINGLE_PUT_BYTES))  # type: ignore[arg-type]
            try:
                manager.upload_file(str(path), bucket, key, extra_args={"Metadata": dict(metadata or {})})
            except S3UploadFailedError as error:
                raise error.__context__ or error from None  # boto3 hides the ClientError that it means
        there = self.head(bucket, key)
        if there is None:
            raise PartUnreachable("s3-unreachable", f"s3://{bucket}/{key} was stored and is not there.")
        return there

    def presign_put(
        self, bucket: str, key: str, *, size_bytes: int, sha256: str | None, expires_s: int
    ) -> tuple[str, dict[str, str]]:
        """A URL that takes one PUT of a file of this size, and the headers that belong to it: they are signed too, so
        S3 refuses another length, and other bytes where sha256 (hex digits) is given."""
        headers = {"Content-Length": str(size_bytes)}
        wanted: dict[str, Any] = {"Bucket": bucket, "Key": key, "ContentLength": size_bytes}
        if sha256:
            wanted["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
            headers["x-amz-checksum-sha256"] = wanted["ChecksumSHA256"]
        with self.translated(bucket):
            url = self.client.generate_presigned_url("put_object", Params=wanted, ExpiresIn=expires_s)
        return url, headers

    def get(self, bucket: str, key: str, to: Path, version: str | None = None) -> None:
        """Fetch an object into a file. version: a version id, or `etag:…` that it must still have.

        Raises JobFailed: `recording-gone`, `superseded` where it has changed, `disk-full`."""
        which: dict[str, str] = {}
        if version and version.startswith("etag:"):
            which["IfMatch"] = f'"{version.removeprefix("etag:")}"'
        elif version:
            which["VersionId"] = version
        try:
            with self.translated(bucket):
                body = self.client.get_object(Bucket=bucket, Key=key, **which)["Body"]  # type: ignore[arg-type]
                with to.open("wb") as file:
                    for chunk in body.iter_chunks(1 << 18):
                        file.write(chunk)
        except Gone:
            raise JobFailed("recording-gone", f"s3://{bucket}/{key} is not there any more.") from None
        except Conflict:
            text = f"s3://{bucket}/{key} was overwritten after it was registered; the new content is a job of its own."
            raise JobFailed("superseded", text) from None
        except OSError as error:
            raise disk_trouble(to.parent, error) from None

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self.translated(bucket):
            self.client.delete_object(Bucket=bucket, Key=key)

    def versions(self, bucket: str, prefix: str) -> tuple[Version, ...]:
        """Every version of the objects under a prefix, the newest of each first, and then the markers."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        found: list[Version] = []
        with self.translated(bucket):
            for page in pages:
                found += [_version(item, is_marker=False) for item in page.get("Versions", [])]
                found += [_version(item, is_marker=True) for item in page.get("DeleteMarkers", [])]
        return tuple(sorted(found, key=lambda one: one.is_marker))

    def delete_version(self, version: Version, bucket: str) -> None:
        """Remove one version for good; one that is not there is no error."""
        with self.translated(bucket):
            self.client.delete_object(Bucket=bucket, Key=version.key, VersionId=version.version_id)

    def list(self, bucket: str, prefix: str = "") -> Iterator[Listed]:
        """All objects under a prefix, in the order of their keys."""
        for page in self.pages(bucket, prefix):
            yield from page

    def pages(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[tuple[Listed, ...]]:
        """The same a page at a time, from the key that follows `after`; one empty page where there is nothing."""
        which = {"StartAfter": after} if after else {}
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **which)  # type: ignore[arg-type]
        with self.translated(bucket):
            for page in pages:
                yield tuple(
                    Listed(
                        key=item["Key"],
                        size_bytes=item["Size"],
                        etag=item["ETag"].strip('"'),
                        last_modified=item["LastModified"],
                    )
                    for item in page.get("Contents", [])
                )

    def ping(self) -> None:
        """Ask for the memo bucket."""
        bucket = self.need_bucket()
        try:
            with self.translated(bucket):
                self.client.head_bucket(Bucket=bucket)
        except Gone:
            raise Misuse("s3-refused", f"There is no bucket {bucket!r}: make it, or correct MEMOLINE_BUCKET.") from None

    @contextmanager
    def translated(self, bucket: str) -> Iterator[None]:
        with translated(f"Bucket {bucket!r}", self.config.endpoint_url):
            yield


def _version(item: Mapping[str, Any], *, is_marker: bool) -> Version:
    return Version(
        key=item["Key"],
        version_id=item.get("VersionId") or "null",
        etag=str(item.get("ETag", "")).strip('"'),
        last_modified=item["LastModified"],
        is_marker=is_marker,
    )
