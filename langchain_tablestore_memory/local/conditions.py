"""Filters on column values: of reads, and of the conditions of writes.

A filter arrives as nested messages; `parse_filter` checks them and builds a tree whose nodes answer whether a
row passes. Semantics are those of the pages "Filter" and "Conditional update" of the Tablestore
documentation.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from google.protobuf.message import DecodeError

from .errors import parameter_invalid
from .limits import MAX_FILTERS
from .messages import filters, name_bytes
from .values import DOUBLE, INTEGER, STRING, check_value, decode_value, encode_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .plainbuffer import Cell

_COMPARATORS: Final[Mapping[int, Callable[[Any, Any], bool]]] = {
    filters.CT_EQUAL: operator.eq,
    filters.CT_NOT_EQUAL: operator.ne,
    filters.CT_GREATER_THAN: operator.gt,
    filters.CT_GREATER_EQUAL: operator.ge,
    filters.CT_LESS_THAN: operator.lt,
    filters.CT_LESS_EQUAL: operator.le,
}


class Versions(Protocol):
    """Looks up the values of a column, newest version first; an absent column has none."""

    def __call__(self, name: bytes) -> Sequence[bytes]:
        """Return the encoded values of a column."""


class Filter(Protocol):
    """A node of a filter."""

    def passes(self, versions: Versions) -> bool:
        """Say whether a row passes."""


class ColumnPage:
    """The filter that pages through the columns of a wide row instead of judging the row."""

    def __init__(self, offset: int, limit: int) -> None:
        self.offset = offset
        self.limit = limit

    def cut(self, cells: Sequence[Cell]) -> list[Cell]:
        """Keep the cells of the columns of this page.

        Args:
            cells: A row's cells in order.

        Returns:
            The cells that stay.
        """
        names = list(dict.fromkeys(name for name, _, _ in cells))
        page = frozenset(names[self.offset : self.offset + self.limit])
        return [cell for cell in cells if cell[0] in page]


@dataclass(frozen=True, slots=True)
class _Composite:
    combine: Callable[[list[bool]], bool]
    parts: tuple[Filter, ...]

    def passes(self, versions: Versions) -> bool:
        return self.combine([part.passes(versions) for part in self.parts])


@dataclass(frozen=True, slots=True)
class _Extraction:
    """A regular expression whose first group, or whole match, stands for the column's value."""

    pattern: re.Pattern[str]
    cast: Callable[[str], Any]

    def apply(self, value: bytes) -> bytes | None:
        if value[0] != STRING:
            return None
        match = self.pattern.search(value[5:].decode("utf-8", "replace"))
        if match is None:
            return None
        try:
            return encode_value(self.cast(match[1] if self.pattern.groups else match[0]))
        except (ValueError, TypeError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class _Comparison:
    name: bytes
    compare: Callable[[Any, Any], bool]
    kind: int
    value: Any
    passes_if_missing: bool
    latest_version_only: bool
    extraction: _Extraction | None

    def passes(self, versions: Versions) -> bool:
        values = versions(self.name)
        if not values:
            return self.passes_if_missing
        if self.latest_version_only:
            values = values[:1]
        return any(self._matches(value) for value in values)

    def _matches(self, value: bytes) -> bool:
        if self.extraction is not None:
            extracted = self.extraction.apply(value)
            if extracted is None:
                return False
            value = extracted
        return value[0] == self.kind and self.compare(decode_value(value), self.value)


@dataclass(frozen=True, slots=True)
class _Existence:
    name: bytes
    expected: bool
    extraction: _Extraction | None

    def passes(self, versions: Versions) -> bool:
        values = versions(self.name)
        if self.extraction is not None:
            extraction = self.extraction
            return any(extraction.apply(value) is not None for value in values) is self.expected
        return bool(values) is self.expected


def row_versions(key: Sequence[Cell], cells: Sequence[Cell]) -> Versions:
    """Make the look-up that a filter asks for a row's values.

    Args:
        key: The primary key, which filters can name too.
        cells: The attribute cells, newest version first.

    Returns:
        The look-up.
    """
    values: dict[bytes, list[bytes]] = {name: [value] for name, value, _ in key}
    for name, value, _ in cells:
        values.setdefault(name, []).append(value)
    return look_up(values)


def look_up(values: Mapping[bytes, Sequence[bytes]]) -> Versions:
    """Make the look-up that a filter asks from values by column name.

    Args:
        values: The encoded values, newest version first.

    Returns:
        The look-up.
    """

    def versions(name: bytes) -> Sequence[bytes]:
        return values.get(name, ())

    return versions


def absent_row(name: bytes) -> Sequence[bytes]:  # noqa: ARG001 - has no column of any name
    """Be the look-up of a row that does not exist."""
    return ()


def parse_filter(body: bytes) -> tuple[Filter | None, ColumnPage | None]:
    """Parse the filter of a read.

    Args:
        body: An encoded ``Filter`` message.

    Returns:
        The filter of rows, or the page of columns.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    message = _parse(filters.Filter, body, "filter")
    if message.type == filters.FT_COLUMN_PAGINATION:
        return None, _parse_page(message.filter)
    return _Parser().parse(message, "filter"), None


def parse_condition(body: bytes) -> Filter:
    """Parse the column condition of a write.

    Args:
        body: An encoded ``Filter`` message.

    Returns:
        The filter.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    return _Parser().parse(_parse(filters.Filter, body, "filter"), "filter")


def _parse(message_type: Any, body: bytes, what: str) -> Any:
    message = message_type()
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise parameter_invalid(f"Deserialize {what} failed.") from None
    if not message.IsInitialized():
        raise parameter_invalid(f"Deserialize {what} failed.")
    return message


def _parse_page(body: bytes) -> ColumnPage:
    message = _parse(filters.ColumnPaginationFilter, body, "column pagination filter")
    if message.offset < 0:
        raise parameter_invalid("Offset in ColumnPaginationFilter must be greater than or equal to 0.")
    if message.limit <= 0:
        raise parameter_invalid("Limit in ColumnPaginationFilter must be greater than 0.")
    return ColumnPage(message.offset, message.limit)


class _Parser:
    """Parses one filter, counting its nodes: the limit also bounds how deep a hostile filter can nest."""

    def __init__(self) -> None:
        self._count = 0

    def parse(self, message: Any, what: str) -> Filter:
        self._count += 1
        if self._count > MAX_FILTERS:
            raise parameter_invalid(f"The count of filter exceeds the max: {MAX_FILTERS}.")
        if message.type == filters.FT_SINGLE_COLUMN_VALUE:
            return _parse_comparison(message.filter)
        if message.type == filters.FT_COMPOSITE_COLUMN_VALUE:
            return self._parse_composite(message.filter)
        raise parameter_invalid(f"Invalid type of {what}: {message.type}.")

    def _parse_composite(self, body: bytes) -> Filter:
        message = _parse(filters.CompositeColumnValueFilter, body, "composite filter")
        count = len(message.sub_filters)
        if message.combinator == filters.LO_NOT:
            if count != 1:
                raise parameter_invalid("Invalid NOT operator: the number of sub-filters must be 1.")
            combine: Callable[[list[bool]], bool] = _none
        else:
            if count < 2:  # noqa: PLR2004 - an operator on two
                raise parameter_invalid("Invalid AND/OR operator: the number of sub-filters must be more than 1.")
            combine = all if message.combinator == filters.LO_AND else any
        return _Composite(combine, tuple(self.parse(part, "sub-filter") for part in message.sub_filters))


def _none(results: list[bool]) -> bool:
    return not any(results)


def _parse_comparison(body: bytes) -> Filter:
    message = _parse(filters.SingleColumnValueFilter, body, "relation filter")
    name = name_bytes(message.column_name)
    extraction = _parse_extraction(message.value_trans_rule) if message.HasField("value_trans_rule") else None
    if message.comparator in (filters.CT_EXIST, filters.CT_NOT_EXIST):
        return _Existence(name, message.comparator == filters.CT_EXIST, extraction)
    compare = _COMPARATORS.get(message.comparator)
    if compare is None:
        raise parameter_invalid(f"Invalid relation operator: {message.comparator}.")
    value = bytes(message.column_value)
    problem = check_value(value)
    if problem is not None:
        raise parameter_invalid(problem)
    return _Comparison(
        name=name,
        compare=compare,
        kind=value[0],
        value=decode_value(value),
        passes_if_missing=not message.filter_if_missing,
        latest_version_only=message.latest_version_only,
        extraction=extraction,
    )


_CASTS: Final[Mapping[int, Callable[[str], Any]]] = {
    filters.VT_INTEGER: int,
    filters.VT_DOUBLE: float,
    filters.VT_STRING: str,
}
assert set(_CASTS) == {INTEGER, DOUBLE, STRING}


def _parse_extraction(message: Any) -> _Extraction:
    try:
        pattern = re.compile(name_bytes(message.regex).decode())
    except (re.error, OverflowError, RecursionError, UnicodeDecodeError) as error:
        raise parameter_invalid(f"Invalid regular expression: {error}.") from None
    cast = _CASTS.get(message.cast_type if message.HasField("cast_type") else filters.VT_STRING)
    if cast is None:
        raise parameter_invalid(f"Invalid relation operator: cast type {message.cast_type}.")
    return _Extraction(pattern, cast)
