"""The two ways of writing a filter: as a dict, or with `Filters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_tablestore_memory.errors import FilterError
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
    Match,
    Nearest,
    Not,
    Or,
    Prefix,
    Text,
    check_field,
    children,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_tablestore_memory.filters.tree import Scalar

# Deeper than anyone writes, and far from Python's own limit.
_MAX_DEPTH = 64


class Filters:
    """Makes filters.

    A missing field matches no comparison; it does match `not_eq`, `not_in` and ``exists(..., False)``.
    Numbers compare as numbers, exactly, whether they are stored as `int` or `float`; a bool is not a number.
    Text compares by code point, which is the order of its UTF-8 bytes. Values of different kinds never
    compare.

    Each method is also written as an operator in a dict. These two are the same:

    Example:
        ```python
        Filters.logical_and([Filters.gte("year", 2020), Filters.In("lang", ["en", "zh"])])
        {"year": {"$gte": 2020}, "lang": {"$in": ["en", "zh"]}}
        ```
    """

    @staticmethod
    def eq(meta_key: str, meta_value: Scalar | bytearray) -> Filter:
        """The field equals the value. In a dict: ``$eq``, or the bare value."""
        return Compare(meta_key, Comparison.EQ, meta_value)  # type: ignore[arg-type]

    @staticmethod
    def not_eq(meta_key: str, meta_value: Scalar | bytearray) -> Filter:
        """The field is missing or differs from the value. In a dict: ``$ne``."""
        return Not(Filters.eq(meta_key, meta_value))

    @staticmethod
    def gt(meta_key: str, meta_value: Scalar | bytearray) -> Filter:
        """The field is greater than the value: text, a number or bytes. In a dict: ``$gt``."""
        return Compare(meta_key, Comparison.GT, meta_value)  # type: ignore[arg-type]

    @staticmethod
    def gte(meta_key: str, meta_value: Scalar | bytearray) -> Filter:
        """The field is greater than the value, or equal. In a dict: ``$gte``."""
        return Compare(meta_key, Comparison.GTE, meta_value)  # type: ignore[arg-type]

    @staticmethod
    def lt(meta_key: str, meta_value: Scalar | bytearray) -> Filter:
        """The field is less than the value. In a dict: ``$lt``."""
        return Compare(meta_key, Comparison.LT, meta_value)  # type: ignore[arg-type]

    @staticmethod
    def lte(meta_key: str, meta_value: Scalar | bytearray) -> Filter:
        """The field is less than the value, or equal. In a dict: ``$lte``."""
        return Compare(meta_key, Comparison.LTE, meta_value)  # type: ignore[arg-type]

    @staticmethod
    def In(meta_key: str, meta_values: Sequence[Scalar]) -> Filter:  # noqa: N802 - `in` is a keyword
        """The field equals one of the values. In a dict: ``$in``."""
        return In(meta_key, meta_values)  # type: ignore[arg-type]

    @staticmethod
    def not_in(meta_key: str, meta_values: Sequence[Scalar]) -> Filter:
        """The field is missing or equals none of the values. In a dict: ``$nin``."""
        return Not(In(meta_key, meta_values))  # type: ignore[arg-type]

    @staticmethod
    def exists(meta_key: str, expected: bool = True) -> Filter:
        """The field is there, or is not there. In a dict: ``$exists``."""
        if type(expected) is not bool:
            raise FilterError(f"$exists on {meta_key!r} takes True or False, not {type(expected).__name__}.")
        return Exists(meta_key) if expected else Not(Exists(meta_key))

    @staticmethod
    def between(meta_key: str, low: Scalar | bytearray, high: Scalar | bytearray) -> Filter:
        """The field is between the two values, both included. In a dict: ``$between: [low, high]``."""
        return And((Filters.gte(meta_key, low), Filters.lte(meta_key, high)))

    @staticmethod
    def prefix(meta_key: str, prefix: str) -> Filter:
        """The field is text that begins so. In a dict: ``$prefix``."""
        return Prefix(meta_key, prefix)

    @staticmethod
    def like(meta_key: str, pattern: str) -> Filter:
        r"""The field fits an SQL pattern as a whole: ``%`` any characters, ``_`` one, ``\%`` a percent sign.

        In a dict: ``$like``.
        """
        return Like(meta_key, pattern)

    @staticmethod
    def contains(meta_key: str, meta_value: Scalar) -> Filter:
        """The field is a list that holds the value. In a dict: ``$contains``."""
        return Contains(meta_key, (meta_value,))

    @staticmethod
    def contains_any(meta_key: str, meta_values: Sequence[Scalar]) -> Filter:
        """The field is a list that holds at least one of the values. In a dict: ``$contains_any``."""
        return Contains(meta_key, meta_values, Match.ANY)  # type: ignore[arg-type]

    @staticmethod
    def contains_all(meta_key: str, meta_values: Sequence[Scalar]) -> Filter:
        """The field is a list that holds all of the values. In a dict: ``$contains_all``."""
        return Contains(meta_key, meta_values, Match.ALL)  # type: ignore[arg-type]

    @staticmethod
    def text_match(meta_key: str, meta_value: str) -> Filter:
        """The field has words of the query. For searches. In a dict: ``$text``."""
        return Text(meta_key, meta_value)

    @staticmethod
    def text_match_phrase(meta_key: str, meta_value: str) -> Filter:
        """The field has the words of the query side by side. For searches. In a dict: ``$phrase``."""
        return Text(meta_key, meta_value, phrase=True)

    @staticmethod
    def vector_query(
        vector_field: str, query_vector: Sequence[float], top_k: int = 10, metadata_filter: Filter | None = None
    ) -> Filter:
        """The field holds one of the `top_k` vectors nearest to the query's, among rows that match. For searches."""
        return Nearest(vector_field, query_vector, top_k, parse(metadata_filter))  # type: ignore[arg-type]

    @staticmethod
    def logical_and(filters: Sequence[Filter]) -> Filter:
        """All of the filters match. In a dict: ``$and``, or several entries side by side."""
        return And(filters)  # type: ignore[arg-type]

    @staticmethod
    def logical_or(filters: Sequence[Filter]) -> Filter:
        """At least one of the filters matches. In a dict: ``$or``."""
        return Or(filters)  # type: ignore[arg-type]

    @staticmethod
    def logical_not(filters: Sequence[Filter]) -> Filter:
        """None of the filters matches. In a dict: ``$not``, with one filter or a list."""
        negated = tuple(Not(child) for child in children("$not", filters))
        return negated[0] if len(negated) == 1 else And(negated)

    @staticmethod
    def all() -> Filter:
        """Every row matches. In a dict: ``{}``."""
        return All()


def parse(filter: Filter | Mapping[str, Any] | None) -> Filter:  # noqa: A002 - what callers call it, too
    """Read a filter: a `Filter`, a dict, or ``None`` for every row.

    A dict maps fields to values, or to dicts of operators. Entries side by side, fields as well as ``$and``,
    ``$or`` and ``$not``, must all match.

    Raises:
        FilterError: An unknown operator, or an operand of a wrong type; names the operator, what it takes and
            the field.

    Example:
        ```python
        parse({"year": {"$gte": 2020, "$lt": 2030}, "$or": [{"lang": "en"}, {"lang": {"$exists": False}}]})
        ```
    """
    return _parse(filter, _MAX_DEPTH)


def _parse(written: Any, depth: int) -> Filter:
    if written is None:
        return All()
    if isinstance(written, Filter):
        return written
    if not isinstance(written, Mapping):
        raise FilterError(f"a filter is a dict or is made by Filters, not {type(written).__name__}.")
    if depth <= 0:
        raise FilterError(f"the filter contains itself, or is nested more than {_MAX_DEPTH} levels deep.")
    parts: list[Filter] = []
    for key, operand in written.items():
        check_field(key)
        if key.startswith("$"):
            parts.append(_parse_logical(key, operand, depth - 1))
        else:
            parts += _parse_field(key, operand, depth - 1)
    return _all_of(parts)


def _parse_logical(operator: str, operands: Any, depth: int) -> Filter:
    if operator in _OPERATORS:
        raise FilterError(f'{operator} needs a field: {{"field": {{"{operator}": ...}}}}.')
    if operator not in _LOGICAL:
        raise FilterError(f"unknown operator {operator!r}. Beside fields there are: {', '.join(_LOGICAL)}.")
    if operator == "$not" and isinstance(operands, Filter | Mapping):
        operands = [operands]
    if not isinstance(operands, list | tuple):
        raise FilterError(f"{operator} takes a list of filters, not {type(operands).__name__}.")
    if None in operands:
        raise FilterError(f"{operator} takes filters, not None.")
    return _LOGICAL[operator]([_parse(item, depth) for item in operands])


def _parse_field(field: str, operand: Any, depth: int) -> list[Filter]:
    if not isinstance(operand, Mapping):
        if isinstance(operand, list | tuple | set | frozenset):
            raise FilterError(
                f"{field!r} has a list as its value. Use $in for one of several values, or $contains_any and "
                "$contains_all for what a stored list holds."
            )
        return [Filters.eq(field, operand)]
    if depth <= 0:
        raise FilterError(f"the filter contains itself, or is nested more than {_MAX_DEPTH} levels deep.")
    parts: list[Filter] = []
    for operator, value in operand.items():
        if operator == "$not":
            if not isinstance(value, Mapping):
                raise FilterError(f"$not on {field!r} takes a dict of operators, not {type(value).__name__}.")
            parts.append(Not(_all_of(_parse_field(field, value, depth - 1))))
        elif operator in _OPERATORS:
            parts.append(_OPERATORS[operator](field, value))
        else:
            shown = repr(operator) if isinstance(operator, str) else f"of type {type(operator).__name__}"
            raise FilterError(f"unknown operator {shown} on {field!r}. There are: {', '.join(_OPERATORS)}, $not.")
    if not parts:
        raise FilterError(f"{field!r} has an empty dict; give it a value or an operator.")
    return parts


def _all_of(parts: list[Filter]) -> Filter:
    if not parts:
        return All()
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _between(field: str, bounds: Any) -> Filter:
    match bounds:
        case [low, high]:
            return Filters.between(field, low, high)
    raise FilterError(f"$between on {field!r} takes a list of two values, the lowest and the highest.")


_LOGICAL: dict[str, Callable[[Sequence[Filter]], Filter]] = {
    "$and": Filters.logical_and,
    "$or": Filters.logical_or,
    "$not": Filters.logical_not,
}

_OPERATORS: dict[str, Callable[[str, Any], Filter]] = {
    "$eq": Filters.eq,
    "$ne": Filters.not_eq,
    "$gt": Filters.gt,
    "$gte": Filters.gte,
    "$lt": Filters.lt,
    "$lte": Filters.lte,
    "$in": Filters.In,
    "$nin": Filters.not_in,
    "$exists": Filters.exists,
    "$between": _between,
    "$prefix": Filters.prefix,
    "$like": Filters.like,
    "$contains": Filters.contains,
    "$contains_any": Filters.contains_any,
    "$contains_all": Filters.contains_all,
    "$text": Filters.text_match,
    "$phrase": Filters.text_match_phrase,
}
