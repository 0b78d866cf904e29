"""Erasing: when a job's erasing is due, what is remembered of the erased, and who erased what.

Only adds: workers of the version before go on; they erase nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NAME = sa.String(length=255).with_variant(sa.String(length=255, collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSED = "lines of the audit stay as they are"


def upgrade() -> None:
    """Add the column, its indexes and the tables. Lines of `audit` can be neither changed nor deleted."""
    op.add_column("jobs", _time("erase_at"))
    _index("jobs_erasing", ["erase_at"], "erase_at > 0")
    _index("jobs_sent", ["sending_since"], "state IN ('SENT', 'DELIVERED')")
    op.create_table(
        "tombstones",
        sa.Column("sign", NAME, nullable=False),
        sa.Column("job_id", NAME, nullable=False),
        sa.PrimaryKeyConstraint("sign"),
    )
    op.create_table(
        "audit",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        _time("at"),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("job_id", NAME, nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("removed", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_job", "audit", ["job_id", "id"])
    if op.get_bind().dialect.name == "postgresql":
        body = f"BEGIN RAISE EXCEPTION '{_REFUSED}'; END"
        op.execute(f"CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        what = "BEFORE UPDATE OR DELETE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_stays()"
        op.execute(f"CREATE TRIGGER audit_stays {what}")
        return
    for verb in ("UPDATE", "DELETE"):
        what = f"BEFORE {verb} ON audit BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        op.execute(f"CREATE TRIGGER audit_stays_on_{verb.lower()} {what}")


def downgrade() -> None:
    """Drop what was added: what was erased stays erased, and could be sent again."""
    op.drop_table("audit")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_stays()")
    op.drop_table("tombstones")
    for name in ("jobs_sent", "jobs_erasing"):
        op.drop_index(name, "jobs")
    op.drop_column("jobs", "erase_at")


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), server_default="0", nullable=False)


def _index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "jobs", columns, sqlite_where=where, postgresql_where=where)
