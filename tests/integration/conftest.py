"""The embedded S3 for tests that need nothing else of the stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.settings import Settings
from tests.support.local_stack import running_stack


@pytest.fixture(scope="session")
def s3_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings that reach a running S3 and SQS."""
    with running_stack(tmp_path_factory.mktemp("s3") / "home", "s3") as settings:
        yield settings
