"""The trial object of `memoline doctor`."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import JobFailed, Misuse, PartUnreachable
from pipeline.hosting.trial import NotRemoved, trial_object


class KeepingS3:
    """Takes one object, and lets nobody remove it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def need_bucket(self) -> str:
        return "memos"

    def put_new(self, _: str, key: str, path: Any, *__: object) -> None:
        if key in self.objects:
            raise JobFailed("exists", "It is there.")
        self.objects[key] = path.read_bytes()

    def read(self, _: str, key: str) -> bytes:
        return self.objects[key]

    def delete(self, *_: object) -> None:
        raise Misuse("s3-refused", "Denied.")


def test_an_object_that_may_not_be_removed_is_named() -> None:
    """After all else went well."""
    s3 = KeepingS3()
    with pytest.raises(NotRemoved) as caught, trial_object(s3, "https://cdn.example"):  # type: ignore[arg-type]
        pass
    assert f"s3://memos/{next(iter(s3.objects))} " in caught.value.message


def test_what_went_wrong_before_is_told_first() -> None:
    """Not that the object stays."""
    with pytest.raises(PartUnreachable), trial_object(KeepingS3(), "https://cdn.example"):  # type: ignore[arg-type]
        raise PartUnreachable("cdn-wrong", "403")
