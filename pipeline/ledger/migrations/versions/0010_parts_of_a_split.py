"""Jobs whose recording needs several memos: each of them a job of its own, a part.

Only adds, but for an index that is made anew with one column more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('RECEIVED', 'PREPARING', 'HOSTED', 'SENDING', 'UNCONFIRMED')")
_PART = sa.text("parent_id IS NOT NULL")
_NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
_PLACE = ["chat_id", "lane", "seq", "state", "not_before", "backfill_id"]


def upgrade() -> None:
    """Add the columns; a place in a chat's order is the whole's."""
    op.add_column("jobs", sa.Column("parent_id", _NAME, nullable=True))
    op.add_column("jobs", sa.Column("part_no", sa.Integer(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("spans", sa.JSON(none_as_null=True), nullable=True))
    _make_index("jobs_parts", ["parent_id", "part_no", "state"], _PART)
    op.drop_index("jobs_open", "jobs")
    _make_index("jobs_open", [*_PLACE, "parent_id"], _OPEN)


def downgrade() -> None:
    """Drop what was added. Jobs that are split cannot be told from others then: end them first."""
    op.drop_index("jobs_open", "jobs")
    _make_index("jobs_open", _PLACE, _OPEN)
    op.drop_index("jobs_parts", "jobs")
    for name in ("spans", "part_no", "parent_id"):
        op.drop_column("jobs", name)


def _make_index(name: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=where, postgresql_where=where)
