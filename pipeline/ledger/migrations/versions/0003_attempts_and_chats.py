"""When a job's first attempt began; what is known of chats; marks; since when a pause lasts.

Only adds: a process of the version before goes on working."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and tables."""
    op.add_column("jobs", _time("first_sending_at"))
    op.add_column("pauses", _time("since_at"))
    op.create_table(
        "chats",
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=True),
        _time("opted_out_at"),
        _time("heard_at"),
        sa.PrimaryKeyConstraint("chat_id"),
    )
    op.create_table(
        "marks",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        _time("until_at"),
        sa.PrimaryKeyConstraint("what", "who"),
    )


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("marks")
    op.drop_table("chats")
    op.drop_column("pauses", "since_at")
    op.drop_column("jobs", "first_sending_at")


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), server_default="0", nullable=False)
