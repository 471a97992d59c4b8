"""Python values <-> columns of a Tablestore row.

Metadata returns exactly as given. What the service's column types hold exactly becomes a column of its own,
which can be filtered on and which other tools read; everything else goes into one JSON column, `lc_metadata`.
Nothing is converted to something similar: what cannot be kept is refused by name.

| Python | column |
|---|---|
| `str` | STRING |
| `bool` | BOOLEAN |
| `int` of 64 bits | INTEGER |
| finite `float` | DOUBLE |
| `bytearray` | BINARY |
| anything else that `tagged_json` keeps | in `lc_metadata` |
| values over 2 MB, and those whose key cannot be a column name | in `lc_metadata` |
"""

from __future__ import annotations

import enum
import math
import re
from typing import TYPE_CHECKING, Any

from langchain_tablestore_memory.core import tagged_json
from langchain_tablestore_memory.core.object_state import is_core_text
from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    ColumnValue = str | int | float | bool | bytes | bytearray

COLUMN_PREFIX = "lc_"
"""Names that begin so are ours: they never hold a caller's metadata."""

METADATA_COLUMN = "lc_metadata"
"""Metadata that has no column of its own, as JSON."""

MAX_VALUE_BYTES = 2_097_152
"""The service's limit on one STRING or BINARY value."""

MAX_ROW_BYTES = 4_194_304
"""The service's limit on one write request, and so on what a row can be written with."""

MAX_METADATA_COLUMNS = 1000
"""The service writes at most 1024 columns of a row at once; the rest is left to the row's own columns."""

_TOO_LARGE = (
    f"a row is written with at most {MAX_ROW_BYTES}. "
    "Store large content elsewhere, such as in OSS, and keep its address here."
)
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_MAX_UTF8_CHARACTER = 4
# A chunk that is followed by another one is shorter than the limit by less than a character.
_FULL_CHUNK_BYTES = MAX_VALUE_BYTES - _MAX_UTF8_CHARACTER + 1
_CONTINUATION_BYTE = 0b1000_0000
# A value that fills a row to its limit has this many chunks: 4 MB in chunks of 2 MB, less a cut character.
_MAX_CHUNKS = 3


class MetaType(enum.Enum):
    """Type of a metadata column.

    Example:
        ```python
        MemoryStore(..., session_secondary_index_meta={"model": MetaType.STRING})
        ```
    """

    STRING = "STRING"
    INTEGER = "INTEGER"
    BOOLEAN = "BOOLEAN"
    DOUBLE = "DOUBLE"
    BINARY = "BINARY"


def is_metadata_column(key: str, *, reserved: Collection[str] = ()) -> bool:
    """Whether a metadata key can be a column of its own.

    The documented rule for names is a letter or underscore, then letters, digits and underscores, at most 255
    in all. (The live service accepts more today, which is not promised.)

    Args:
        key: The metadata key.
        reserved: The names of primary key columns and of columns with another meaning.
    """
    return _COLUMN_NAME.fullmatch(key) is not None and not key.startswith(COLUMN_PREFIX) and key not in reserved


def encode_metadata(metadata: Mapping[str, Any], *, reserved: Collection[str] = ()) -> list[tuple[str, ColumnValue]]:
    """Turn metadata into columns, in the form that the SDK writes.

    Args:
        metadata: The metadata of a row. It is not changed.
        reserved: The names of primary key columns and of columns with another meaning.

    Raises:
        InvalidArgumentError: A key is not a `str`, or a value cannot be kept exactly.

    Example:
        ```python
        encode_metadata({"lang": "zh", "tags": ["a", "b"]})
        # [("lang", "zh"), ("lc_metadata", '{"tags":["a","b"]}')]
        ```
    """
    columns: list[tuple[str, ColumnValue]] = []
    overflow: dict[str, Any] = {}
    try:
        items = metadata.items()
    except AttributeError:
        raise InvalidArgumentError(
            f"metadata is of type {type(metadata).__name__}; a dict with str keys is needed."
        ) from None
    for key, value in items:
        if type(key) is not str:
            raise InvalidArgumentError(f"metadata has a key of type {type(key).__name__}; keys are plain str.")
        if is_core_text(type(value)):
            value = str(value)  # noqa: PLW2901 - what LangChain itself does where a message takes one
        if (
            is_metadata_column(key, reserved=reserved)
            and _fits_column(key, value)
            and len(columns) < MAX_METADATA_COLUMNS
        ):
            columns.append((key, value))
        else:
            overflow[key] = value
    if overflow:
        columns += split_text(METADATA_COLUMN, tagged_json.dumps(overflow, name="metadata"))
    return columns


def _fits_column(key: str, value: Any) -> bool:
    """Whether one column holds this value exactly."""
    kind = type(value)
    if kind is str:
        try:
            return len(value.encode()) <= MAX_VALUE_BYTES
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"metadata[{key!r}] has a lone surrogate at position {error.start}, which UTF-8 cannot hold. "
                "Remove or replace it."
            ) from None
    if kind is int:
        return bool(tagged_json.INT64_MIN <= value <= tagged_json.INT64_MAX)
    if kind is float:
        return math.isfinite(value)
    if kind is bytearray:
        return len(value) <= MAX_VALUE_BYTES
    return kind is bool


def decode_metadata(columns: Mapping[str, Any], *, reserved: Collection[str] = ()) -> dict[str, Any]:
    """Read metadata from the columns of a row, sorted by key.

    Rows that other tools wrote give their plain columns unchanged. Where both a plain column and
    `lc_metadata` hold a key, the column counts: this package never writes both, so another tool wrote it
    later.

    Args:
        columns: All attribute columns of the row. Columns with our prefix that are not known are passed over.
        reserved: As given to `encode_metadata`.

    Raises:
        StoredDataError: `lc_metadata` was damaged.
    """
    metadata = {
        name: value for name, value in columns.items() if name not in reserved and not name.startswith(COLUMN_PREFIX)
    }
    text = join_text(METADATA_COLUMN, columns)
    if text is not None:
        overflow = tagged_json.loads(text, name=f"the column {METADATA_COLUMN!r}")
        if type(overflow) is not dict:
            raise StoredDataError(f"the column {METADATA_COLUMN!r} is no JSON object. {tagged_json.DAMAGED}")
        metadata = {**overflow, **metadata}
    return dict(sorted(metadata.items())) if len(metadata) > 1 else metadata


def split_text(column: str, text: str) -> list[tuple[str, ColumnValue]]:
    """Spread text over columns of at most 2 MB, cut between characters.

    Nearly always that is one column. Longer text goes on in the columns of `continuation_columns`.

    Raises:
        InvalidArgumentError: The text has a lone surrogate, or could not fit any row.
    """
    if text.isascii() and len(text) <= MAX_VALUE_BYTES:
        return [(column, text)]
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{column} has a lone surrogate at position {error.start}, which UTF-8 cannot hold. Remove or replace it."
        ) from None
    if len(data) <= MAX_VALUE_BYTES:
        return [(column, text)]
    if len(data) > MAX_ROW_BYTES:
        raise InvalidArgumentError(f"{column} has {len(data)} bytes; {_TOO_LARGE}")
    chunks: list[tuple[str, ColumnValue]] = []
    names = (column, *continuation_columns(column))
    start = 0
    while start < len(data):
        end = min(start + MAX_VALUE_BYTES, len(data))
        # Bytes 10xxxxxx continue a character.
        while end < len(data) and data[end] & 0b1100_0000 == _CONTINUATION_BYTE:
            end -= 1
        chunks.append((names[len(chunks)], data[start:end].decode()))
        start = end
    return chunks


def continuation_columns(column: str) -> tuple[str, ...]:
    """The columns that text goes on in: `content` in `lc_content_1`, `lc_message` in `lc_message_1`.

    An update that replaces the text of a row without replacing the row deletes those that it does not write.
    """
    stem = column if column.startswith(COLUMN_PREFIX) else f"{COLUMN_PREFIX}{column}"
    return tuple(f"{stem}_{number}" for number in range(1, _MAX_CHUNKS))


def join_text(column: str, columns: Mapping[str, Any]) -> str | None:
    """Put together what `split_text` spread; `None` where the row has no such column.

    Only a chunk that is full is followed by another one. So where another tool has overwritten the first
    column alone, what is left of longer, older text is not appended to the new one.

    Raises:
        StoredDataError: The column is not text.
    """
    text = columns.get(column)
    if text is None:
        return None
    if not isinstance(text, str):
        raise StoredDataError(
            f"the column {column!r} holds {type(text).__name__} where text is expected. {tagged_json.DAMAGED}"
        )
    if len(text) * _MAX_UTF8_CHARACTER < _FULL_CHUNK_BYTES:
        return text
    chunks = [text]
    for name in continuation_columns(column):
        chunk = columns.get(name)
        if not isinstance(chunk, str) or len(chunks[-1].encode()) < _FULL_CHUNK_BYTES:
            break
        chunks.append(chunk)
    return "".join(chunks)


def row_size(primary_key: Iterable[tuple[str, Any]], columns: Iterable[tuple[str, Any]]) -> int:
    """Size of a row in bytes, as the service measures it: names and values; a number counts 8, a bool 1.

    Example:
        ```python
        row_size([("session_id", "s1"), ("create_time", 1)], [("content", "Hi")])  # 12 + 19 + 9
        ```
    """
    size = 0
    for name, value in (*primary_key, *columns):
        size += len(name.encode())
        if isinstance(value, str):
            size += len(value.encode())
        elif isinstance(value, bytes | bytearray):
            size += len(value)
        else:
            size += 1 if isinstance(value, bool) else 8
    return size


def check_row_size(
    primary_key: Iterable[tuple[str, Any]], columns: Iterable[tuple[str, Any]], *, what: str = "the row"
) -> int:
    """Refuse a row that no request could write, before anything is sent.

    Args:
        primary_key: Names and values.
        columns: Names and values.
        what: What the row is called in the error, such as ``message 'm1'``.

    Returns:
        The size of the row in bytes.

    Raises:
        InvalidArgumentError: It is over the service's limit on one write request.
    """
    size = row_size(primary_key, columns)
    if size > MAX_ROW_BYTES:
        raise InvalidArgumentError(f"{what} has {size} bytes; {_TOO_LARGE}")
    return size
