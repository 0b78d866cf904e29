"""The wheel: everybody with the same commit builds the same one. `test_image.py` installs it and runs what is in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "requirements", "pipeline", "workers", "infra")
pytestmark = pytest.mark.slow


def wheel(folder: Path) -> Path:
    """The wheel of a copy of the sources, as everybody with the same commit would build it."""
    for name in SOURCES:
        kind = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        kind(ROOT / name, folder / name)  # type: ignore[operator]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder / "out"),
        str(folder),
    ]
    env = os.environ | {"SOURCE_DATE_EPOCH": "1700000000", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(pip, env=env, check=True)
    return next((folder / "out").glob("memoline-*.whl"))


def test_the_wheel_is_the_same_each_time(tmp_path: Path) -> None:
    """Two builds are equal byte by byte."""
    first, second = (tmp_path / name for name in ("one", "two"))
    for folder in (first, second):
        folder.mkdir()
    made = wheel(first)
    assert hashlib.sha256(made.read_bytes()).digest() == hashlib.sha256(wheel(second).read_bytes()).digest()
