"""token: who may use the HTTP door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.errors import Misuse
from workers.cli.options import json_lines
from workers.cli.output import Output

if TYPE_CHECKING:
    from pipeline.ledger.tokens import TokenBook

MAX_NAME = 100


@click.group()
def token() -> None:
    """Tokens of the HTTP door: one for each program, so that one can be withdrawn."""


@token.command()
@click.argument("name")
@json_lines
def add(name: str, as_json: bool) -> int:
    """Make a token for NAME and show it, this once: the ledger keeps only its hash.

    Example: memoline token add billing-service
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise Misuse("bad-name", f"A token's name has 1 to {MAX_NAME} printable characters.", name=name[:MAX_NAME])
    out = Output(as_json=as_json)
    made = _book().add(name)
    out.row({"name": name, "token": made}, made)
    if not as_json:
        out.say("It is not shown again. It opens the door within 5 s.")
    return 0


@token.command("list")
@json_lines
def list_tokens(as_json: bool) -> int:
    """Show the names of all tokens; the one in MEMOLINE_API_TOKEN is not among them."""
    from workers.views import iso

    rows = [
        {"name": token.name, "created_at": iso(token.created_at), "revoked_at": iso(token.revoked_at)}
        for token in _book().every()
    ]
    Output(as_json=as_json).table(rows, ("name", "created_at", "revoked_at"))
    return 0


@token.command()
@click.argument("name")
@json_lines
def revoke(name: str, as_json: bool) -> int:
    """Withdraw the token of NAME: within 5 s it opens nothing any more."""
    _book().revoke(name)
    Output(as_json=as_json).row({"name": name, "revoked": True}, f"{name} is withdrawn.")
    return 0


def _book() -> TokenBook:
    from pipeline.settings import load_settings
    from workers.wiring import open_tokens

    return open_tokens(load_settings())
