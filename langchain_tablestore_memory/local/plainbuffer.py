"""PlainBuffer: how rows travel, and how they are stored.

A row is a run of tagged elements: the primary key cells, the attribute cells, an optional delete marker and a
checksum of the cells' checksums. Requests and answers put a four-byte header in front of the first row. The
official description is the page "PlainBuffer" of the Tablestore API reference.

Rows are stored in the form in which they are sent, every attribute cell with its timestamp and none with a
type tag. So a plain read copies bytes, and one that selects cells copies slices: `StoredCell` carries its own
encoding. Values stay in their encoded form, a type byte and little-endian data ("variant"), until something
compares them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from .checksum import crc8, extend_crc8
from .errors import parameter_invalid

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
_OPERATIONS: Final = frozenset((DELETE_ALL_VERSIONS, DELETE_ONE_VERSION, INCREMENT))

INTEGER: Final = 0x0
DOUBLE: Final = 0x1
BOOLEAN: Final = 0x2
STRING: Final = 0x3
BLOB: Final = 0x7
INF_MIN: Final = 0x9
INF_MAX: Final = 0xA
AUTO_INCREMENT: Final = 0xB

TYPE_NAMES: Final = {
    INTEGER: "VT_INTEGER",
    DOUBLE: "VT_DOUBLE",
    BOOLEAN: "VT_BOOLEAN",
    STRING: "VT_STRING",
    BLOB: "VT_BLOB",
    INF_MIN: "VT_INF_MIN",
    INF_MAX: "VT_INF_MAX",
    AUTO_INCREMENT: "VT_AUTO_INCREMENT",
}

# The length of a value's encoding by its type, the type byte included.
_FIXED_LENGTHS: Final = {INTEGER: 9, DOUBLE: 9, BOOLEAN: 2, INF_MIN: 1, INF_MAX: 1, AUTO_INCREMENT: 1}

_uint32 = struct.Struct("<I")
_int64 = struct.Struct("<q")
_double = struct.Struct("<d")
_unpack_uint32 = _uint32.unpack_from
_pack_uint32 = _uint32.pack


class KeyCell(NamedTuple):
    """A primary key column of a request or a row."""

    name: bytes
    value: bytes
    wire: bytes
    checksum: int


class CellChange(NamedTuple):
    """An attribute cell of a write request: a value to put, to add or to delete.

    `wire` is the encoding up to and including the value, `checksum` that of name and value alone: with them a
    stored cell is made without encoding or checking anything twice.
    """

    name: bytes
    value: bytes | None
    operation: int | None
    timestamp: int | None
    wire: bytes
    checksum: int


class StoredCell(NamedTuple):
    """One version of an attribute column of a stored row."""

    name: bytes
    value: bytes
    timestamp: int
    wire: bytes
    checksum: int


class RequestRow(NamedTuple):
    """A row as a request carries it: a key to read or to delete, or a change to write."""

    key: list[KeyCell]
    changes: list[CellChange]
    deletes_row: bool


class Row(NamedTuple):
    """A stored row, taken apart."""

    key: list[KeyCell]
    cells: list[StoredCell]


# --- values
# ---------------------------------------------------------------------------------------------------


def encode_value(value: bool | int | float | str | bytes) -> bytes:  # noqa: PYI041 - spelled out for the reader
    """Encode a value: a type byte and little-endian data.

    Args:
        value: `bytes` becomes a BINARY value, the others what their names say.

    Returns:
        The encoded value.
    """
    if isinstance(value, bool):
        return bytes((BOOLEAN, value))
    if isinstance(value, int):
        return b"\x00" + _int64.pack(value)
    if isinstance(value, float):
        return b"\x01" + _double.pack(value)
    if isinstance(value, str):
        text = value.encode()
        return b"\x03" + _pack_uint32(len(text)) + text
    return b"\x07" + _pack_uint32(len(value)) + value


def decode_value(value: bytes) -> bool | int | float | bytes:
    """Decode a value for comparing it; a STRING comes back as its UTF-8 bytes, which sort as the service sorts.

    Args:
        value: An encoded value.

    Returns:
        The value.
    """
    kind = value[0]
    if kind == INTEGER:
        return decode_integer(value)
    if kind == DOUBLE:
        return decode_double(value)
    if kind == BOOLEAN:
        return value[1] != 0
    return value[5:]


def decode_integer(value: bytes) -> int:
    """Decode an INTEGER value.

    Args:
        value: An encoded INTEGER value.

    Returns:
        The integer.
    """
    return int.from_bytes(value[1:9], "little", signed=True)


def decode_double(value: bytes) -> float:
    """Decode a DOUBLE value.

    Args:
        value: An encoded DOUBLE value.

    Returns:
        The number.
    """
    number: float = _double.unpack_from(value, 1)[0]
    return number


def value_size(value: bytes) -> int:
    """Count a value's bytes as the service bills and limits them.

    Integers and doubles count 8, booleans 1, strings and binaries their length (Tablestore, "Capacity
    units").

    Args:
        value: An encoded value.

    Returns:
        The size in bytes.
    """
    return len(value) - (5 if value[0] in (STRING, BLOB) else 1)


def check_value(value: bytes) -> str | None:
    """Check an encoded value of a request.

    Args:
        value: The value: a type byte and data.

    Returns:
        What is wrong with it, in the service's words, or None.
    """
    if not value:
        return "data format is invalid."
    kind = value[0]
    if kind in (STRING, BLOB):
        if len(value) < 5 or len(value) - 5 != _unpack_uint32(value, 1)[0]:  # noqa: PLR2004 - type and length
            return f"Cell data broken, wrong string format, size: {len(value)}."
        return None
    length = _FIXED_LENGTHS.get(kind)
    if length is None:
        return "data format is invalid, unknown variant type occured."
    if len(value) != length:
        if kind == BOOLEAN:
            return f"Invalid boolean real value, value length: {len(value) - 1}."
        return "data format is invalid."
    return None


# --- requests
# -------------------------------------------------------------------------------------------------


def _broken(reason: str) -> NoReturn:
    raise parameter_invalid(f"Cell data broken, {reason}")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _check_sum(given: int, computed: int) -> None:
    if given != computed:
        _broken(f"checksum is mismatch, {given}:{computed}")


def decode_request_row(body: bytes) -> RequestRow:
    """Take a row of a request apart and verify it: header, structure, lengths and checksums.

    Args:
        body: The bytes of the request's row, with the header.

    Returns:
        The row.

    Raises:
        RequestError: ``OTSParameterInvalid`` with the service's words for what is broken.
    """
    if not body:
        raise parameter_invalid("Cannot deserialize the request data.")
    if body[:4] != HEADER:
        actual = int.from_bytes(body[:4], "little")
        _broken(f"mismatch header, actual: {actual} , expect: {HEADER[0]}.")
    try:
        return _decode_checked(body)
    except (IndexError, struct.error):
        # Every element is read by its position, so this is what a truncated row ends in.
        raise parameter_invalid("data format is invalid.") from None


def _decode_checked(body: bytes) -> RequestRow:
    if body[4] != TAG_ROW_KEY:
        _broken(f"mismatch tag, actual tag({body[4]}), expect({TAG_ROW_KEY}).")
    position = 5
    key: list[KeyCell] = []
    while body[position] == TAG_CELL:
        cell, position = _read_cell(body, position)
        key.append(_key_cell(cell))
    if not key:
        _broken("no PK follow PKTag.")
    changes: list[CellChange] = []
    checksums = [cell.checksum for cell in key]
    if body[position] == TAG_ROW_DATA:
        position += 1
        while body[position] == TAG_CELL:
            cell, position = _read_cell(body, position)
            checksums.append(_full_checksum(cell))
            changes.append(cell)
    deletes_row = body[position] == TAG_DELETE_MARKER
    position += deletes_row
    if body[position] != TAG_ROW_CHECKSUM:
        _broken("row is not end with checksum tag.")
    checksums.append(deletes_row)
    _check_sum(body[position + 1], crc8(bytes(checksums)))
    if len(body) != position + 2:
        _broken("has more data in cell, but they can't be parsed.")
    return RequestRow(key, changes, deletes_row)


def _read_cell(body: bytes, start: int) -> tuple[CellChange, int]:
    if body[start + 1] != TAG_CELL_NAME:
        _broken("attr has no name.")
    value_tag = start + 6 + _unpack_uint32(body, start + 2)[0]
    name = body[start + 6 : value_tag]
    position = value_tag
    value = operation = timestamp = None
    if body[position] == TAG_CELL_VALUE:
        position += 5 + _unpack_uint32(body, position + 1)[0]
        value = body[value_tag + 5 : position]
        problem = check_value(value)
        if problem is not None:
            raise parameter_invalid(problem)
    wire = body[start:position]
    if body[position] == TAG_CELL_TYPE:
        operation = body[position + 1]
        if operation not in _OPERATIONS:
            raise parameter_invalid(f"Invalid op type of cell: {operation}.")
        position += 2
    if body[position] == TAG_CELL_TIMESTAMP:
        (timestamp,) = _int64.unpack_from(body, position + 1)
        position += 9
    if body[position] != TAG_CELL_CHECKSUM:
        _broken("cell is not end with checksum[10] tag.")
    cell = CellChange(name, value, operation, timestamp, wire, crc8(name if value is None else name + value))
    _check_sum(body[position + 1], _full_checksum(cell))
    return cell, position + 2


def _full_checksum(cell: CellChange) -> int:
    checksum = cell.checksum
    if cell.timestamp is not None:
        checksum = extend_crc8(checksum, _int64.pack(cell.timestamp))
    if cell.operation is not None:
        checksum = extend_crc8(checksum, bytes((cell.operation,)))
    return checksum


def _key_cell(cell: CellChange) -> KeyCell:
    if not cell.name:
        raise parameter_invalid("No name is given for primary key.")
    if cell.value is None:
        raise parameter_invalid(f"No value is given for primary key name:{_text(cell.name)}.")
    if cell.operation is not None:
        raise parameter_invalid(f"OpType cannot be given for primary key name:{_text(cell.name)}.")
    if cell.timestamp is not None:
        raise parameter_invalid(f"Timestamp cannot be given for primary key name:{_text(cell.name)}.")
    return KeyCell(cell.name, cell.value, cell.wire + bytes((TAG_CELL_CHECKSUM, cell.checksum)), cell.checksum)


# --- stored rows
# ----------------------------------------------------------------------------------------------


def make_key_cell(name: bytes, value: bytes) -> KeyCell:
    """Encode a primary key column.

    Args:
        name: Its name.
        value: Its encoded value.

    Returns:
        The cell.
    """
    checksum = crc8(name + value)
    wire = b"".join(
        (b"\x03\x04", _pack_uint32(len(name)), name, b"\x05", _pack_uint32(len(value)), value, b"\x0a")
    ) + bytes((checksum,))
    return KeyCell(name, value, wire, checksum)


def make_cell(name: bytes, value: bytes, timestamp: int) -> StoredCell:
    """Encode one version of an attribute column.

    Args:
        name: The column's name.
        value: The encoded value.
        timestamp: The version, in milliseconds.

    Returns:
        The cell.
    """
    wire = b"".join((b"\x03\x04", _pack_uint32(len(name)), name, b"\x05", _pack_uint32(len(value)), value))
    return stamp_cell(CellChange(name, value, None, timestamp, wire, crc8(name + value)), timestamp)


def stamp_cell(change: CellChange, timestamp: int) -> StoredCell:
    """Turn a cell of a write request into one to store.

    Args:
        change: A cell that has a value.
        timestamp: Its version, in milliseconds.

    Returns:
        The cell.
    """
    assert change.value is not None
    stamp = _int64.pack(timestamp)
    checksum = extend_crc8(change.checksum, stamp)
    wire = b"%b\x07%b\x0a%c" % (change.wire, stamp, checksum)
    return StoredCell(change.name, change.value, timestamp, wire, checksum)


def encode_row(key: Sequence[KeyCell], cells: Sequence[StoredCell]) -> bytes:
    """Put a row together, without the header.

    Args:
        key: The primary key.
        cells: The attribute cells, in the order in which they are to be sent; may be empty.

    Returns:
        The row's bytes.
    """
    checksums = bytearray([cell.checksum for cell in key])
    checksums += bytes([cell.checksum for cell in cells])
    checksums.append(0)
    parts = [b"\x01"]
    parts += [cell.wire for cell in key]
    if cells:
        parts.append(b"\x02")
        parts += [cell.wire for cell in cells]
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
        position += 1
        unpack = _unpack_uint32
        timestamp_of = _int64.unpack_from
        while row[position] == TAG_CELL:
            name_at = position + 6
            name_end = name_at + unpack(row, position + 2)[0]
            value_end = name_end + 5 + unpack(row, name_end + 1)[0]
            # After the value: timestamp tag, 8 bytes, checksum tag, checksum.
            end = value_end + 11
            cells.append(
                StoredCell(
                    row[name_at:name_end],
                    row[name_end + 5 : value_end],
                    timestamp_of(row, value_end + 1)[0],
                    row[position:end],
                    row[end - 1],
                )
            )
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
    position = 1
    key: list[KeyCell] = []
    while row[position] == TAG_CELL:
        name_at = position + 6
        name_end = name_at + _unpack_uint32(row, position + 2)[0]
        value_end = name_end + 5 + _unpack_uint32(row, name_end + 1)[0]
        end = value_end + 2
        key.append(KeyCell(row[name_at:name_end], row[name_end + 5 : value_end], row[position:end], row[end - 1]))
        position = end
    return key, position


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
    return sum(len(cell.name) + value_size(cell.value) for cell in cells)
