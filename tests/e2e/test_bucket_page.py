"""The page about the bucket: what it shows is run as it is written."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.embedded import Embedded
from tests.support.pages import run_with_stack
from tests.support.recordings import make_ogg


def test_what_is_dropped_arrives_as_written(embedded: Embedded, tmp_path: Path) -> None:
    """The program that the page shows prints the end of the job."""
    make_ogg(tmp_path / "note.ogg")
    state, job_id, url = run_with_stack("docs/bucket.md", "drop", tmp_path, embedded).split()
    assert state in ("SENT", "DELIVERED") and url.startswith("https://")
    assert embedded.ended(job_id)["state"] == "DELIVERED"


def test_a_folder_is_watched_as_written(embedded: Embedded, tmp_path: Path) -> None:
    """The recording is moved, and its result lies where it lay."""
    make_ogg(tmp_path / "note.ogg")
    result = json.loads(run_with_stack("docs/bucket.md", "folder", tmp_path, embedded))
    assert result["state"] in ("SENT", "DELIVERED")
    assert len(embedded.memos("5e0d0000-0000-4000-8000-000000000002")) == 1
