"""Copies of recordings at the doors: what cannot be removed costs space, and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pipeline.errors import KeyReused, PartUnreachable
from pipeline.model import StoredRecording
from tests.support.story import CHAT, build_stage
from workers.doors import Desk, submit_stored
from workers.wishes import Wish


def test_a_copy_that_cannot_be_removed_undoes_no_registration(tmp_path: Path) -> None:
    """The same recording a second time, and a refused one, while S3 is away: the caller hears of the job, or of the
    refusal, and not of the copy."""
    stage = build_stage(tmp_path)
    tried: list[str] = []

    def fails(recording: StoredRecording) -> None:
        tried.append(recording.uri)
        raise PartUnreachable("s3-unreachable", "away")

    stage.store.discard = fails  # type: ignore[method-assign]
    desk = cast(Desk, SimpleNamespace(parts=stage.parts, settings=SimpleNamespace(inbox_bucket="inbox")))
    copies = [StoredRecording(uri=f"file:///spool/{n}", name="a", size_bytes=1, sha256="ab") for n in range(3)]
    wish = Wish(chat_id=CHAT, key="k")
    jobs = [submit_stored(desk, copy, wish, source="a") for copy in copies[:2]]
    assert jobs[0].job_id == jobs[1].job_id
    other = StoredRecording(uri="file:///spool/other", name="a", size_bytes=1, sha256="cd")
    with pytest.raises(KeyReused):
        submit_stored(desk, other, wish, source="a")
    assert tried == ["file:///spool/1", "file:///spool/other"]
