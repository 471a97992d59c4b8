"""Secondary indexes: which row of an index a row of its table gives, and keeping the two in step.

An index is sparse: a row that lacks one of the indexed columns has no row in it. Global indexes lag on the
service by milliseconds; here both kinds are written in the transaction of the row (Tablestore, "Secondary
index").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .errors import parameter_invalid
from .keys import encode_key
from .limits import MAX_KEY_VALUE_LENGTH
from .plainbuffer import Cell, make_key_cell, make_row, timestamp_of
from .storage import Record, make_record
from .values import value_size

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from .catalogue import Index, Table
    from .plainbuffer import Row
    from .storage import RowTable


class IndexChange(NamedTuple):
    """What a change of a table's row changes in one of its indexes.

    Attributes:
        rows: Where the index's rows are.
        removed: The key of the index row that goes, None where none does.
        key: The key of the index row that comes or changes, None where none does.
        record: That row.
    """

    rows: RowTable
    removed: bytes | None
    key: bytes | None
    record: Record | None


def plan_index_changes(table: Table, before: Row | None, after: Row | None) -> list[IndexChange]:
    """Compute what a change of one row changes in the table's secondary indexes.

    Args:
        table: The table.
        before: The row as it was, None where there was none.
        after: The row as it is to be, None to delete it.

    Returns:
        The changes to carry out.

    Raises:
        RequestError: ``OTSParameterInvalid``: a value is too long for the key of an index.
    """
    changes: list[IndexChange] = []
    for index in table.indexes:
        old = None if before is None else _index_row(index, before)
        new = None if after is None else _index_row(index, after)
        if old == new:
            continue
        moved = old is not None and (new is None or new[0] != old[0])
        changes.append(IndexChange(index.rows, old[0] if old is not None and moved else None, *(new or (None, None))))
    return changes


def apply_index_changes(connection: sqlite3.Connection, changes: Iterable[IndexChange]) -> None:
    """Carry out changes of index rows.

    Args:
        connection: A connection with a write transaction.
        changes: The changes.
    """
    for rows, removed, key, record in changes:
        if removed is not None:
            connection.execute(rows.delete, (removed,))
        if record is not None:
            connection.execute(rows.put, (key, *record))


def fill_index(connection: sqlite3.Connection, index: Index, rows: Iterable[Row]) -> None:
    """Add rows that a table already has to a new index.

    Args:
        connection: A connection with a write transaction.
        index: The index.
        rows: Rows of the table.
    """
    made = (_index_row(index, row) for row in rows)
    connection.executemany(index.rows.put, [(row[0], *row[1]) for row in made if row is not None])


def _index_row(index: Index, row: Row) -> tuple[bytes, Record] | None:
    own_key = {cell[0]: cell for cell in row.key}
    newest: dict[bytes, Cell] = {}
    for cell in row.cells:
        newest.setdefault(cell[0], cell)
    key: list[Cell] = []
    times: list[int] = []
    for column in index.key:
        key_cell = own_key.get(column.name)
        if key_cell is None:
            source = newest.get(column.name)
            if source is None or source[1][0] != column.type:
                return None
            _check_length(*source)
            key_cell = make_key_cell(column.name, source[1])
            times.append(timestamp_of(source))
        key.append(key_cell)
    index_row = make_row(key, [cell for name, cell in newest.items() if name in index.attributes])
    # An index row dies with the first cell of its key, or with the table's row where the key has none of its
    # cells.
    newest_time = min(times) if times else row.newest
    oldest_time = newest_time if index_row.oldest is None else min([index_row.oldest, *times])
    return encode_key(key), make_record(index_row._replace(oldest=oldest_time, newest=newest_time))


def _check_length(name: bytes, value: bytes, _: bytes) -> None:
    size = value_size(value)
    if size > MAX_KEY_VALUE_LENGTH:
        raise parameter_invalid(
            f"The length of primary key column: '{name.decode()}' exceeds the MaxLength:"
            f"{MAX_KEY_VALUE_LENGTH} with CurrentLength:{size}."
        )
