"""Where a recording that was handed in waits for its worker, so that the caller may delete the file."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from pipeline.disk import disk_trouble, using
from pipeline.errors import Misuse
from pipeline.hosting.names import UPLOADS
from pipeline.hosting.s3 import S3
from pipeline.model import StoredRecording

_CHUNK_BYTES = 1 << 20


class Spool(Protocol):
    """Takes a copy of a recording and keeps it until it is discarded."""

    def put(self, recording: Path, name: str) -> StoredRecording: ...
    def put_stream(self, stream: BinaryIO, name: str) -> StoredRecording: ...
    def made_before(self, moment: float) -> Iterator[str]: ...


class LocalSpool:
    """A folder, for a stack on one host. A copy is on disk, synced, before it has its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, recording: Path, name: str) -> StoredRecording:
        """Copy a file. Raises Misuse (`no-such-file`, `is-a-directory`, `unreadable`), and as `put_stream`."""
        with opened(recording) as stream:
            return self.put_stream(stream, name)

    def put_stream(self, stream: BinaryIO, name: str) -> StoredRecording:
        """Copy what a stream yields. Raises JobFailed (`disk-full`), Misuse (`home-unusable`)."""
        name_here = secrets.token_hex(16)
        part, final = self._folder / f"part-{name_here}", self._folder / name_here
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            size_bytes, sha256 = _copy(stream, part)
            part.rename(final)
            sync_folder(self._folder)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise disk_trouble(self._folder, error) from None
        return StoredRecording(uri=f"file://{final}", name=name, size_bytes=size_bytes, sha256=sha256)

    def made_before(self, moment: float) -> Iterator[str]:
        """URIs of copies, whole or not, that were last written before a moment (Unix seconds). Raises Misuse
        (`home-unusable`)."""
        with using(self._folder):
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                with suppress(FileNotFoundError):  # discarded at this moment
                    if path.stat().st_mtime < moment:
                        yield f"file://{path}"


class S3Spool:
    """The inbox bucket under `uploads/`, for workers on several hosts."""

    def __init__(self, s3: S3, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def put(self, recording: Path, name: str) -> StoredRecording:
        """Upload a file. Raises as `LocalSpool.put`, and PartUnreachable (`s3-unreachable`)."""
        with opened(recording) as stream:
            return self.put_stream(stream, name)

    def put_stream(self, stream: BinaryIO, name: str) -> StoredRecording:
        """Upload what a stream yields, by way of a temporary file, so that its hash and length are known first."""
        with tempfile.TemporaryDirectory(prefix="memoline-") as folder:
            stored = LocalSpool(Path(folder)).put_stream(stream, name)
            path = Path(stored.uri.removeprefix("file://"))
            key = f"{UPLOADS}{secrets.token_hex(16)}"
            head = self._s3.put(self._bucket, key, path)
        version = head.version_id or f"etag:{head.etag}"
        return StoredRecording(
            uri=f"s3://{self._bucket}/{key}",
            name=name,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            version=version,
        )

    def made_before(self, moment: float) -> Iterator[str]:
        """URIs of copies that were uploaded before a moment (Unix seconds)."""
        for item in self._s3.list(self._bucket, UPLOADS):
            if item.last_modified.timestamp() < moment:
                yield f"s3://{self._bucket}/{item.key}"


@contextmanager
def opened(recording: Path) -> Iterator[BinaryIO]:
    """A regular file for reading. Raises Misuse (`no-such-file`, `is-a-directory`, `unreadable`)."""
    try:
        mode = recording.stat().st_mode
        if stat.S_ISDIR(mode):
            raise Misuse("is-a-directory", f"{recording} is a folder: name a file, or use `memoline backfill`.")
        if not stat.S_ISREG(mode):
            raise Misuse("unreadable", f"{recording} is no regular file.", path=str(recording))
        stream = recording.open("rb")
    except FileNotFoundError:
        raise Misuse("no-such-file", f"There is no file {recording}.", path=str(recording)) from None
    except (OSError, ValueError) as error:
        text = f"{recording} cannot be read ({getattr(error, 'strerror', None) or error})."
        raise Misuse("unreadable", text, path=str(recording)) from None
    with stream:
        yield stream


def _copy(stream: BinaryIO, to: Path) -> tuple[int, str]:
    """Copy to a new file that only its owner reads, and sync it; returns its size and SHA-256."""
    digest, size_bytes = hashlib.sha256(), 0
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
            size_bytes += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size_bytes, digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_of(stream: BinaryIO) -> str:
    """SHA-256 of what a stream yields, as hex digits."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
