"""All commands, put together; the file of a command is read when it is called, so that each starts fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

WHERE: Mapping[str, tuple[str, ...]] = {
    "audio": ("inspect", "convert", "host"),
    "jobs": ("send", "jobs", "show", "cancel", "resolve", "assign"),
    "backfills": ("backfill", "backfills"),
    "undo": ("failed", "refused", "retry", "pauses"),
    "erasing": ("erase",),
    "processes": ("worker", "watch", "serve", "sweep"),
    "stack": ("up", "down", "status", "env", "sandbox"),
    "webhooks": ("webhooks",),
    "callbacks": ("callbacks",),
    "tokens": ("token",),
    "doctor": ("doctor",),
}
"""The commands by the file that has them, in the order of `memoline --help`."""
TITLES = {
    "audio": "Recordings",
    "jobs": "Jobs",
    "backfills": "Many recordings",
    "undo": "What did not go",
    "erasing": "Forgetting",
    "processes": "Processes, each in the foreground",
    "stack": "The embedded stack",
    "webhooks": "What Linq reports",
    "callbacks": "Whom Memoline tells",
    "tokens": "Who may use the HTTP door",
    "doctor": "When something is wrong",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for names in WHERE.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        for file, names in WHERE.items():
            if cmd_name in names:
                command = getattr(import_module(f"workers.cli.{file}"), cmd_name)
                return command if isinstance(command, click.Command) else None
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section a file, each command with its first sentence, whole."""
        for file, names in WHERE.items():
            commands = {name: self.get_command(ctx, name) for name in names}
            with formatter.section(TITLES[file]):
                rows = [(name, command.get_short_help_str(200)) for name, command in commands.items() if command]
                formatter.write_dl(rows, col_max=12)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def app() -> None:
    """Gets a recording to a person as a voice memo, exactly once."""
