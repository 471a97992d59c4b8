"""Search requests: the one program under every search, and its pages."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import tablestore
from tablestore import (
    ColumnReturnType,
    ColumnsToGet,
    FieldSort,
    PrimaryKeySort,
    ScoreSort,
    SearchQuery,
    Sort,
    SortOrder,
)

from langchain_tablestore_memory.core.cursors import decode_cursor, encode_cursor
from langchain_tablestore_memory.core.programs import Call, Program
from langchain_tablestore_memory.core.ranges import StoredRow
from langchain_tablestore_memory.core.search_index import SearchIndex
from langchain_tablestore_memory.errors import CursorError, FilterError, InvalidArgumentError
from langchain_tablestore_memory.filters import FieldType

T = TypeVar("T")

MAX_ROWS = 100
"""Rows of one search that returns columns of the table (limits of the service)."""

MAX_KEYS = 1000
"""Rows of one search that returns keys alone, or columns that the index has."""

BY_SCORE = Sort([ScoreSort(SortOrder.DESC)])
"""Best first."""

_SORTABLE = {FieldType.KEYWORD, FieldType.LONG, FieldType.DOUBLE, FieldType.BOOLEAN}


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that a search found.

    Attributes:
        row: Its key and the columns that were asked for.
        score: Its score, where the search was sorted by score.
    """

    row: StoredRow
    score: float | None


@dataclass(frozen=True, slots=True)
class Hits:
    """What one search request found.

    Attributes:
        hits: The rows.
        token: Where the next request begins; None at the end.
        total: How many rows match, where that was asked; else -1.
    """

    hits: Sequence[Hit]
    token: bytes | None = None
    total: int = -1


@dataclass(frozen=True, slots=True)
class Search:
    """What to search for, page by page.

    Attributes:
        index: Where.
        query: The query.
        sort: The order; that of the primary key by default.
        columns: The columns to return; keys alone where empty, all where None.
        routing: The partition keys to ask alone, each a list of key columns; all where empty.
    """

    index: SearchIndex
    query: tablestore.Query
    sort: Sort | None = None
    columns: Sequence[str] | None = ()
    routing: Sequence[Sequence[tuple[str, Any]]] = ()

    @property
    def most(self) -> int:
        """Rows of one request at the most."""
        indexed = self.columns is not None and all(self._has(column) for column in self.columns)
        return MAX_KEYS if indexed else MAX_ROWS

    def _has(self, column: str) -> bool:
        """Whether the index alone can answer with a column. Lists come from the table."""
        kind = self.index.fields.get(column)
        return kind is not None and not kind.is_list and kind.type is not FieldType.VECTOR

    def request(self, limit: int, token: bytes | None = None, *, total: bool = False) -> Program[Hits]:
        """Send one request.

        Args:
            limit: How many rows; 0 to count only.
            token: Where to begin.
            total: Whether to count all rows that match.
        """
        # A token carries the order of the search that it came from.
        query = SearchQuery(
            self.query, sort=None if token else self.sort, limit=limit, next_token=token, get_total_count=total
        )
        if self.columns is None:
            columns = ColumnsToGet(return_type=ColumnReturnType.ALL)
        elif self.columns:
            columns = ColumnsToGet(list(self.columns), ColumnReturnType.SPECIFIED)
        else:
            columns = ColumnsToGet(return_type=ColumnReturnType.NONE)
        routing = [list(key) for key in self.routing] or None
        answer = yield Call("search", self.index.table, self.index.name, query, columns, routing)
        scores = [hit.score for hit in answer.search_hits] or [None] * len(answer.rows)
        hits = [
            Hit(StoredRow(dict(key), {column[0]: column[1] for column in attributes or ()}), _score(score))
            for (key, attributes), score in zip(answer.rows, scores, strict=True)
        ]
        return Hits(hits, answer.next_token or None, answer.total_count)

    def collect(self, limit: int, token: bytes | None = None, *, least_score: float | None = None) -> Program[Hits]:
        """Read up to `limit` rows, in as few requests as the service allows.

        Args:
            limit: How many rows.
            token: Where to begin.
            least_score: Where to stop, in a search that is sorted by score.
        """
        hits: list[Hit] = []
        while True:
            found = yield from self.request(min(self.most, limit - len(hits)), token)
            token = found.token
            for hit in found.hits:
                if least_score is not None and (hit.score is None or hit.score < least_score):
                    return Hits(hits)
                hits.append(hit)
            if token is None or len(hits) >= limit:
                return Hits(hits, token)


class SearchPages(Generic[T]):
    """All rows of a search, each page turned into what is wanted. Begins with the first `fetch`.

    Args:
        prepare: Runs a program with the search index as it exists, which is made where it is missing.
        begin: The search in that index.
        finish: Turns the hits of one request into what is wanted.
        limit: How many at the most; all by default.
    """

    def __init__(
        self,
        prepare: Callable[[Callable[[SearchIndex], Program[Sequence[T]]]], Program[Sequence[T]]],
        begin: Callable[[SearchIndex], Search],
        finish: Callable[[Sequence[Hit]], Program[Sequence[T]]],
        limit: int | None = None,
    ) -> None:
        self._prepare = prepare
        self._begin = begin
        self._finish = finish
        self._remaining = limit
        self._token: bytes | None = None
        self._finished = limit == 0

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._finished

    def fetch(self) -> Program[Sequence[T]]:
        """Read the next page."""
        return (yield from self._prepare(self._fetch))

    def _fetch(self, index: SearchIndex) -> Program[Sequence[T]]:
        search = self._begin(index)
        limit = search.most if self._remaining is None else min(search.most, self._remaining)
        found = yield from search.request(limit, self._token)
        items = yield from self._finish(found.hits)
        self._token = found.token
        if self._remaining is not None:
            self._remaining -= len(found.hits)
        self._finished = found.token is None or self._remaining == 0
        return items


def in_order(index: SearchIndex, order_by: Sequence[str], *, key: str) -> Sort | None:
    """The order by fields of an index, a minus in front for descending; None for that of the primary key.

    Args:
        index: The index.
        order_by: The fields.
        key: The field that is the table's first key column.

    Raises:
        FilterError: A field is not there, or cannot be sorted by; lists what can.
    """
    if isinstance(order_by, str):
        raise InvalidArgumentError(f"order_by is a str. Give a list: [{order_by!r}].")
    if not all(isinstance(entry, str) for entry in order_by):
        raise InvalidArgumentError('order_by holds something that is no str. Give names of fields: ["-year", "title"].')
    sorters = []
    for entry in order_by:
        name, order = (entry[1:], SortOrder.DESC) if entry.startswith("-") else (entry, SortOrder.ASC)
        if name == key:
            sorters.append(PrimaryKeySort(order))
            continue
        kind = index.fields.get(name)
        if kind is None or kind.type not in _SORTABLE:
            sortable = sorted({name for name, kind in index.fields.items() if kind.type in _SORTABLE})
            raise FilterError(f"Searches cannot be sorted by {name!r}. There are: {', '.join(sortable)}.")
        sorters.append(FieldSort(name, order))
    return Sort(sorters) if sorters else None


def encode_token(scope: Sequence[str], token: bytes | None) -> str | None:
    """The cursor for the page that begins at a token; None for none."""
    return None if token is None else encode_cursor(scope, [base64.b64encode(token).decode("ascii")])


def decode_token(cursor: str | None, scope: Sequence[str]) -> bytes | None:
    """The token in a cursor that `encode_token` made for the same search.

    Raises:
        CursorError: It is malformed, or was made for another search.
    """
    if cursor is None:
        return None
    (token,) = decode_cursor(cursor, scope, (str,))
    try:
        return base64.b64decode(str(token), validate=True)
    except binascii.Error:
        raise CursorError("The cursor was changed. Give the one that came with the page before, unchanged.") from None


def conjunction(queries: Sequence[tablestore.Query]) -> tablestore.Query | None:
    """The query that all of these match, without a score; None for no condition."""
    if not queries:
        return None
    return queries[0] if len(queries) == 1 else tablestore.BoolQuery(filter_queries=list(queries))


def _score(score: Any) -> float | None:
    """A score; searches that are not sorted by score say NaN."""
    return None if score is None or math.isnan(score) else float(score)


def scope_of(parts: Mapping[str, Any]) -> list[str]:
    """What a cursor is bound to: names and values, in order."""
    return [f"{name}={value!r}" for name, value in parts.items()]
