"""The names and hashes of HTTP tokens. A token is 256 random bits, so a plain SHA-256 keeps it: there is nothing to
guess, and no salt to add."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import select, update

from pipeline.errors import JobFailed
from pipeline.ledger.door_tables import api_tokens
from pipeline.ledger.engine import Database
from pipeline.ledger.upsert import insert_new
from pipeline.model import ApiToken
from pipeline.ports import Clock

PREFIX = "memo_"
"""So that a token that lies around is known for what it is."""


class TokenBook:
    """The tokens in the ledger's database. All methods raise PartUnreachable (`ledger-unreachable`)."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, name: str) -> str:
        """A new token under a name that none ever had; only its hash is kept. Raises JobFailed (`name-taken`)."""
        token = PREFIX + secrets.token_urlsafe(32)
        row = {"name": name, "digest": digest_of(token), "created_at": self._clock.now()}
        with self._database.write() as connection:
            if not insert_new(connection, api_tokens, row):
                raise JobFailed("name-taken", f"A token was named {name!r} before: choose another name.", name=name)
        return token

    def every(self) -> tuple[ApiToken, ...]:
        """All tokens by name, also those that were withdrawn."""
        with self._database.read() as connection:
            rows = connection.execute(select(api_tokens).order_by(api_tokens.c.name)).mappings()
            return tuple(ApiToken(**row) for row in rows)

    def revoke(self, name: str) -> None:
        """Let a token open nothing any more; its name stays taken. Raises JobFailed (`no-such-token`)."""
        c = api_tokens.c
        with self._database.write() as connection:
            if not connection.execute(select(c.name).where(c.name == name)).first():
                text = f"There is no token named {name!r}: `memoline token list` shows them."
                raise JobFailed("no-such-token", text, name=name)
            alive = (c.name == name) & (c.revoked_at == 0)
            connection.execute(update(api_tokens).where(alive).values(revoked_at=self._clock.now()))


def digest_of(token: str) -> str:
    """What the ledger keeps of a token, as hex digits."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
