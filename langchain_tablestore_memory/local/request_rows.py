"""Rows of requests: taking them apart, and verifying everything about their form.

The error messages are the service's (Tablestore, "Error codes").
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, NoReturn

from .checksum import crc8
from .errors import parameter_invalid
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
    CellChange,
    KeyCell,
)
from .values import check_value

_OPERATIONS: Final = frozenset((DELETE_ALL_VERSIONS, DELETE_ONE_VERSION, INCREMENT))

_unpack_uint32 = struct.Struct("<I").unpack_from
_unpack_int64 = struct.Struct("<q").unpack_from


class RequestRow(NamedTuple):
    """A row as a request carries it: a key to read or to delete, or a change to write."""

    key: list[KeyCell]
    changes: list[CellChange]
    deletes_row: bool


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
        return _Decoder(body).decode()
    except (IndexError, struct.error):
        # Every element is found by its position, so this is what a truncated row ends in.
        raise parameter_invalid("data format is invalid.") from None


def _broken(reason: str) -> NoReturn:
    raise parameter_invalid(f"Cell data broken, {reason}")


class _Decoder:
    """Decodes one row, collecting what the checksums cover."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = len(HEADER)
        # What each cell's checksum covers, followed by that checksum.
        self._covered: list[bytes] = []

    def decode(self) -> RequestRow:
        body = self._body
        if body[self._position] != TAG_ROW_KEY:
            _broken(f"mismatch tag, actual tag({body[self._position]}), expect({TAG_ROW_KEY}).")
        key = [_key_cell(cell) for cell in self._read_cells()]
        if not key:
            _broken("no PK follow PKTag.")
        changes = self._read_cells() if body[self._position] == TAG_ROW_DATA else []
        deletes_row = body[self._position] == TAG_DELETE_MARKER
        self._position += deletes_row
        if body[self._position] != TAG_ROW_CHECKSUM:
            _broken("row is not end with checksum tag.")
        self._verify(body[self._position + 1], deletes_row=deletes_row)
        if len(body) != self._position + 2:
            _broken("has more data in cell, but they can't be parsed.")
        return RequestRow(key, changes, deletes_row)

    def _read_cells(self) -> list[CellChange]:
        """Read the cells that follow a tag."""
        body = self._body
        start = self._position + 1
        cells: list[CellChange] = []
        while body[start] == TAG_CELL:
            if body[start + 1] != TAG_CELL_NAME:
                _broken("attr has no name.")
            name_end = end = start + 6 + _unpack_uint32(body, start + 2)[0]
            name = body[start + 6 : name_end]
            value: bytes | None = None
            covered = name
            if body[end] == TAG_CELL_VALUE:
                end += 5 + _unpack_uint32(body, end + 1)[0]
                value = body[name_end + 5 : end]
                problem = check_value(value)
                if problem is not None:
                    raise parameter_invalid(problem)
                covered += value
            operation: int | None = None
            timestamp: int | None = None
            if body[end] != TAG_CELL_CHECKSUM:
                operation, timestamp, extra, end = self._read_qualifiers(end)
                covered += extra
            start_of_next = end + 2
            self._covered.append(covered + body[end + 1 : start_of_next])
            cells.append(CellChange(name, value, operation, timestamp, body[start:start_of_next]))
            start = start_of_next
        self._position = start
        return cells

    def _read_qualifiers(self, end: int) -> tuple[int | None, int | None, bytes, int]:
        """Read a cell's operation and timestamp; the checksum covers them the other way round."""
        body = self._body
        operation: int | None = None
        timestamp: int | None = None
        covered_operation = covered_timestamp = b""
        if body[end] == TAG_CELL_TYPE:
            operation = body[end + 1]
            covered_operation = body[end + 1 : end + 2]
            if operation not in _OPERATIONS:
                raise parameter_invalid(f"Invalid op type of cell: {operation}.")
            end += 2
        if body[end] == TAG_CELL_TIMESTAMP:
            (timestamp,) = _unpack_int64(body, end + 1)
            covered_timestamp = body[end + 1 : end + 9]
            end += 9
        if body[end] != TAG_CELL_CHECKSUM:
            _broken("cell is not end with checksum[10] tag.")
        return operation, timestamp, covered_timestamp + covered_operation, end

    def _verify(self, row_checksum: int, *, deletes_row: bool) -> None:
        # A CRC over data followed by its own CRC is 0, so one pass over all cells shows whether all are sound.
        if crc8(b"".join(self._covered)) != 0:
            for covered in self._covered:
                _compare(covered[-1], crc8(covered[:-1]))
        checksums = bytearray([covered[-1] for covered in self._covered])
        checksums.append(deletes_row)
        _compare(row_checksum, crc8(bytes(checksums)))


def _compare(given: int, computed: int) -> None:
    if given != computed:
        _broken(f"checksum is mismatch, {given}:{computed}")


def _key_cell(cell: CellChange) -> KeyCell:
    name, value, operation, timestamp, wire = cell
    if name and value is not None and operation is None and timestamp is None:
        return KeyCell(name, value, wire)
    if not name:
        raise parameter_invalid("No name is given for primary key.")
    text = name.decode("utf-8", "replace")
    if value is None:
        raise parameter_invalid(f"No value is given for primary key name:{text}.")
    given = "Timestamp" if operation is None else "OpType"
    raise parameter_invalid(f"{given} cannot be given for primary key name:{text}.")
