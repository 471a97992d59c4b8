"""From columns to fields: what of a row is indexed, and how.

A value that does not fit its field leaves the field out of the index; the row is indexed all the same
("Data types", Tablestore search index).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from langchain_tablestore_memory.local.messages import search
from langchain_tablestore_memory.local.packing import read_numbers
from langchain_tablestore_memory.local.values import (
    BLOB,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    STRING,
    decode_integer,
    decode_value,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .analysis import Analyzer
    from .definitions import Field

Scalar = int | float | str

MAX_ARRAY_LENGTH: Final = 256
MAX_KEYWORD_LENGTH: Final = 4096

_INT64: Final = range(-(1 << 63), 1 << 63)
_COLUMN_TYPES: Final = {
    search.LONG: INTEGER,
    search.DOUBLE: DOUBLE,
    search.BOOLEAN: BOOLEAN,
    search.KEYWORD: STRING,
    search.TEXT: STRING,
}
# Between the elements of an array of texts, and between the words of a text that have several tokens each. FTS5 takes
# it for a blank: that no phrase reaches over it is checked in `text`.
GAP: Final = " | "
WORD_END: Final = " / "
# FTS5's "ascii" tokenizer keeps everything but ASCII characters other than letters and digits, and folds capitals.
_UNSAFE: Final = re.compile("[\x00-/:-`{-\x7f\ue000-\ue0ff]")
_UNSAFE_OR_GLUE: Final = re.compile("[\x00\x02-/:-`{-\x7f\ue000-\ue0ff]")
_PRIVATE_USE: Final = 0xE000
_ESCAPE: Final = "\ue0ff"


def read_scalars(field: Field, value: bytes) -> list[Scalar]:
    """Read the values of a KEYWORD, LONG, DOUBLE, BOOLEAN or DATE field; for one that is no array see `read_scalar`.

    Args:
        field: The field, an array.
        value: The encoded value of its column.

    Returns:
        The values; none where the field is left out.
    """
    found = [_fit(field, element) for element in _elements(_decode(field, value))]
    return [] if None in found else [element for element in found if element is not None]


def read_scalar(field: Field, value: bytes) -> Scalar | None:
    """Read the value of a KEYWORD, LONG, DOUBLE, BOOLEAN or DATE field that is no array.

    Args:
        field: The field.
        value: The encoded value of its column.

    Returns:
        The value, None where the field is left out.
    """
    kind = value[0]
    if not field.is_virtual:
        # The most frequent ones by the shortest way.
        if kind == STRING and field.type == search.KEYWORD:
            return value[5:].decode() if len(value) - 5 <= MAX_KEYWORD_LENGTH else None
        if kind == INTEGER and field.type == search.LONG:
            return decode_integer(value)
    return _fit(field, _decode(field, value))


def read_tokens(field: Field, value: bytes) -> str | None:
    """Cut the text of a TEXT field into tokens.

    Args:
        field: The field.
        value: The encoded value of its column.

    Returns:
        The tokens in FTS5's form, joined by blanks, `WORD_END` and `GAP`; None where there are none.
    """
    decoded = _decode(field, value)
    texts = _elements(decoded) if field.is_array else [decoded]
    if not all(isinstance(text, str) for text in texts):
        return None
    parts = [_stored_text(field.analyzer, text) for text in texts]
    return GAP.join(part for part in parts if part) or None


def _stored_text(analyzer: Analyzer, text: str) -> str:
    if not analyzer.cuts_words:
        plain = analyzer.join_plain(text)
        if plain is not None:
            return plain
        return join_tokens(analyzer.index_tokens(text), exact=bool(analyzer.delimiter))
    words = analyzer.index_words(text)
    return WORD_END.join(map(join_tokens, words)) if any(words) else ""


def read_vector(field: Field, value: bytes) -> bytes | None:
    """Read the vector of a VECTOR field.

    Args:
        field: The field.
        value: The encoded value of its column: a JSON array of numbers, or little-endian float32 bytes.

    Returns:
        Little-endian float32 bytes, None where there is no vector of the field's dimension.
    """
    known = read_numbers(value)
    if known is not None:
        # What can be written anew from its numbers has none that is not finite.
        return known if len(known) == 4 * field.dimension else None
    if value[0] == STRING:
        try:
            numbers = orjson.loads(value[5:])
        except orjson.JSONDecodeError:
            return None
        if not isinstance(numbers, list) or len(numbers) != field.dimension:
            return None
        vector = _to_vector(numbers)
    elif value[0] == BLOB and len(value) == 5 + 4 * field.dimension:
        vector = np.frombuffer(value, "<f4", offset=5)
    else:
        return None
    if vector is None or not np.isfinite(vector).all():
        return None
    return vector.tobytes()


def _to_vector(numbers: list[Any]) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    try:
        found = np.array(numbers)
    except ValueError:
        return None
    if found.dtype.kind not in "fiu" or found.ndim != 1:
        return None
    with np.errstate(over="ignore"):
        return found.astype("<f4")


def join_tokens(tokens: Sequence[str], *, exact: bool = True) -> str:
    """Put tokens into the form in which FTS5 keeps them as they are.

    Args:
        tokens: The tokens.
        exact: Whether tokens may hold control characters, which takes a closer look at each.

    Returns:
        The tokens, joined by blanks.
    """
    if not exact:
        joined = "\x01".join(tokens)
        if _UNSAFE_OR_GLUE.search(joined) is None:
            return joined.replace("\x01", " ")
    return " ".join([escape_token(token) for token in tokens])


def escape_token(token: str) -> str:
    """Put one token into the form in which FTS5 keeps it as it is; the beginning of a token stays its beginning.

    Args:
        token: The token.

    Returns:
        The token without ASCII characters other than small letters and digits.
    """
    return _UNSAFE.sub(_escape, token)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(_PRIVATE_USE + code) if code < _PRIVATE_USE else _ESCAPE + match[0]


def unescape_token(token: str) -> str:
    """Undo `escape_token`.

    Args:
        token: The token as FTS5 has it.

    Returns:
        The token.
    """
    return _ESCAPED.sub(_unescape, token)


_ESCAPED: Final = re.compile("\ue0ff?[\ue000-\ue0ff]|[\ue000-\ue07f]")


def _unescape(match: re.Match[str]) -> str:
    return match[0][1:] if len(match[0]) > 1 else chr(ord(match[0]) - _PRIVATE_USE)


def _decode(field: Field, value: bytes) -> Any:
    """Decode a column's value; None where its type is not that of the field."""
    kind = value[0]
    decoded = decode_value(value)
    if isinstance(decoded, bytes):
        if kind != STRING:
            return None
        text = decoded.decode()
        if field.is_array:
            return text
        return _convert_text(field, text) if field.is_virtual else text
    if field.is_array:
        return None
    if field.is_virtual and field.type in (search.KEYWORD, search.TEXT):
        return str(decoded)
    if field.type == search.DATE:
        return decoded if kind == INTEGER else None
    return decoded if kind == _COLUMN_TYPES.get(field.type) else None


def _elements(text: Any) -> list[Any]:
    if not isinstance(text, str):
        return []
    try:
        elements = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(elements, list) or len(elements) > MAX_ARRAY_LENGTH:
        return []
    return elements


def _convert_text(field: Field, text: str) -> Any:
    """Read the text of a virtual field's source column as the field's type."""
    try:
        if field.type == search.LONG:
            return int(text)
        if field.type == search.DOUBLE:
            return float(text)
    except ValueError:
        return None
    return text


def _fit(field: Field, value: Any) -> Scalar | None:
    """Return a decoded value as it is indexed, or None where it does not fit the field."""
    kind = field.type
    if kind == search.KEYWORD:
        return value if isinstance(value, str) and len(value.encode()) <= MAX_KEYWORD_LENGTH else None
    if kind == search.BOOLEAN:
        return int(value) if isinstance(value, bool) else None
    if isinstance(value, bool) or value is None:
        return None
    if kind == search.LONG:
        return value if isinstance(value, int) and value in _INT64 else None
    if kind == search.DOUBLE:
        return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
    if not isinstance(value, int | str):
        return None
    return read_date(field, value)


def read_date(field: Field, value: int | str) -> int | None:
    """Read a date in the first of a field's formats that it fits.

    Args:
        field: The field.
        value: A number or text.

    Returns:
        Nanoseconds since 1970, or None.
    """
    for date_format in field.dates:
        nanoseconds = date_format.read(value)
        if nanoseconds is not None:
            return nanoseconds
    return None
