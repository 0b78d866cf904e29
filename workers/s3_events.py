"""What an S3 event says: which objects to look at. An event is never more than that; the object itself decides.

Three envelopes carry the same news: S3 straight to SQS, S3 through SNS to SQS, and EventBridge. S3's own notifications
URL-encode the key with `+` for a space (Amazon S3 user guide, "Event message structure"); EventBridge does not encode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote_plus

from pipeline.hosting.names import UPLOADS

RESULTS = "result/"
DONE = "done/"
"""Where recordings go whose memo was sent, when MEMOLINE_INBOX_DONE says so."""
RESULT_SUFFIX = ".memoline.json"
SIDE_CAR_SUFFIX = ".json"
MAX_KEY_BYTES = 1_024
"""S3's own limit."""
NOT_READ = (UPLOADS, RESULTS, DONE)
"""Prefixes of the inbox under which nothing is a recording to send."""
_DEPTH = 3
"""Envelopes inside envelopes that are opened at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectSeen:
    """Somebody put an object there. version_id: of what was put, where the event tells it."""

    bucket: str
    key: str
    version_id: str | None = None


class NotAnEvent(ValueError):
    """The text is no event of S3; whoever reads the dead-letter queue should see it."""


def objects_of(body: str) -> tuple[ObjectSeen, ...]:
    """The objects that a queue message says were created. Empty for a test event, a removal and the like.

    Raises NotAnEvent where the text is none of the known envelopes."""
    return _objects(_mapping(body), _DEPTH)


def _objects(event: Mapping[str, Any], depth: int) -> tuple[ObjectSeen, ...]:
    if event.get("Type") == "Notification" and isinstance(event.get("Message"), str) and depth > 0:
        return _objects(_mapping(event["Message"]), depth - 1)
    if event.get("Event") == "s3:TestEvent":
        return ()
    if event.get("source") == "aws.s3" and isinstance(event.get("detail"), dict):
        created = event.get("detail-type") == "Object Created"
        return (_seen(event["detail"], encoded=False),) if created else ()
    if isinstance(event.get("Records"), list):
        return tuple(_seen(record.get("s3"), encoded=True) for record in event["Records"] if _created(record))
    raise NotAnEvent("none of the envelopes that S3 events come in")


def _created(record: object) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("eventName"), str):
        raise NotAnEvent("a record without the name of its event")
    return str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated:")


def _seen(detail: object, *, encoded: bool) -> ObjectSeen:
    try:
        bucket, key = detail["bucket"]["name"], detail["object"]["key"]  # type: ignore[index]
    except (KeyError, TypeError):
        raise NotAnEvent("a record without bucket or key") from None
    if not isinstance(bucket, str) or not isinstance(key, str) or not bucket or not key:
        raise NotAnEvent("a record whose bucket or key is no text")
    version = detail["object"].get("versionId" if encoded else "version-id")  # type: ignore[index]
    known = version if isinstance(version, str) and version not in ("", "null") else None
    return ObjectSeen(bucket=bucket, key=unquote_plus(key) if encoded else key, version_id=known)


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAnEvent("not JSON") from None
    if not isinstance(value, dict):
        raise NotAnEvent("not a JSON object")
    return value


def is_recording(key: str) -> bool:
    """Whether a key of the inbox names a recording: neither ours, nor finished, nor a folder, nor a note beside one."""
    if key.startswith(NOT_READ) or key.endswith(("/", RESULT_SUFFIX)):
        return False
    return not is_side_car(key)


def is_side_car(key: str) -> bool:
    """Whether a key is `name.ext.json`: options for the recording `name.ext`."""
    return not key.startswith(NOT_READ) and is_named_as_note(key)


def is_named_as_note(key: str) -> bool:
    """Whether a key has the form of a note's, wherever it lies."""
    if key.endswith(RESULT_SUFFIX):
        return False
    name = PurePosixPath(key)
    return name.suffix == ".json" and bool(PurePosixPath(name.stem).suffix)


def recording_of(side_car: str) -> str:
    """The key of the recording that a note beside it is about."""
    return side_car.removesuffix(SIDE_CAR_SUFFIX)


def side_car_of(key: str) -> str:
    """The key under which options for a recording may lie."""
    return f"{key}{SIDE_CAR_SUFFIX}"
