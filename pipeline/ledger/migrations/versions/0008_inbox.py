"""What a watcher has seen of its inbox, and what it told of the jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; workers of the version before do not ask for them."""
    bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    name = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "seen_objects",
        sa.Column("place", bytewise, nullable=False),
        sa.Column("key", bytewise, nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("place", "key"),
    )
    op.create_table(
        "news",
        sa.Column("place", bytewise, nullable=False),
        sa.Column("job_id", name, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq", big, nullable=False),
        sa.Column("rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("done", sa.Text(), nullable=False),
        sa.Column("due_at", sa.Double(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("place", "job_id"),
    )
    due = sa.text("due_at > 0")
    op.create_index("news_due", "news", ["place", "due_at"], sqlite_where=due, postgresql_where=due)
    op.create_index("news_name", "news", ["place", "name", "seq"])


def downgrade() -> None:
    """Drop what was added: every object is looked at again, and no result is kept up to date."""
    op.drop_table("news")
    op.drop_table("seen_objects")
