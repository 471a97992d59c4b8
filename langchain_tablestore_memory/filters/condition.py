"""The reading of a filter as a condition that the service evaluates on rows.

The service compares a column only with a value of the column's own type, knows no patterns and no lists, and
allows few comparisons in a condition. So what comes out passes every row that the filter matches, and perhaps
more: parts that it cannot express are left out. Callers apply `predicate` to the rows that return.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import tablestore

from langchain_tablestore_memory.filters.numbers import INT64_MIN, double_bound, integer_bound
from langchain_tablestore_memory.filters.predicate import member_key, refuse_text
from langchain_tablestore_memory.filters.tree import (
    All,
    And,
    Compare,
    Comparison,
    Contains,
    Exists,
    Filter,
    In,
    Like,
    Nearest,
    Not,
    Or,
    Prefix,
    Text,
    fields,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from langchain_tablestore_memory.filters.tree import Scalar

MAX_NODES = 10
"""How many comparisons and connectives the service documents for one condition. (It accepts 32 today.)"""

# The overflow column holds a JSON object, so comparing with this is true of every row that has the column.
_JSON_START = "{"
# Code points from the one to the other are no characters.
_FIRST_SURROGATE = 0xD800
_AFTER_SURROGATES = 0xE000


def to_condition(
    filter: Filter,  # noqa: A002 - what callers call it, too
    *,
    columns: Callable[[str], bool],
    fixed: Collection[str] = (),
    overflow_column: str | None = None,
    max_nodes: int = MAX_NODES,
) -> tablestore.ColumnCondition | None:
    """Turn a filter into a column condition that is true of every row that it matches, and of few others.

    A condition sees only columns that are read: with ``columns_to_get``, name those of `fields` and the
    overflow column, too.

    Args:
        filter: The filter.
        columns: Says whether a field is, if the row has it at all, a column or in the overflow column.
            Conditions on other fields are left out. For an index that carries some columns only, those.
        fixed: Fields that are never in the overflow column, such as ``update_time`` or primary key columns.
        overflow_column: The column with the fields of a row that are no columns; a row that has it always
            passes.
        max_nodes: How many comparisons and connectives the condition may have.

    Returns:
        The condition, or ``None`` if nothing useful can be expressed: every row passes.

    Raises:
        FilterError: The filter has ``$text`` or ``$phrase``, which only searches answer.

    Example:
        ```python
        wanted = parse({"lang": "en"})
        condition = to_condition(wanted, columns=is_metadata_column, overflow_column="lc_metadata")
        client.get_range(..., column_filter=condition)
        ```
    """
    if isinstance(filter, All):
        return None
    for node in walk(filter):
        if isinstance(node, Text | Nearest):
            raise refuse_text(node)
    reader = _Reader(lambda name: name in fixed or columns(name))
    conjuncts = [
        (fields(node) <= set(fixed), exact, node)
        for node in _conjuncts(filter)
        if (exact := reader.read(node)) is not _TRUE
    ]
    # Those that no row escapes come first, then small ones: more of them fit.
    conjuncts.sort(key=lambda conjunct: (not conjunct[0], _size(conjunct[1])))
    chosen: list[tuple[bool, _Expression]] = []
    for is_fixed, exact, node in conjuncts:
        candidate = [*chosen, (is_fixed, exact)]
        if _size(_joined(candidate, overflow_column)) > max_nodes:
            candidate = [*chosen, (is_fixed, reader.read(node, coarse=True))]
        if _size(_joined(candidate, overflow_column)) <= max_nodes:
            chosen = candidate
    expression = _joined(chosen, overflow_column)
    if expression is _FALSE:
        # Only a comparison can say so, and there is a column: without one, nothing is known to be false.
        name = next((name for name in fields(filter) if reader.is_column(name)), None)
        expression = _TRUE if name is None else _Test(name, _LESS, INT64_MIN)
    return None if expression is _TRUE else _to_sdk(expression)


def _conjuncts(filter: Filter) -> Iterator[Filter]:  # noqa: A002 - as above
    if isinstance(filter, And):
        for child in filter.filters:
            yield from _conjuncts(child)
    else:
        yield filter


def _joined(conjuncts: Iterable[tuple[bool, _Expression]], overflow_column: str | None) -> _Expression:
    """All conjuncts. Those that fields in the overflow column could fulfil count for rows without it only."""
    certain: list[_Expression] = []
    uncertain: list[_Expression] = []
    for is_fixed, expression in conjuncts:
        (certain if is_fixed or overflow_column is None else uncertain).append(expression)
    if uncertain and overflow_column is not None:
        overflows = _Test(overflow_column, _GREATER_EQUAL, _JSON_START)
        certain.append(_or([overflows, _and(uncertain)]))
    return _and(certain)


# --- Expressions --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Constant:
    value: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Test:
    """A comparison of a column with a value; false if the column has another type."""

    column: str
    comparator: int
    value: str | int | float | bool | bytearray
    if_missing: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Composite:
    operator: int
    parts: tuple[_Expression, ...]


_Expression = _Constant | _Test | _Composite

_TRUE = _Constant(value=True)
_FALSE = _Constant(value=False)
_EQUAL: int = tablestore.ComparatorType.EQUAL
_GREATER: int = tablestore.ComparatorType.GREATER_THAN
_GREATER_EQUAL: int = tablestore.ComparatorType.GREATER_EQUAL
_LESS: int = tablestore.ComparatorType.LESS_THAN
_LESS_EQUAL: int = tablestore.ComparatorType.LESS_EQUAL

_COMPARATORS: dict[Comparison, int] = {
    Comparison.EQ: _EQUAL,
    Comparison.GT: _GREATER,
    Comparison.GTE: _GREATER_EQUAL,
    Comparison.LT: _LESS,
    Comparison.LTE: _LESS_EQUAL,
}


# `filters.numbers` gives the first number that passes, itself included.
_INCLUSIVE = {Comparison.GT: _GREATER_EQUAL, Comparison.LT: _LESS_EQUAL}


def _and(parts: Iterable[_Expression]) -> _Expression:
    return _composite(tablestore.LogicalOperator.AND, parts, neutral=_TRUE, absorbing=_FALSE)


def _or(parts: Iterable[_Expression]) -> _Expression:
    return _composite(tablestore.LogicalOperator.OR, parts, neutral=_FALSE, absorbing=_TRUE)


def _composite(operator: int, parts: Iterable[_Expression], *, neutral: _Constant, absorbing: _Constant) -> _Expression:
    flat: list[_Expression] = []
    for part in parts:
        if part is absorbing:
            return absorbing
        if isinstance(part, _Composite) and part.operator == operator:
            flat += part.parts
        elif part is not neutral:
            flat.append(part)
    if len(flat) > 1:
        return _Composite(operator, tuple(flat))
    return flat[0] if flat else neutral


def _not(part: _Expression) -> _Expression:
    if isinstance(part, _Constant):
        return _FALSE if part.value else _TRUE
    if isinstance(part, _Composite) and part.operator == tablestore.LogicalOperator.NOT:
        return part.parts[0]
    return _Composite(tablestore.LogicalOperator.NOT, (part,))


def _size(expression: _Expression) -> int:
    if isinstance(expression, _Composite):
        return 1 + sum(map(_size, expression.parts))
    return 1 if isinstance(expression, _Test) else 0


def _to_sdk(expression: _Expression) -> tablestore.ColumnCondition:
    match expression:
        case _Test(column, comparator, value, if_missing):
            return tablestore.SingleColumnCondition(column, value, comparator, pass_if_missing=if_missing)
        case _Composite(operator, parts):
            condition = tablestore.CompositeColumnCondition(operator)
            for part in parts:
                condition.add_sub_condition(_to_sdk(part))
            return condition
    raise AssertionError(expression)


# --- Reading ------------------------------------------------------------------------------------------------


class _Reader:
    """Reads a filter as an expression over the columns of rows that have no overflow column.

    With `over`, the expression is true of every row that the filter matches; without, of no other. What
    cannot be expressed is true in the first case and false in the second, and a negation swaps the two. A `coarse`
    expression is smaller and less exact.
    """

    def __init__(self, is_column: Callable[[str], bool]) -> None:
        self.is_column = is_column

    def read(self, node: Filter, *, over: bool = True, coarse: bool = False) -> _Expression:
        match node:
            case All():
                return _TRUE
            case And(filters):
                return _and(self.read(child, over=over, coarse=coarse) for child in filters)
            case Or(filters):
                return _or(self.read(child, over=over, coarse=coarse) for child in filters)
            case Not(child):
                return _not(self.read(child, over=not over, coarse=coarse))
            case Compare() | In() | Exists() | Prefix() | Like() | Contains():
                expression = None
                if self.is_column(node.field):
                    expression = _leaf(node, over=over, coarse=coarse)
                return expression if expression is not None else (_TRUE if over else _FALSE)
        raise AssertionError(node)


def _leaf(node: Compare | In | Exists | Prefix | Like | Contains, *, over: bool, coarse: bool) -> _Expression | None:
    """A condition on a column, or `None` where there is none. Only with `over` may it pass more rows."""
    match node:
        case Exists(name):
            # Nothing is less than the least value: this comparison is true only where the column is missing.
            return _not(_Test(name, _LESS, INT64_MIN, if_missing=True))
        case Compare(name, comparison, value):
            return _compare(name, comparison, value)
        case In(name, values) if not coarse:
            return _or(_compare(name, Comparison.EQ, value) for value in values)
        case In(name, values):
            return _or(_ranges(name, values)) if over else None
        case Prefix(name, prefix):
            return _prefix(name, prefix)
        case Like(name):
            return _like(name, node.parts(), over=over)
        case Contains():
            # A column holds no list.
            return _FALSE
    assert_never(node)


def _compare(name: str, comparison: Comparison, value: Scalar) -> _Expression:
    comparator = _COMPARATORS[comparison]
    if value is None:
        # A column does not hold it.
        return _FALSE
    if isinstance(value, bool | str):
        return _Test(name, comparator, value)
    if isinstance(value, bytes):
        # The SDK writes bytes as STRING and bytearray as BINARY.
        return _Test(name, comparator, bytearray(value))
    # The column is INTEGER in some rows and DOUBLE in others.
    bounds = (integer_bound(comparison, value), double_bound(comparison, value))
    inclusive = _INCLUSIVE.get(comparison, comparator)
    return _or(_Test(name, inclusive, bound) for bound in bounds if bound is not None)


def _ranges(name: str, values: Collection[Scalar]) -> Iterator[_Expression]:
    """Conditions that pass all of the values, and those between: fewer than one for each."""
    kinds: dict[str, list[Any]] = {}
    for value in values:
        kind, _ = member_key(value)
        kinds.setdefault(kind, []).append(value)
    for members in kinds.values():
        if len(set(members)) == 1 or isinstance(members[0], bool | None):
            yield from (_compare(name, Comparison.EQ, value) for value in set(members))
        else:
            yield _and(
                [
                    _compare(name, Comparison.GTE, min(members)),
                    _compare(name, Comparison.LTE, max(members)),
                ]
            )


def _prefix(name: str, prefix: str) -> _Expression:
    begins = _Test(name, _GREATER_EQUAL, prefix)
    beyond = _text_after(prefix)
    return begins if beyond is None else _and([begins, _Test(name, _LESS, beyond)])


def _text_after(prefix: str) -> str | None:
    """The least text that is greater than all with this prefix; none for the last characters of Unicode."""
    stem = prefix.rstrip(chr(sys.maxunicode))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(_AFTER_SURROGATES if following == _FIRST_SURROGATE else following)


def _like(name: str, parts: list[str | None], *, over: bool) -> _Expression | None:
    start = parts[0] if parts and parts[0] else ""
    rest = parts[1:] if start else parts
    if not rest:
        return _Test(name, _EQUAL, start)
    if over or not any(part is not None for part in rest):
        return _prefix(name, start)
    return None
