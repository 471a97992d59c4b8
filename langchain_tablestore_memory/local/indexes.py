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
from .plainbuffer import Row, StoredCell, make_key_cell
from .storage import Record, make_record
from .values import value_size

if TYPE_CHECKING:
    import sqlite3

    from .catalogue import Index, Table
    from .plainbuffer import KeyCell


class _IndexRow(NamedTuple):
    key: bytes
    record: Record


def update_indexes(connection: sqlite3.Connection, table: Table, before: Row | None, after: Row | None) -> None:
    """Bring a table's secondary indexes up to date with a change of one row.

    Args:
        connection: A connection with a write transaction.
        table: The table.
        before: The row as it was, None where there was none.
        after: The row as it is, None where it is gone.

    Raises:
        RequestError: ``OTSParameterInvalid``: a value is too long for the key of an index.
    """
    for index in table.indexes:
        old = None if before is None else _index_row(index, before)
        new = None if after is None else _index_row(index, after)
        if old == new:
            continue
        if old is not None and (new is None or new.key != old.key):
            connection.execute(index.rows.delete, (old.key,))
        if new is not None:
            connection.execute(index.rows.put, (new.key, *new.record))


def fill_index(connection: sqlite3.Connection, index: Index, rows: list[Row]) -> None:
    """Add rows that a table already has to a new index.

    Args:
        connection: A connection with a write transaction.
        index: The index.
        rows: Rows of the table.
    """
    made = (_index_row(index, row) for row in rows)
    connection.executemany(index.rows.put, [(row.key, *row.record) for row in made if row is not None])


def _index_row(index: Index, row: Row) -> _IndexRow | None:
    values = {cell.name: cell for cell in row.key}
    newest: dict[bytes, StoredCell] = {}
    for cell in row.cells:
        newest.setdefault(cell.name, cell)
    key: list[KeyCell] = []
    times: list[int] = []
    for column in index.key:
        own = values.get(column.name)
        if own is not None:
            key.append(own)
            continue
        source = newest.get(column.name)
        if source is None or source.value[0] != column.type:
            return None
        if value_size(source.value) > MAX_KEY_VALUE_LENGTH:
            raise parameter_invalid(
                f"The length of primary key column: '{column.name.decode()}' exceeds the MaxLength:"
                f"{MAX_KEY_VALUE_LENGTH} with CurrentLength:{value_size(source.value)}."
            )
        key.append(make_key_cell(column.name, source.value))
        times.append(source.timestamp)
    cells = [cell for name, cell in newest.items() if name in index.attributes]
    record = make_record(Row(key, cells))
    return _IndexRow(encode_key(key), _with_life(record, times, row.cells))


def _with_life(record: Record, key_times: list[int], cells: list[StoredCell]) -> Record:
    """Let the index row die with the first cell of its key, or with the last of the row where the key has none."""
    if key_times:
        newest = min(key_times)
        oldest = newest if record.oldest is None else min(newest, record.oldest)
    elif cells:
        newest = max(cell.timestamp for cell in cells)
        oldest = newest if record.oldest is None else record.oldest
    else:
        return record
    return record._replace(oldest=oldest, newest=newest)
