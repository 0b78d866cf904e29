"""Backfills, what became of each of their rows, and which jobs are theirs.

Only adds: the two indexes that are made anew say all that they said before, for a process of the version before too."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OPEN = "state IN ('RECEIVED', 'PREPARING', 'HOSTED', 'SENDING', 'UNCONFIRMED')"
_RECEIVED = "state = 'RECEIVED'"


def upgrade() -> None:
    """Add the tables, the columns and what the indexes need."""
    op.add_column("jobs", sa.Column("backfill_id", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("time_zone", sa.Text(), nullable=True))
    op.create_table(
        "backfills",
        sa.Column("backfill_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("max_failures", sa.Text(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        _time("created_at"),
        _time("registered_at"),
        _time("ended_at"),
        sa.PrimaryKeyConstraint("backfill_id"),
    )
    op.create_table(
        "backfill_rows",
        sa.Column("backfill_id", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False),
        sa.Column("recording", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("backfill_id", "line"),
    )
    op.create_index("backfills_state", "backfills", ["state", "created_at"])
    op.create_index("backfill_rows_job", "backfill_rows", ["backfill_id", "job_id", "line"])
    _partial("jobs_backfill", ["backfill_id", "state", "seq"], "backfill_id IS NOT NULL")
    _place(["backfill_id"])


def downgrade() -> None:
    """Drop what was added."""
    _place([])
    op.drop_index("jobs_backfill", "jobs")
    op.drop_table("backfill_rows")
    op.drop_table("backfills")
    op.drop_column("jobs", "time_zone")
    op.drop_column("jobs", "backfill_id")


def _place(more: list[str]) -> None:
    op.drop_index("jobs_open", "jobs")
    op.drop_index("jobs_received", "jobs")
    _partial("jobs_open", ["chat_id", "lane", "seq", "state", "not_before", *more], _OPEN)
    _partial("jobs_received", [sa.text("lane DESC"), "seq", "not_before", "retry_at", *more], _RECEIVED)


def _partial(name: str, columns: list[Any], condition: str) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), server_default="0", nullable=False)
