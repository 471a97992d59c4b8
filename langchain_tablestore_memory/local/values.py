"""Column values as PlainBuffer encodes them: a type byte and little-endian data ("variant").

Values stay in this form from the request to the file and to the answer; they are decoded where something
compares them.
"""

from __future__ import annotations

import struct
from typing import Final

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

# By type: the length of the encoding where it is fixed, 0 where it is not, -1 where there is no such type.
_LENGTHS: Final = (9, 9, 2, 0, -1, -1, -1, 0, -1, 1, 1, 1)
# By type: the bytes of the encoding that are not billed.
_OVERHEADS: Final = (1, 1, 1, 5, 1, 1, 1, 5, 1, 1, 1, 1)
# The type byte and the length of a STRING or BLOB.
_PREFIX: Final = 5

_uint32 = struct.Struct("<I")
_int64 = struct.Struct("<q")
_double = struct.Struct("<d")


def encode_value(value: bool | float | str | bytes) -> bytes:
    """Encode a value.

    Args:
        value: A `bool`, `int`, `float`, `str`, or `bytes` for a BINARY value.

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
        return b"\x03" + _uint32.pack(len(text)) + text
    return b"\x07" + _uint32.pack(len(value)) + value


def decode_value(value: bytes) -> bool | float | bytes:
    """Decode a value for comparing it.

    Args:
        value: An encoded value.

    Returns:
        A `bool`, `int` or `float`; `bytes` for a BINARY value, and for a STRING its UTF-8, which sorts as the
        service sorts.
    """
    kind = value[0]
    if kind == INTEGER:
        return decode_integer(value)
    if kind == DOUBLE:
        return decode_double(value)
    if kind == BOOLEAN:
        return value[1] != 0
    return value[_PREFIX:]


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


def is_utf8(value: bytes) -> bool:
    """Say whether an encoded STRING value holds valid UTF-8.

    Args:
        value: An encoded STRING value.

    Returns:
        True if it does.
    """
    text = value[_PREFIX:]
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def value_size(value: bytes) -> int:
    """Count a value's bytes as the service bills and limits them.

    Integers and doubles count 8, booleans 1, strings and binaries their length (Tablestore, "Capacity
    units").

    Args:
        value: An encoded value.

    Returns:
        The size in bytes.
    """
    return len(value) - _OVERHEADS[value[0]]


def check_value(value: bytes) -> str | None:
    """Check the form of an encoded value of a request.

    Args:
        value: The value: a type byte and data.

    Returns:
        What is wrong with it, in the service's words, or None.
    """
    if not value:
        return "data format is invalid."
    kind = value[0]
    expected = _LENGTHS[kind] if kind < len(_LENGTHS) else -1
    if expected == 0:
        if len(value) >= _PREFIX and len(value) - _PREFIX == _uint32.unpack_from(value, 1)[0]:
            return None
        return f"Cell data broken, wrong string format, size: {len(value)}."
    if expected < 0:
        return "data format is invalid, unknown variant type occured."
    if len(value) == expected:
        return None
    if kind == BOOLEAN:
        return f"Invalid boolean real value, value length: {len(value) - 1}."
    return "data format is invalid."
