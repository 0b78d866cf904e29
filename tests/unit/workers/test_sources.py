"""What a backfill finds in a bucket."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from workers.folder_files import is_note
from workers.sources import rows_of

KEYS = ("a.ogg", "a.ogg.json", "done/b.ogg", "folder/", "result/c.ogg", "uploads/d.ogg")


@pytest.mark.parametrize(
    ("bucket", "found"),
    [("inbox", ["a.ogg"]), ("archive", ["a.ogg", "a.ogg.json", "done/b.ogg", "result/c.ogg", "uploads/d.ogg"])],
)
def test_only_the_inbox_has_prefixes_of_ours(bucket: str, found: list[str]) -> None:
    """Elsewhere every object is a recording, so that none is left out in silence."""
    desk = SimpleNamespace(
        settings=SimpleNamespace(inbox_bucket="inbox", readable_buckets=("inbox", "archive")),
        s3=SimpleNamespace(list=lambda *_: [SimpleNamespace(key=key) for key in KEYS]),
    )
    rows = rows_of(desk, f"s3://{bucket}/", {})  # type: ignore[arg-type]
    assert [row.recording for row in rows] == [f"s3://{bucket}/{key}" for key in found]


@pytest.mark.parametrize(
    ("key", "note"),
    [("uploads/a.ogg.json", True), ("result/a.ogg.json", True), ("a.json", False), ("a.ogg.memoline.json", False)],
)
def test_a_note_in_a_folder_is_known_by_its_form(key: str, note: bool) -> None:
    """Its `uploads` and `result` are folders as any."""
    assert is_note(key) is note
