"""PlainBuffer: how rows travel, and how they are stored.

A row is a run of tagged elements: the primary key cells, the attribute cells, an optional delete marker and a
checksum of the cells' checksums. Requests and answers put a four-byte header in front of the first row. The official
description is the page "PlainBuffer" of the Tablestore API reference.

Rows are stored in the form in which they are sent, every attribute cell with its timestamp and none with a type tag.
So a plain read copies bytes, and one that selects cells copies slices: each cell carries its own encoding, which ends
in its checksum. What requests bring is decoded, and distrusted, in `request_rows`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from .checksum import crc8, join_crc8
from .values import value_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEADER: Final = (0x75).to_bytes(4, "little")

TAG_ROW_KEY: Final = 0x1
TAG_ROW_DATA: Final = 0x2
TAG_CELL: Final = 0x3
TAG_CELL_NAME: Final = 0x4
TAG_CELL_VALUE: Final = 0x5
TAG_CELL_TYPE: Final = 0x6
TAG_CELL_TIMESTAMP: Final = 0x7
TAG_DELETE_MARKER: Final = 0x8
TAG_ROW_CHECKSUM: Final = 0x9
TAG_CELL_CHECKSUM: Final = 0xA

DELETE_ALL_VERSIONS: Final = 0x1
DELETE_ONE_VERSION: Final = 0x3
INCREMENT: Final = 0x4

_uint32 = struct.Struct("<I")
_int64 = struct.Struct("<q")


def decode_timestamp(stamp: bytes) -> int:
    """Decode a cell's timestamp.

    Args:
        stamp: The eight bytes before the tag and the checksum at the end of a stored cell.

    Returns:
        The version, in milliseconds.
    """
    return int.from_bytes(stamp, "little", signed=True)


class KeyCell(NamedTuple):
    """A primary key column: its name, its encoded value, and the cell's encoding."""

    name: bytes
    value: bytes
    wire: bytes


class StoredCell(NamedTuple):
    """One version of an attribute column of a stored row: name, encoded value, and the cell's encoding."""

    name: bytes
    value: bytes
    wire: bytes

    @property
    def timestamp(self) -> int:
        """The version, in milliseconds."""
        return decode_timestamp(self.wire[-10:-2])


class CellChange(NamedTuple):
    """An attribute cell of a write request: a value to put or to add, or a deletion."""

    name: bytes
    value: bytes | None
    operation: int | None
    timestamp: int | None
    wire: bytes


class Row(NamedTuple):
    """A stored row, taken apart: attribute cells by name, newest version first."""

    key: list[KeyCell]
    cells: list[StoredCell]


class Stamper:
    """Turns cells of a write request into cells to store, giving them a version where they have none.

    Args:
        now: The version to give, in milliseconds.
    """

    def __init__(self, now: int) -> None:
        self.now = now
        stamp = _int64.pack(now)
        self._tail = b"\x07%b\x0a" % stamp
        self._checksum = crc8(stamp)

    def stamp(self, change: CellChange) -> StoredCell:
        """Make the cell to store.

        Args:
            change: A cell with a value and without an operation.

        Returns:
            The cell.
        """
        name, value, _, timestamp, wire = change
        assert value is not None
        if timestamp is not None:
            return StoredCell(name, value, wire)
        # Name and value are checked and encoded already; only the timestamp joins them.
        checksum = join_crc8(wire[-1], self._checksum)
        return StoredCell(name, value, b"%b%b%c" % (wire[:-2], self._tail, checksum))


def make_key_cell(name: bytes, value: bytes) -> KeyCell:
    """Encode a primary key column.

    Args:
        name: Its name.
        value: Its encoded value.

    Returns:
        The cell.
    """
    return KeyCell(name, value, _encode_cell(name, value))


def make_cell(name: bytes, value: bytes, stamper: Stamper) -> StoredCell:
    """Encode one version of an attribute column.

    Args:
        name: The column's name.
        value: The encoded value.
        stamper: Gives the version.

    Returns:
        The cell.
    """
    return stamper.stamp(CellChange(name, value, None, None, _encode_cell(name, value)))


def encode_cell_name(name: bytes) -> bytes:
    """Encode the part of a cell before the length of its value, which is the same for all cells of a column.

    Args:
        name: The column's name.

    Returns:
        The tags and the name.
    """
    return b"\x03\x04%b%b\x05" % (_uint32.pack(len(name)), name)


def _encode_cell(name: bytes, value: bytes) -> bytes:
    return b"%b%b%b\x0a%c" % (encode_cell_name(name), _uint32.pack(len(value)), value, crc8(name + value))


def encode_row(key: Sequence[KeyCell], cells: Sequence[StoredCell]) -> bytes:
    """Put a row together, without the header.

    Args:
        key: The primary key.
        cells: The attribute cells, in the order in which they are to be sent; may be empty.

    Returns:
        The row's bytes.
    """
    parts = [b"\x01"]
    parts += [cell.wire for cell in key]
    if cells:
        parts.append(b"\x02")
        parts += [cell.wire for cell in cells]
    checksums = bytearray([cell.wire[-1] for cell in key])
    checksums += bytes([cell.wire[-1] for cell in cells])
    # The last one says that the row is not deleted.
    checksums.append(0)
    parts.append(b"\x09%c" % crc8(bytes(checksums)))
    return b"".join(parts)


def decode_row(row: bytes) -> Row:
    """Take a stored row apart. It was verified when it came in, so nothing is checked.

    Args:
        row: The row's bytes, without a header.

    Returns:
        The row.
    """
    key, position = _decode_key(row)
    cells: list[StoredCell] = []
    if row[position] == TAG_ROW_DATA:
        unpack = _uint32.unpack_from
        position += 1
        while row[position] == TAG_CELL:
            name_end = position + 6 + unpack(row, position + 2)[0]
            value_end = name_end + 5 + unpack(row, name_end + 1)[0]
            # The value is followed by a timestamp and a checksum, each with its tag.
            end = value_end + 11
            cells.append(StoredCell(row[position + 6 : name_end], row[name_end + 5 : value_end], row[position:end]))
            position = end
    return Row(key, cells)


def decode_key(row: bytes) -> list[KeyCell]:
    """Read the primary key of a stored row.

    Args:
        row: The row's bytes, without a header.

    Returns:
        The primary key.
    """
    return _decode_key(row)[0]


def _decode_key(row: bytes) -> tuple[list[KeyCell], int]:
    unpack = _uint32.unpack_from
    position = 1
    key: list[KeyCell] = []
    while row[position] == TAG_CELL:
        name_end = position + 6 + unpack(row, position + 2)[0]
        value_end = name_end + 5 + unpack(row, name_end + 1)[0]
        end = value_end + 2
        key.append(KeyCell(row[position + 6 : name_end], row[name_end + 5 : value_end], row[position:end]))
        position = end
    return key, position


def decode_values(row: bytes) -> dict[bytes, list[bytes]]:
    """Read the values of a stored row's columns, primary key included.

    Args:
        row: The row's bytes, without a header.

    Returns:
        The encoded values by column name, newest version first.
    """
    unpack = _uint32.unpack_from
    values: dict[bytes, list[bytes]] = {}
    position = 1
    tail = 2
    while True:
        if row[position] != TAG_CELL:
            if row[position] != TAG_ROW_DATA:
                return values
            position += 1
            tail = 11
            continue
        name_end = position + 6 + unpack(row, position + 2)[0]
        value_end = name_end + 5 + unpack(row, name_end + 1)[0]
        values.setdefault(row[position + 6 : name_end], []).append(row[name_end + 5 : value_end])
        position = value_end + tail


def encode_answer(rows: Iterable[bytes]) -> bytes:
    """Put the rows of an answer together, with the header; no rows are no bytes.

    Args:
        rows: Rows without headers.

    Returns:
        The bytes to send.
    """
    joined = b"".join(rows)
    return HEADER + joined if joined else b""


def cells_size(cells: Iterable[KeyCell | StoredCell]) -> int:
    """Add up names and values as the service bills them.

    Args:
        cells: Primary key or attribute cells.

    Returns:
        The size in bytes.
    """
    return sum([len(cell.name) + value_size(cell.value) for cell in cells])
