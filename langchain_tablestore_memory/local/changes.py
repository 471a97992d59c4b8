"""The one place where a row changes: in its table, and from here in everything that is derived from the row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .indexes import apply_index_changes, plan_index_changes
from .storage import make_record

if TYPE_CHECKING:
    import sqlite3

    from .catalogue import Table
    from .plainbuffer import Row


def needs_row_before(table: Table) -> bool:
    """Say whether `apply_change` must be told the row as it was.

    Args:
        table: The table.

    Returns:
        True where something is derived from the table's rows.
    """
    return bool(table.indexes or table.search_indexes)


def apply_change(
    connection: sqlite3.Connection,
    table: Table,
    key: bytes,
    before: Row | None,
    after: Row | None,
    searchable: int | None = None,
) -> None:
    """Change a row, and its table's indexes with it.

    Args:
        connection: A connection with a write transaction.
        table: The table.
        key: The row's key, encoded for sorting.
        before: The row as it was, None where there was none; need not be given unless `needs_row_before`.
        after: The row as it is to be, None to delete it.
        searchable: When searches are to see the change, in milliseconds since 1970; None for at once.

    Raises:
        RequestError: The row cannot be indexed; nothing has been changed.
    """
    index_changes = plan_index_changes(table, before, after) if table.indexes else ()
    if after is None:
        connection.execute(table.rows.delete, (key,))
    else:
        connection.execute(table.rows.put, (key, *make_record(after)))
    apply_index_changes(connection, index_changes)
    for search_index in table.search_indexes:
        search_index.store.change(connection, key, before, after, searchable)
