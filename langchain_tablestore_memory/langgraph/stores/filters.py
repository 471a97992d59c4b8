"""Filters of a store: LangGraph's, and all of this package's.

LangGraph writes them as a dict, which may go into nested dicts and may name whole lists:
`{"status": "open", "meta": {"lang": "zh"}, "size": {"$gt": 3}, "tags": ["a", "b"]}`. Beside these stand the operators
of `langchain_tablestore_memory.Filters`, which name what is nested with periods: `Filters.eq("meta.lang", "zh")`.

What a value is compared with keeps its type: numbers compare as numbers, exactly; a bool is no number; text is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.core.records import MetadataFilter
from langchain_tablestore_memory.errors import FilterError
from langchain_tablestore_memory.filters import Filter, Filters

_SEPARATOR = "."
_ELEMENT = "element"
_MISSING = object()

Check = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """A condition on the values of items.

    Attributes:
        tree: It as a filter of this package. Where `is_exact` is not set, this passes more.
        check: It as a function of a value. It passes what only searches know.
        is_exact: Whether the two say the same.
        fields: The fields that it looks at.
        needs_search: Whether it asks for words, which only searches answer.
    """

    tree: Filter
    check: Check
    is_exact: bool = True
    fields: frozenset[str] = frozenset()
    needs_search: bool = False

    @classmethod
    def of(cls, given: MetadataFilter) -> ItemFilter | None:
        """Read a filter; None where it is met by everything.

        Raises:
            FilterError: It cannot be read; says what is wrong.
        """
        if not isinstance(given, Filter | Mapping):
            given = filters.parse(given)
        try:
            found = _from_tree(given) if isinstance(given, Filter) else _from_mapping(given)
        except RecursionError:
            raise FilterError("the filter contains itself, or is nested too deep.") from None
        return None if found.is_exact and found.tree == Filters.all() else found

    def check_table(self) -> None:
        """Refuse a filter that only searches answer.

        Raises:
            FilterError: It is one.
        """
        if self.needs_search:
            # Says which operator it is.
            filters.predicate(self.tree)


class ValueFields(Mapping[str, Any]):
    """The fields of a value, by name: its own, and with periods those of dicts in it.

    Args:
        value: The value.
    """

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value

    def __getitem__(self, name: str) -> Any:
        found = _find(self._value, name)
        if found is _MISSING:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)


def _find(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        return _MISSING
    if name in value:
        return value[name]
    end = name.find(_SEPARATOR)
    while end != -1:
        if name[:end] in value:
            found = _find(value[name[:end]], name[end + 1 :])
            if found is not _MISSING:
                return found
        end = name.find(_SEPARATOR, end + 1)
    return _MISSING


# Reading


def _passes(_: Mapping[str, Any]) -> bool:
    return True


def _from_tree(tree: Filter) -> ItemFilter:
    if filters.is_scored(tree):
        return ItemFilter(tree, _passes, fields=filters.fields(tree), needs_search=True)
    accepts = filters.predicate(tree)
    return ItemFilter(tree, lambda value: accepts(ValueFields(value)), fields=filters.fields(tree))


def _from_mapping(given: Mapping[str, Any]) -> ItemFilter:
    parts: list[ItemFilter] = []
    for key, operand in given.items():
        if key == "$and":
            parts += map(_operand, _operands(key, operand))
        elif key == "$or":
            parts.append(_any_of(list(map(_operand, _operands(key, operand)))))
        elif key == "$not":
            negated = [operand] if isinstance(operand, Filter | Mapping) else _operands(key, operand)
            parts += (_not(_operand(each)) for each in negated)
        elif _is_field(key):
            parts.append(_field(key, operand))
        else:
            # Says what is wrong with it.
            filters.parse({key: operand})
    return _all_of(parts)


def _is_field(key: Any) -> bool:
    return isinstance(key, str) and not key.startswith("$")


def _operands(operator: str, given: Any) -> Sequence[Any]:
    if not isinstance(given, list | tuple) or not given:
        # Says what is wrong with it.
        filters.parse({operator: given})
    return list(given)


def _operand(given: Any) -> ItemFilter:
    if isinstance(given, Mapping):
        return _from_mapping(given)
    if given is None:
        raise FilterError("$and, $or and $not take filters, not None.")
    return _from_tree(filters.parse(given))


def _field(name: str, operand: Any) -> ItemFilter:
    if operand is None:
        return _is_none(name)
    if isinstance(operand, list | tuple):
        return _is_list(name, operand)
    if not isinstance(operand, Mapping):
        return _from_tree(filters.parse({name: operand}))
    if any(isinstance(key, str) and key.startswith("$") for key in operand):
        return _all_of([_operator(name, operator, value) for operator, value in operand.items()])
    return _has(name, operand)


def _operator(name: str, operator: Any, value: Any) -> ItemFilter:
    if operator in {"$eq", "$ne"} and (value is None or isinstance(value, list | tuple | Mapping)):
        equal = _is_none(name) if value is None else _is_whole(name, value)
        return equal if operator == "$eq" else _not(equal)
    if operator == "$not" and isinstance(value, Mapping):
        return _not(_field(name, value))
    return _from_tree(filters.parse({name: {operator: value}}))


def _is_none(name: str) -> ItemFilter:
    """As in LangGraph: the field is None, or is not there. A search index has no column for it either way."""
    return ItemFilter(
        Filters.exists(name, expected=False),
        lambda value: ValueFields(value).get(name) is None,
        fields=frozenset({name}),
    )


def _is_list(name: str, elements: Sequence[Any]) -> ItemFilter:
    """As in LangGraph: a list of the same length, each element of which fits."""
    each = [_field(_ELEMENT, element) for element in elements]
    _check_no_words(each, f"a list that {name!r} equals")

    def check(value: Mapping[str, Any]) -> bool:
        found = ValueFields(value).get(name)
        return (
            isinstance(found, list | tuple)
            and len(found) == len(each)
            and all(wanted.check({_ELEMENT: item}) for wanted, item in zip(each, found, strict=True))
        )

    # Searches know what a list holds, not in which order.
    known = [element for element in elements if isinstance(element, str | int | float)]
    tree = Filters.contains_all(name, known) if known else Filters.all()
    return ItemFilter(tree, check, is_exact=False, fields=frozenset({name}))


def _is_whole(name: str, whole: Any) -> ItemFilter:
    """The field equals a list or a dict, in all its depth."""
    _check_plain(name, whole)

    def check(value: Mapping[str, Any]) -> bool:
        fields = ValueFields(value)
        return name in fields and _is_equal(fields[name], whole)

    return ItemFilter(Filters.all(), check, is_exact=False, fields=frozenset({name}))


def _check_plain(name: str, wanted: Any) -> None:
    """Refuse what no value is compared with."""
    if isinstance(wanted, Mapping):
        for item in wanted.values():
            _check_plain(name, item)
    elif isinstance(wanted, list | tuple):
        for item in wanted:
            _check_plain(name, item)
    else:
        filters.parse({name: {"$eq": wanted}})


def _is_equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == wanted.keys()
            and all(_is_equal(found[key], item) for key, item in wanted.items())
        )
    if isinstance(wanted, list | tuple):
        return isinstance(found, list | tuple) and len(found) == len(wanted) and all(map(_is_equal, found, wanted))
    return filters.matches(Filters.eq(_ELEMENT, wanted), {_ELEMENT: found})


def _has(name: str, wanted: Mapping[Any, Any]) -> ItemFilter:
    """As in LangGraph: the field is a dict that has what is named, and perhaps more."""
    for key in wanted:
        if not isinstance(key, str):
            raise FilterError(f"a filter's field name in {name!r} is of type {type(key).__name__}; it is a str.")
    inner = _all_of([_field(key, operand) for key, operand in wanted.items()])

    def check(value: Mapping[str, Any]) -> bool:
        found = ValueFields(value).get(name)
        return isinstance(found, Mapping) and inner.check(found)

    def name_of(field: str) -> str:
        return f"{name}{_SEPARATOR}{field}"

    return ItemFilter(
        filters.renamed(inner.tree, name_of), check, False, frozenset(map(name_of, inner.fields)), inner.needs_search
    )


def _all_of(parts: Sequence[ItemFilter]) -> ItemFilter:
    if len(parts) == 1:
        return parts[0]
    trees = [part.tree for part in parts if part.tree != Filters.all()]
    tree = Filters.all() if not trees else trees[0] if len(trees) == 1 else Filters.logical_and(trees)
    checks = [part.check for part in parts]
    return ItemFilter(tree, lambda value: all(check(value) for check in checks), *_common(parts))


def _any_of(parts: Sequence[ItemFilter]) -> ItemFilter:
    if not all(part.is_exact for part in parts):
        _check_no_words(parts, "$or beside whole lists or nested dicts")
    trees = [part.tree for part in parts]
    checks = [part.check for part in parts]
    return ItemFilter(Filters.logical_or(trees), lambda value: any(check(value) for check in checks), *_common(parts))


def _not(part: ItemFilter) -> ItemFilter:
    if part.is_exact:
        check = _passes if part.needs_search else lambda value: not part.check(value)
        return ItemFilter(Filters.logical_not([part.tree]), check, *_common([part]))
    _check_no_words([part], "$not of whole lists or nested dicts")
    # The negation of what passes more passes less.
    return ItemFilter(Filters.all(), lambda value: not part.check(value), *_common([part]))


def _check_no_words(parts: Sequence[ItemFilter], where: str) -> None:
    """Refuse words where neither the index, which knows them, nor the table has the answer alone."""
    if any(part.needs_search for part in parts):
        raise FilterError(
            f"$text and $phrase cannot stand in {where}. Put them beside it, and name what is nested with periods."
        )


def _common(parts: Sequence[ItemFilter]) -> tuple[bool, frozenset[str], bool]:
    return (
        all(part.is_exact for part in parts),
        frozenset().union(*(part.fields for part in parts)),
        any(part.needs_search for part in parts),
    )
