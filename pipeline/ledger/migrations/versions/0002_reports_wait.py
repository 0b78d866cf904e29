"""Reports wait to be applied; what Linq last said of a chat or a line is kept; failed messages are polled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


POLLED = "state IN ('SENT', 'FAILED') AND next_look_at > 0 AND message_id IS NOT NULL"
POLLED_BEFORE = "state = 'SENT' AND next_look_at > 0"


def upgrade() -> None:
    """Columns and indexes of `reports`, the table `standings`, and another condition of `jobs_polled`."""
    _index_of_polled(POLLED)
    op.add_column("reports", sa.Column("waiting", sa.Integer(), server_default="0", nullable=False))
    op.add_column("reports", sa.Column("job_id", sa.Text(), nullable=True))
    where = sa.text("waiting > 0")
    columns = ["received_at", "event_id"]
    op.create_index("reports_waiting", "reports", columns, sqlite_where=where, postgresql_where=where)
    where = sa.text("job_id IS NULL")
    op.create_index("reports_orphans", "reports", ["received_at"], sqlite_where=where, postgresql_where=where)
    op.create_index("reports_received", "reports", ["received_at"])
    op.create_table(
        "standings",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("standing", sa.String(length=32), nullable=False),
        sa.Column("since_at", sa.Double(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )


def downgrade() -> None:
    """What was there before."""
    op.drop_table("standings")
    for name in ("reports_received", "reports_orphans", "reports_waiting"):
        op.drop_index(name, "reports")
    for name in ("job_id", "waiting"):
        op.drop_column("reports", name)
    _index_of_polled(POLLED_BEFORE)


def _index_of_polled(condition: str) -> None:
    op.drop_index("jobs_polled", "jobs")
    where = sa.text(condition)
    op.create_index("jobs_polled", "jobs", ["next_look_at"], sqlite_where=where, postgresql_where=where)
