"""The tree that every filter is, however it was written.

Nodes are immutable and hashable, and are checked when they are made: a tree that exists can be read. `$ne`,
`$nin` and `$between` are not nodes of their own; they are made of others. Nodes with operands hold the types
of these, too: for Python `1 == True`, for a filter they differ.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_tablestore_memory.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Scalar = str | int | float | bool | bytes | None


class Comparison(enum.Enum):
    """How `Compare` compares a field with a value."""

    EQ = "$eq"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"


class Match(enum.Enum):
    """How many of the values of `Contains` a list must hold."""

    ANY = "$contains_any"
    ALL = "$contains_all"


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on the fields of a row. Made by `Filters`, or from a dict by `parse`.

    Filters combine: ``a & b``, ``a | b``, ``~a``.
    """

    def __and__(self, other: Filter) -> Filter:
        return And((self, other))

    def __or__(self, other: Filter) -> Filter:
        return Or((self, other))

    def __invert__(self) -> Filter:
        return Not(self)


@dataclass(frozen=True, slots=True)
class All(Filter):
    """Matches every row."""


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """The field is there, and its value compares so. Values of different kinds never do."""

    field: str
    comparison: Comparison
    value: Scalar
    types: tuple[type, ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        operator = self.comparison.value
        check_field(self.field)
        value = scalar(self.field, operator, self.value)
        if self.comparison is not Comparison.EQ and (value is None or isinstance(value, bool)):
            raise FilterError(
                f"{operator} on {self.field!r} compares with text, a number or bytes, not with {type(value).__name__}."
            )
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "types", (type(value),))


@dataclass(frozen=True, slots=True)
class In(Filter):
    """The field is there and equals one of the values."""

    field: str
    values: tuple[Scalar, ...]
    types: tuple[type, ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_field(self.field)
        object.__setattr__(self, "values", scalars(self.field, "$in", self.values))
        object.__setattr__(self, "types", tuple(map(type, self.values)))


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    """The field is there, whatever its value."""

    field: str

    def __post_init__(self) -> None:
        check_field(self.field)


@dataclass(frozen=True, slots=True)
class Prefix(Filter):
    """The field is text that begins so."""

    field: str
    prefix: str

    def __post_init__(self) -> None:
        check_field(self.field)
        check_str(self.field, "$prefix", self.prefix)


@dataclass(frozen=True, slots=True)
class Like(Filter):
    """The field is text that fits an SQL pattern as a whole, letter case included.

    ``%`` stands for any characters, ``_`` for one; a backslash takes the meaning from the next.
    """

    field: str
    pattern: str

    def __post_init__(self) -> None:
        check_field(self.field)
        check_str(self.field, "$like", self.pattern)
        self.parts()

    def parts(self) -> list[str | None]:
        """The pattern in pieces: literal text, ``None`` for any characters, an empty string for one."""
        parts: list[str | None] = []
        literal = ""
        characters = iter(self.pattern)
        for character in characters:
            if character == "\\":
                escaped = next(characters, None)
                if escaped is None:
                    raise FilterError(f"$like on {self.field!r} ends in a backslash; write two for one.")
                literal += escaped
                continue
            if character not in "%_":
                literal += character
                continue
            if literal:
                parts.append(literal)
                literal = ""
            parts.append(None if character == "%" else "")
        return [*parts, literal] if literal else parts


@dataclass(frozen=True, slots=True)
class Contains(Filter):
    """The field is a list, tuple or set that holds any, or all, of the values."""

    field: str
    values: tuple[Scalar, ...]
    match: Match = Match.ALL
    types: tuple[type, ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_field(self.field)
        object.__setattr__(self, "values", scalars(self.field, self.match.value, self.values))
        object.__setattr__(self, "types", tuple(map(type, self.values)))


@dataclass(frozen=True, slots=True)
class Text(Filter):
    """Full-text search in the field. Only searches answer it."""

    field: str
    query: str
    phrase: bool = False

    def __post_init__(self) -> None:
        check_field(self.field)
        check_str(self.field, self.operator, self.query)

    @property
    def operator(self) -> str:
        """How this is written in a dict."""
        return "$phrase" if self.phrase else "$text"


@dataclass(frozen=True, slots=True)
class Nearest(Filter):
    """The field holds one of the vectors that are nearest to the given one. Only searches answer it."""

    field: str
    vector: tuple[float, ...]
    top_k: int = 10
    among: Filter = All()

    def __post_init__(self) -> None:
        check_field(self.field)
        # A numpy array gives Python's own numbers so.
        given = self.vector.tolist() if hasattr(self.vector, "tolist") else self.vector
        if not isinstance(given, list | tuple) or not given:
            raise FilterError(f"{self.operator} on {self.field!r} takes a list of numbers, not {type(given).__name__}.")
        if not all(type(number) in {int, float} and math.isfinite(number) for number in given):
            raise FilterError(f"{self.operator} on {self.field!r} has a vector with values that are no finite numbers.")
        if type(self.top_k) is not int or self.top_k < 1:
            raise FilterError(f"{self.operator} on {self.field!r} has top_k={self.top_k!r}. Give an int of at least 1.")
        children(self.operator, (self.among,))
        object.__setattr__(self, "vector", tuple(map(float, given)))

    @property
    def operator(self) -> str:
        """What this is called in errors."""
        return "vector_query"


@dataclass(frozen=True, slots=True)
class And(Filter):
    """All of the filters match."""

    filters: tuple[Filter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", children("$and", self.filters))


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """At least one of the filters matches."""

    filters: tuple[Filter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", children("$or", self.filters))


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The filter does not match. A row without the field is a match of `Not` around a comparison."""

    filter: Filter

    def __post_init__(self) -> None:
        children("$not", (self.filter,))


def walk(node: Filter) -> Iterator[Filter]:
    """The node and all nodes below it."""
    yield node
    match node:
        case And(filters) | Or(filters):
            for child in filters:
                yield from walk(child)
        case Not(child) | Nearest(among=child):
            yield from walk(child)


def fields(node: Filter) -> frozenset[str]:
    """Names of the fields that a filter looks at."""
    return frozenset(
        child.field
        for child in walk(node)
        if isinstance(child, Compare | In | Exists | Prefix | Like | Contains | Text | Nearest)
    )


def renamed(node: Filter, name_of: Callable[[str], str]) -> Filter:
    """The filter with other names of fields.

    Args:
        node: The filter.
        name_of: Gives the new name for each.
    """
    match node:
        case And(filters) | Or(filters):
            return dataclasses.replace(node, filters=tuple(renamed(child, name_of) for child in filters))
        case Not(child):
            return Not(renamed(child, name_of))
        case Nearest(field=name, among=among):
            return dataclasses.replace(node, field=name_of(name), among=renamed(among, name_of))
        case Compare() | In() | Exists() | Prefix() | Like() | Contains() | Text():
            return dataclasses.replace(node, field=name_of(node.field))
    return node


# --- Checks -------------------------------------------------------------------------------------------------


def check_field(name: Any) -> None:
    """Refuse what cannot be the name of a field."""
    if type(name) is not str or not name:
        kind = "empty" if name == "" else f"of type {type(name).__name__}"
        raise FilterError(f"a filter's field name is {kind}; it is a str that is not empty.")


def check_str(field: str, operator: str, value: Any) -> None:
    """Refuse an operand that is no text."""
    if type(value) is not str:
        raise FilterError(f"{operator} on {field!r} takes a str, not {type(value).__name__}.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise FilterError(
                f"{operator} on {field!r} has a lone surrogate at position {error.start}. No stored text has one."
            ) from None


def scalar(field: str, operator: str, value: Any) -> Scalar:
    """The operand as a node holds it: plain and immutable.

    Raises:
        FilterError: It is no scalar, or is NaN.
    """
    kind = type(value)
    if kind is str:
        check_str(field, operator, value)
        return str(value)
    if kind is float and math.isnan(value):
        raise FilterError(f"{operator} on {field!r} has NaN, which compares with nothing. Use another number.")
    if kind is bytearray:
        return bytes(value)
    if value is None or kind in {bool, int, float, bytes}:
        return value  # type: ignore[no-any-return]
    raise FilterError(
        f"{operator} on {field!r} takes a str, int, float, bool, bytes, bytearray or None, not "
        f"{kind.__module__}.{kind.__qualname__}. Subclasses and numpy scalars have to be converted."
    )


def scalars(field: str, operator: str, values: Any) -> tuple[Scalar, ...]:
    """The operands of an operator that takes several."""
    if not isinstance(values, list | tuple | set | frozenset):
        raise FilterError(f"{operator} on {field!r} takes a list of values, not {type(values).__name__}.")
    if not values:
        raise FilterError(f"{operator} on {field!r} has no values; give at least one.")
    return tuple(scalar(field, operator, value) for value in values)


def children(operator: str, filters: Any) -> tuple[Filter, ...]:
    """The operands of an operator that combines filters."""
    if not isinstance(filters, list | tuple):
        raise FilterError(f"{operator} takes a list of filters, not {type(filters).__name__}.")
    if not filters:
        raise FilterError(f"{operator} has no filters; give at least one.")
    for child in filters:
        if not isinstance(child, Filter):
            raise FilterError(f"{operator} takes filters, not {type(child).__name__}.")
    return tuple(filters)
