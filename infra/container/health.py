"""The image's health check: `python -m infra.container.health`. Exit status 0 while the container's process is well.

Every process writes `MEMOLINE_HOME/run/NAME.ready` once it takes work, and its loop shows from then on that it turns.
A container runs one of them. Where that is `serve`, `/healthz` must answer, too. A worker waits for a broker that is
away: that it does not turn then is no reason to start it anew."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from socket import create_connection
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from workers.pulse import beating

TIMEOUT_S = 4
WORKERS = ("audio", "send")


def is_well(home: Path, port: str, broker_url: str | None = None) -> bool:
    """Whether a process of this home is ready and at work. port: MEMOLINE_HTTP_PORT."""
    ready = {path.stem for path in (home / "run").glob("*.ready")}
    if not ready or not ready <= {*beating(home), *(WORKERS if not _there(broker_url) else ())}:
        return False
    return "serve" not in ready or _answers(port)


def _there(broker_url: str | None) -> bool:
    if broker_url is None:
        return True
    where = urlsplit(broker_url)
    try:
        create_connection((where.hostname or "", where.port or 6379), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(port: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(
        not is_well(
            Path(os.environ["MEMOLINE_HOME"]),
            os.environ.get("MEMOLINE_HTTP_PORT", "8080"),
            os.environ.get("MEMOLINE_BROKER_URL"),
        )
    )
