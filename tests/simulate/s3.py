"""S3 and the CDN before it: below the real `S3`, as a boto3 client with the few calls that are used, and below the real
URL check, as an httpx transport."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.simulate.world import World

CDN = "https://cdn.test"


@dataclass(frozen=True, kw_only=True)
class Object:
    """A stored object."""

    body: bytes
    content_type: str
    metadata: dict[str, str]
    at: float

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body).hexdigest()}"'


class Body:
    """What `get_object` gives to read."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def iter_chunks(self, _size: int = 0) -> Iterator[bytes]:
        yield self._body

    def read(self, _size: int | None = None) -> bytes:
        return self._body


@dataclass
class Bucket:
    """All objects, of all buckets; outlives every process and every restored ledger."""

    world: World
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)

    def put_object(self, **given: Any) -> dict[str, Any]:
        where = (given["Bucket"], given["Key"])
        self._arrive(f"PUT {given['Key'][:20]}")
        body = given.get("Body", b"")
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else body.read()
        self._put(where, data, given)
        if self.world.sim.chance(self.world.weather.s3_answer_lost):
            # boto3 tries again by itself; a second conditional PUT meets the first one's object.
            if self.world.sim.chance(0.5):
                self._put(where, data, given)
            else:
                raise ReadTimeoutError(endpoint_url="https://s3.test")
        self.world.sim.pause("S3 answers")
        return {"ETag": self.objects[where].etag}

    def _put(self, where: tuple[str, str], data: bytes, given: dict[str, Any]) -> None:
        if given.get("IfNoneMatch") == "*" and where in self.objects:
            raise _error("PreconditionFailed", 412)
        metadata = {str(k): str(v) for k, v in given.get("Metadata", {}).items()}
        self.objects[where] = Object(
            body=data, content_type=given.get("ContentType", ""), metadata=metadata, at=self.world.sim.now()
        )

    def get_object(self, **given: Any) -> dict[str, Any]:
        self._arrive(f"GET {given['Key'][:20]}")
        found = self._found(given, "NoSuchKey")
        return self._described(found) | {"Body": Body(found.body)}

    def head_object(self, **given: Any) -> dict[str, Any]:
        self._arrive(f"HEAD {given['Key'][:20]}")
        return self._described(self._found(given, "404"))

    def delete_object(self, **given: Any) -> dict[str, Any]:
        self._arrive(f"DELETE {given['Key'][:20]}")
        self.objects.pop((given["Bucket"], given["Key"]), None)
        return {}

    def copy_object(self, **given: Any) -> dict[str, Any]:
        self._arrive(f"COPY {given['Key'][:20]}")
        source = given["CopySource"]
        found = self._found(source, "NoSuchKey")
        self._put((given["Bucket"], given["Key"]), found.body, {"ContentType": found.content_type} | given)
        return {}

    def list_objects_v2(self, **given: Any) -> dict[str, Any]:
        self._arrive("LIST")
        keys = sorted(k for b, k in self.objects if b == given["Bucket"] and k.startswith(given.get("Prefix", "")))
        rows = [self._row(given["Bucket"], key) for key in keys[: given.get("MaxKeys", 1000)]]
        return {"Contents": rows, "KeyCount": len(rows)} if rows else {"KeyCount": 0}

    def get_paginator(self, _name: str) -> Bucket:
        return self

    def paginate(self, **given: Any) -> Iterator[dict[str, Any]]:
        yield self.list_objects_v2(**given)

    def _row(self, bucket: str, key: str) -> dict[str, Any]:
        found = self.objects[bucket, key]
        return {
            "Key": key,
            "Size": len(found.body),
            "ETag": found.etag,
            "LastModified": datetime.fromtimestamp(found.at, UTC),
        }

    def _found(self, given: dict[str, Any], code: str) -> Object:
        found = self.objects.get((given["Bucket"], given["Key"]))
        if found is None:
            raise _error(code, 404)
        if "IfMatch" in given and given["IfMatch"] != found.etag:
            raise _error("PreconditionFailed", 412)
        return found

    def _described(self, found: Object) -> dict[str, Any]:
        return {
            "ContentLength": len(found.body),
            "ETag": found.etag,
            "LastModified": datetime.fromtimestamp(found.at, UTC),
            "ContentType": found.content_type,
            "Metadata": dict(found.metadata),
        }

    def _arrive(self, what: str) -> None:
        self.world.sim.pause(what)
        if self.world.sim.chance(self.world.weather.s3_away):
            raise EndpointConnectionError(endpoint_url="https://s3.test")


class Cdn(httpx.BaseTransport):
    """Serves `m/` of the memo bucket, or now and then something else."""

    def __init__(self, bucket: Bucket, memo_bucket: str) -> None:
        self._bucket, self._memo_bucket = bucket, memo_bucket

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        world = self._bucket.world
        world.sim.pause("looks at the memo's URL")
        if world.sim.chance(world.weather.s3_away):
            raise httpx.ConnectTimeout("away", request=request)
        found = self._bucket.objects.get((self._memo_bucket, request.url.path.removeprefix("/")))
        if found is None or world.sim.chance(world.weather.cdn_wrong):
            return httpx.Response(404, content=b"not here", request=request)
        headers = {"content-type": found.content_type, "content-length": str(len(found.body))}
        return httpx.Response(200, stream=httpx.ByteStream(found.body), headers=headers, request=request)


def _error(code: str, status: int) -> ClientError:
    about: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(about, "simulated")
