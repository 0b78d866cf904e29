"""No command ends in a traceback: every error becomes its code, one sentence, and the exit status of the contract."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import click

from pipeline.errors import MemolineError, Misuse
from workers.cli.crash import crashed
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
        return _told(out, crashed())


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
