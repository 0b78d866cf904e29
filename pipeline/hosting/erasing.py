"""Every copy of a job's recording and of its memos, found by name and removed: also older versions, memos of earlier
attempts, and what an attempt stored after it had lost its job."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pipeline.disk import using
from pipeline.hosting.names import UPLOADS, fingerprint, identity_of_object, job_id_for, memo_names
from pipeline.hosting.s3 import S3, Version
from pipeline.model import Job
from pipeline.recordings import Overflow

IsOther = Callable[[str, str, str], bool]
"""(bucket, key, version) → whether another job reads it."""


Place = tuple[str, str]
"""(bucket, key)"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """What else may lie there for a job of the inbox. result: told to other systems; done: where its finished recording
    was moved to."""

    result: Place | None = None
    done: Place | None = None


class Copies:
    """The copies of one install. spool: the folder whose files are ours. Raises PartUnreachable (`s3-unreachable`),
    Misuse (`s3-refused`, `home-unusable`)."""

    def __init__(self, s3: S3, *, secret: bytes, spool: Path) -> None:
        self._s3 = s3
        self._secret = secret
        self._spool = spool

    def erase_recording(self, job: Job, is_other: IsOther | None) -> Iterator[str]:
        """Remove the recording where it is ours to remove; says which kind it is: `recording`, or, where it stays,
        `not-ours: …`. is_other: as in `MemoStore.erase`."""
        uri = job.recording.uri
        if uri.startswith("file://"):
            yield self._erase_file(Path(uri.removeprefix("file://")))
        elif uri.startswith("s3://"):
            bucket, key = _parts(uri)
            if bucket != self._s3.config.inbox_bucket:
                yield "not-ours: object"
            elif key.startswith(UPLOADS):
                self._erase_versions(bucket, key)
                yield "recording"
        dropped_bucket, dropped = _parts(job.source)
        ours = dropped and dropped_bucket == self._s3.config.inbox_bucket and not dropped.startswith(UPLOADS)
        if ours and is_other is not None:
            self._erase_dropped(dropped_bucket, dropped, job, is_other)
            yield "dropped object"

    def _erase_file(self, path: Path) -> str:
        if path.parent != self._spool:
            return "not-ours: file"
        with using(path):
            path.unlink(missing_ok=True)
        return "recording"

    def erase_beside(self, job: Job, beside: Beside, *, alone: bool, dropped: bool) -> Iterator[str]:
        """Remove the result where it is this job's, and the moved recording where it is, by its content, or by the name
        that no other job has (alone). dropped: whether recordings go."""
        if beside.result and _tells_of(self._s3.read(*beside.result), job):
            self._erase_versions(*beside.result)
            yield "result"
        if beside.done and dropped:
            bucket, key = beside.done
            there = [one for one in self._s3.versions(bucket, key) if one.key == key]
            mine = [one for one in there if alone or _has_content_of(one, job)]
            self._delete(bucket, mine)
            yield from ("moved recording",) if mine else ()

    def memo_keys(self, job: Job, names: Collection[str] = ()) -> tuple[str, ...]:
        """The object keys of all memos that were made for a job, or have these names (without extension), as far as
        they are known or there."""
        known = {job.hosted.object_key} if job.hosted else set()
        return tuple(sorted(known | {version.key for version in self._memos(job, names)}))

    def erase_memos(self, job: Job, names: Collection[str] = ()) -> None:
        """Remove all memos that were ever made for a job, and those of these names."""
        self._delete(self._s3.need_bucket(), self._memos(job, names))

    def _memos(self, job: Job, names: Collection[str]) -> Iterator[Version]:
        for name in sorted(memo_names(self._secret, job.job_id, job.epoch).union(names)):
            yield from self._s3.versions(self._s3.need_bucket(), f"m/{name}.")

    def _erase_dropped(self, bucket: str, key: str, job: Job, is_other: IsOther) -> None:
        """Remove a dropped object in every version, but for those that are another job's, or that came after ours and
        may become one; then the note beside it. Ours goes last: by it the newer ones are known."""
        there = [one for one in self._s3.versions(bucket, key) if one.key == key]
        contents = [one for one in there if not one.is_marker]
        place = next((n for n, one in enumerate(contents) if self._is_of(one, bucket, job)), None)
        older = contents[place + 1 :] if place is not None else _before(contents, job.created_at)
        doomed = [one for one in older if not is_other(bucket, key, _version_of(one))]
        mine = contents[place : place + 1] if place is not None else []
        self._delete(bucket, doomed)
        if len(doomed) + len(mine) < len(contents):
            self._delete(bucket, mine)
            return
        self._erase_versions(bucket, f"{key}.json")
        self._delete(bucket, mine)
        # Last, for a marker hides contents.
        self._delete(bucket, [one for one in there if one.is_marker])

    def _is_of(self, version: Version, bucket: str, job: Job) -> bool:
        return job.job_id == job_id_for(self._secret, identity_of_object(bucket, version.key, _version_of(version)))

    def _erase_versions(self, bucket: str, key: str) -> None:
        self._delete(bucket, [one for one in self._s3.versions(bucket, key) if one.key == key])

    def _delete(self, bucket: str, versions: Iterable[Version]) -> None:
        for version in versions:
            self._s3.delete_version(version, bucket)


def _parts(uri: str) -> tuple[str, str]:
    """(bucket, key); the key is empty where it is no object's."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return (bucket, key) if uri.startswith("s3://") else ("", "")


def _tells_of(result: bytes | None, job: Job) -> bool:
    """Whether a result is about this job: the one of a later version has the same name."""
    try:
        told = json.loads(result or b"null")
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("job_id") == job.job_id


def _has_content_of(version: Version, job: Job) -> bool:
    """Whether a version holds what was registered: its ETag is in the fingerprint, with what was known then."""
    overflows: tuple[Overflow | None, ...] = (None, "compress", "cut", "split", "reject")
    known = product((job.chat_id, None), overflows)
    return any(fingerprint(version.etag, chat_id, overflow) == job.fingerprint for chat_id, overflow in known)


def _version_of(version: Version) -> str:
    """As registration wrote it down: the ETag on a bucket without versions."""
    return f"etag:{version.etag}" if version.version_id == "null" else version.version_id


def _before(contents: list[Version], moment: float) -> list[Version]:
    return [one for one in contents if one.last_modified.timestamp() < moment]
