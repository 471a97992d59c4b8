"""Namespaces of a store: checked, as text in a key column, and listed without reading what is in them.

A namespace is stored as its labels, each ended by a NUL: bytes then sort as the tuples do, and a range of keys holds
exactly those namespaces that begin with the same labels: `("a",)` is no prefix of `("ab",)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.store.base import InvalidNamespaceError as LangGraphInvalidNamespaceError
from langgraph.store.base import ListNamespacesOp, MatchCondition
from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory.core.checks import MAX_KEY_BYTES
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import KeyColumns, Scan, StoredRow
from langchain_tablestore_memory.errors import InvalidArgumentError

Namespace = tuple[str, ...]

WILDCARD = "*"
"""A label of a condition that every label fulfils."""

_END = "\x00"
_AFTER_END = "\x01"
_RESERVED = "langgraph"
"""LangGraph keeps this root label for itself."""

_LEAST_PAGE, _FIRST_PAGE, _LARGEST_PAGE = 8, 32, 1000
"""Rows of one request while namespaces are listed: more where namespaces are small, fewer where they are large."""


class InvalidNamespaceError(InvalidArgumentError, LangGraphInvalidNamespaceError):
    """A namespace that is none. Nothing was sent. Also LangGraph's own error of this name."""


def check_namespace(namespace: Any, *, new: bool = False, name: str = "namespace") -> Namespace:
    """Check a namespace, or a prefix of some.

    Args:
        namespace: The namespace.
        new: Whether something is to be stored in it.
        name: What it is called in errors.

    Raises:
        InvalidNamespaceError: A label is empty, no str, or holds a period, a NUL or a lone surrogate; it is too long;
            or, where something is to be stored, it has no label or begins with ``"langgraph"``.
    """
    if isinstance(namespace, str) or not isinstance(namespace, tuple | list):
        raise InvalidNamespaceError(f"The {name} is a {type(namespace).__name__}. Give a tuple of str.")
    for label in namespace:
        _check_label(label, name)
    checked = tuple(str.__str__(label) for label in namespace)
    if new and not checked:
        raise InvalidNamespaceError('The namespace is empty. Give at least one label: ("users",).')
    if new and checked[0] == _RESERVED:
        raise InvalidNamespaceError(f"The namespace begins with {_RESERVED!r}, which LangGraph keeps for itself.")
    size = len(encode_namespace(checked).encode())
    if size > MAX_KEY_BYTES:
        raise InvalidNamespaceError(
            f"The {name} takes {size} bytes in UTF-8, one more for each label included. Tablestore allows "
            f"{MAX_KEY_BYTES}."
        )
    return checked


def _check_label(label: Any, name: str) -> None:
    if not isinstance(label, str):
        raise InvalidNamespaceError(f"A label of the {name} is a {type(label).__name__}. Give a str.")
    if not label:
        raise InvalidNamespaceError(f"A label of the {name} is empty. Give at least one character.")
    if "." in label:
        raise InvalidNamespaceError(
            f"The label {label!r} of the {name} holds a period, which LangGraph forbids. Write another character."
        )
    if _END in label:
        raise InvalidNamespaceError(f"The label {label!r} of the {name} holds a NUL character. Give one without.")
    try:
        label.encode()
    except UnicodeEncodeError:
        raise InvalidNamespaceError(
            f"A label of the {name} holds a lone surrogate, which is no Unicode character."
        ) from None


def encode_namespace(namespace: Sequence[str]) -> str:
    """The namespace as text: what a key column holds, and what the keys of namespaces below it begin with."""
    return "".join(f"{label}{_END}" for label in namespace)


def decode_namespace(text: str) -> Namespace:
    """The namespace that `encode_namespace` was given."""
    return tuple(text.split(_END)[:-1])


def namespace_range(prefix: Sequence[str]) -> tuple[Any, Any]:
    """The key column's range of a namespace with all below it: first value, inclusive, and last value, exclusive."""
    if not prefix:
        return INF_MIN, INF_MAX
    text = encode_namespace(prefix)
    return text, text[:-1] + _AFTER_END


# Listing


@dataclass(frozen=True, slots=True)
class Listing:
    """Which namespaces to list.

    Attributes:
        conditions: What they fulfil.
        max_depth: How many labels to show of each; all by default.
        offset: How many to pass over.
        limit: How many at the most.
    """

    conditions: Sequence[MatchCondition]
    max_depth: int | None
    offset: int
    limit: int

    @classmethod
    def of(cls, op: ListNamespacesOp) -> Listing:
        """From LangGraph's operation.

        Raises:
            InvalidArgumentError: A number is out of range, or a condition is none.
        """
        given: Any = op.match_conditions or ()
        if not isinstance(given, tuple | list) or not all(isinstance(each, MatchCondition) for each in given):
            raise InvalidArgumentError(
                'match_conditions is no tuple of MatchCondition. Give (MatchCondition("prefix", ("users",)),).'
            )
        conditions: Sequence[MatchCondition] = tuple(given)
        for condition in conditions:
            if condition.match_type not in _MATCHES:
                raise InvalidArgumentError(
                    f"match_type is {condition.match_type!r}. Give one of {', '.join(map(repr, _MATCHES))}."
                )
            check_namespace(condition.path, name=condition.match_type)
        max_depth = None if op.max_depth is None else check_number(op.max_depth, "max_depth")
        return cls(conditions, max_depth, check_number(op.offset, "offset"), check_number(op.limit, "limit"))

    def accepts(self, namespace: Namespace) -> bool:
        """Whether a namespace fulfils all conditions."""
        return all(_MATCHES[each.match_type](namespace, tuple(each.path)) for each in self.conditions)

    @property
    def prefix(self) -> Namespace:
        """What all namespaces begin with that can fulfil the conditions."""
        known: Namespace = ()
        for condition in self.conditions:
            if condition.match_type == "prefix":
                path = tuple(condition.path)
                literal = path[: path.index(WILDCARD)] if WILDCARD in path else path
                known = max(known, literal, key=len)
        return known


def check_number(value: Any, name: str) -> int:
    """Check a number that may be 0.

    Raises:
        InvalidArgumentError: It is no int, or negative.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"{name} is a {type(value).__name__}. Give an int.")
    if value < 0:
        raise InvalidArgumentError(f"{name} is {value}. Give 0 or more.")
    return value


def list_namespaces(
    listing: Listing, table: str, key: Sequence[str], is_there: Callable[[StoredRow], bool], columns: Sequence[str]
) -> Program[list[Namespace]]:
    """The namespaces that hold something, in order.

    Once it is known whether one is listed, reading goes on behind it: what large namespaces hold is not read.

    Args:
        listing: Which namespaces.
        table: The table or index to read, of which the first key column is the namespace.
        key: Its key columns.
        is_there: Whether a row is of something that still counts.
        columns: The columns that this looks at.
    """
    found: list[Namespace] = []
    wanted = listing.offset + listing.limit
    first, last = namespace_range(listing.prefix)
    start: KeyColumns | None = _bounds(key, first, INF_MIN)
    end = _bounds(key, last, INF_MIN)
    size = _FIRST_PAGE
    while start is not None and len(found) < wanted:
        scan = Scan(table, start, end, _itself, columns=[*key[:1], *columns], page_size=size)
        rows = yield from scan.fetch()
        settled, number = _settle(rows, listing, found, is_there)
        start = scan.position
        if start is not None and settled.covers(str(start[0][1])):
            label, rest = settled.following()
            # With a depth less than that of the prefix, all that there is may be settled.
            beyond = label is INF_MAX or (last is not INF_MAX and label >= last)
            start = None if beyond else _bounds(key, label, rest)
        if number > size // 2:
            size = min(2 * size, _LARGEST_PAGE)
        elif number < size // 8:
            size = max(size // 2, _LEAST_PAGE)
    return found[listing.offset : wanted]


def _settle(
    rows: Sequence[StoredRow], listing: Listing, found: list[Namespace], is_there: Callable[[StoredRow], bool]
) -> tuple[_Settled, int]:
    """Add to the namespaces that are listed what rows show. Returns the last that is settled, and how many were new."""
    settled = _Settled(None)
    number = 0
    for row in rows:
        text = str(next(iter(row.key.values())))
        if settled.covers(text):
            continue
        namespace = decode_namespace(text)
        if not listing.accepts(namespace):
            settled = _Settled(text)
        elif is_there(row):
            shown = namespace if listing.max_depth is None else namespace[: listing.max_depth]
            if not found or found[-1] != shown:
                found.append(shown)
            deep = listing.max_depth is not None and len(namespace) >= listing.max_depth
            settled = _Settled(encode_namespace(shown) if deep else text, with_all_below=deep)
        number += 1
    return settled, number


@dataclass(frozen=True, slots=True)
class _Settled:
    """A namespace of which it is known whether it is listed.

    Attributes:
        text: The namespace, as a key column holds it; None where there is none.
        with_all_below: Whether this is known of all that begin with it, too.
    """

    text: str | None
    with_all_below: bool = False

    def covers(self, text: str) -> bool:
        if self.text is None:
            return False
        return text.startswith(self.text) if self.with_all_below else text == self.text

    def following(self) -> tuple[Any, Any]:
        """Where to read on: the value of the first key column, and that of all others."""
        if not self.with_all_below:
            return self.text, INF_MAX
        return (self.text[:-1] + _AFTER_END if self.text else INF_MAX), INF_MIN


def _bounds(key: Sequence[str], first: Any, rest: Any) -> KeyColumns:
    """A key of which only the first column is given."""
    if first is INF_MIN or first is INF_MAX:
        rest = first
    return [(key[0], first), *((column, rest) for column in key[1:])]


def _itself(row: StoredRow) -> StoredRow:
    return row


def _begins(namespace: Namespace, path: Namespace) -> bool:
    return len(namespace) >= len(path) and _alike(namespace, path)


def _ends(namespace: Namespace, path: Namespace) -> bool:
    return len(namespace) >= len(path) and _alike(namespace[len(namespace) - len(path) :], path)


def _alike(labels: Sequence[str], path: Sequence[str]) -> bool:
    return all(wanted in (WILDCARD, label) for label, wanted in zip(labels, path, strict=False))


_MATCHES: dict[str, Callable[[Namespace, Namespace], bool]] = {"prefix": _begins, "suffix": _ends}
