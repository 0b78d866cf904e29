"""What is known of chats, and who has to wait: the tables `chats`, `pauses` and `marks`."""

from __future__ import annotations

from sqlalchemy import RowMapping, bindparam, delete, func, select, update

from pipeline.ledger.engine import Database
from pipeline.ledger.tables import chats, marks, pauses
from pipeline.ledger.upsert import insert_new, put
from pipeline.messages import Chat, Pause
from pipeline.ports import Clock

EVERYBODY = ("linq", "all")
"""Scopes that concern every chat; `all` is how it was called before, and older processes may still write it."""

_CHAT = select(chats).where(chats.c.chat_id == bindparam("of_chat"))
_PAUSES = select(pauses).where(pauses.c.scope.in_(bindparam("scopes", expanding=True)))


class ChatLedger:
    """The part of the ledger that is about who may be sent to. Raises as the ledger does."""

    database: Database
    _clock: Clock

    def chat(self, chat_id: str) -> Chat:
        """What is known of a chat, with the pauses of it, its line and everybody."""
        with self.database.read() as connection:
            row = connection.execute(_CHAT, {"of_chat": chat_id}).mappings().first()
            scopes = [*EVERYBODY, f"chat:{chat_id}", *([f"line:{row['line']}"] if row and row["line"] else [])]
            found = connection.execute(_PAUSES, {"scopes": scopes}).mappings()
            return Chat(**(row or {"chat_id": chat_id}), pauses=tuple(map(_pause, found)))

    def note_chat(self, chat_id: str, *, line: str | None = None, heard_at: float = 0.0) -> None:
        """Keep what was learnt of a chat; what is not given stays, and `heard_at` never goes back."""
        here, c = chats.c.chat_id == chat_id, chats.c
        with self.database.write() as connection:
            insert_new(connection, chats, {"chat_id": chat_id})
            if line is not None:
                connection.execute(update(chats).where(here).values(line=line))
            if heard_at:
                connection.execute(update(chats).where(here, c.heard_at < heard_at).values(heard_at=heard_at))

    def opt_out(self, chat_id: str, *, at: float) -> None:
        """Write down that they opted out at this time."""
        with self.database.write() as connection:
            put(connection, chats, {"chat_id": chat_id, "opted_out_at": at}, by=("chat_id",), larger="opted_out_at")

    def may_ask(self, chat_id: str, *, every_s: float) -> bool:
        """Whether Linq may be asked about a chat: True for one caller in so many seconds."""
        now = self._clock.now()
        long_ago = (chats.c.chat_id == chat_id) & (chats.c.asked_at <= now - every_s)
        with self.database.write() as connection:
            return connection.execute(update(chats).where(long_ago).values(asked_at=now)).rowcount == 1

    def pause(self, scope: str, until: float, why: str) -> None:
        """Let a scope (`linq`, `line:NUMBER`, `chat:ID`) wait until a time; a longer pause is never shortened."""
        row = {"scope": scope, "until_at": until, "why": why, "since_at": self._clock.now()}
        with self.database.write() as connection:
            put(connection, pauses, row, by=("scope",), larger="until_at", keep=("since_at",))

    def probe(self, pause: Pause, until: float) -> bool:
        """Let a pause that is still as it was read last until another time; True for the one caller who was first."""
        same = (pauses.c.scope == pause.scope) & (pauses.c.until_at == pause.until)
        with self.database.write() as connection:
            return connection.execute(update(pauses).where(same).values(until_at=until)).rowcount == 1

    def lift(self, scope: str, as_read: Pause | None = None) -> bool:
        """End a pause, with as_read only where it is still that one; False where there is none."""
        here = pauses.c.scope == scope
        with self.database.write() as connection:
            same = here if as_read is None else here & (pauses.c.until_at == as_read.until)
            return connection.execute(delete(pauses).where(same)).rowcount == 1

    def pauses(self, now: float) -> tuple[Pause, ...]:
        """All pauses that are not over, the longest first."""
        running = select(pauses).where(pauses.c.until_at > now).order_by(pauses.c.until_at.desc())
        with self.database.read() as connection:
            return tuple(map(_pause, connection.execute(running).mappings()))

    def mark(self, what: str, who: str, until: float) -> int:
        """Remember until a time that something happened to somebody. Returns to how many different ones it did."""
        how_many = select(func.count()).select_from(marks).where(marks.c.what == what)
        with self.database.write() as connection:
            connection.execute(delete(marks).where(marks.c.until_at <= self._clock.now()))
            put(connection, marks, {"what": what, "who": who, "until_at": until}, by=("what", "who"))
            return int(connection.execute(how_many).scalar_one())


def _pause(row: RowMapping) -> Pause:
    return Pause(scope=row["scope"], until=row["until_at"], why=row["why"], since=row["since_at"])
