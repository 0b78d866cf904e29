"""The tables of the doors: what an inbox was told, backfills, tokens, callbacks, refused calls."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Column, ForeignKey, Index, String, Table, Text

from pipeline.ledger.tables import BIG, BYTEWISE, NAME, ZERO, count_column, fixed, metadata, partial_index, time_column

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
    count_column("rev"),
    Column("told", Text, nullable=False),
    Column("done", Text, nullable=False),
    time_column("due_at"),
    count_column("tries"),
)
"""What a place (an inbox) was told of its jobs. name: of the result; rev: the job's that was told; told: the result's
content, in short; done: what was made of the finished recording; due_at: when to tell again, 0 while nothing is new."""


backfills: Final = Table(
    "backfills",
    metadata,
    Column("backfill_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("options", JSON, nullable=False),
    Column("max_failures", Text),
    Column("state", String(16), nullable=False),
    Column("message", Text),
    time_column("created_at"),
    time_column("registered_at"),
    time_column("ended_at"),
    count_column("ended_seen"),
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


api_tokens: Final = Table(
    "api_tokens",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    time_column("created_at"),
    time_column("revoked_at"),
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
    time_column("at"),
    count_column("rev"),
    count_column("attempts"),
    time_column("next_at"),
    time_column("done_at"),
    Column("outcome", Text),
)
"""Moves that a caller wants to be told of, written with the move. receiver: scheme, host and port of the URL. done_at:
0 until it was told or given up; outcome: what the last attempt came to."""


refusals: Final = Table(
    "refusals",
    metadata,
    Column("task_id", Text, primary_key=True),
    time_column("at"),
    Column("key", Text),
    Column("chat_id", Text),
    Column("recording", Text),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
)
"""Calls of the Celery task that could not become a job."""


Index("backfills_state", backfills.c.state, backfills.c.created_at)
Index("backfill_rows_job", backfill_rows.c.backfill_id, backfill_rows.c.job_id, backfill_rows.c.line)
partial_index("backfill_rows_reported", backfill_rows.c.status == fixed("reported"), backfill_rows.c.backfill_id)
partial_index("news_due", news.c.due_at > ZERO, news.c.place, news.c.due_at)
Index("news_name", news.c.place, news.c.name, news.c.seq)
partial_index("callbacks_open", callbacks.c.done_at == ZERO, callbacks.c.job_id, callbacks.c.id, callbacks.c.next_at)
partial_index("callbacks_due", callbacks.c.done_at == ZERO, callbacks.c.next_at, callbacks.c.id)
Index("callbacks_job", callbacks.c.job_id, callbacks.c.id)
Index("refusals_at", refusals.c.at)
