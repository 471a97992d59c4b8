"""The reading of a filter as a query of a search index.

An index knows the type of each of its fields, so this reading is exact where the row condition is not: what comes out
matches the rows that `predicate` matches. Two things an index cannot see: a field whose value does not fit the declared
type is as good as missing, and so is an empty list.

Nothing in a query made here adds to a score: it belongs into a filter clause, or stands alone in a search that is not
sorted by score.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import tablestore

from langchain_tablestore_memory.errors import FilterError
from langchain_tablestore_memory.filters.numbers import double_bound, integer_bound
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
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_tablestore_memory.filters.tree import Scalar

MAX_QUERIES = 1024
"""Queries in one search (limits of the service)."""

MAX_TERMS = 1024
"""Values of one query for any of several values."""

MAX_PREFIX_BYTES = 1000
"""Bytes of a prefix."""

MAX_WILDCARD = 32
"""Characters of a pattern."""

MAX_TEXT = 4096
"""Characters of a full-text query. The service names no limit, but each word becomes a query, and it takes 1024."""


class FieldType(enum.Enum):
    """What a field of a search index holds."""

    KEYWORD = "text that is compared as a whole"
    TEXT = "full text"
    LONG = "integers"
    DOUBLE = "floats"
    BOOLEAN = "booleans"
    VECTOR = "vectors"
    OTHER = "values of another kind"


@dataclass(frozen=True, slots=True)
class FieldKind:
    """A field of a search index, as far as filters care.

    Attributes:
        type: What it holds.
        is_list: Whether it holds lists of that.
    """

    type: FieldType
    is_list: bool = False

    @property
    def operators(self) -> Sequence[str]:
        """The operators that it answers."""
        if self.type is FieldType.TEXT:
            return ("$text", "$phrase", "$exists")
        if self.type is FieldType.VECTOR:
            return ("vector_query", "$exists")
        if self.type is FieldType.OTHER:
            return ("$exists",)
        if self.is_list:
            return ("$contains", "$contains_any", "$contains_all", "$exists")
        if self.type is FieldType.BOOLEAN:
            return ("$eq", "$ne", "$in", "$nin", "$exists")
        ordered = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$between", "$in", "$nin", "$exists")
        return (*ordered, "$prefix", "$like") if self.type is FieldType.KEYWORD else ordered

    def describe(self) -> str:
        """What it holds, in words."""
        return f"lists of {self.type.value}" if self.is_list else self.type.value


def to_query(filter: Filter, fields: Mapping[str, FieldKind]) -> tablestore.Query:  # noqa: A002 - what callers call it
    """Turn a filter into a query that matches the same rows.

    Args:
        filter: The filter.
        fields: The fields of the index.

    Raises:
        FilterError: A field that the index does not have, an operator or operand that the field's type cannot take, or
            more than the service allows; says what is allowed.

    Example:
        ```python
        fields = {"year": FieldKind(FieldType.LONG)}
        to_query(parse({"year": {"$gte": 2020}}), fields)  # RangeQuery("year", 2020, ...)
        ```
    """
    reader = _Reader(fields)
    query = reader.read(filter)
    if reader.count > MAX_QUERIES:
        raise FilterError(f"The filter has {reader.count} conditions. Tablestore takes {MAX_QUERIES} in one search.")
    return query


def to_scored_query(
    filter: Filter,  # noqa: A002 - what callers call it
    fields: Mapping[str, FieldKind],
) -> tuple[tablestore.Query, bool]:
    """Turn a filter into a query in which conditions on words and vectors add to the score, and nothing else does.

    Returns:
        The query, and whether it scores anything.

    Raises:
        FilterError: As `to_query`.
    """
    conjuncts = filter.filters if isinstance(filter, And) else (filter,)
    scored = [to_query(node, fields) for node in conjuncts if is_scored(node)]
    if not scored:
        return to_query(filter, fields), False
    unscored = [to_query(node, fields) for node in conjuncts if not is_scored(node)]
    if len(scored) == 1 and not unscored:
        return scored[0], True
    return tablestore.BoolQuery(must_queries=scored, filter_queries=unscored), True


def is_scored(filter: Filter) -> bool:  # noqa: A002 - as above
    """Whether a filter has conditions on words or vectors, which only searches answer."""
    return any(isinstance(node, Text | Nearest) for node in walk(filter))


def among(filter: Filter, condition: Filter) -> Filter:  # noqa: A002 - as above
    """The filter in which the nearest vectors are looked for among rows that fulfil a condition."""
    match filter:
        case Nearest(name, vector, top_k, rows):
            return Nearest(name, vector, top_k, condition if rows == All() else And((rows, condition)))
        case And(filters):
            return And(tuple(among(child, condition) for child in filters))
        case Or(filters):
            return Or(tuple(among(child, condition) for child in filters))
        case Not(child):
            return Not(among(child, condition))
    return filter


class _Reader:
    """Reads a filter for the fields of one index, and counts the queries that come out."""

    def __init__(self, fields: Mapping[str, FieldKind]) -> None:
        self.fields = fields
        self.count = 0

    def read(self, node: Filter) -> tablestore.Query:
        self.count += 1
        match node:
            case All():
                return tablestore.MatchAllQuery()
            case And(filters):
                return tablestore.BoolQuery(filter_queries=[self.read(child) for child in filters])
            case Or(filters):
                return tablestore.BoolQuery(
                    should_queries=[self.read(child) for child in filters], minimum_should_match=1
                )
            case Not(child):
                return tablestore.BoolQuery(must_not_queries=[self.read(child)])
            case Nearest(name, vector, top_k, among):
                self._check(name, node.operator)
                condition = None if among == All() else self.read(among)
                return tablestore.KnnVectorQuery(name, top_k, list(vector), condition)
            case Compare() | In() | Exists() | Prefix() | Like() | Contains() | Text():
                return self._leaf(node)
        raise AssertionError(node)

    def _check(self, name: str, operator: str) -> FieldKind:
        """What a field holds, where it can be asked so."""
        kind = self.fields.get(name)
        if kind is None:
            raise FilterError(
                f"Searches cannot filter by {name!r}: it is not declared. There are: "
                f"{', '.join(sorted(self.fields)) or 'no fields'}. Declare it where the store is made, in filterable."
            )
        if operator not in kind.operators:
            raise FilterError(
                f"{operator} cannot be asked of {name!r}, which is declared to hold {kind.describe()}. It takes: "
                f"{', '.join(kind.operators)}."
            )
        return kind

    def _leaf(self, leaf: Compare | In | Exists | Prefix | Like | Contains | Text) -> tablestore.Query:
        operator = _operator(leaf)
        kind = self._check(leaf.field, operator)
        match leaf:
            case Exists(name):
                return tablestore.ExistsQuery(name)
            case Text(name, text, phrase):
                check_text(text, f"{operator} on {name!r}")
                return tablestore.MatchPhraseQuery(name, text) if phrase else tablestore.MatchQuery(name, text)
            case Compare(name, comparison, value):
                return _compare(name, kind, comparison, value)
            case Contains(name, values, Match.ALL):
                each = [_compare(name, kind, Comparison.EQ, value, operator) for value in values]
                self.count += len(each)
                return tablestore.BoolQuery(filter_queries=each)
            case In(name, values) | Contains(name, values):
                return self._any_of(name, kind, operator, values)
            case Prefix(name, prefix):
                return _prefix(name, prefix)
            case Like(name):
                return _like(name, leaf.parts())
        assert_never(leaf)

    def _any_of(self, name: str, kind: FieldKind, operator: str, values: Sequence[Scalar]) -> tablestore.Query:
        operands = [_operand(name, kind, Comparison.EQ, value, operator) for value in values]
        terms = [operand for operand in dict.fromkeys(operands) if operand is not None]
        groups = [terms[start : start + MAX_TERMS] for start in range(0, len(terms), MAX_TERMS)]
        if not groups:
            return _nothing()
        self.count += len(groups)
        queries = [tablestore.TermsQuery(name, group) for group in groups]
        if len(queries) == 1:
            return queries[0]
        return tablestore.BoolQuery(should_queries=queries, minimum_should_match=1)


def check_text(text: str, what: str) -> None:
    """Refuse a full-text query without any character, longer than 4096, or that is no valid Unicode.

    Raises:
        FilterError: It is.
    """
    if not text.strip():
        raise FilterError(f"{what} is empty. Give words to search for.")
    if len(text) > MAX_TEXT:
        raise FilterError(f"{what} has {len(text)} characters. Give at most {MAX_TEXT}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FilterError(f"{what} has a lone surrogate at position {error.start}. No stored text has one.") from None


def _operator(leaf: Compare | In | Exists | Prefix | Like | Contains | Text) -> str:
    match leaf:
        case Compare(_, comparison):
            return comparison.value
        case In():
            return "$in"
        case Exists():
            return "$exists"
        case Prefix():
            return "$prefix"
        case Like():
            return "$like"
        case Contains(_, values, how):
            return how.value if len(values) > 1 else "$contains"
        case Text():
            return leaf.operator
    assert_never(leaf)


def _compare(
    name: str, kind: FieldKind, comparison: Comparison, value: Scalar, operator: str | None = None
) -> tablestore.Query:
    operand = _operand(name, kind, comparison, value, operator or comparison.value)
    if operand is None:
        return _nothing()
    if comparison is Comparison.EQ:
        return tablestore.TermQuery(name, operand)
    # For numbers the operand is the first that passes.
    exclusive = comparison in {Comparison.GT, Comparison.LT} and kind.type is FieldType.KEYWORD
    if comparison in {Comparison.GT, Comparison.GTE}:
        return tablestore.RangeQuery(name, range_from=operand, include_lower=not exclusive)
    return tablestore.RangeQuery(name, range_to=operand, include_upper=not exclusive)


def _operand(name: str, kind: FieldKind, comparison: Comparison, value: Scalar, operator: str) -> Any:
    """The value in the field's own type; None where no value of that type fulfils the comparison."""
    match kind.type:
        case FieldType.KEYWORD if isinstance(value, str):
            return value
        case FieldType.BOOLEAN if isinstance(value, bool):
            return value
        case FieldType.LONG if isinstance(value, int | float) and not isinstance(value, bool):
            return integer_bound(comparison, value)
        case FieldType.DOUBLE if isinstance(value, int | float) and not isinstance(value, bool):
            return double_bound(comparison, value)
    advice = " Ask for missing fields with $exists: false." if value is None else ""
    raise FilterError(
        f"{operator} on {name!r} compares with a {type(value).__name__}, but the field is declared to hold "
        f"{kind.describe()}.{advice}"
    )


def _prefix(name: str, prefix: str) -> tablestore.Query:
    if not prefix:
        return tablestore.ExistsQuery(name)
    size = len(prefix.encode())
    if size > MAX_PREFIX_BYTES:
        raise FilterError(f"$prefix on {name!r} takes {size} bytes in UTF-8. Searches take {MAX_PREFIX_BYTES}.")
    return tablestore.PrefixQuery(name, prefix)


def _like(name: str, parts: list[str | None]) -> tablestore.Query:
    match parts:
        case []:
            return tablestore.TermQuery(name, "")
        case [str(literal)] if literal:
            return tablestore.TermQuery(name, literal)
        case [None]:
            return tablestore.ExistsQuery(name)
        case [str(literal), None] if literal:
            return _prefix(name, literal)
    if any(character in part for part in parts if part for character in "*?\\"):
        raise FilterError(
            f"$like on {name!r} looks for *, ? or a backslash, which searches cannot. Use $prefix or $eq."
        )
    pattern = "".join("*" if part is None else part or "?" for part in parts)
    if len(pattern) > MAX_WILDCARD:
        raise FilterError(f"$like on {name!r} has {len(pattern)} characters. Searches take {MAX_WILDCARD}.")
    return tablestore.WildcardQuery(name, pattern)


def _nothing() -> tablestore.Query:
    """The query that no row matches."""
    return tablestore.BoolQuery(must_not_queries=[tablestore.MatchAllQuery()])
