"""What tells cheaply whether too much of a backfill failed: rows without a job by an index, and how many had ended.

Only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_REPORTED = sa.text("status = 'reported'")


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("backfills", sa.Column("ended_seen", sa.Integer(), server_default="0", nullable=False))
    name, table = "backfill_rows_reported", "backfill_rows"
    op.create_index(name, table, ["backfill_id"], sqlite_where=_REPORTED, postgresql_where=_REPORTED)


def downgrade() -> None:
    """Drop what was added."""
    op.drop_index("backfill_rows_reported", "backfill_rows")
    op.drop_column("backfills", "ended_seen")
