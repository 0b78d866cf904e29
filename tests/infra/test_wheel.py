"""The wheel, built and installed as the image does it, in a fresh environment: nothing of the source tree is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgres import free_port
from tests.support.waiting import eventually

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


def test_the_wheel_is_the_same_each_time_and_works_alone(tmp_path: Path) -> None:
    """Two builds are equal byte by byte; installed with the locked versions, its processes start and end as told."""
    first, second = (tmp_path / name for name in ("one", "two"))
    for folder in (first, second):
        folder.mkdir()
    made = wheel(first)
    assert hashlib.sha256(made.read_bytes()).digest() == hashlib.sha256(wheel(second).read_bytes()).digest()

    venv, home = tmp_path / "venv", tmp_path / "home"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "-r", ROOT / "requirements" / "run.txt"], check=True)
    subprocess.run([*pip, "--no-deps", made], check=True)
    shutil.rmtree(first)
    home.mkdir()
    port = str(free_port())
    env = {
        "PATH": f"{venv / 'bin'}:/usr/bin:/bin",
        "MEMOLINE_HOME": str(home),
        "MEMOLINE_HTTP_PORT": port,
        "MEMOLINE_API_TOKEN": "a-token-for-tests",
    }
    healthy = [venv / "bin" / "python", "-m", "infra.container.health"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([venv / "bin" / "memoline", "serve"], env=env, cwd=home, stdout=log, stderr=log)
        try:
            eventually(
                lambda: subprocess.run(healthy, env=env, cwd=home, check=False).returncode == 0,
                "the process is healthy",
                deadline_s=60,
                every_s=0.5,
            )
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
