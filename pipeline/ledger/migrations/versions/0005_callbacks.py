"""Callbacks to the programs that asked, and calls of the Celery task that were refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: workers of the version before tell nobody, and register no task."""
    op.add_column("jobs", sa.Column("callback_url", sa.Text()))
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    name = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
    op.create_table(
        "callbacks",
        sa.Column("id", big, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Text(), nullable=False, unique=True),
        sa.Column("job_id", name, sa.ForeignKey("jobs.job_id"), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("message", sa.Text()),
        _time("at"),
        _count("rev"),
        _count("attempts"),
        _time("next_at"),
        _time("done_at"),
        sa.Column("outcome", sa.Text()),
    )
    still_open = sa.text("done_at = 0")
    op.create_index(
        "callbacks_open",
        "callbacks",
        ["job_id", "id", "next_at"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index("callbacks_job", "callbacks", ["job_id", "id"])
    op.create_table(
        "refusals",
        sa.Column("task_id", sa.Text(), primary_key=True, nullable=False),
        _time("at"),
        sa.Column("key", sa.Text()),
        sa.Column("chat_id", sa.Text()),
        sa.Column("recording", sa.Text()),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    )
    op.create_index("refusals_at", "refusals", ["at"])


def downgrade() -> None:
    """Forget who wanted to be told, and what was refused."""
    op.drop_table("refusals")
    op.drop_table("callbacks")
    op.drop_column("jobs", "callback_url")


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), server_default="0", nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)
