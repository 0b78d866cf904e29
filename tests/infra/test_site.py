"""The documentation as a site: it builds without a warning, is whole, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"?([^\">\s]+)")
_LINKED = re.compile(r"<a\b[^>]*?href=\"?([^\">\s]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    command += ["-f", str(ROOT / "infra/site/mkdocs.yml"), "-d", str(folder)]
    log = folder.with_suffix(".log")
    with log.open("w") as out:
        environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
        status = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    assert status == 0, log.read_text()
    return folder


def test_every_page_of_the_docs_is_in_the_site(site: Path) -> None:
    """A page that somebody adds and forgets in the navigation fails here, as the strict build does."""
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.with_suffix(".html").name).is_file()


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """No font, script, style or picture of another host: it works offline, and tells nobody who reads it."""
    for page in site.rglob("*.html"):
        outside = [url for url in _LOADED.findall(page.read_text()) if urlsplit(url).netloc]
        assert not outside, f"{page.relative_to(site)} loads {outside[0]}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", style.read_text())


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    """Links between pages, and those to the tests that show a claim."""
    count = 0
    for page in site.rglob("*.html"):
        for url in _LINKED.findall(page.read_text()):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/") or page.name == "404.html":
                continue
            count += 1
            assert (page.parent / unquote(parts.path)).exists(), f"{page.relative_to(site)} links to {url}"
    assert count > 100


def test_the_reference_tells_what_a_program_may_call(site: Path) -> None:
    """Signatures and errors come from the docstrings, so they cannot grow old."""
    text = (site / "reference.html").read_text()
    for name in ("workers.enqueue", "workers.enqueue_many", "pipeline.audio.room.convert", "pipeline.errors.KeyReused"):
        assert f'id="{name}"' in text
    assert "not_before" in text
