"""Rows of requests: taking them apart, and verifying everything about their form.

A row's primary key nearly always has the form that its table's schema says, so it is read by a `KeyReader`
made for that schema, in a fraction of the time. Whatever that does not recognise is read cell by cell, which
tells in the service's words what is wrong (Tablestore, "Error codes").
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from .checksum import crc8
from .errors import parameter_invalid
from .limits import MAX_KEY_COLUMNS, check_key_value
from .plainbuffer import (
    DELETE_ALL_VERSIONS,
    DELETE_ONE_VERSION,
    HEADER,
    INCREMENT,
    TAG_CELL,
    TAG_CELL_CHECKSUM,
    TAG_CELL_NAME,
    TAG_CELL_TIMESTAMP,
    TAG_CELL_TYPE,
    TAG_CELL_VALUE,
    TAG_DELETE_MARKER,
    TAG_ROW_CHECKSUM,
    TAG_ROW_DATA,
    TAG_ROW_KEY,
    Cell,
    Change,
)
from .values import AUTO_INCREMENT, check_value

if TYPE_CHECKING:
    from .keys import KeyReader

_OPERATIONS: Final = frozenset((DELETE_ALL_VERSIONS, DELETE_ONE_VERSION, INCREMENT))
_FIRST_CELL: Final = 5
_ROW_DATA: Final = bytes((TAG_ROW_DATA,))
_DELETE_MARKER: Final = bytes((TAG_DELETE_MARKER,))

_unpack_uint32 = struct.Struct("<I").unpack_from
_unpack_int64 = struct.Struct("<q").unpack_from


class RequestRow(NamedTuple):
    """A row as a request carries it: a key to read or to delete, or a change to write.

    Attributes:
        key: The primary key.
        changes: The attribute cells.
        deletes_row: Whether the row carries the delete marker.
        reader: What recognised the key as one of its schema, None where nothing did.
        encoded_key: The key encoded for sorting; only set by a reader.
    """

    key: list[Cell]
    changes: list[Change]
    deletes_row: bool
    reader: KeyReader | None
    encoded_key: bytes


def decode_request_row(body: bytes, reader: KeyReader | None) -> RequestRow:
    """Take a row of a request apart and verify it: header, structure, lengths, checksums, values of the key.

    Args:
        body: The bytes of the request's row, with the header.
        reader: A reader for keys of the schema that the row probably has, or None.

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
        return _decode(body, reader)
    except (IndexError, struct.error):
        # Every element is found by its position, so this is what a truncated row ends in.
        raise parameter_invalid("data format is invalid.") from None


def _broken(reason: str) -> NoReturn:
    raise parameter_invalid(f"Cell data broken, {reason}")


def _decode(body: bytes, reader: KeyReader | None) -> RequestRow:
    if body[4] != TAG_ROW_KEY:
        _broken(f"mismatch tag, actual tag({body[4]}), expect({TAG_ROW_KEY}).")
    # By cell: what its checksum covers, and the checksum.
    covered: list[bytes] = []
    found = None if reader is None else reader.read(body, _FIRST_CELL, covered)
    if found is not None:
        key, encoded, position = found
    else:
        reader, encoded = None, b""
        covered.clear()
        cells, position = _read_cells(body, _FIRST_CELL, covered)
        key = _check_key(cells)
    changes: list[Change] = []
    if body[position : position + 1] == _ROW_DATA:
        changes, position = _read_cells(body, position + 1, covered)
    deletes_row = body[position : position + 1] == _DELETE_MARKER
    position += deletes_row
    if position == len(body):
        raise parameter_invalid("Invalid row: missing checksum.")
    if body[position] != TAG_ROW_CHECKSUM:
        _broken("row is not end with checksum tag.")
    _verify(covered, body[position + 1], deletes_row=deletes_row)
    if len(body) != position + 2:
        _broken("has more data in cell, but they can't be parsed.")
    return RequestRow(key, changes, deletes_row, reader, encoded)


def _read_cells(body: bytes, start: int, covered: list[bytes]) -> tuple[list[Change], int]:
    unpack = _unpack_uint32
    cells: list[Change] = []
    length = len(body)
    while start < length and body[start] == TAG_CELL:
        if body[start + 1] != TAG_CELL_NAME:
            _broken("attr has no name.")
        name_end = end = start + 6 + unpack(body, start + 2)[0]
        name = content = body[start + 6 : name_end]
        value: bytes | None = None
        if body[end] == TAG_CELL_VALUE:
            end += 5 + unpack(body, end + 1)[0]
            value = body[name_end + 5 : end]
            problem = check_value(value)
            if problem is not None:
                raise parameter_invalid(problem)
            content = name + value
        operation: int | None = None
        timestamp: int | None = None
        if body[end] != TAG_CELL_CHECKSUM:
            operation, timestamp, qualifiers, end = _read_qualifiers(body, end)
            content += qualifiers
        next_start = end + 2
        covered.append(content + body[end + 1 : next_start])
        cells.append((name, value, operation, timestamp, body[start:next_start]))
        start = next_start
    return cells, start


def _read_qualifiers(body: bytes, end: int) -> tuple[int | None, int | None, bytes, int]:
    """Read a cell's operation and timestamp; the checksum covers them the other way round."""
    operation: int | None = None
    timestamp: int | None = None
    covered = b""
    if body[end] == TAG_CELL_TYPE:
        operation = body[end + 1]
        covered = body[end + 1 : end + 2]
        if operation not in _OPERATIONS:
            raise parameter_invalid(f"Invalid op type of cell: {operation}.")
        end += 2
    if body[end] == TAG_CELL_TIMESTAMP:
        (timestamp,) = _unpack_int64(body, end + 1)
        covered = body[end + 1 : end + 9] + covered
        end += 9
    if body[end] != TAG_CELL_CHECKSUM:
        _broken("cell is not end with checksum[10] tag.")
    return operation, timestamp, covered, end


def _verify(covered: list[bytes], row_checksum: int, *, deletes_row: bool) -> None:
    # A CRC over data followed by its own CRC is 0, so one pass over all cells shows whether all are sound.
    if crc8(b"".join(covered)) != 0:
        for cell in covered:
            _compare(cell[-1], crc8(cell[:-1]))
    _compare(row_checksum, crc8(bytes([*[cell[-1] for cell in covered], deletes_row])))


def _compare(given: int, computed: int) -> None:
    if given != computed:
        _broken(f"checksum is mismatch, {given}:{computed}")


def _check_key(cells: list[Change]) -> list[Cell]:
    if not cells:
        _broken("no PK follow PKTag.")
    if len(cells) > MAX_KEY_COLUMNS:
        raise parameter_invalid(f"The number of primary key columns must be in range: [1, {MAX_KEY_COLUMNS}].")
    key = [_check_key_cell(*cell) for cell in cells]
    placeholders = sum(value[0] == AUTO_INCREMENT for _, value, _ in key)
    if placeholders > 1:
        raise parameter_invalid(f"{placeholders} pk auto increment exist in row.")
    return key


def _check_key_cell(
    name: bytes, value: bytes | None, operation: int | None, timestamp: int | None, wire: bytes
) -> Cell:
    if not name:
        raise parameter_invalid("No name is given for primary key.")
    text = name.decode("utf-8", "replace")
    if value is None:
        raise parameter_invalid(f"No value is given for primary key name:{text}.")
    if operation is not None or timestamp is not None:
        given = "Timestamp" if operation is None else "OpType"
        raise parameter_invalid(f"{given} cannot be given for primary key name:{text}.")
    check_key_value(name, value)
    return name, value, wire
