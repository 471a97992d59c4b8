"""Primary keys: checking them against a table's schema, and encoding them so that bytes sort as the service sorts.

Order (Tablestore, "Primary keys and attributes"): columns left to right; integers by value; strings and
binaries byte by byte, the empty one first; INF_MIN before and INF_MAX after every value. The encoding of a
column is one byte of rank and the value: integers big-endian with the sign bit flipped, strings with each
zero byte escaped and a terminator, so that no value is a prefix of another and the next column never decides
too early.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import TYPE_CHECKING, Final

from .errors import invalid_primary_key, parameter_invalid
from .limits import MAX_KEY_VALUE_LENGTH
from .plainbuffer import TAG_CELL_CHECKSUM, Cell, encode_cell_name
from .values import (
    AUTO_INCREMENT,
    BLOB,
    INF_MAX,
    INF_MIN,
    INTEGER,
    STRING,
    TYPE_NAMES,
    decode_integer,
    is_utf8,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .catalogue import KeyColumn
    from .request_rows import RequestRow

_LOWEST: Final = b"\x00"
_VALUE: Final = b"\x01"
_HIGHEST: Final = b"\xff"
_SIGN: Final = 1 << 63
_INTEGER_LENGTH: Final = 9
_STRING_PREFIX: Final = 5

_unpack_uint32 = struct.Struct("<I").unpack_from


class KeyUse(Enum):
    """What a primary key of a request is used for, which decides what its columns may hold."""

    READ = "read"
    RANGE = "range"
    WRITE = "write"


def encode_key_value(value: bytes) -> bytes:
    """Encode the value of one primary key column for sorting.

    Args:
        value: An encoded INTEGER, STRING or BINARY value, INF_MIN or INF_MAX.

    Returns:
        Bytes that sort as the values do.
    """
    kind = value[0]
    if kind in (STRING, BLOB):
        return b"\x01%b\x00\x00" % value[5:].replace(b"\x00", b"\x00\xff")
    if kind == INTEGER:
        return _VALUE + (decode_integer(value) + _SIGN).to_bytes(8, "big")
    return _LOWEST if kind == INF_MIN else _HIGHEST


def encode_key(key: Iterable[Cell]) -> bytes:
    """Encode a primary key, or the bound of a range, for sorting.

    Args:
        key: The columns in the order of the schema.

    Returns:
        Bytes that sort as the service sorts the keys.
    """
    return b"".join([encode_key_value(value) for _, value, _ in key])


class KeyReader:
    """Reads keys of one schema from requests, quickly, or not at all.

    Args:
        schema: The primary key columns.
    """

    def __init__(self, schema: Sequence[KeyColumn]) -> None:
        self._columns = [(encode_cell_name(column.name), column.name, column.type) for column in schema]

    def read(self, body: bytes, start: int, covered: list[bytes]) -> tuple[list[Cell], bytes, int] | None:
        """Read a key whose columns have the schema's names and ordinary values of the schema's types.

        Args:
            body: The row.
            start: Where the first cell begins.
            covered: Where to add, for each cell, what its checksum covers, and the checksum.

        Returns:
            The cells, the key encoded for sorting, and where the cells end; None for any other key.
        """
        cells: list[Cell] = []
        encoded: list[bytes] = []
        for prefix, name, kind in self._columns:
            if not body.startswith(prefix, start):
                return None
            value_at = start + len(prefix) + 4
            end = value_at + _unpack_uint32(body, value_at - 4)[0]
            value = body[value_at:end]
            if body[value_at] != kind or body[end] != TAG_CELL_CHECKSUM:
                return None
            if kind == INTEGER:
                if len(value) != _INTEGER_LENGTH:
                    return None
                number = int.from_bytes(value[1:], "little", signed=True)
                encoded.append(_VALUE + (number + _SIGN).to_bytes(8, "big"))
            else:
                if not _is_storable(value, end - value_at):
                    return None
                encoded.append(b"\x01%b\x00\x00" % value[5:].replace(b"\x00", b"\x00\xff"))
            end += 2
            covered.append(name + value + body[end - 1 : end])
            cells.append((name, value, body[start:end]))
            start = end
        # Another cell would make it a key of another schema.
        return None if body.startswith(b"\x03", start) else (cells, b"".join(encoded), start)


def _is_storable(value: bytes, length: int) -> bool:
    return (
        _STRING_PREFIX <= length <= MAX_KEY_VALUE_LENGTH + _STRING_PREFIX
        and _unpack_uint32(value, 1)[0] == length - _STRING_PREFIX
        and (value[0] != STRING or is_utf8(value))
    )


def checked_key(row: RequestRow, schema: Sequence[KeyColumn], reader: KeyReader, use: KeyUse) -> bytes:
    """Check a row's primary key against the schema, and encode it for sorting.

    Args:
        row: The row.
        schema: The table's primary key columns.
        reader: The table's reader: a key that it has read needs no more checking.
        use: What the key is for.

    Returns:
        The encoded key.

    Raises:
        RequestError: See `check_key`.
    """
    if row.reader is reader:
        return row.encoded_key
    check_key(row.key, schema, use)
    return encode_key(row.key)


def check_key(key: Sequence[Cell], schema: Sequence[KeyColumn], use: KeyUse) -> None:
    """Check a primary key of a request as the service does: number of columns, then names, then types.

    Args:
        key: The primary key.
        schema: The table's primary key columns.
        use: What the key is for.

    Raises:
        RequestError: ``OTSInvalidPK`` for a key that does not fit the schema, ``OTSParameterInvalid`` for a
            value that cannot be stored.
    """
    if len(key) != len(schema):
        raise invalid_primary_key(f"Validate PK size fail. Input: {len(key)}, Meta: {len(schema)}.")
    for (name, _, _), column in zip(key, schema, strict=True):
        if name != column.name:
            given = name.decode("utf-8", "replace")
            raise invalid_primary_key(f"Validate PK name fail. Input: {given}, Meta: {column.name.decode()}.")
    for (_, value, _), column in zip(key, schema, strict=True):
        if value[0] != column.type:
            _check_special_type(value[0], column, use)


def _check_special_type(kind: int, column: KeyColumn, use: KeyUse) -> None:
    if kind == AUTO_INCREMENT:
        if use is not KeyUse.WRITE:
            raise parameter_invalid("PKAutoIncr can't be used for read operations.")
        if column.auto_increment:
            return
    if kind in (INF_MIN, INF_MAX) and use is KeyUse.RANGE:
        return
    raise invalid_primary_key(f"Validate PK type fail. Input: {TYPE_NAMES[kind]}, Meta: {TYPE_NAMES[column.type]}.")
