"""Recordings that lie in a bucket: whose identity is the object, and whose is the key."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import KeyReused, Misuse
from pipeline.settings import Settings
from tests.support.inbox import Inbox, make_inbox
from workers.doors import Desk, open_desk, submit
from workers.wishes import Wish

CHAT = "5e0d0000-0000-4000-8000-000000000001"


@pytest.fixture
def inbox(s3_stack: Settings, tmp_path: Path) -> Inbox:
    """An inbox that only tells when a test says so."""
    return make_inbox(s3_stack, tmp_path / "home", events=False)


@pytest.fixture
def source(inbox: Inbox) -> tuple[Desk, str]:
    """A desk that may read a further bucket, and that bucket, with a.ogg and b.ogg in it."""
    bucket = f"source-{uuid.uuid4().hex[:12]}"
    inbox.s3.create_bucket(Bucket=bucket)
    for name in ("a.ogg", "b.ogg"):
        inbox.s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    return open_desk(inbox.settings.model_copy(update={"source_buckets": bucket}), "test"), bucket


def test_a_key_stands_for_one_object(source: tuple[Desk, str], tmp_path: Path) -> None:
    """The same object under its key is the same job; another object under it, or under a file's key, is refused."""
    desk, bucket = source
    first = submit(desk, f"s3://{bucket}/a.ogg", Wish(chat_id=CHAT, key="k"))
    assert submit(desk, f"s3://{bucket}/a.ogg", Wish(chat_id=CHAT, key="k")).job_id == first.job_id
    with pytest.raises(KeyReused):
        submit(desk, f"s3://{bucket}/b.ogg", Wish(chat_id=CHAT, key="k"))
    (tmp_path / "file.ogg").write_bytes(b"a file")
    submit(desk, tmp_path / "file.ogg", Wish(chat_id=CHAT, key="f"))
    with pytest.raises(KeyReused):
        submit(desk, f"s3://{bucket}/b.ogg", Wish(chat_id=CHAT, key="f"))


def test_our_own_copies_are_nobodys_recordings(inbox: Inbox) -> None:
    """What lies under `uploads/` belongs to a job, which removes it when it is sent."""
    inbox.s3.put_object(Bucket=inbox.bucket, Key="uploads/a", Body=b"a")
    with pytest.raises(Misuse) as caught:
        submit(inbox.desk, f"s3://{inbox.bucket}/uploads/a", Wish(chat_id=CHAT))
    assert caught.value.code == "bad-recording"


class Refusing:
    """S3 that will not show one object, as it does with one that was encrypted with a customer's key (HEAD: 400)."""

    def __init__(self, real: Any, key: str) -> None:
        self._real, self._key = real, key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def head(self, bucket: str, key: str, version_id: str | None = None) -> Any:
        if key == self._key:
            raise Misuse("s3-refused", "It cannot be used (400).")
        return self._real.head(bucket, key, version_id)


def test_an_object_that_s3_will_not_show_stops_no_other(inbox: Inbox) -> None:
    """Those before and behind it are registered."""
    for name in ("a", "b", "c"):
        inbox.drop(f"{CHAT}/{name}.ogg")
    desk = replace(inbox.desk, s3=Refusing(inbox.desk.s3, f"{CHAT}/b.ogg"))  # type: ignore[arg-type]
    watcher = replace(inbox, desk=desk).watcher()
    watcher.take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    assert [job.source[-5:] for job in inbox.jobs()] == ["a.ogg", "c.ogg"]
