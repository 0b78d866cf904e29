"""INSERT with ON CONFLICT, which both databases know and SQLAlchemy spells once for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Insert, RowMapping, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; False where one with such a unique value is there already (a racing insert is waited for)."""
    return inserted(connection, table, values) is not None


def inserted(connection: Connection, table: Table, values: Mapping[str, Any]) -> RowMapping | None:
    """`insert_new` that returns the row; None where one with such a unique value is there already."""
    return connection.execute(_insert(table, connection.dialect.name), values).mappings().first()


@cache
def _insert(table: Table, dialect: str) -> Insert:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing().returning(table)


def insert_many_new(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], name: Column[Any]
) -> set[Any]:
    """Insert rows in their order, leaving out each that meets a unique value; returns `name` of those inserted."""
    statement = _insert_of(connection)(table).on_conflict_do_nothing().returning(name)
    return set(connection.execute(statement, list(rows)).scalars())


def put_many(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    by: Sequence[str],
    keep: Sequence[str] = (),
) -> None:
    """Insert rows, each in the place of the one with the same `by`, but for its columns `keep`."""
    if not rows:
        return
    statement = _insert_of(connection)(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in (*by, *keep)}
    connection.execute(statement.on_conflict_do_update(index_elements=list(by), set_=changed), list(rows))


def put(
    connection: Connection,
    table: Table,
    values: Mapping[str, Any],
    *,
    by: Sequence[str],
    larger: str | None = None,
    keep: Sequence[str] = (),
) -> bool:
    """Insert a row, or replace the one with the same `by` but for its columns `keep`; with `larger`, only where that
    column does not shrink. False where nothing was written."""
    statement = _insert_of(connection)(table).values(**values)
    statement = statement.on_conflict_do_update(
        index_elements=list(by),
        set_={name: statement.excluded[name] for name in values if name not in (*by, *keep)},
        where=statement.excluded[larger] >= table.c[larger] if larger else None,
    )
    return connection.execute(statement).rowcount > 0


def _insert_of(connection: Connection) -> Any:
    """`insert` as the connection's database spells it."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
