"""PlainBuffer: how rows travel, and how they are stored.

A row is a run of tagged elements: the primary key cells, the attribute cells, an optional delete marker and a
checksum of the cells' checksums. Requests and answers put a four-byte header in front of the first row. The
official description is the page "PlainBuffer" of the Tablestore API reference.

Rows are stored in the form in which they are sent, every attribute cell with its timestamp and none with a
type tag. So a plain read copies bytes, and one that selects cells copies slices: each cell carries its own
encoding, which ends in its checksum. What requests bring is decoded, and distrusted, in `request_rows`.

Cells are plain tuples. A dozen are made for every small row that is written, and objects of a class, even
named tuples, take several times longer to make.
"""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from .checksum import crc8, join_crc8
from .values import value_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A cell of a stored row or of a key: the column's name, the encoded value, and the encoding of the cell.
Cell: TypeAlias = tuple[bytes, bytes, bytes]
# A cell of a write request: name, value, operation, timestamp, encoding. No operation is a put.
Change: TypeAlias = tuple[bytes, bytes | None, int | None, int | None, bytes]

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

cell_name = itemgetter(0)

_uint32 = struct.Struct("<I")
_int64 = struct.Struct("<q")


class Row(NamedTuple):
    """A stored row, taken apart.

    Attributes:
        key: The primary key.
        cells: The attribute cells by name, newest version first.
        size: The sum of names and values in bytes, as the service bills it.
        oldest: The time of the oldest cell in milliseconds, None without cells.
        newest: The time of the newest cell in milliseconds, None without cells.
    """

    key: list[Cell]
    cells: list[Cell]
    size: int
    oldest: int | None
    newest: int | None


class Stamper:
    """Turns cells of write requests into cells to store, giving them a version where they have none.

    Args:
        now: The version to give, in milliseconds.
    """

    def __init__(self, now: int) -> None:
        self.now = now
        stamp = _int64.pack(now)
        self._tail = b"\x07%b\x0a" % stamp
        self._checksum = crc8(stamp)

    def stamp(self, name: bytes, value: bytes, wire: bytes) -> Cell:
        """Make the cell to store from one without a version.

        Args:
            name: The column's name.
            value: The encoded value.
            wire: The cell's encoding, without an operation and a timestamp.

        Returns:
            The cell.
        """
        # Name and value are encoded and have a checksum already; only the timestamp joins them.
        return name, value, b"%b%b%c" % (wire[:-2], self._tail, join_crc8(wire[-1], self._checksum))


def make_key_cell(name: bytes, value: bytes) -> Cell:
    """Encode a primary key column.

    Args:
        name: Its name.
        value: Its encoded value.

    Returns:
        The cell.
    """
    return name, value, _encode_cell(name, value)


def make_cell(name: bytes, value: bytes, stamper: Stamper) -> Cell:
    """Encode one version of an attribute column.

    Args:
        name: The column's name.
        value: The encoded value.
        stamper: Gives the version.

    Returns:
        The cell.
    """
    return stamper.stamp(name, value, _encode_cell(name, value))


def encode_requested_cell(name: bytes, value: bytes) -> Cell:
    """Encode an attribute column as requests have it that put a row, without a version.

    Args:
        name: The column's name.
        value: The encoded value.

    Returns:
        The cell.
    """
    return name, value, _encode_cell(name, value)


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


def timestamp_of(cell: Cell) -> int:
    """Read the version of a stored attribute cell.

    Args:
        cell: The cell.

    Returns:
        The version, in milliseconds.
    """
    return int.from_bytes(cell[2][-10:-2], "little", signed=True)


def make_row(key: list[Cell], cells: list[Cell]) -> Row:
    """Make a row of its cells.

    Args:
        key: The primary key.
        cells: The attribute cells by name, newest version first.

    Returns:
        The row.
    """
    # Mostly all cells are of one time.
    stamps = {wire[-10:-2] for _, _, wire in cells}
    times = [int.from_bytes(stamp, "little", signed=True) for stamp in stamps]
    size = cells_size(key) + cells_size(cells)
    return Row(key, cells, size, min(times, default=None), max(times, default=None))


def cells_size(cells: Iterable[Cell]) -> int:
    """Add up names and values as the service bills them.

    Args:
        cells: Primary key or attribute cells.

    Returns:
        The size in bytes.
    """
    return sum([len(name) + value_size(value) for name, value, _ in cells])


def encode_row(key: Sequence[Cell], cells: Sequence[Cell]) -> bytes:
    """Put a row together, without the header.

    Args:
        key: The primary key.
        cells: The attribute cells, in the order in which they are to be sent; may be empty.

    Returns:
        The row's bytes.
    """
    key_parts = [wire for _, _, wire in key]
    cell_parts = [wire for _, _, wire in cells]
    # The last one says that the row is not deleted.
    checksum = crc8(bytes([*[wire[-1] for wire in key_parts], *[wire[-1] for wire in cell_parts], 0]))
    data_tag = b"\x02" if cell_parts else b""
    return b"\x01%b%b%b\x09%c" % (b"".join(key_parts), data_tag, b"".join(cell_parts), checksum)


def decode_cells(row: bytes) -> tuple[list[Cell], list[Cell]]:
    """Take a stored row apart. It was verified when it came in, so nothing is checked.

    Args:
        row: The row's bytes, without a header.

    Returns:
        The primary key and the attribute cells.
    """
    key, position = _decode_key(row)
    cells: list[Cell] = []
    if row[position] == TAG_ROW_DATA:
        unpack = _uint32.unpack_from
        position += 1
        while row[position] == TAG_CELL:
            name_end = position + 6 + unpack(row, position + 2)[0]
            value_end = name_end + 5 + unpack(row, name_end + 1)[0]
            # The value is followed by a timestamp and a checksum, each with its tag.
            end = value_end + 11
            cells.append((row[position + 6 : name_end], row[name_end + 5 : value_end], row[position:end]))
            position = end
    return key, cells


def decode_key(row: bytes) -> list[Cell]:
    """Read the primary key of a stored row.

    Args:
        row: The row's bytes, without a header.

    Returns:
        The primary key.
    """
    return _decode_key(row)[0]


def _decode_key(row: bytes) -> tuple[list[Cell], int]:
    unpack = _uint32.unpack_from
    position = 1
    key: list[Cell] = []
    while row[position] == TAG_CELL:
        name_end = position + 6 + unpack(row, position + 2)[0]
        value_end = name_end + 5 + unpack(row, name_end + 1)[0]
        end = value_end + 2
        key.append((row[position + 6 : name_end], row[name_end + 5 : value_end], row[position:end]))
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
    # What follows the value: a checksum, and in attribute cells a timestamp before it.
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


def encode_answer(row: bytes | None) -> bytes:
    """Put a row into the form in which it is sent.

    Args:
        row: A row without header, or None.

    Returns:
        The bytes to send; none for None.
    """
    return b"" if row is None else HEADER + row
