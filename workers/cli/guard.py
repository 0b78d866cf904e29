"""No command ends in a traceback: every error becomes its code, one sentence, and the exit status of the contract."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from pipeline.errors import JobFailed, MemolineError, Misuse
from workers.cli.output import Output

INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    from workers.cli.commands import app

    out = Output(as_json="--json" in arguments)
    try:
        status = app.main(list(arguments) or ["--help"], prog_name="memoline", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except MemolineError as error:
        return _told(out, error)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except click.ClickException as error:
        return _told(out, _usage(error))
    except Exception:
        return _told(out, _crash())


def _told(out: Output, error: MemolineError) -> int:
    """Say what is wrong, also where standard output takes nothing any more (a full disk behind it)."""
    try:
        out.error(error)
    except OSError:
        with contextlib.suppress(OSError):
            Output(as_json=False).error(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return error.exit_status


def _usage(error: click.ClickException) -> Misuse:
    """What was wrong with the arguments."""
    context = getattr(error, "ctx", None)
    hint = context.command_path if context else "memoline"
    return Misuse("usage", f"{error.format_message().rstrip('.')}: see `{hint} --help`.")


def _crash() -> MemolineError:
    """Keep the traceback in a file and say where it is."""
    error = sys.exc_info()[1]
    text = f"Something unforeseen happened ({type(error).__name__}: {error})".replace("\n", " ")
    home = Path(os.environ.get("MEMOLINE_HOME") or ".memoline").expanduser().absolute()
    path = home / "log" / f"crash-{time.time_ns()}.log"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc())
        return JobFailed("internal", f"{text}: the details are in {path}.", log=str(path))
    return JobFailed("internal", f"{text}, and its details could not be written to {path}.")
