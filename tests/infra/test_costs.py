"""The estimate of costs: each sum is that of its rows, and each price is either sourced or said not to be."""

from __future__ import annotations

import re

from tests.infra.test_templates import AWS, read

PAGE = (AWS / "README.md").read_text()


def _rows() -> list[list[str]]:
    text = PAGE.split("## What it costs")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def _number(cell: str) -> float:
    return float(cell.replace(",", "").strip("*"))


def test_the_sums_are_those_of_the_rows() -> None:
    """Price times quantity, over all rows, for each of the three loads."""
    *rows, last = _rows()
    assert len(rows) > 15
    assert last[0] == "**sum**"
    for column in (3, 4, 5):
        total = sum(_number(row[1]) * _number(row[column]) for row in rows)
        assert round(total) == _number(last[column])


def test_each_price_has_a_source_or_says_that_it_has_none() -> None:
    """And no source is listed that no price uses."""
    marks = {row[2] for row in _rows()[:-1]}
    listed = set(re.findall(r"^(?:.* )?(\d) \[\w+\]\(https", PAGE, re.MULTILINE))
    assert marks == listed | {"?"}


def test_the_sizes_are_those_of_the_templates() -> None:
    """The defaults that the quantities are computed from."""
    services, data = read("services.yaml")["Parameters"], read("data.yaml")["Parameters"]
    assert (services["AudioVcpu"]["Default"], services["MinAudioTasks"]["Default"]) == (2, 1)
    assert (services["MinSendTasks"]["Default"], services["MinWebTasks"]["Default"]) == (2, 2)
    named = (data["DatabaseClass"]["Default"], data["BrokerNodeType"]["Default"], data["DatabaseGb"]["Default"])
    assert named == ("db.t4g.medium", "cache.t4g.small", 50)
    assert all(any(str(name) in row[0] for row in _rows()) for name in named[:2])
