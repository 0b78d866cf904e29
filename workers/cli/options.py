"""Options that several commands share."""

from __future__ import annotations

import click

json_lines = click.option(
    "--json", "as_json", is_flag=True, help="One compact JSON object a line on stdout; nothing is ever asked."
)
chat = click.option("--chat", required=True, metavar="ID", help="Linq's chat id, a UUID.")
key = click.option("--key", metavar="K", help="Idempotency key: the same key and input is the same job.")
overflow = click.option("--overflow", metavar="HOW", help="For what is too long: compress, cut, split or reject.")
not_before = click.option("--not-before", metavar="TIME", help="Not sent earlier, e.g. 2026-11-24T08:00:00+01:00.")
callback_url = click.option(
    "--callback-url", metavar="URL", help="Told by a signed POST what becomes of the job: docs/program.md."
)
job_id = click.argument("job_id", metavar="JOB")
"""A job id, or its first six or more characters."""
