"""When Linq was last asked about a chat whose recipient opted out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; workers of the version before do not look at it."""
    op.add_column("chats", sa.Column("asked_at", sa.Double(), server_default="0", nullable=False))


def downgrade() -> None:
    """Forget it: they are asked about once more."""
    op.drop_column("chats", "asked_at")
