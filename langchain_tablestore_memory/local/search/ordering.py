"""The order of results, and the token with which the next page begins where the last one ended.

Results are ordered by the sorters of the request, or of the index, and then by primary key, so that no two are
equal. A token holds the sorters and the place of the last result in their order: what is written between two pages
moves no other result to another page.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from google.protobuf.message import DecodeError

from langchain_tablestore_memory.local.errors import parameter_invalid
from langchain_tablestore_memory.local.messages import search

from .definitions import unsupported
from .run import Condition, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .definitions import Field, SearchIndex
    from .store import Store

Value = int | float | str | bytes | None

# Scored documents are handed to SQLite as numbers of a rank and, below it, the document.
DOC_BITS: Final = 40
RANK: Final = f"(s.value >> {DOC_BITS})"
_AGGREGATES: Final = {
    search.SORT_MODE_MIN: "min(value)",
    search.SORT_MODE_MAX: "max(value)",
    search.SORT_MODE_AVG: "sum(value * count) * 1.0 / sum(count)",
}


class Term(NamedTuple):
    """One expression to order by. That of a score is a rank, which rises whichever way the scores are ordered."""

    sql: str
    descending: bool
    is_score: bool = False


class Order(NamedTuple):
    """The order of results.

    Attributes:
        terms: The expressions to order by, the primary key among them.
        message: The ``Sort`` message.
    """

    terms: tuple[Term, ...]
    message: Any

    @property
    def needs_scores(self) -> bool:
        """Whether results are ordered by score."""
        return any(term.is_score for term in self.terms)

    @property
    def sql(self) -> str:
        """What follows ORDER BY."""
        return ", ".join(f"{term.sql} {'DESC' if term.descending else 'ASC'}" for term in self.terms)

    def after(self, values: Sequence[Value]) -> Condition:
        """The condition that a result comes after a place in this order.

        Args:
            values: The values of the terms at this place.

        Returns:
            The condition.
        """
        parts = []
        equal: list[Condition] = []
        for term, value in zip(self.terms, values, strict=True):
            beyond = Condition(f"{term.sql} {'<' if term.descending else '>'} ?", (value,))
            parts.append(join([*equal, beyond], "AND"))
            equal.append(Condition(f"{term.sql} IS ?", (value,)))
        return join(parts, "OR")


def make_order(message: Any, index: SearchIndex, store: Store) -> Order:
    """Check the sorters of a request or an index.

    Args:
        message: The ``Sort`` message.
        index: The index.
        store: Its tables.

    Returns:
        The order.

    Raises:
        RequestError: ``OTSParameterInvalid``, naming what is wrong.
    """
    terms: list[Term] = []
    has_key = False
    for sorter in message.sorter:
        if sorter.HasField("pk_sort"):
            has_key = True
            terms.append(Term("d.key", sorter.pk_sort.order == search.SORT_ORDER_DESC))
        elif sorter.HasField("field_sort"):
            terms += _field_terms(sorter.field_sort, index, store)
        elif sorter.HasField("score_sort"):
            ascending = sorter.score_sort.HasField("order") and sorter.score_sort.order == search.SORT_ORDER_ASC
            terms.append(Term(RANK, ascending, is_score=True))
        elif sorter.HasField("doc_sort"):
            terms.append(Term("d.doc", sorter.doc_sort.order == search.SORT_ORDER_DESC))
        elif sorter.HasField("geo_distance_sort"):
            raise unsupported("GeoDistanceSort")
        else:
            raise parameter_invalid("[sorter] must not be null")
    if not has_key:
        terms.append(Term("d.key", descending=False))
    return Order(tuple(terms), message)


def _field_terms(sorter: Any, index: SearchIndex, store: Store) -> list[Term]:
    """Order by a field, documents without a value last."""
    field = index.fields.get(sorter.field_name)
    if field is None:
        raise parameter_invalid(f"[field sort] field: {sorter.field_name} does not exist")
    if field.type in (search.TEXT, search.VECTOR):
        raise parameter_invalid(f"[field sort] field: {field.name} is a {field.type_name} and cannot be sorted by")
    if sorter.HasField("nested_filter"):
        raise unsupported("nested_filter of FieldSort")
    sql = _field_value(field, sorter.mode, store)
    return [Term(f"({sql} IS NULL)", descending=False), Term(sql, sorter.order == search.SORT_ORDER_DESC)]


def _field_value(field: Field, mode: int, store: Store) -> str:
    if not field.is_array:
        return f"d.{store.column(field)}"
    if field.type == search.KEYWORD and mode == search.SORT_MODE_AVG:
        raise parameter_invalid(f"[field sort] field: {field.name} is a KEYWORD and has no average")
    return f"(SELECT {_AGGREGATES[mode]} FROM {store.values} WHERE doc = d.doc AND field = {field.number})"  # noqa: S608


class Place(NamedTuple):
    """Where a page begins: after the result with these values in the order of these sorters."""

    sort: Any
    values: list[Value]


def encode_token(index: SearchIndex, place: Place) -> bytes:
    """Make a token.

    Args:
        index: The index.
        place: The place of the last result of a page.

    Returns:
        The token.
    """
    values = [{"b": base64.b64encode(value).decode()} if isinstance(value, bytes) else value for value in place.values]
    sort = base64.b64encode(place.sort.SerializeToString()).decode()
    return base64.urlsafe_b64encode(orjson.dumps({"index": index.prefix, "sort": sort, "values": values}))


def decode_token(index: SearchIndex, token: bytes) -> Place:
    """Read a token.

    Args:
        index: The index that is searched.
        token: The token.

    Returns:
        The place of the last result of the page before.

    Raises:
        RequestError: ``OTSParameterInvalid``: it is no token, or one of another index.
    """
    try:
        content = orjson.loads(base64.urlsafe_b64decode(token))
        values = [base64.b64decode(value["b"]) if isinstance(value, dict) else value for value in content["values"]]
        sort = search.Sort.FromString(base64.b64decode(content["sort"]))
        of_index = content["index"] == index.prefix
    except (ValueError, TypeError, KeyError, DecodeError):
        raise parameter_invalid("[next_token] is not one of this service's") from None
    if not of_index:
        raise parameter_invalid("[next_token] is of another search index")
    return Place(sort, values)
