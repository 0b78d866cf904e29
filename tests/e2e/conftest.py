"""One embedded stack for all end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.embedded import Embedded, start, stop


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A running stack with short times."""
    running = start(tmp_path_factory.mktemp("e2e") / "home")
    yield running
    stop(running)
