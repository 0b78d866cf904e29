"""A folder on disk as a door: what is put there becomes a job, as with an object of an unversioned bucket.

The identity of a recording is the folder, its path in it, and its content: seen again after a restart, copied there
again or touched, it is the same job; other content under its name is another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pipeline.errors import JobFailed, KeyReused, MemolineError, Misuse, PartUnreachable
from pipeline.hosting.names import identity_of_object, job_id_for
from pipeline.hosting.spool import hash_of, opened
from pipeline.ledger.inbox import InboxBook
from pipeline.model import Job, Request, State, StoredRecording
from workers.doors import Desk, register, request_for
from workers.folder_files import Look, is_note, look_at
from workers.hints import Hints
from workers.inbox import SIDE_CAR_MAX_BYTES, wish_of
from workers.log import logger
from workers.s3_events import recording_of, side_car_of
from workers.wishes import Wish


def place_of_folder(root: Path) -> str:
    """The name under which the ledger remembers a folder."""
    return f"file://{text_of(str(root))}"


def identity_in_folder(root: Path, key: str, sha256: str) -> str:
    """The identity of a recording in a folder."""
    return identity_of_object(place_of_folder(root), text_of(key), f"sha256:{sha256}")


def text_of(name: str) -> str:
    """A file's name as a text that every database takes: bytes that are no UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class FolderDoor:
    """Registers files of one folder. Every method may be called again for the same file at any time."""

    def __init__(self, desk: Desk, hints: Hints, book: InboxBook, root: Path) -> None:
        self._desk = desk
        self._hints = hints
        self._book = book
        self._root = root

    def take(self, looks: Iterable[Look]) -> int:
        """Register whole files in the order in which they were last written, then by path; notes after them. One that
        changed since it was looked at is left for a later look. Returns how many jobs are new.

        Raises PartUnreachable, JobFailed (`disk-full`): the rest is not remembered, and so taken later."""
        new = 0
        for look in sorted(looks, key=lambda look: (is_note(look.key), look.mtime_ns, look.key)):
            try:
                new += self._mend(look) if is_note(look.key) else self._register(look)
            except PartUnreachable:
                raise
            except MemolineError as error:
                if error.code == "disk-full":
                    raise
                logger().error("watch.not-registered", key=look.key, code=error.code, error=error.message)
                continue
            if look_at(self._root, self._root / look.key) == look:
                self._book.note({text_of(look.key): look.seen})
        return new

    def _register(self, look: Look) -> int:
        path = self._root / look.key
        stored = self._desk.spool.put(path, text_of(path.name))
        try:
            if look_at(self._root, path) != look:
                return self._let_go(stored)  # it was written to while it was copied
            request = self._request(look, stored)
        except MemolineError:
            self._let_go(stored)
            raise
        try:
            job = register(self._desk, request)
        except KeyReused as error:
            stored = self._desk.spool.put(path, stored.name)  # the first copy went with the refusal
            job = register(self._desk, self._problem(look, stored, error))
        if job.recording.uri != stored.uri:
            return 0  # it was known
        logger().info("watch.registered", key=look.key, job_id=job.job_id, state=str(job.state))
        self._hints.wake(job)
        return 1

    def _let_go(self, stored: StoredRecording) -> int:
        self._desk.parts.store.discard(stored)
        return 0

    def _mend(self, note: Look) -> int:
        """Take up a note that came after its recording, where the recording's job waits for a person for want of a
        chat."""
        look = look_at(self._root, self._root / recording_of(note.key))
        if look is None or (job := self._job_of(look)) is None or (job.state, job.code) != (State.HELD, "no-chat"):
            return 0
        # Not the job's own copy, which would go with a refusal.
        here = replace(job.recording, uri=f"file://{self._root / look.key}")
        request = self._request(look, here)
        if request.chat_id is None:
            return 0
        mended = register(self._desk, request)
        logger().info("watch.mended", key=look.key, job_id=mended.job_id, state=str(mended.state))
        self._hints.wake(mended)
        return 0

    def _job_of(self, look: Look) -> Job | None:
        with opened(self._root / look.key) as stream:
            identity = identity_in_folder(self._root, look.key, hash_of(stream))
        try:
            return self._desk.parts.ledger.get(job_id_for(self._desk.parts.secret, identity))
        except JobFailed:
            return None

    def _request(self, look: Look, stored: StoredRecording) -> Request:
        try:
            wish = wish_of(look.key, {}, self._note(look.key), put_at=look.mtime_ns / 1e9)
        except Misuse as error:
            return self._problem(look, stored, error)
        return self._asked(look, stored, wish)

    def _problem(self, look: Look, stored: StoredRecording, error: MemolineError) -> Request:
        return replace(self._asked(look, stored, Wish(chat_id=None)), problem=f"{error.code}: {error.message}")

    def _asked(self, look: Look, stored: StoredRecording, wish: Wish) -> Request:
        sha256 = stored.sha256 or ""
        identity = identity_in_folder(self._root, look.key, sha256)
        return request_for(stored, wish, source=str(self._root / look.key), content=sha256, identity=identity)

    def _note(self, key: str) -> bytes | None:
        try:
            with opened(self._root / side_car_of(key)) as stream:
                return stream.read(SIDE_CAR_MAX_BYTES + 1)
        except Misuse as error:
            if error.code == "no-such-file":
                return None
            raise
