"""Hosts that are set up otherwise than usual reject no recording for it, and hang nothing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.audio.conftest import Make

ROOT = Path(__file__).parents[3]
INSPECT = "from pipeline.audio import inspect; import sys; print(inspect(sys.argv[1]).action)"
HOSTS = {
    "fewer open files": "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (60, 60))",
    "less address space": "import resource as r; r.setrlimit(r.RLIMIT_AS, (3_500_000_000, 3_500_000_000))",
    "an idle scheduler": "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))",
}


def inspected(recording: Path, before: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """`inspect` in a process of its own, after some words of Python."""
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{INSPECT}", recording],
        env={**os.environ, **env}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def script(path: Path, text: str) -> Path:
    """A program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


@pytest.mark.parametrize("before", HOSTS.values(), ids=HOSTS)
def test_a_host_with_limits_of_its_own_works(before: str, make: Make) -> None:
    """Ours are set where they are lower; what cannot be set is left."""
    done = inspected(make("a.wav"), before)
    assert done.stdout == "pass-through\n", done.stderr


def test_a_setpriv_that_does_not_work_is_gone_without(make: Make, tmp_path: Path) -> None:
    """An old one, or another program of this name."""
    script(tmp_path / "path" / "setpriv", "exit 1")
    done = inspected(make("a.wav"), PATH=f"{tmp_path / 'path'}:{os.environ['PATH']}")
    assert done.stdout == "pass-through\n", done.stderr


def test_a_program_that_ignores_its_children_is_told_so(make: Make) -> None:
    """Nobody can wait for a child then; it ends with a code and not never."""
    done = inspected(make("a.wav"), "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    assert "SIGCHLD" in done.stderr


def test_an_ffmpeg_with_parts_beside_it_works(make: Make, tmp_path: Path, ffmpeg: str) -> None:
    """As conda and Homebrew lay them out."""
    real = tmp_path / "prefix" / "lib" / "real"
    real.parent.mkdir(parents=True)
    shutil.copy(ffmpeg, real)
    program = script(tmp_path / "prefix" / "bin" / "ffmpeg", f'exec "{real}" "$@"')
    done = inspected(make("a.wav"), MEMOLINE_FFMPEG=str(program))
    assert done.stdout == "pass-through\n", done.stderr


def test_an_ffmpeg_that_never_looks_rejects_nothing(make: Make, tmp_path: Path) -> None:
    """What it says is no verdict on the recording."""
    program = script(tmp_path / "bin" / "ffmpeg", "echo cannot load a library >&2; exit 127")
    done = inspected(make("a.wav"), MEMOLINE_FFMPEG=str(program))
    assert "ToolFailed" in done.stderr and "reject" not in done.stdout
