"""docs/data.md says what the code does: the places, the times, and what erasing does to each table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.hosting.names import UPLOADS
from pipeline.ledger.tables import metadata
from pipeline.settings import Settings
from workers import eraser, s3_events, tidying
from workers.web import settler

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text()
ROW = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| ")}

TABLES = {
    "jobs": "emptied: every text and JSON value",
    "history": "emptied: its texts",
    "reports": "removed; those that come later are not kept",
    "callbacks": "emptied, and closed",
    "backfill_rows": "emptied",
    "news": "removed",
    "chats": "removed with the last job of the chat, but for an opt-out",
    "standings": "removed with the last job of the chat, but for an opt-out",
    "pauses": "removed with the last job of the chat",
    "marks": "removed with the last job of the chat",
    "refusals": "removed with the chat; else after 30 days",
    "seen_objects": "forgotten by the watcher once the object is gone",
    "backfills": "a folder, a prefix and options, not a person",
    "tombstones": "what is left",
    "audit": "what is left",
    "install": "no person",
    "api_tokens": "no person",
}
"""What erasing does to each table. A new table needs a decision, and a test in tests/contract/ledger/test_erasing.py
or tests/unit/test_erasing.py."""


def test_every_table_is_decided_about() -> None:
    """A table that somebody adds is personal until it is said to be not."""
    assert set(metadata.tables) == set(TABLES)


@pytest.mark.parametrize("prefix", ["m/", UPLOADS, "intent/", "receipt/", "erased/", "result/", s3_events.DONE])
def test_every_prefix_has_its_row(prefix: str) -> None:
    """Also in the code: a prefix that is gone must go from the page."""
    assert any(f"`{prefix}`" in line for line in ROW.values())
    code = "".join(path.read_text() for room in ("pipeline", "workers") for path in (ROOT / room).rglob("*.py"))
    assert f'"{prefix}' in code


@pytest.mark.parametrize("name", ["InboxRetentionDays", "MemoRetentionDays", "IntentRetentionDays"])
def test_the_clouds_times_are_the_templates(name: str) -> None:
    """By its default."""
    template = (ROOT / "infra" / "aws" / "storage.yaml").read_text()
    found = re.search(rf"^  {name}:\n    Type: Number\n    Default: (\d+)$", template, re.MULTILINE)
    assert found and f"`{name}` ({found[1]})" in PAGE


def test_the_programs_times_are_the_pages() -> None:
    """As they stand in its sentences."""
    assert tidying.RETRY_WITHIN_S == 30 * eraser.DAY_S and "30 days after its job came to nothing" in PAGE
    assert settler.KEEP_S == 7 * eraser.DAY_S and "reports 7 days" in PAGE
    assert tidying.DAY_S == eraser.DAY_S and "a day where its worker was killed" in PAGE
    assert Settings().cdn_url_ttl_s == eraser.DAY_S and "`MEMOLINE_CDN_URL_TTL_S` (a day)" in PAGE
    assert Settings().retention_days is None and "`MEMOLINE_RETENTION_DAYS` (off by default)" in PAGE
