"""Stored rows in less space: vectors as float32 instead of text.

A vector travels as a JSON array, some thirteen bytes a number. Where the text is exactly what `orjson` makes of the
float32 numbers that it stands for, as it is when this package's clients write it, those four bytes a number are stored
instead, and the text is made anew when the row is read. Other text stays as it is.

A packed row differs from a row in its first byte, and its packed cells in their values: the cells' checksums, and all
else, are those of the row, so that both are taken apart alike.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson

from .plainbuffer import decode_cells, encode_row
from .values import STRING

if TYPE_CHECKING:
    from .plainbuffer import Cell, Row

_PACKED_ROW: Final = b"\x00"
_PACKED_VALUE: Final = 0xFE
# Shorter text is not worth it.
_LEAST_LENGTH: Final = 200
# The type byte and the length of a STRING, and what a JSON array begins with.
_PREFIX: Final = 5
_BRACKET: Final = ord("[")
# What follows the value in a stored cell: a timestamp and a checksum, each with its tag.
_TAIL: Final = 11
_uint32 = struct.Struct("<I")


def pack_row(row: Row) -> bytes:
    """Encode a row as it is stored.

    Args:
        row: The row.

    Returns:
        The row's bytes, packed if it has a vector.
    """
    cells = row.cells
    for place, cell in enumerate(row.cells):
        value = cell[1]
        if len(value) > _LEAST_LENGTH and value[_PREFIX] == _BRACKET:
            numbers = read_numbers(value)
            if numbers is not None:
                if cells is row.cells:
                    cells = cells.copy()
                cells[place] = _replace_value(*cell, b"%c%b" % (_PACKED_VALUE, numbers))
    encoded = encode_row(row.key, cells)
    return encoded if cells is row.cells else _PACKED_ROW + encoded[1:]


def unpack_row(row: bytes) -> bytes:
    """Make a stored row ready to be sent.

    Args:
        row: The row's bytes.

    Returns:
        The row's bytes without packed cells.
    """
    if row[0]:
        return row
    key, cells = decode_cells(row)
    return encode_row(key, [unpack_cell(cell) for cell in cells])


def unpack_cells(row: bytes) -> tuple[list[Cell], list[Cell]]:
    """Take a stored row apart.

    Args:
        row: The row's bytes.

    Returns:
        The primary key and the attribute cells, none of them packed.
    """
    key, cells = decode_cells(row)
    return key, cells if row[0] else [unpack_cell(cell) for cell in cells]


def unpack_cell(cell: Cell) -> Cell:
    """Restore a cell of a stored row.

    Args:
        cell: The cell, packed or not.

    Returns:
        The cell as it was written.
    """
    name, value, wire = cell
    if value[0] != _PACKED_VALUE:
        return cell
    return _replace_value(name, value, wire, _encode_text(value[1:]))


@functools.lru_cache(maxsize=32)
def read_numbers(value: bytes) -> bytes | None:
    """Read a vector that can be packed. What was read last is remembered, for all who want it of one row.

    Args:
        value: An encoded value.

    Returns:
        The numbers as little-endian float32, None where the value is no such vector.
    """
    if value[0] != STRING:
        return None
    try:
        numbers = orjson.loads(value[_PREFIX:])
        # Quicker than an array of the standard library or of NumPy, which would read text as numbers besides.
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
    except (orjson.JSONDecodeError, TypeError, OverflowError, struct.error):
        return None
    return packed if _encode_text(packed) == value else None


def _encode_text(numbers: bytes) -> bytes:
    vector = np.frombuffer(numbers, "<f4").astype(np.float32, copy=False)
    text = orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"%c%b%b" % (STRING, _uint32.pack(len(text)), text)


def _replace_value(name: bytes, old: bytes, wire: bytes, new: bytes) -> Cell:
    head = len(wire) - _TAIL - len(old) - 4
    return name, new, b"%b%b%b%b" % (wire[:head], _uint32.pack(len(new)), new, wire[-_TAIL:])
