"""All commands, put together."""

from __future__ import annotations

import typer

from workers.cli import audio, doctor, jobs, processes, stack

app = typer.Typer(
    name="memoline",
    help="Gets a recording to a person as a voice memo, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for room in (audio, jobs, processes, stack, doctor):
    room.add_to(app)
