"""The audio step by itself: what a command or a program that only wants it has to load, and need not have installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.embedded import ROOT
from tests.support.recordings import make_ogg

ELSEWHERE = frozenset({
    *("alembic", "boto3", "botocore", "celery", "cryptography", "fastapi", "httpx", "kombu", "limits", "linq", "redis"),
    *("prometheus_client", "pydantic", "sqlalchemy", "standardwebhooks", "starlette", "structlog", "uvicorn", "infra"),
})  # fmt: skip
"""What other rooms need."""

INSPECT = """
import sys
from workers.cli.guard import run
status = run(["inspect", "a.ogg", "--json"])
print(sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(status)
"""

LIBRARY = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in WITHOUT:
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Absent())

from pipeline.audio import convert, inspect
print(inspect("a.ogg").action, convert("a.ogg", "out").action)
"""


def _run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recording `a.ogg`."""
    make_ogg(tmp_path / "a.ogg", duration_s=1)
    return tmp_path


def test_inspect_loads_no_slow_library(folder: Path) -> None:
    """It answers at once because it imports nothing of the other rooms, nor what only long work needs."""
    ran = _run(INSPECT, folder)
    assert json.loads(ran.stdout)["action"] == "transcode"
    loaded = set(json.loads(ran.stderr.replace("'", '"')))
    assert "click" in loaded, "the list is real"
    assert loaded.isdisjoint(ELSEWHERE | {"dotenv", "imageio_ffmpeg", "multiprocessing", "pydub", "rich", "typer"})


def test_the_example_of_the_docs_runs(folder: Path) -> None:
    """As it is printed there."""
    page = (ROOT / "docs" / "convert.md").read_text()
    example = page.split("```python\n")[1].split("```")[0].replace("note.ogg", "a.ogg")
    ran = _run(example, folder)
    assert ran.stderr == ""
    first, *_, last = ran.stdout.splitlines()
    assert first.startswith("transcode opus ")
    path, size_bytes, _, trimmed = last.split()
    assert (path, trimmed) == (str(folder / "out" / "a.m4a"), "False")
    assert Path(path).stat().st_size == int(size_bytes)


def test_the_library_needs_nothing_of_the_other_rooms(folder: Path) -> None:
    """`from pipeline.audio import inspect, convert` works where Celery, S3 and Linq are not even installed."""
    ran = _run(f"WITHOUT = {sorted(ELSEWHERE)}\n{LIBRARY}", folder)
    assert (ran.stdout, ran.stderr) == ("transcode transcode\n", "")
    assert [path.name for path in (folder / "out").iterdir()] == ["a.m4a"]
