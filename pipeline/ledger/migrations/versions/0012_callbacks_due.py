"""Callbacks that are due, found by their time.

Only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_OPEN = sa.text("done_at = 0")


def upgrade() -> None:
    """Add the index."""
    op.create_index("callbacks_due", "callbacks", ["next_at", "id"], sqlite_where=_OPEN, postgresql_where=_OPEN)


def downgrade() -> None:
    """Drop it."""
    op.drop_index("callbacks_due", "callbacks")
