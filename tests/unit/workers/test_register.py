"""The Celery door: which calls go back into the queue, and which are kept as refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Reject

from pipeline.errors import Misuse
from workers import register
from workers.hints import Hints


@pytest.mark.parametrize(("bucket", "kept"), [("inbox", False), ("archive", True)])
def test_what_s3_refuses_of_another_bucket_is_refused(bucket: str, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the inbox is ours, and mended some day; a call for a foreign bucket would run for ever."""
    refusals: list[Any] = []

    def refused(*_: object) -> None:
        raise Misuse("s3-refused", "Denied.")

    monkeypatch.setattr(register, "submit_object", refused)
    desk = SimpleNamespace(settings=SimpleNamespace(inbox_bucket="inbox"))
    door = register.Register(
        desk=lambda: desk,  # type: ignore[arg-type, return-value]
        book=lambda: SimpleNamespace(keep=refusals.append),  # type: ignore[arg-type, return-value]
        hints=Hints(None),
        wait=lambda _: None,
    )
    call = {"recording": f"s3://{bucket}/a.ogg", "chat_id": "5e0d0000-0000-4000-8000-000000000001", "key": "k"}
    if kept:
        register.take_call(door, "task", (), call)
    else:
        with pytest.raises(Reject):
            register.take_call(door, "task", (), call)
    assert [one.code for one in refusals] == ["s3-refused"] * kept
