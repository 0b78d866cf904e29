"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One compact JSON object a line on stdout; nothing is ever asked.")]
Chat = Annotated[str, typer.Option("--chat", metavar="ID", help="Linq's chat id, a UUID.")]
Key = Annotated[
    str | None, typer.Option("--key", metavar="K", help="Idempotency key: the same key and input is the same job.")
]
OverflowOption = Annotated[
    str | None, typer.Option("--overflow", metavar="HOW", help="For what is too long: compress, cut, split or reject.")
]
NotBefore = Annotated[
    str | None, typer.Option("--not-before", metavar="TIME", help="Not sent earlier, e.g. 2026-11-24T08:00:00+01:00.")
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job id, or its first six or more characters.")]
