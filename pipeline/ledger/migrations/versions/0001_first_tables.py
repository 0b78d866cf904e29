"""The first tables: jobs, history, reports, pauses, install."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.String(length=255).with_variant(sa.String(length=255, collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def where(condition: str) -> dict[str, Any]:
    """The condition of a partial index, for both databases."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    """Make all tables."""
    _jobs()
    _history()
    _reports()
    _pauses()
    _install()


def downgrade() -> None:
    """Drop all tables, and every job with them."""
    for name in ("history", "jobs", "reports", "pauses", "install"):
        op.drop_table(name)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", BIG, autoincrement=True, nullable=False),
        sa.Column("job_id", NAME, nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("rev", sa.Integer(), server_default="1", nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("chat_id", sa.Text(), nullable=True),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("recording", sa.JSON(), nullable=False),
        sa.Column("overflow", sa.String(length=16), nullable=True),
        sa.Column("not_before", sa.Double(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.Double(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.Double(), server_default="0", nullable=False),
        sa.Column("audio_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("send_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("returns", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deadline", sa.Double(), server_default="0", nullable=False),
        sa.Column("next_look_at", sa.Double(), server_default="0", nullable=False),
        sa.Column("sending_since", sa.Double(), server_default="0", nullable=False),
        sa.Column("hosted", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("attachment_id", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.Double(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("job_id"),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_chat", "jobs", ["chat_id", "seq"])
    op.create_index("jobs_file_name", "jobs", ["file_name"], **where("file_name IS NOT NULL"))
    op.create_index(
        "jobs_in_flight", "jobs", ["chat_id", "lane", "seq"], **where("state IN ('SENDING', 'UNCONFIRMED')")
    )
    op.create_index("jobs_message_id", "jobs", ["message_id"], **where("message_id IS NOT NULL"))
    op.create_index(
        "jobs_open",
        "jobs",
        ["chat_id", "lane", "seq", "state", "not_before"],
        **where("state IN ('RECEIVED', 'PREPARING', 'HOSTED', 'SENDING', 'UNCONFIRMED')"),
    )
    op.create_index("jobs_polled", "jobs", ["next_look_at"], **where("state = 'SENT' AND next_look_at > 0"))
    op.create_index("jobs_preparing", "jobs", ["lease_until"], **where("state = 'PREPARING'"))
    op.create_index(
        "jobs_received", "jobs", [sa.text("lane DESC"), "seq", "not_before", "retry_at"], **where("state = 'RECEIVED'")
    )
    op.create_index("jobs_sending", "jobs", ["deadline"], **where("state = 'SENDING'"))
    op.create_index("jobs_state", "jobs", ["state", "seq"])
    op.create_index("jobs_trace_id", "jobs", ["trace_id"], **where("trace_id IS NOT NULL"))
    op.create_index("jobs_unconfirmed", "jobs", ["next_look_at"], **where("state = 'UNCONFIRMED'"))


def _history() -> None:
    op.create_table(
        "history",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("job_id", NAME, nullable=False),
        sa.Column("at", sa.Double(), server_default="0", nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.job_id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("history_job", "history", ["job_id", "id"])


def _reports() -> None:
    op.create_table(
        "reports",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("chat_id", sa.Text(), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.Double(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("reports_file_name", "reports", ["file_name"])
    op.create_index("reports_message_id", "reports", ["message_id"])
    op.create_index("reports_trace_id", "reports", ["trace_id"])


def _pauses() -> None:
    op.create_table(
        "pauses",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("until_at", sa.Double(), server_default="0", nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )


def _install() -> None:
    op.create_table(
        "install",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
