"""An error that nobody foresaw: its traceback goes to a file, and people and programs get one sentence."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path

from pipeline.errors import JobFailed, MemolineError


def crashed() -> MemolineError:
    """The exception that is being handled, as an error (`internal`) that says where its details are."""
    error = sys.exc_info()[1]
    text = f"Something unforeseen happened ({type(error).__name__}: {error})".replace("\n", " ")
    home = Path(os.environ.get("MEMOLINE_HOME") or ".memoline").expanduser().absolute()
    path = home / "log" / f"crash-{time.time_ns()}.log"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc())
        return JobFailed("internal", f"{text}: the details are in {path}.", log=str(path))
    return JobFailed("internal", f"{text}, and its details could not be written to {path}.")
