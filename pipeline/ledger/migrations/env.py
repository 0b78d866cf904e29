"""Alembic's entry: runs the steps on the connection and in the transaction that `migrate` gives it."""

from __future__ import annotations

from alembic import context

from pipeline.ledger import door_tables  # noqa: F401 (its tables belong to the metadata)
from pipeline.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
