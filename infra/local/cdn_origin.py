"""The private memo bucket as the CDN reads it: with signed requests, and in pieces, so that memory stays small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import PartUnreachable
from pipeline.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PIECE_BYTES = 256 * 1024
ABSENT = ("404", "403", "NoSuchKey", "AccessDenied")
KEPT = {
    "ContentType": "content-type",
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ETag": "etag",
}
"""What of an object's answer is passed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """An object without its bytes. headers: those to send, by lower-case name."""

    size_bytes: int
    etag: str
    headers: dict[str, str]


class Origin:
    """The objects of one bucket. Its calls block: use threads. Raises PartUnreachable (`s3-unreachable`)."""

    def __init__(self, settings: Settings) -> None:
        self._bucket = settings.need("bucket")
        self._client = _client(settings)

    def head(self, key: str) -> Head | None:
        """What the bucket says about an object now; None where it has none."""
        answer = self._call(self._client.head_object, key)
        return None if answer is None else _head(answer)

    def read(self, key: str) -> tuple[Head, Iterator[bytes]] | None:
        """An object and its bytes, piece by piece; None where there is none. The pieces raise PartUnreachable when
        the connection breaks or bytes are missing."""
        answer = self._call(self._client.get_object, key)
        return None if answer is None else (_head(answer), _pieces(answer["Body"]))

    def _call(self, operation: Any, key: str) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return operation(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ABSENT:
                return None
            raise _away(error) from None
        except BotoCoreError as error:
            raise _away(error) from None


def _client(settings: Settings) -> S3Client:
    import boto3
    from botocore.config import Config

    secret = settings.aws_secret_access_key
    token = settings.aws_session_token
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"total_max_attempts": 2},
        max_pool_connections=32,
        s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
        config=config,
    )


def _head(answer: Any) -> Head:
    headers = {name: str(answer[field]) for field, name in KEPT.items() if answer.get(field)}
    if answer.get("LastModified"):
        headers["last-modified"] = answer["LastModified"].strftime("%a, %d %b %Y %H:%M:%S GMT")
    return Head(size_bytes=int(answer["ContentLength"]), etag=str(answer["ETag"]), headers=headers)


def _pieces(body: Any) -> Iterator[bytes]:
    from botocore.exceptions import BotoCoreError

    try:
        yield from body.iter_chunks(PIECE_BYTES)
    except BotoCoreError as error:
        raise _away(error) from None
    finally:
        body.close()


def _away(error: Exception) -> PartUnreachable:
    return PartUnreachable("s3-unreachable", f"The memo bucket does not answer: {error}", part="s3")
