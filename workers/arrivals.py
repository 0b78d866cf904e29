"""From a dropped object to its job: look at it and at the note beside it, register it in its turn, hint its first step.

Everything here may be done again for the same object at any time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from pipeline import jobs
from pipeline.errors import JobFailed, KeyReused, MemolineError, Misuse, PartUnreachable
from pipeline.hosting.s3 import Head
from pipeline.model import Job, Request, State
from workers.batch import BATCH_JOBS
from workers.doors import Desk, job_id_of, register, request_for_object, secured, taken_up_with_copy
from workers.hints import Hints
from workers.inbox import SIDE_CAR_MAX_BYTES, wish_of
from workers.log import logger
from workers.s3_events import MAX_KEY_BYTES, ObjectSeen, is_recording, is_side_car, recording_of, side_car_of
from workers.tracing import mark_registered
from workers.wishes import Wish, split_s3_uri


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An object of the inbox as S3 shows it. note: what lies beside it as `name.ext.json`."""

    key: str
    head: Head
    note: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """What became of keys that were looked at. found: the newest of each that is there. failed: keys that could not be
    looked at or registered, and should be looked at again."""

    found: tuple[Found, ...]
    failed: frozenset[str]


class Arrivals:
    """Registers objects of the inbox bucket. looking: where S3 is asked, several requests at a time."""

    def __init__(self, desk: Desk, hints: Hints, looking: Executor) -> None:
        self._desk = desk
        self._hints = hints
        self._looking = looking
        self._bucket = desk.settings.need("inbox_bucket")

    def take(self, seen: Iterable[ObjectSeen]) -> Arrived:
        """Register what was seen in the order in which it was put, by time and then by key. One that is gone by now
        needs no job; one that was overwritten gives a job for each version that was named, and one for the newest.

        Raises PartUnreachable: what was registered by then stays so."""
        wanted: dict[str, set[str]] = {}
        for one in seen:
            if is_recording(one.key):
                wanted.setdefault(one.key, set()).update({one.version_id} if one.version_id else ())
        looks = list(self._looking.map(self._looked_at, wanted.items()))
        found = [one for look in looks if not isinstance(look, MemolineError) for one in look]
        failed = {key for key, look in zip(wanted, looks, strict=True) if isinstance(look, MemolineError)}
        found.sort(key=lambda one: (one.head.last_modified, one.key))
        for start in range(0, len(found), BATCH_JOBS):
            failed |= self._register(found[start : start + BATCH_JOBS])
        newest = {one.key: one for one in found}
        return Arrived(found=tuple(newest.values()), failed=frozenset(failed))

    def mend(self, keys: Iterable[str]) -> frozenset[str]:
        """Take up notes that were put, or corrected, after their recordings: where such a recording's job waits for a
        person for want of a chat, it does no more. Returns the notes that could not be taken up.

        Raises PartUnreachable."""
        failed = set()
        for key in dict.fromkeys(keys):
            look = self._looked_at((recording_of(key), set())) if is_side_car(key) else ()
            if isinstance(look, MemolineError):
                failed.add(key)
                continue
            for found in look:
                self._mend(found)
        return frozenset(failed)

    def _mend(self, found: Found) -> None:
        request = self._request(found)
        try:
            job = self._desk.parts.ledger.get(job_id_of(self._desk, request))
            if job.state is not State.HELD or job.code != "no-chat" or request.chat_id is None:
                return
            mended = register(self._desk, request)
        except JobFailed as error:  # no job yet, whose turn comes; or a key that is taken
            logger().info("watch.note-not-taken", key=found.key, code=error.code)
            return
        logger().info("watch.mended", key=found.key, job_id=mended.job_id, state=str(mended.state))
        self._hints.wake(mended)

    def _looked_at(self, wanted: tuple[str, set[str]]) -> tuple[Found, ...] | MemolineError:
        """An object as it is now and in other versions that were named; nothing where it is gone. An error that is not
        an outage is a result."""
        key, versions = wanted
        try:
            split_s3_uri(f"s3://{self._bucket}/{key}")  # before anybody is asked for what a client makes of its dots
            newest = self._desk.s3.head(self._bucket, key)
            if newest is None:
                return ()
            others = (self._desk.s3.head(self._bucket, key, one) for one in versions - {newest.version_id})
            heads = [*(head for head in others if head and newest.version_id), newest]
            note = self._note(key)
        except Misuse as error:
            logger().error("watch.not-readable", key=key, code=error.code, error=error.message)
            return error
        return tuple(Found(key=key, head=head, note=note) for head in heads)

    def _note(self, key: str) -> bytes | None:
        return note_beside(self._desk, self._bucket, key)

    def _register(self, found: Sequence[Found]) -> set[str]:
        """One commit for a batch. Returns the keys that could not be registered."""
        requests = list(self._looking.map(self._secured, found))
        safe = [(one, request) for one, request in zip(found, requests, strict=True) if request is not None]
        added = jobs.register_many(self._desk.parts, [request for _, request in safe])
        mark_registered(job_id_of(self._desk, request) for _, request in safe)
        failed = {one.key for one, request in zip(found, requests, strict=True) if request is None}
        for (one, request), result in zip(safe, added, strict=True):
            try:
                job = self._taken_up(one, request, result)
            except PartUnreachable:
                raise
            except MemolineError as error:
                failed.add(one.key)
                logger().error("watch.not-registered", key=one.key, code=error.code, error=error.message)
                continue
            if job.rev == 1:
                logger().info("watch.registered", key=one.key, job_id=job.job_id, state=str(job.state))
                self._hints.wake(job)
        return failed

    def _secured(self, found: Found) -> Request | None:
        try:
            return secured(self._desk, self._request(found))
        except PartUnreachable:
            raise
        except MemolineError as error:
            logger().error("watch.not-registered", key=found.key, code=error.code, error=error.message)
            return None

    def _request(self, found: Found) -> Request:
        """The request that an object makes; one whose options cannot be understood waits for a person."""
        try:
            put_at = found.head.last_modified.timestamp()
            wish = wish_of(found.key, found.head.metadata, found.note, put_at=put_at)
        except Misuse as error:
            return self._problem(found, error)
        return request_for_object(self._desk, self._uri(found), wish, found.head)

    def _problem(self, found: Found, error: MemolineError) -> Request:
        request = request_for_object(self._desk, self._uri(found), Wish(chat_id=None), found.head)
        return replace(request, problem=f"{error.code}: {error.message}")

    def _taken_up(self, found: Found, request: Request, added: Job | KeyReused) -> Job:
        try:
            return taken_up_with_copy(self._desk, request, added)
        except KeyReused as error:
            return register(self._desk, self._problem(found, error))

    def _uri(self, found: Found) -> str:
        return f"s3://{self._bucket}/{found.key}"


def note_beside(desk: Desk, bucket: str, key: str) -> bytes | None:
    """What lies beside an object of the inbox as `name.ext.json`. Raises PartUnreachable, Misuse."""
    beside = side_car_of(key)
    if len(beside.encode()) > MAX_KEY_BYTES:
        return None
    return desk.s3.read(bucket, beside, SIDE_CAR_MAX_BYTES)
