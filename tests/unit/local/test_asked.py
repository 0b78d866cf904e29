"""What a second `up` says that the running stack does not take over: what would differ, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.asked import differing, remember
from infra.local.home import make_folders, write_stack_env

OWN = {
    "MEMOLINE_BROKER_URL": "redis://127.0.0.1:7001/0",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:7002",
    "AWS_ACCESS_KEY_ID": "own",
    "MEMOLINE_BUCKET": "memos",
    "MEMOLINE_API_TOKEN": "token",
}
OUTSIDE_S3 = {"MEMOLINE_BUCKET": "mine", "MEMOLINE_CDN_URL": "https://cdn.example.com"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which a stack has told its settings."""
    make_folders(tmp_path / "home")
    write_stack_env(tmp_path / "home", OWN)
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("then", "now", "named"),
    [
        ({}, {}, ()),
        ({}, {"MEMOLINE_BITRATE_KBPS": "64.0"}, ()),
        ({}, OWN, ()),
        ({}, {"AWS_ACCESS_KEY_ID": "stray", "AWS_PROFILE": "work"}, ()),
        ({}, {"MEMOLINE_UNKNOWN": "1"}, ()),
        ({}, {"MEMOLINE_MAX_BYTES": "60000"}, ("MEMOLINE_MAX_BYTES",)),
        ({"MEMOLINE_MAX_BYTES": "60000"}, {"MEMOLINE_MAX_BYTES": "60000"}, ()),
        ({"MEMOLINE_MAX_BYTES": "60000"}, {}, ("MEMOLINE_MAX_BYTES",)),
        ({"MEMOLINE_API_TOKEN": "mine"}, {"MEMOLINE_API_TOKEN": "other"}, ("MEMOLINE_API_TOKEN",)),
        (OUTSIDE_S3, OUTSIDE_S3, ()),
        (OUTSIDE_S3, OUTSIDE_S3 | {"AWS_PROFILE": "work"}, ("AWS_PROFILE",)),
        (OUTSIDE_S3 | {"MEMOLINE_INBOX_BUCKET": "in"}, OUTSIDE_S3, ("MEMOLINE_INBOX_BUCKET",)),
    ],
)
def test_what_would_be_different_is_named(
    home: Path, then: dict[str, str], now: dict[str, str], named: tuple[str, ...]
) -> None:
    """Values that hold are compared, not words."""
    remember(home, then)
    assert differing(home, now) == named


def test_secrets_are_not_kept(home: Path) -> None:
    """Only their hashes."""
    remember(home, {"LINQ_API_V3_API_KEY": "s3cret"})
    assert "s3cret" not in (home / "run" / "asked.json").read_text()
    assert differing(home, {"LINQ_API_V3_API_KEY": "s3cret"}) == ()
