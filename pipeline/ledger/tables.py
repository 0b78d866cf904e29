"""The tables of the ledger. Times are Unix seconds (UTC) as doubles, so that no database's time zone matters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    literal,
)

from pipeline.ledger.states import IN_FLIGHT, OPEN, POLLED, SENT
from pipeline.model import State

metadata: Final = MetaData()

BIG: Final = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only where the type is INTEGER."""

NAME: Final = String(255).with_variant(String(255, collation="C"), "postgresql")
"""Compared byte by byte on both databases, so that a prefix is a range."""

BYTEWISE: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Ordered byte by byte on both databases, as S3 orders its keys."""


def time_column(name: str) -> Column[float]:
    """Unix seconds, 0 by default."""
    return Column(name, Double, nullable=False, server_default="0")


def count_column(name: str) -> Column[int]:
    """A whole number, 0 by default."""
    return Column(name, Integer, nullable=False, server_default="0")


jobs: Final = Table(
    "jobs",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("job_id", NAME, nullable=False, unique=True),
    Column("key", Text, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("rev", Integer, nullable=False, server_default="1"),
    count_column("epoch"),
    Column("chat_id", Text),
    Column("lane", String(16), nullable=False),
    Column("source", Text, nullable=False),
    Column("recording", JSON, nullable=False),
    Column("overflow", String(16)),
    time_column("not_before"),
    time_column("retry_at"),
    time_column("lease_until"),
    count_column("audio_attempts"),
    count_column("send_attempts"),
    count_column("looks"),
    count_column("returns"),
    time_column("deadline"),
    time_column("next_look_at"),
    time_column("first_sending_at"),
    time_column("sending_since"),
    Column("hosted", JSON(none_as_null=True)),
    Column("file_name", Text),
    Column("message_id", Text),
    Column("attachment_id", Text),
    Column("trace_id", Text),
    Column("code", Text),
    Column("message", Text),
    time_column("erase_at"),
    time_column("created_at"),
    time_column("updated_at"),
    Column("callback_url", Text),
    Column("backfill_id", Text),
    Column("time_zone", Text),
    Column("parent_id", NAME),
    count_column("part_no"),
    Column("spans", JSON(none_as_null=True)),
    sqlite_autoincrement=True,
)

history: Final = Table(
    "history",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("job_id", NAME, ForeignKey("jobs.job_id"), nullable=False),
    time_column("at"),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("code", Text),
    Column("message", Text),
    Column("actor", Text, nullable=False),
    count_column("attempt"),
)

reports: Final = Table(
    "reports",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("message_id", Text),
    Column("trace_id", Text),
    Column("chat_id", Text),
    Column("file_name", Text),
    Column("status", String(32), nullable=False),
    Column("payload", JSON, nullable=False),
    time_column("received_at"),
    count_column("waiting"),
    Column("job_id", Text),
)
"""waiting: 1 until it was applied. job_id: the job that it was applied to; NULL as long as none is known."""

pauses: Final = Table(
    "pauses",
    metadata,
    Column("scope", Text, primary_key=True),
    time_column("until_at"),
    Column("why", Text, nullable=False),
    time_column("since_at"),
)

chats: Final = Table(
    "chats",
    metadata,
    Column("chat_id", Text, primary_key=True),
    Column("line", Text),
    time_column("opted_out_at"),
    time_column("heard_at"),
    time_column("asked_at"),
)

marks: Final = Table(
    "marks",
    metadata,
    Column("what", Text, primary_key=True),
    Column("who", Text, primary_key=True),
    time_column("until_at"),
)

standings: Final = Table(
    "standings",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("standing", String(32), nullable=False),
    time_column("since_at"),
)
"""What Linq last said of a chat (`chat:ID`) or a line (`line:NUMBER`)."""


install: Final = Table(
    "install",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)


tombstones: Final = Table(
    "tombstones",
    metadata,
    Column("sign", NAME, primary_key=True),
    Column("job_id", NAME, nullable=False),
)
"""Signs of erased jobs: HMACs of their keys, message ids and names."""

audit: Final = Table(
    "audit",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    time_column("at"),
    Column("action", String(32), nullable=False),
    Column("actor", Text, nullable=False),
    Column("job_id", NAME),
    Column("why", Text),
    Column("removed", JSON, nullable=False),
)
"""Who erased what. The database refuses to change or delete a line."""


ZERO: Final = literal(0, literal_execute=True)


def fixed(value: str) -> BindParameter[str]:
    """A value written into the SQL text: a partial index is chosen only where the planner can see its condition."""
    return literal(value, literal_execute=True)


def in_states(states: Iterable[State], column: ColumnElement[Any] = jobs.c.state) -> ColumnElement[bool]:
    """`state IN (…)`, written out, in the order given: SQLite compares it with an index's condition word by word."""
    values = [str(state) for state in states]
    return column.in_(bindparam(None, values, expanding=True, literal_execute=True, unique=True))


def partial_index(name: str, condition: ColumnElement[bool], *columns: ColumnElement[Any]) -> None:
    """An index of the rows that meet a condition, on both databases."""
    Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


def _is(state: State) -> ColumnElement[bool]:
    return jobs.c.state == fixed(str(state))


_PLACE: Final = (
    jobs.c.chat_id,
    jobs.c.lane,
    jobs.c.seq,
    jobs.c.state,
    jobs.c.not_before,
    jobs.c.backfill_id,
    jobs.c.parent_id,
)
"""All that is asked about who is first in a chat."""

# A million finished jobs lie in none of these but the last ones.
partial_index("jobs_open", in_states(OPEN), *_PLACE)
partial_index("jobs_parts", jobs.c.parent_id.is_not(None), jobs.c.parent_id, jobs.c.part_no, jobs.c.state)
partial_index("jobs_in_flight", in_states(IN_FLIGHT), jobs.c.chat_id, jobs.c.lane, jobs.c.seq)
partial_index(
    "jobs_received",
    _is(State.RECEIVED),
    jobs.c.lane.desc(),
    jobs.c.seq,
    jobs.c.not_before,
    jobs.c.retry_at,
    jobs.c.backfill_id,
)
partial_index("jobs_backfill", jobs.c.backfill_id.is_not(None), jobs.c.backfill_id, jobs.c.state, jobs.c.seq)
partial_index("jobs_preparing", _is(State.PREPARING), jobs.c.lease_until)
partial_index("jobs_sending", _is(State.SENDING), jobs.c.deadline)
partial_index("jobs_unconfirmed", _is(State.UNCONFIRMED), jobs.c.next_look_at)
partial_index(
    "jobs_polled",
    and_(in_states(POLLED), jobs.c.next_look_at > ZERO, jobs.c.message_id.is_not(None)),
    jobs.c.next_look_at,
)
partial_index("jobs_message_id", jobs.c.message_id.is_not(None), jobs.c.message_id)
partial_index("jobs_trace_id", jobs.c.trace_id.is_not(None), jobs.c.trace_id)
partial_index("jobs_file_name", jobs.c.file_name.is_not(None), jobs.c.file_name)
partial_index("jobs_erasing", jobs.c.erase_at > ZERO, jobs.c.erase_at)
partial_index("jobs_sent", in_states(SENT), jobs.c.sending_since)
Index("audit_job", audit.c.job_id, audit.c.id)
Index("jobs_state", jobs.c.state, jobs.c.seq)
Index("jobs_chat", jobs.c.chat_id, jobs.c.seq)
Index("history_job", history.c.job_id, history.c.id)
partial_index("reports_waiting", reports.c.waiting > ZERO, reports.c.received_at, reports.c.event_id)
partial_index("reports_orphans", reports.c.job_id.is_(None), reports.c.received_at)
Index("reports_received", reports.c.received_at)
Index("reports_message_id", reports.c.message_id)
Index("reports_trace_id", reports.c.trace_id)
Index("reports_file_name", reports.c.file_name)
