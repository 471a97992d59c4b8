"""Limits of the service, and the checks of names and cells that refuse what lies beyond them.

The numbers are those of the pages "General limits" and "Secondary index limits" of the Tablestore
documentation, except where the live service is known to be more generous (column names, filters, columns to
read).
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

from .errors import parameter_invalid
from .values import BLOB, BOOLEAN, DOUBLE, INTEGER, STRING, TYPE_NAMES, decode_double, is_utf8, value_size

MAX_TABLES: Final = 64
MAX_KEY_COLUMNS: Final = 4
MAX_DEFINED_COLUMNS: Final = 32
MAX_INDEXES_PER_TABLE: Final = 5
MAX_INDEX_ATTRIBUTES: Final = 32
MAX_PARTITIONS: Final = 10
MAX_CAPACITY_UNITS: Final = 100_000
MIN_TIME_TO_LIVE: Final = 86_400

MAX_KEY_VALUE_LENGTH: Final = 1024
MAX_VALUE_LENGTH: Final = 2 * 1024 * 1024
MAX_COLUMNS_PER_REQUEST: Final = 1024
# Of the body of an HTTP request.
MAX_BODY_SIZE: Final = 5 * 1024 * 1024
# Of the rows in a request.
MAX_REQUEST_SIZE: Final = 4 * 1024 * 1024
MAX_ROWS_PER_READ: Final = 100
MAX_ROWS_PER_WRITE: Final = 200
MAX_FILTERS: Final = 32
MAX_PAGE_ROWS: Final = 5000
MAX_PAGE_SIZE: Final = 4 * 1024 * 1024
MAX_TRANSACTION_SIZE: Final = 4 * 1024 * 1024
TRANSACTION_LIFE_SECONDS: Final = 60

# INT64_MAX / 1000, both bounds of what milliseconds may be.
TIMESTAMP_END: Final = (1 << 63) // 1000
MAX_DEVIATION: Final = ((1 << 63) - 1) // 1_000_000

_ATTRIBUTE_TYPES: Final = frozenset((INTEGER, DOUBLE, BOOLEAN, STRING, BLOB))
_MAX_NAME_LENGTH: Final = 255
_TABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


def check_table_name(name: str | bytes) -> None:
    """Check the name of a table or an index: 1 to 255 letters, digits and underscores, no digit first.

    Args:
        name: The name, as bytes where it is not UTF-8.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    text = name if isinstance(name, str) else name.decode("utf-8", "replace")
    if _TABLE_NAME.fullmatch(text) is None:
        raise parameter_invalid(f"Invalid table name: '{text}'.")


@lru_cache(maxsize=4096)
def check_column_name(name: bytes) -> None:
    """Check the name of a column: 1 to 255 bytes of UTF-8 that do not begin with ``#``.

    Args:
        name: The name.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    if 0 < len(name) <= _MAX_NAME_LENGTH and name[0] != ord("#"):
        try:
            name.decode()
        except UnicodeDecodeError:
            pass
        else:
            return
    raise parameter_invalid(f"Invalid column name: '{name.decode('utf-8', 'replace')}'.")


def check_key_value(name: bytes, value: bytes) -> None:
    """Check the value of a primary key column of a request.

    Args:
        name: The column's name.
        value: The encoded value.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    size = value_size(value)
    if size > MAX_KEY_VALUE_LENGTH:
        raise parameter_invalid(
            f"The length of primary key column: '{name.decode('utf-8', 'replace')}' exceeds the MaxLength:"
            f"{MAX_KEY_VALUE_LENGTH} with CurrentLength:{size}."
        )
    if value[0] == STRING and not is_utf8(value):
        raise parameter_invalid(f"Value of column {name.decode('utf-8', 'replace')} must be UTF8 encoding.")


def check_attribute(name: bytes, value: bytes) -> None:
    """Check the value of an attribute column of a write request.

    Args:
        name: The column's name, already checked.
        value: The encoded value.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    kind = value[0]
    if kind == STRING and not is_utf8(value):
        raise parameter_invalid(f"Value of column {name.decode()} must be UTF8 encoding.")
    if len(value) > MAX_VALUE_LENGTH and value_size(value) > MAX_VALUE_LENGTH:
        raise parameter_invalid(
            f"The length of attribute column: '{name.decode()}' exceeds the MaxLength:"
            f"{MAX_VALUE_LENGTH} with CurrentLength:{value_size(value)}."
        )
    if kind == DOUBLE:
        number = decode_double(value)
        if math.isnan(number):
            raise parameter_invalid("NaN can't be set to double value.")
        if math.isinf(number):
            raise parameter_invalid("Infinity can't be set to double value.")
    elif kind not in _ATTRIBUTE_TYPES:
        raise parameter_invalid(f"Invalid column type: {TYPE_NAMES[kind]}.")


def check_timestamp(timestamp: int) -> None:
    """Check the version of a cell of a write request.

    Args:
        timestamp: The version, in milliseconds.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    if not 0 <= timestamp < TIMESTAMP_END:
        raise parameter_invalid("Timestamp must be in range [0, INT64_MAX/1000).")
