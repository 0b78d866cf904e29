"""Copies of memos on disk, kept within a bound. A copy is written beside its place and put there whole."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.cdn_origin import Head, Origin

MAX_CACHE_BYTES = 500_000_000
SHRUNK = 0.9


class Cache:
    """One folder. Its calls block: use threads; many may use it at once."""

    def __init__(self, folder: Path, origin: Origin, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._folder = folder
        self._origin = origin
        self._max_bytes = max_bytes
        self._guard = threading.Lock()
        self._filling: dict[str, tuple[threading.Lock, int]] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in folder.glob("*.part"):
            draft.unlink(missing_ok=True)
        self._kept_bytes = sum(stat.st_size for _, stat in self._files())

    def get(self, key: str) -> tuple[Head, Path, bool] | None:
        """An object's head, a file with its bytes, and whether that was here already; None where there is none.

        The bucket is asked each time, so an erased memo is gone here at once; its bytes are fetched once, also when
        many ask together. Raises PartUnreachable (`s3-unreachable`), OSError (disk full)."""
        with self._alone(key):
            head = self._origin.head(key)
            if head is None:
                self._forget(key)
                return None
            path = self._place(key, head.etag)
            if path.is_file() and path.stat().st_size == head.size_bytes:
                os.utime(path)
                return head, path, True
            return self._fill(key)

    def _fill(self, key: str) -> tuple[Head, Path, bool] | None:
        found = self._origin.read(key)
        if found is None:
            return None
        head, pieces = found
        path = self._place(key, head.etag)
        draft = path.with_suffix(".part")
        try:
            with draft.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        with self._guard:
            self._kept_bytes += head.size_bytes
            if self._kept_bytes > self._max_bytes:
                self._kept_bytes = self._shrink(keep=path)
        return head, path, False

    def _place(self, key: str, etag: str) -> Path:
        return self._folder / f"{_digest(key)}.{_digest(etag)[:16]}"

    def _forget(self, key: str) -> None:
        for path in self._folder.glob(f"{_digest(key)}.*"):
            path.unlink(missing_ok=True)

    def _shrink(self, keep: Path) -> int:
        """Remove what was used longest ago, and more than must be: looking at every file for each memo would take ever
        longer. A file that is being sent stays readable until that ends. Returns the bytes that are left."""
        files = sorted((stat.st_mtime, stat.st_size, path) for path, stat in self._files() if path != keep)
        total = sum(size for _, size, _ in files) + keep.stat().st_size
        for _, size, path in files:
            if total <= self._max_bytes * SHRUNK:
                break
            path.unlink(missing_ok=True)
            total -= size
        return total

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.iterdir():
            try:
                yield path, path.stat()
            except FileNotFoundError:
                continue

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One thread a key at a time."""
        with self._guard:
            lock, users = self._filling.get(key, (threading.Lock(), 0))
            self._filling[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._filling[key]
                if users == 1:
                    del self._filling[key]
                else:
                    self._filling[key] = (lock, users - 1)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
