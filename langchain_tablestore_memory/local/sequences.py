"""Auto-increment primary key columns: the rules for rows that use them, and the next value.

Values are unique and rise within a table; like the service's they are not dense. They begin with the time in
microseconds (Tablestore, "Auto-increment function of the primary key column").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import parameter_invalid
from .messages import tables
from .plainbuffer import make_key_cell
from .values import AUTO_INCREMENT, encode_value

if TYPE_CHECKING:
    import sqlite3

    from .catalogue import Table
    from .plainbuffer import Cell


def check_auto_increment(table: Table, key: list[Cell], kind: int, expectation: int, *, has_condition: bool) -> None:
    """Check a write to a table that has an auto-increment column.

    Args:
        table: The table.
        key: The row's primary key.
        kind: PUT, UPDATE or DELETE of the protobuf enumeration.
        expectation: The row existence expectation.
        has_condition: Whether the write carries a column condition.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    place = table.auto_increment
    if place is None:
        return
    expected = tables.RowExistenceExpectation.Name(expectation)
    if key[place][1][0] != AUTO_INCREMENT:
        if kind != tables.DELETE and expectation != tables.EXPECT_EXIST:
            raise parameter_invalid(
                f"Invalid expect: {expected} when modify a specific row for table with pk auto increment."
            )
        return
    if kind == tables.DELETE:
        raise parameter_invalid("Invalid row to delete which with pk auto increment.")
    if expectation != tables.IGNORE:
        raise parameter_invalid(f"Invalid expect:{expected} when modify row with pk auto increment.")
    if has_condition:
        raise parameter_invalid("Can't set condition when modify row with pk auto increment.")


def fill_auto_increment(connection: sqlite3.Connection, table: Table, key: list[Cell], now: int) -> list[Cell]:
    """Replace the placeholder in a primary key by the next value.

    Args:
        connection: A connection with a write transaction.
        table: The table.
        key: The primary key, with a placeholder.
        now: The time in milliseconds.

    Returns:
        The primary key of the row to write.
    """
    place = table.auto_increment
    assert place is not None
    (value,) = connection.execute(
        "INSERT INTO sequences (table_id, last) VALUES (?, ?) ON CONFLICT (table_id)"
        " DO UPDATE SET last = max(last + 1, excluded.last) RETURNING last",
        (table.id, now * 1000),
    ).fetchone()
    return [*key[:place], make_key_cell(key[place][0], encode_value(value)), *key[place + 1 :]]
