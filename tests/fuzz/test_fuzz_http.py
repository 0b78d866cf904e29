"""The HTTP door under schemathesis, a short run."""

from __future__ import annotations

import pytest

from tests.fuzz.http import main


@pytest.mark.slow
def test_answers_are_as_described() -> None:
    """A few hundred requests of another seed than `make fuzz-http` begins with."""
    assert main(["--cases", "500", "--seed", "77"]) == 0
