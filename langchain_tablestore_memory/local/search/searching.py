"""One Search: find, order, cut out the page, and read the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from langchain_tablestore_memory.local.errors import parameter_invalid
from langchain_tablestore_memory.local.messages import search

from .definitions import unsupported
from .ordering import DOC_BITS, Order, Place, Value, decode_token, encode_token, make_order
from .queries import Compiler
from .run import Condition, join, to_json

if TYPE_CHECKING:
    from .definitions import SearchIndex
    from .queries import Query
    from .run import Run

DEFAULT_LIMIT: Final = 10
MAX_WINDOW: Final = 100_000
_UNSUPPORTED_PARTS: Final = {
    "collapse": "collapse",
    "aggs": "aggregations",
    "group_bys": "group-by",
    "highlight": "highlight",
}


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A checked search.

    Attributes:
        index: The index.
        query: What to find.
        order: In which order.
        place: After which result the page begins, None for the first one.
        offset: How many results to pass over.
        limit: How many results to return.
        counts: Whether to count all results.
    """

    index: SearchIndex
    query: Query
    order: Order
    place: Place | None
    offset: int
    limit: int
    counts: bool


class Hit(NamedTuple):
    """One result: its encoded primary key and its score, NaN where none was asked for."""

    key: bytes
    score: float


class Results(NamedTuple):
    """A page of results, the number of all (-1 where it was not asked for), and the token of the next page."""

    hits: list[Hit]
    total: int
    token: bytes


def plan_search(message: Any, index: SearchIndex) -> SearchPlan:
    """Check a search.

    Args:
        message: The ``SearchQuery`` message.
        index: The index.

    Returns:
        What is to be done.

    Raises:
        RequestError: ``OTSParameterInvalid``, naming what is wrong.
    """
    for name, part in _UNSUPPORTED_PARTS.items():
        if message.HasField(name):
            raise unsupported(part)
    if not message.HasField("query"):
        raise parameter_invalid("[query] must not be null")
    limit = message.limit if message.HasField("limit") else DEFAULT_LIMIT
    offset = message.offset
    if limit < 0 or offset < 0:
        raise parameter_invalid(
            f"limit and offset must not be less than 0, current offset is {offset}, limit is {limit}"
        )
    if limit + offset > MAX_WINDOW:
        raise parameter_invalid(
            f"Parameter limit + offset must be less than {MAX_WINDOW}, current offset is {offset}, limit is {limit}"
        )
    place = decode_token(index, message.token) if message.token else None
    if place is not None and offset:
        raise parameter_invalid("[next_token] and [offset] cannot be given at the same time")
    sort = message.sort if message.sort.sorter else index.sort()
    order = make_order(sort if place is None else place.sort, index, index.store)
    if place is not None and len(place.values) != len(order.terms):
        raise parameter_invalid("[next_token] is not one of this service's")
    compiler = Compiler(index)
    query = compiler.compile(message.query)
    counts = message.get_total_count and not compiler.has_vectors
    return SearchPlan(index, query, order, place, offset, limit, counts)


def carry_out(plan: SearchPlan, run: Run) -> Results:
    """Find the results of a search.

    Args:
        plan: The search.
        run: The state of the index.

    Returns:
        The page.
    """
    if plan.order.needs_scores and plan.limit:
        return _search_scored(plan, run)
    return _search_plain(plan, run)


def _search_plain(plan: SearchPlan, run: Run) -> Results:
    found = run.where(plan.query.condition(run))
    docs = run.store.docs
    total = -1
    if plan.counts:
        total = run.connection.execute(f"SELECT count(*) FROM {docs} d WHERE {found.sql}", found.params).fetchone()[0]  # noqa: S608
    if not plan.limit:
        return Results([], total, b"")
    if plan.place is not None:
        found = join([found, plan.order.after(plan.place.values)], "AND")
    page = _page(plan, run, f"{docs} d", found, plan.place)
    hits = [Hit(row[0], float("nan")) for row in page]
    return Results(hits, total, _token(plan, page, None))


def _search_scored(plan: SearchPlan, run: Run) -> Results:
    scores = plan.query.scores(run)
    total = len(scores.docs) if plan.counts else -1
    terms = plan.order.terms
    at = next(number for number, term in enumerate(terms) if term.is_score)
    # Rising, whichever way scores are ordered.
    costs = scores.values if terms[at].descending else -scores.values
    passed = None if plan.place is None else _cost(plan.place.values[at], ascending=terms[at].descending)
    chosen = _candidates(costs, plan, passed) if at == 0 else np.arange(len(costs))
    levels, ranks = np.unique(costs[chosen], return_inverse=True)
    numbers = ranks.astype(np.int64) << DOC_BITS | scores.docs[chosen]
    place = plan.place
    if place is not None and passed is not None:
        place = Place(place.sort, [*place.values[:at], _rank(levels, passed), *place.values[at + 1 :]])
    ranked = plan.order._replace(
        terms=tuple(term._replace(descending=False) if term.is_score else term for term in terms)
    )
    where = Condition("1") if place is None else ranked.after(place.values)
    source = f"json_each(?) s CROSS JOIN {run.store.docs} d ON d.doc = (s.value & {(1 << DOC_BITS) - 1})"
    page = _page(plan, run, source, Condition(where.sql, (to_json(numbers), *where.params)), place, ranked)
    sign = 1.0 if terms[at].descending else -1.0
    hits = [Hit(row[0], sign * float(levels[row[1 + at]])) for row in page]
    return Results(hits, total, _token(plan, page, (at, hits[-1].score if hits else 0.0)))


def _candidates(costs: np.ndarray[Any, Any], plan: SearchPlan, passed: float | None) -> np.ndarray[Any, Any]:
    """Choose the documents among which the page must be, when they are ordered by score first."""
    wanted = plan.offset + plan.limit
    chosen = np.arange(len(costs))
    if passed is not None:
        chosen = np.flatnonzero(costs >= passed)
        wanted += int(np.count_nonzero(costs == passed))
    if len(chosen) <= wanted:
        return chosen
    left = costs[chosen]
    best: np.ndarray[Any, Any] = chosen[left <= np.partition(left, wanted - 1)[wanted - 1]]
    return best


def _cost(value: Value, *, ascending: bool) -> float:
    if not isinstance(value, int | float):
        raise parameter_invalid("[next_token] is not one of this service's")
    return float(value) if ascending else -float(value)


def _rank(levels: np.ndarray[Any, Any], cost: float) -> float:
    """The rank of a score, or one between two ranks where no document has this score any more."""
    rank = int(np.searchsorted(levels, cost))
    return rank if rank < len(levels) and levels[rank] == cost else rank - 0.5


def _page(
    plan: SearchPlan, run: Run, source: str, found: Condition, place: Place | None, order: Order | None = None
) -> list[tuple[Any, ...]]:
    """Read the keys of the page's documents, each followed by the values that it is ordered by."""
    order = order or plan.order
    columns = ", ".join(["d.key", *(term.sql for term in order.terms)])
    return run.connection.execute(
        f"SELECT {columns} FROM {source} WHERE {found.sql} ORDER BY {order.sql} LIMIT ? OFFSET ?",  # noqa: S608
        (*found.params, plan.limit, 0 if place is not None else plan.offset),
    ).fetchall()


def _token(plan: SearchPlan, page: list[tuple[Any, ...]], score: tuple[int, float] | None) -> bytes:
    """Make the token of the next page: there is one if this page is full, even where nothing follows."""
    if len(page) < plan.limit:
        return b""
    values = list(page[-1][1:])
    if score is not None:
        values[score[0]] = score[1]
    return encode_token(plan.index, Place(plan.order.message, values))


def encode_hits(answer: Any, results: Results, rows: list[bytes]) -> None:
    """Fill an answer with results and their rows.

    Args:
        answer: The ``SearchResponse`` message.
        results: The results.
        rows: The row of each, in PlainBuffer with a header.
    """
    answer.total_hits = results.total
    answer.is_all_succeed = True
    for hit, row in zip(results.hits, rows, strict=True):
        answer.rows.append(row)
        answer.search_hits.add().score = hit.score
    answer.next_token = results.token


def make_projection(message: Any, index: SearchIndex, key_names: frozenset[bytes]) -> Projection:
    """Read which columns are to be returned.

    Args:
        message: The ``ColumnsToGet`` message.
        index: The index.
        key_names: The names of the table's primary key columns.

    Returns:
        What to keep of each row.
    """
    kind = message.return_type if message.HasField("return_type") else search.RETURN_NONE
    indexed = frozenset(field.column for field in index.fields.values() if not field.is_virtual)
    if kind == search.RETURN_ALL:
        return Projection(None, from_index=False)
    if kind == search.RETURN_ALL_FROM_INDEX:
        return Projection(indexed, from_index=True)
    if kind == search.RETURN_SPECIFIED:
        names = frozenset(name.encode() for name in message.column_names)
        return Projection(names, from_index=names - key_names <= indexed)
    return Projection(frozenset(), from_index=True)


class Projection(NamedTuple):
    """Which columns to return: their names, None for all; and whether the index alone could answer."""

    names: frozenset[bytes] | None
    from_index: bool
