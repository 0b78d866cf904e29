"""Examples in the documentation, run as they are written.

A fenced block after a line `<!-- example: NAME -->` is one; several of a name are one program, in the order in which
they stand. The comment is invisible on the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.embedded import ROOT, Embedded

_BLOCK = re.compile(r"<!-- example: (?P<name>[a-z0-9-]+) -->\n```(?P<language>[a-z]+)\n(?P<text>.*?)^```$", re.M | re.S)
_RUN = {"sh": ("bash", "-euo", "pipefail"), "python": (sys.executable, "-")}


def example(page: str, name: str) -> tuple[str, str]:
    """(language, text) of an example on a page, e.g. `docs/bucket.md` or `README.md`."""
    found = [match for match in _BLOCK.finditer((ROOT / page).read_text()) if match["name"] == name]
    assert found, f"{page} has no example {name!r}"
    return found[0]["language"], "".join(match["text"] for match in found)


def run_example(page: str, name: str, folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Run an example in a folder, as a person would who copied it into a terminal with `.venv` active. Returns what it
    wrote to standard output; fails the test where it ends with another status than 0."""
    language, text = example(page, name)
    log = folder / f".{name}.stderr"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("w") as stderr:
        done = subprocess.run(
            _RUN[language],
            input=text,
            cwd=folder,
            env=dict(os.environ) | {"PATH": path, "PYTHONPATH": str(ROOT), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
            timeout=180,
        )
    assert done.returncode == 0, f"{page}, {name}: {done.stdout}\n{log.read_text()}"
    return done.stdout


def run_with_stack(page: str, name: str, folder: Path, embedded: Embedded) -> str:
    """The same beside a running stack, as after `memoline up` in that folder."""
    return run_example(page, name, folder, {"MEMOLINE_HOME": str(embedded.home)})
