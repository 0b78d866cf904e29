"""What a release is made of: a bill of materials and licences of exactly what is locked; an audit that cannot be made
is no success."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\n]+)", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)
LOCKED = {name: {version for other, version in LINES if other == name} for name, _ in LINES}
"""Versions by name; some differ by the version of Python."""
FREE = re.compile(r"MIT|Apache|BSD|PSF|Python Software Foundation|Mozilla|MPL|ISC|Zlib|CC0")
WEAK_COPYLEFT = {"psycopg", "psycopg-binary"}
"""LGPL: used as it is, by who asks for PostgreSQL."""


@pytest.fixture(scope="module")
def made() -> Path:
    """The folder with what `make sbom` makes."""
    subprocess.run(["make", "-s", "sbom"], cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=600)
    return ROOT / "build"


@pytest.mark.slow
def test_the_bill_names_what_is_locked_and_nothing_else(made: Path) -> None:
    """Each with its version and its package URL, under our own name."""
    bill = json.loads((made / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX" and bill["metadata"]["component"]["name"] == "memoline"
    named = {item["name"] for item in bill["components"]}
    assert named == set(LOCKED)
    assert all(item["purl"].startswith(f"pkg:pypi/{item['name'].lower()}@") for item in bill["components"])


@pytest.mark.slow
def test_every_licence_is_known(made: Path) -> None:
    """Of all that is installed here (some are for other systems): none unknown, none that asks for our source."""
    rows = [line.split("|")[1:-1] for line in (made / "licences.md").read_text().splitlines()[2:]]
    licences = {name.strip().lower(): licence.strip() for name, _, licence, *_ in rows}
    assert len(licences) > 50
    unknown = {name: licence for name, licence in licences.items() if not FREE.search(licence)}
    assert set(unknown) <= WEAK_COPYLEFT, unknown
    assert all(licence == "LGPL-3.0-only" for licence in unknown.values())


def test_what_is_installed_is_what_is_locked() -> None:
    """The tests run on the versions that a release names."""
    differ = {}
    for name, versions in LOCKED.items():
        try:
            if distribution(name).version not in versions:
                differ[name] = distribution(name).version
        except ModuleNotFoundError:
            continue  # for another system
    assert not differ
