"""Values as columns, and the fair mix of what is due."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger.queries import fair
from pipeline.ledger.rows import CHANGEABLE, changed_columns, plain
from pipeline.ledger.tables import jobs
from pipeline.model import Job
from tests.support.ledger import a_memo
from tests.unit.ledger.test_states import JOB


def test_every_field_of_a_job_has_its_column() -> None:
    """The table holds all of a job, and one column more, made from its memo."""
    assert {column.name for column in jobs.columns} == {*Job.__dataclass_fields__, "file_name"}


def test_the_file_name_follows_the_memo() -> None:
    """A memo brings its file name into the index, and takes it away again."""
    assert changed_columns({"hosted": a_memo("x")})["file_name"] == "x.m4a"
    assert changed_columns({"hosted": None}) == {"hosted": None, "file_name": None}
    assert "file_name" not in changed_columns({"looks": 1})


@given(st.text().filter(lambda name: name not in CHANGEABLE))
def test_only_fields_can_be_changed(name: str) -> None:
    """A name that is no changeable field raises."""
    with pytest.raises(TypeError):
        changed_columns({name: 1})


@given(st.text(alphabet=st.characters(), max_size=50))
def test_plain_text_can_always_be_stored(text: str) -> None:
    """The result is UTF-8 without NUL, and ordinary text is not changed."""
    result = plain(text)
    assert result is not None
    assert b"\x00" not in result.encode()
    if "\x00" not in text and text.isprintable():
        assert result == text


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 40))
def test_the_mix_is_fair(sizes: list[int], limit: int) -> None:
    """No kind gets two places more than another that still has jobs waiting; nothing is doubled or invented."""
    kinds = [[replace(JOB, job_id=f"{kind}-{n}") for n in range(size)] for kind, size in enumerate(sizes)]
    mixed = fair(kinds, limit)
    assert len(mixed) == min(limit, sum(sizes)) == len(set(mixed))
    given_to = [sum(job in mixed for job in kind) for kind in kinds]
    waiting = [got for got, size in zip(given_to, sizes, strict=True) if got < size]
    assert all(max(given_to) - got <= 1 for got in waiting)
