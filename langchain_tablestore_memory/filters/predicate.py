"""The reading of a filter as a Python predicate: the one that defines what a filter means."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, assert_never

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
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Predicate = Callable[[Mapping[str, Any]], bool]

_KINDS: dict[type, str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "text",
    bytes: "bytes",
    bytearray: "bytes",
    type(None): "none",
}

_COMPARE: dict[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQ: operator.eq,
    Comparison.GT: operator.gt,
    Comparison.GTE: operator.ge,
    Comparison.LT: operator.lt,
    Comparison.LTE: operator.le,
}


def matches(filter: Filter, fields: Mapping[str, Any]) -> bool:  # noqa: A002 - what callers call it, too
    """Whether a row with these fields matches the filter. For many rows, `predicate` is faster.

    Raises:
        FilterError: The filter has ``$text`` or ``$phrase``, which only searches answer.
    """
    return predicate(filter)(fields)


def predicate(filter: Filter) -> Predicate:  # noqa: A002 - as above
    """Turn a filter into a function that says whether a row with the given fields matches.

    Raises:
        FilterError: The filter has ``$text`` or ``$phrase``, which only searches answer.
    """
    match filter:
        case All():
            return lambda _: True
        case And(filters):
            conjuncts = [predicate(child) for child in filters]
            return lambda fields: all(accepts(fields) for accepts in conjuncts)
        case Or(filters):
            disjuncts = [predicate(child) for child in filters]
            return lambda fields: any(accepts(fields) for accepts in disjuncts)
        case Not(child):
            accepts = predicate(child)
            return lambda fields: not accepts(fields)
        case Exists(name):
            return lambda fields: name in fields
        case Text() | Nearest():
            raise refuse_text(filter)
        case Compare(name) | In(name) | Prefix(name) | Like(name) | Contains(name):
            accepts_value = _value_predicate(filter)
            return lambda fields: name in fields and accepts_value(fields[name])
    raise AssertionError(filter)


def _value_predicate(leaf: Compare | In | Prefix | Like | Contains) -> Callable[[Any], bool]:
    match leaf:
        case Compare(_, comparison, expected):
            kind = _KINDS[type(expected)]
            compare = _COMPARE[comparison]
            return lambda value: _KINDS.get(type(value)) == kind and compare(value, expected)
        case In(_, values):
            members = {member_key(value) for value in values}
            return lambda value: type(value) in _KINDS and member_key(value) in members
        case Prefix(_, prefix):
            return lambda value: type(value) is str and value.startswith(prefix)
        case Like():
            pattern = _regular_expression(leaf)
            return lambda value: type(value) is str and pattern.fullmatch(value) is not None
        case Contains(_, values, match):
            wanted = {member_key(value) for value in values}
            enough = len(wanted) if match is Match.ALL else 1
            return lambda value: (
                isinstance(value, list | tuple | set | frozenset)
                and len(wanted & {member_key(item) for item in value if type(item) in _KINDS}) >= enough
            )
    assert_never(leaf)


def member_key(value: Any) -> tuple[str, Any]:
    """A hashable stand-in for a scalar, equal to another's exactly if `$eq` holds between the two."""
    kind = _KINDS[type(value)]
    return kind, bytes(value) if kind == "bytes" else value


def _regular_expression(like: Like) -> re.Pattern[str]:
    """The pattern as a regular expression whose time stays linear in the value.

    Between two ``%`` it is always right to take the first place that fits. Atomic groups say so; without
    them, a pattern such as ``%a%a%a%a%b`` tries all combinations of places.
    """
    runs = [""]
    for part in like.parts():
        if part is None:
            runs.append("")
        else:
            runs[-1] += re.escape(part) or "."
    if len(runs) == 1:
        return re.compile(runs[0], re.DOTALL)
    first, *between, last = runs
    return re.compile(f"{first}{''.join(f'(?>.*?{run})' for run in between)}.*{last}", re.DOTALL)


def refuse_text(leaf: Text | Nearest) -> FilterError:
    """The error for conditions on words and vectors where rows are read, not searched."""
    return FilterError(
        f"{leaf.operator} on {leaf.field!r} is answered by searches only. "
        "Use a search method, or $prefix, $like and $contains here."
    )
