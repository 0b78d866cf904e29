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


def _time(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, server_default="0")


def _count(name: str) -> Column[int]:
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
    _count("epoch"),
    Column("chat_id", Text),
    Column("lane", String(16), nullable=False),
    Column("source", Text, nullable=False),
    Column("recording", JSON, nullable=False),
    Column("overflow", String(16)),
    _time("not_before"),
    _time("retry_at"),
    _time("lease_until"),
    _count("audio_attempts"),
    _count("send_attempts"),
    _count("looks"),
    _count("returns"),
    _time("deadline"),
    _time("next_look_at"),
    _time("first_sending_at"),
    _time("sending_since"),
    Column("hosted", JSON(none_as_null=True)),
    Column("file_name", Text),
    Column("message_id", Text),
    Column("attachment_id", Text),
    Column("trace_id", Text),
    Column("code", Text),
    Column("message", Text),
    _time("erase_at"),
    _time("created_at"),
    _time("updated_at"),
    Column("callback_url", Text),
    Column("backfill_id", Text),
    Column("time_zone", Text),
    Column("parent_id", NAME),
    _count("part_no"),
    Column("spans", JSON(none_as_null=True)),
    sqlite_autoincrement=True,
)

history: Final = Table(
    "history",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("job_id", NAME, ForeignKey("jobs.job_id"), nullable=False),
    _time("at"),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("code", Text),
    Column("message", Text),
    Column("actor", Text, nullable=False),
    _count("attempt"),
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
    _time("received_at"),
    _count("waiting"),
    Column("job_id", Text),
)
"""waiting: 1 until it was applied. job_id: the job that it was applied to; NULL as long as none is known."""

pauses: Final = Table(
    "pauses",
    metadata,
    Column("scope", Text, primary_key=True),
    _time("until_at"),
    Column("why", Text, nullable=False),
    _time("since_at"),
)

chats: Final = Table(
    "chats",
    metadata,
    Column("chat_id", Text, primary_key=True),
    Column("line", Text),
    _time("opted_out_at"),
    _time("heard_at"),
    _time("asked_at"),
)

marks: Final = Table(
    "marks",
    metadata,
    Column("what", Text, primary_key=True),
    Column("who", Text, primary_key=True),
    _time("until_at"),
)

standings: Final = Table(
    "standings",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("standing", String(32), nullable=False),
    _time("since_at"),
)
"""What Linq last said of a chat (`chat:ID`) or a line (`line:NUMBER`)."""

seen_objects: Final = Table(
    "seen_objects",
    metadata,
    Column("place", BYTEWISE, primary_key=True),
    Column("key", BYTEWISE, primary_key=True),
    Column("seen", Text, nullable=False),
)
"""Objects that were looked at and need no second look as long as they are as they were `seen`. Only a memory: without a
row an object is looked at again, to no effect."""

news: Final = Table(
    "news",
    metadata,
    Column("place", BYTEWISE, primary_key=True),
    Column("job_id", NAME, primary_key=True),
    Column("name", Text, nullable=False),
    Column("seq", BIG, nullable=False),
    _count("rev"),
    Column("told", Text, nullable=False),
    Column("done", Text, nullable=False),
    _time("due_at"),
    _count("tries"),
)
"""What a place (an inbox) was told of its jobs. name: of the result; rev: the job's that was told; told: the result's
content, in short; done: what was made of the finished recording; due_at: when to tell again, 0 while nothing is new."""

install: Final = Table(
    "install",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

backfills: Final = Table(
    "backfills",
    metadata,
    Column("backfill_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("options", JSON, nullable=False),
    Column("max_failures", Text),
    Column("state", String(16), nullable=False),
    Column("message", Text),
    _time("created_at"),
    _time("registered_at"),
    _time("ended_at"),
)

backfill_rows: Final = Table(
    "backfill_rows",
    metadata,
    Column("backfill_id", Text, primary_key=True),
    Column("line", BIG, primary_key=True, autoincrement=False),
    Column("recording", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("job_id", Text),
    Column("code", Text),
    Column("message", Text),
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
    _time("at"),
    Column("action", String(32), nullable=False),
    Column("actor", Text, nullable=False),
    Column("job_id", NAME),
    Column("why", Text),
    Column("removed", JSON, nullable=False),
)
"""Who erased what. The database refuses to change or delete a line."""

api_tokens: Final = Table(
    "api_tokens",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    _time("created_at"),
    _time("revoked_at"),
)

callbacks: Final = Table(
    "callbacks",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("job_id", NAME, ForeignKey("jobs.job_id"), nullable=False),
    Column("receiver", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("code", Text),
    Column("message", Text),
    _time("at"),
    _count("rev"),
    _count("attempts"),
    _time("next_at"),
    _time("done_at"),
    Column("outcome", Text),
)
"""Moves that a caller wants to be told of, written with the move. receiver: scheme, host and port of the URL. done_at:
0 until it was told or given up; outcome: what the last attempt came to."""

refusals: Final = Table(
    "refusals",
    metadata,
    Column("task_id", Text, primary_key=True),
    _time("at"),
    Column("key", Text),
    Column("chat_id", Text),
    Column("recording", Text),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
)
"""Calls of the Celery task that could not become a job."""


ZERO: Final = literal(0, literal_execute=True)


def fixed(value: str) -> BindParameter[str]:
    """A value written into the SQL text: a partial index is chosen only where the planner can see its condition."""
    return literal(value, literal_execute=True)


def in_states(states: Iterable[State], column: ColumnElement[Any] = jobs.c.state) -> ColumnElement[bool]:
    """`state IN (…)`, written out, in the order given: SQLite compares it with an index's condition word by word."""
    values = [str(state) for state in states]
    return column.in_(bindparam(None, values, expanding=True, literal_execute=True, unique=True))


def _partial(name: str, condition: ColumnElement[bool], *columns: ColumnElement[Any]) -> None:
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
_partial("jobs_open", in_states(OPEN), *_PLACE)
_partial("jobs_parts", jobs.c.parent_id.is_not(None), jobs.c.parent_id, jobs.c.part_no, jobs.c.state)
_partial("jobs_in_flight", in_states(IN_FLIGHT), jobs.c.chat_id, jobs.c.lane, jobs.c.seq)
_partial(
    "jobs_received",
    _is(State.RECEIVED),
    jobs.c.lane.desc(),
    jobs.c.seq,
    jobs.c.not_before,
    jobs.c.retry_at,
    jobs.c.backfill_id,
)
_partial("jobs_backfill", jobs.c.backfill_id.is_not(None), jobs.c.backfill_id, jobs.c.state, jobs.c.seq)
Index("backfills_state", backfills.c.state, backfills.c.created_at)
Index("backfill_rows_job", backfill_rows.c.backfill_id, backfill_rows.c.job_id, backfill_rows.c.line)
_partial("jobs_preparing", _is(State.PREPARING), jobs.c.lease_until)
_partial("jobs_sending", _is(State.SENDING), jobs.c.deadline)
_partial("jobs_unconfirmed", _is(State.UNCONFIRMED), jobs.c.next_look_at)
_partial(
    "jobs_polled",
    and_(in_states(POLLED), jobs.c.next_look_at > ZERO, jobs.c.message_id.is_not(None)),
    jobs.c.next_look_at,
)
_partial("jobs_message_id", jobs.c.message_id.is_not(None), jobs.c.message_id)
_partial("jobs_trace_id", jobs.c.trace_id.is_not(None), jobs.c.trace_id)
_partial("jobs_file_name", jobs.c.file_name.is_not(None), jobs.c.file_name)
_partial("jobs_erasing", jobs.c.erase_at > ZERO, jobs.c.erase_at)
_partial("jobs_sent", in_states(SENT), jobs.c.sending_since)
Index("audit_job", audit.c.job_id, audit.c.id)
Index("jobs_state", jobs.c.state, jobs.c.seq)
Index("jobs_chat", jobs.c.chat_id, jobs.c.seq)
Index("history_job", history.c.job_id, history.c.id)
_partial("reports_waiting", reports.c.waiting > ZERO, reports.c.received_at, reports.c.event_id)
_partial("reports_orphans", reports.c.job_id.is_(None), reports.c.received_at)
_partial("news_due", news.c.due_at > ZERO, news.c.place, news.c.due_at)
Index("news_name", news.c.place, news.c.name, news.c.seq)
Index("reports_received", reports.c.received_at)
Index("reports_message_id", reports.c.message_id)
Index("reports_trace_id", reports.c.trace_id)
Index("reports_file_name", reports.c.file_name)
_partial("callbacks_open", callbacks.c.done_at == ZERO, callbacks.c.job_id, callbacks.c.id, callbacks.c.next_at)
Index("callbacks_job", callbacks.c.job_id, callbacks.c.id)
Index("refusals_at", refusals.c.at)
