"""Uploads: a multipart body, written to a file as it comes, so that memory does not grow with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from pipeline.disk import disk_trouble
from pipeline.errors import Misuse
from workers.web.bodies import too_large

MAX_BYTES = 2_000_000_000
"""Longer than any recording that can become a memo of ten megabytes."""
MAX_FIELD_BYTES = 4_096
MAX_PARTS = 10
MAX_HEADER_BYTES = 16_384
FILE_FIELD = "recording"


@dataclass(kw_only=True, slots=True)
class _Part:
    """The part that is being read."""

    name: str = ""
    file_name: str | None = None
    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    headers: dict[str, bytes] = field(default_factory=dict)


class Upload:
    """Takes a multipart body in pieces: one file goes to `file`, small fields to `fields`."""

    def __init__(self, boundary: bytes, file: BinaryIO) -> None:
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        self._file = file
        self._part = _Part()
        self._parts = 0
        self._ended = False
        self._name = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._keep(self._name, data[start:end], MAX_HEADER_BYTES),
                "on_header_value": lambda data, start, end: self._keep(
                    self._part.header, data[start:end], MAX_HEADER_BYTES
                ),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Take the next piece. Raises Misuse (`bad-multipart`, `too-large`), OSError."""
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise Misuse("bad-multipart", "The body is no multipart form.") from None

    def finish(self) -> None:
        """Say that the body is at its end. Raises Misuse (`incomplete`, `no-recording`)."""
        if not self._ended:
            raise Misuse("incomplete", "The multipart form ends before its last boundary.")
        if self.file_name is None:
            raise Misuse("no-recording", f"The form has no file field `{FILE_FIELD}`.")
        self._file.flush()

    def _begin(self) -> None:
        self._part, self._parts = _Part(), self._parts + 1
        if self._parts > MAX_PARTS:
            raise Misuse("bad-multipart", f"The form has more than {MAX_PARTS} parts.")

    def _keep(self, to: bytearray, data: bytes, limit: int) -> None:
        to += data
        if len(to) > limit:
            raise Misuse("bad-multipart", "A header or a field of the form is too long.")

    def _header_end(self) -> None:
        self._part.headers[self._name.decode("latin-1").lower()] = bytes(self._part.header)
        self._name.clear()
        self._part.header.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._part.headers.get("content-disposition", b""))
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        if file_name is None and self._part.name != FILE_FIELD:
            return
        if self._part.name != FILE_FIELD or file_name is None:
            raise Misuse("bad-multipart", f"The recording must come in the file field `{FILE_FIELD}`, with a name.")
        if self.file_name is not None:
            raise Misuse("bad-multipart", "One recording at a time: the form has several.")
        self._part.file_name = file_name.decode("utf-8", "replace")
        self.file_name = plain_name(self._part.file_name)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.file_name is not None:
            self._file.write(data[start:end])
        else:
            self._keep(self._part.value, data[start:end], MAX_FIELD_BYTES)

    def _part_end(self) -> None:
        if self._part.file_name is not None:
            return
        if self._part.name in self.fields:
            raise Misuse("bad-multipart", f"The field {self._part.name[:100]!r} is there twice.")
        try:
            self.fields[self._part.name] = self._part.value.decode()
        except UnicodeDecodeError:
            raise Misuse("bad-multipart", f"The field {self._part.name[:100]!r} is not UTF-8.") from None

    def _end(self) -> None:
        self._ended = True


def plain_name(given: str) -> str:
    """A file name without folders and control characters, for people to read; nothing is ever opened by it."""
    last = given.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in last if char.isprintable())[:200] or "recording"


def boundary_of(headers: Mapping[str, str]) -> bytes:
    """The boundary of a multipart form. Raises Misuse (`bad-multipart`)."""
    _, options = parse_options_header(headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 256:
        raise Misuse("bad-multipart", "The Content-Type names no boundary.")
    return boundary


@contextmanager
def incoming(home: Path) -> Iterator[BinaryIO]:
    """A nameless file under the home folder, where uploads have room; it is gone when the block ends.

    Raises JobFailed (`disk-full`), Misuse (`home-unusable`), also for writes in the block."""
    folder = home / "incoming"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            yield file
    except OSError as error:
        raise disk_trouble(folder, error) from None


async def read_upload(request: Request, file: BinaryIO) -> Upload:
    """Read the whole body into `file`, which stands at its start then."""
    upload, size_bytes = Upload(boundary_of(request.headers), file), 0
    try:
        async for chunk in request.stream():
            size_bytes += len(chunk)
            if size_bytes > MAX_BYTES:
                raise too_large(MAX_BYTES)
            await run_in_threadpool(upload.write, chunk)
    except ClientDisconnect:
        raise Misuse("incomplete", "The request ended before its body did.") from None
    upload.finish()
    file.seek(0)
    return upload
