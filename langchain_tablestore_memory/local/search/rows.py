"""Stored rows, as indexes see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tablestore_memory.local.packing import pack_row, unpack_cell, unpack_cells, unpack_row
from langchain_tablestore_memory.local.plainbuffer import (
    decode_cells,
    encode_answer,
    encode_row,
    make_row,
    timestamp_of,
)

if TYPE_CHECKING:
    from langchain_tablestore_memory.local.plainbuffer import Row


def column_values(row: Row) -> dict[bytes, bytes]:
    """Map a row's columns, those of the primary key too, to their newest values.

    Args:
        row: The row.

    Returns:
        The encoded values.
    """
    values = {cell[0]: cell[1] for cell in row.key}
    for cell in row.cells:
        values.setdefault(cell[0], cell[1])
    return values


def newest_time(row: Row) -> int | None:
    """The time of a row's newest cell in milliseconds, None without cells."""
    return row.newest


def encode_stored(row: Row) -> bytes:
    """Encode a row as it is stored."""
    return pack_row(row)


def decode_stored(row: bytes) -> Row:
    """Decode a row as it is stored."""
    return make_row(*unpack_cells(row))


def select_columns(row: bytes, names: frozenset[bytes] | None, expired: int | None) -> bytes:
    """Make the answer of a stored row.

    Args:
        row: The row's bytes.
        names: The attribute columns to return, None for all.
        expired: The newest version that has expired, in milliseconds; None where none ever does.

    Returns:
        The row with the header that answers have.
    """
    if names is None and expired is None:
        return encode_answer(unpack_row(row))
    key, cells = decode_cells(row)
    if names is not None:
        cells = [cell for cell in cells if cell[0] in names]
    if expired is not None:
        cells = [cell for cell in cells if timestamp_of(cell) > expired]
    return encode_answer(encode_row(key, [unpack_cell(cell) for cell in cells]))
