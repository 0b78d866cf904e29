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
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.handlers import add_expect_header
from botocore.session import Session

from pipeline.disk import disk_trouble
from pipeline.errors import JobFailed, Misuse, PartUnreachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TOKEN = "memoline-token"  # noqa: S105 (the name of a metadata field)
_SHA256 = "memoline-sha256"
_TRIES = 3
_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})
_CONFLICT = frozenset({"412", "409", "PreconditionFailed", "ConditionalRequestConflict"})
_DENIED = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"})
_NOT_NOW = frozenset(
    {
        "408",
        "429",
        "BadDigest",
        "IncompleteBody",
        "OperationAborted",
        "OverLimit",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "SlowDown",
        "TokenRefreshRequired",
        "TooManyRequestsException",
        "XAmzContentSHA256Mismatch",
    }
)
"""Codes of a 4xx that may be gone at the next try, as those are that name a throttle (`KMS.ThrottlingException` …)."""
_THROTTLED = "throttl"
_NOTHING_OF_THE_MACHINE = {
    # (name in the config file, environment variable, default, conversion), as botocore's session reads them
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ca_bundle": (None, None, None, None),
}
_SINGLE_PUT_BYTES = 100_000_000
"""Up to here one PUT; memos are always below it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Config:
    """Where S3 is. Without keys boto3's own chain finds them (profile, container, instance role)."""

    endpoint_url: str | None
    region: str
    access_key_id: str | None
    secret_access_key: str | None
    session_token: str | None = None
    bucket: str | None = None
    inbox_bucket: str | None = None


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


def make_client(config: S3Config, service: str, endpoint_url: str | None) -> Any:
    """A client for S3 or another AWS service. With explicit keys nothing of the machine's own AWS set-up is read: its
    profile, its config file and its CA bundle concern another S3 than ours."""
    session = Session(session_vars=_NOTHING_OF_THE_MACHINE if config.access_key_id else None)
    loopback = (urlsplit(endpoint_url or "").hostname or "") in ("127.0.0.1", "localhost", "::1")
    client = session.create_client(
        service,
        region_name=config.region,
        endpoint_url=endpoint_url,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        aws_session_token=config.session_token,
        config=Config(
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"} if loopback else {},
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 3},
            tcp_keepalive=True,
            max_pool_connections=16,
            proxies={} if loopback else None,
        ),
    )
    # Else each PUT first asks whether it may go on ("100 Continue"): one more way to S3 and back.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return client


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


class Gone(Exception):
    """There is no such object."""


class Conflict(Exception):
    """A condition of the request did not hold."""


@contextmanager
def translated(what: str, endpoint_url: str | None) -> Iterator[None]:
    """Turn what botocore raises into our errors."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _GONE:
            raise Gone(code) from None
        if code in _CONFLICT:
            raise Conflict(code) from None
        passes = code in _NOT_NOW or _THROTTLED in code.lower()
        if code in _DENIED or (400 <= status < 500 and not passes):
            text = f"{what} cannot be used ({code}): check its name and the AWS credentials."
            raise Misuse("s3-refused", text, reason=code) from None
        raise PartUnreachable("s3-unreachable", f"S3 answers {status or code} ({code}): try again.") from None
    except NoCredentialsError:
        text = "No AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role."
        raise Misuse("s3-refused", text) from None
    except BotoCoreError as error:
        where = endpoint_url or "AWS"
        text = f"S3 at {where} cannot be reached ({type(error).__name__}): start it, or correct AWS_ENDPOINT_URL_S3."
        raise PartUnreachable("s3-unreachable", text) from None
