"""A hook of mkdocs: pages of the site link to files of the project (`../tests/…`), which become pages of the site, too.

So a claim and the test that shows it are one click apart, wherever the site is put. A link to a file that is not there
is a warning, which ends a strict build."""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "source"
_LINK = re.compile(r"\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".service": "ini", ".toml": "toml"}
_log = get_plugin_logger(__name__)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each file or folder of the project that a page links to."""
    wanted: set[str] = set()
    for page in files.documentation_pages():
        wanted |= {name for name, _ in _LINK.findall(page.content_string)}
    for name in sorted(wanted):
        path = ROOT / name
        if path.exists() and path.resolve().is_relative_to(ROOT):
            files.append(File.generated(config, _page_of(name), content=_content(name, path)))
        else:
            _log.warning("There is no %s in the project, and a page links to it.", name)
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Let the links lead to these pages."""
    here = posixpath.dirname(page.file.src_uri)
    return _LINK.sub(lambda found: f"]({posixpath.relpath(_target(here, found[1]), here or '.')})", markdown)


def _target(here: str, name: str) -> str:
    """The page that `../name` means on a page of a folder of the site, which may be one of the project's own."""
    if not here.startswith(f"{FOLDER}/"):
        return _page_of(name)
    path = posixpath.normpath(posixpath.join(here.removeprefix(f"{FOLDER}/"), "..", name))
    return path.removeprefix("docs/") if path.startswith("docs/") else _page_of(path)


def _page_of(name: str) -> str:
    return f"{FOLDER}/{name.rstrip('/')}.md"


def _content(name: str, path: Path) -> str:
    head = f"---\nsearch:\n  exclude: true\n---\n# {name}\n\n"
    if path.is_dir():
        return head + "\n".join(f"- `{file.name}`: {_summary(file)}" for file in sorted(path.glob("*.py")))
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    language = _LANGUAGES.get(path.suffix, "text")
    return f"{head}````{language}\n{path.read_text(encoding='utf-8')}\n````\n"


def _summary(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "no text"
    return text.split("\n\n")[0].replace("\n", " ")
