"""Primary keys: checking them against a table's schema, and encoding them so that bytes sort as the service sorts.

Order (Tablestore, "Primary keys and attributes"): columns left to right; integers by value; strings and
binaries byte by byte, the empty one first; INF_MIN before and INF_MAX after every value. The encoding of a
column is one byte of rank and the value: integers big-endian with the sign bit flipped, strings with each
zero byte escaped and a terminator, so that no value is a prefix of another and the next column never decides
too early.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from .errors import invalid_primary_key, parameter_invalid
from .limits import MAX_KEY_VALUE_LENGTH
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
    value_size,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .catalogue import KeyColumn
    from .plainbuffer import KeyCell

_LOWEST: Final = b"\x00"
_VALUE: Final = b"\x01"
_HIGHEST: Final = b"\xff"
_SIGN: Final = 1 << 63


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


def encode_key(key: Iterable[KeyCell]) -> bytes:
    """Encode a primary key, or the bound of a range, for sorting.

    Args:
        key: The columns in the order of the schema.

    Returns:
        Bytes that sort as the service sorts the keys.
    """
    return b"".join([encode_key_value(cell.value) for cell in key])


def check_key(key: Sequence[KeyCell], schema: Sequence[KeyColumn], use: KeyUse) -> None:
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
    for cell, column in zip(key, schema, strict=True):
        if cell.name != column.name:
            given = cell.name.decode("utf-8", "replace")
            raise invalid_primary_key(f"Validate PK name fail. Input: {given}, Meta: {column.name.decode()}.")
    for cell, column in zip(key, schema, strict=True):
        kind = cell.value[0]
        if kind != column.type:
            _check_special_type(kind, column, use)
        elif kind != INTEGER:
            _check_value(cell)


def _check_special_type(kind: int, column: KeyColumn, use: KeyUse) -> None:
    if kind == AUTO_INCREMENT:
        if use is not KeyUse.WRITE:
            raise parameter_invalid("PKAutoIncr can't be used for read operations.")
        if column.auto_increment:
            return
    if kind in (INF_MIN, INF_MAX) and use is KeyUse.RANGE:
        return
    raise invalid_primary_key(f"Validate PK type fail. Input: {TYPE_NAMES[kind]}, Meta: {TYPE_NAMES[column.type]}.")


def _check_value(cell: KeyCell) -> None:
    size = value_size(cell.value)
    if size > MAX_KEY_VALUE_LENGTH:
        raise parameter_invalid(
            f"The length of primary key column: '{cell.name.decode()}' exceeds the MaxLength:"
            f"{MAX_KEY_VALUE_LENGTH} with CurrentLength:{size}."
        )
    if cell.value[0] == STRING and not is_utf8(cell.value):
        raise parameter_invalid(f"Value of column {cell.name.decode()} must be UTF8 encoding.")
