"""The image's health check: `python -m infra.container.health`. Exit status 0 while the container's process is well.

Every process writes `MEMOLINE_HOME/run/NAME.ready` once it takes work; a container runs one of them. Where that is
`serve`, `/healthz` must answer, too."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

TIMEOUT_S = 4


def is_well(home: Path, port: str) -> bool:
    """Whether a process of this home is ready. port: MEMOLINE_HTTP_PORT."""
    ready = {path.stem for path in (home / "run").glob("*.ready")}
    return bool(ready) and ("serve" not in ready or _answers(port))


def _answers(port: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(not is_well(Path(os.environ["MEMOLINE_HOME"]), os.environ.get("MEMOLINE_HTTP_PORT", "8080")))
