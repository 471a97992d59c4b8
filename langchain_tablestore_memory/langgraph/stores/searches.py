"""Searches of items: by meaning, by words, or by both.

The search index of the service is a moment behind the table. So what a search finds is read from the table, and counts
only if the item is still from the put that was found: it was not deleted, has not expired, and was not put anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import tablestore
from tablestore import BoolQuery, FieldSort, KnnVectorQuery, MatchQuery, Sort, SortOrder, TermQuery, TermsQuery

from langchain_tablestore_memory.core.hybrid import MAX_FETCH, HybridSettings, fuse
from langchain_tablestore_memory.core.memories import words_of
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.search import BY_SCORE, Hit, Search, conjunction
from langchain_tablestore_memory.core.search_index import SearchIndex
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.filters.search import MAX_TERMS, check_text
from langchain_tablestore_memory.langgraph.stores.filters import ItemFilter
from langchain_tablestore_memory.langgraph.stores.index import ItemIndex
from langchain_tablestore_memory.langgraph.stores.items import (
    CREATED,
    EMBEDDING,
    PUT,
    TEXT,
    VECTORS,
    Identity,
    StoredItem,
    identity_of,
    put_of_row,
)
from langchain_tablestore_memory.langgraph.stores.namespaces import Namespace
from langchain_tablestore_memory.langgraph.stores.table import ItemTable

SearchType = Literal["similarity", "full_text", "hybrid"]

_SPARE = 10
"""Hits beyond those that are needed, for those that do not count any more."""

_GROWTH = 4


@dataclass(frozen=True, slots=True)
class ItemQuery:
    """What to search for.

    Attributes:
        prefix: What the namespaces of items begin with.
        wanted: Which values; None for all.
        offset: How many items to pass over.
        limit: How many at the most.
        text: What to search for; None for everything, in order.
        search_type: How.
        hybrid: How a hybrid search combines the two.
        refresh: Whether what is found lasts from now on.
    """

    prefix: Namespace
    wanted: ItemFilter | None
    offset: int
    limit: int
    text: str | None = None
    search_type: SearchType = "similarity"
    hybrid: HybridSettings | None = None
    refresh: bool = True

    @property
    def needs_vector(self) -> bool:
        """Whether the text has to be embedded."""
        return self.text is not None and self.search_type != "full_text"

    @property
    def last(self) -> int:
        """How many items there are up to the end of the page."""
        return self.offset + self.limit

    def check(self) -> None:
        """Refuse what no search can answer.

        Raises:
            InvalidArgumentError: There are no words to search for, or the page lies beyond what a hybrid search ranks.
        """
        if self.text is None:
            return
        if self.search_type != "similarity":
            check_text(words_of(self.text), "query")
        if self.search_type == "hybrid" and self.last > MAX_FETCH:
            raise InvalidArgumentError(
                f"offset and limit are {self.last} together. A hybrid search ranks {MAX_FETCH} items at most."
            )


class Found(NamedTuple):
    """An item that was found, and its score."""

    item: StoredItem
    score: float | None


class _Candidate(NamedTuple):
    """What a search has found: an item, as a put left it."""

    identity: Identity
    put_id: str


Ranking = Mapping[_Candidate, float]
"""Candidates with their scores, best first."""


def check_search_type(search_type: Any, *, by_meaning: bool) -> SearchType:
    """How to search.

    Args:
        search_type: What was asked for; None for the default.
        by_meaning: Whether there is an embedding model.

    Raises:
        InvalidArgumentError: There is no such search, or it needs an embedding model.
    """
    if search_type is None:
        return "similarity" if by_meaning else "full_text"
    if search_type not in get_args(SearchType):
        allowed = ", ".join(map(repr, get_args(SearchType)))
        raise InvalidArgumentError(f"search_type is {search_type!r}. Give one of {allowed}.")
    if search_type != "full_text" and not by_meaning:
        raise InvalidArgumentError(
            f'search_type {search_type!r} needs an embedding model, and this store has none. Give one as index["embed"]'
            ", or search by 'full_text'."
        )
    return search_type  # type: ignore[no-any-return]


class ItemSearches:
    """Searches of one store.

    Args:
        table: The store table.
        index: Its search index.
    """

    def __init__(self, table: ItemTable, index: ItemIndex) -> None:
        self.table = table
        self.index = index

    def find(self, query: ItemQuery, vector: Any, *, expired_at: int | None) -> Program[list[Found]]:
        """One page of what is found, best first.

        Args:
            query: What to search for.
            vector: Its text as a vector, where that is needed.
            expired_at: The time at which expired items are left out.
        """
        if not query.limit or not self.index.has_below(query.prefix):
            return []

        def find(index: SearchIndex) -> Program[list[Found]]:
            search = _Finding(self.table, index, query, vector, self._condition(query, expired_at), expired_at)
            return (yield from search.page())

        return (yield from self.index.prepared(find))

    def _condition(self, query: ItemQuery, expired_at: int | None) -> tablestore.Query | None:
        return self.index.condition(query.prefix, query.wanted, expired_at)


@dataclass(slots=True)
class _Finding:
    """One search, while it is made."""

    table: ItemTable
    index: SearchIndex
    query: ItemQuery
    vector: Any
    condition: tablestore.Query | None
    expired_at: int | None

    def page(self) -> Program[list[Found]]:
        match self.query.search_type:
            case "full_text":
                found, _ = yield from self._counting(self._by_words, self.query.last)
            case "hybrid":
                found, _ = yield from self._counting(self._by_both, self.query.last)
            case "similarity":
                found, finished = yield from self._counting(self._by_meaning, self.query.last)
                if finished and len(found) < self.query.last:
                    # As in LangGraph, what has no vector comes after what has.
                    rest, _ = yield from self._counting(self._without_vector, self.query.last - len(found))
                    # Between the two, somebody may have put an item anew, without a vector.
                    known = {item.identity for item, _ in found}
                    found += [Found(item, None) for item, _ in rest if item.identity not in known]
        return found[self.query.offset : self.query.last]

    def _counting(
        self, rank: Callable[[int], Program[tuple[Ranking, bool]]], needed: int
    ) -> Program[tuple[list[Found], bool]]:
        """The best that count, read from the table. Asks for more where too few of those that were found do.

        Args:
            rank: Ranks a number of candidates, and says whether there are no more.
            needed: How many are needed.

        Returns:
            What was found, and whether there is no more.
        """
        known: dict[Identity, StoredItem] = {}
        asked: set[Identity] = set()
        number = needed + _SPARE
        while True:
            ranking, finished = yield from rank(number)
            found: list[Found] = []
            candidates = list(ranking.items())
            while candidates and len(found) < needed:
                some = candidates[: needed - len(found)]
                del candidates[: len(some)]
                unread = {candidate.identity for candidate, _ in some} - asked
                known |= yield from self.table.read(sorted(unread))
                asked |= unread
                found += [
                    Found(item, score)
                    for candidate, score in some
                    if (item := known.get(candidate.identity)) is not None and self._counts(item, candidate)
                ]
            if finished or len(found) >= needed:
                return found, finished
            number *= _GROWTH

    def _counts(self, item: StoredItem, candidate: _Candidate) -> bool:
        if item.put_id != candidate.put_id:
            return False
        if self.expired_at is not None and item.expires_at is not None and item.expires_at <= self.expired_at:
            return False
        return self.query.wanted is None or self.query.wanted.check(item.value)

    # Ranking

    def _by_meaning(self, number: int) -> Program[tuple[Ranking, bool]]:
        """The items nearest to the vector. Of an item with several vectors, the best counts."""
        ranking: dict[_Candidate, float] = {}
        top_k = min(number, MAX_FETCH)
        passed: Sequence[str] = ()
        while True:
            hits = yield from self._hits(self._nearest(top_k, passed), top_k, BY_SCORE)
            ranking = {**ranking, **_ranking(hits, _cosine)}
            finished = len(hits) < top_k
            if finished or len(ranking) >= number:
                return ranking, finished
            if top_k == MAX_FETCH:
                # The service finds no more at once. What was found, perhaps one item with very many vectors, is passed.
                passed = [candidate.put_id for candidate in ranking]
            top_k = min(_GROWTH * top_k, MAX_FETCH)

    def _nearest(self, top_k: int, passed: Sequence[str]) -> tablestore.Query:
        """The query for the nearest vectors, without those of some puts."""
        condition = self.condition
        if passed:
            groups = [list(passed[start : start + MAX_TERMS]) for start in range(0, len(passed), MAX_TERMS)]
            others = BoolQuery(must_not_queries=[TermsQuery(PUT, group) for group in groups])
            condition = conjunction([others, *([] if condition is None else [condition])])
        return KnnVectorQuery(EMBEDDING, top_k=top_k, float32_query_vector=self.vector.tolist(), filter=condition)

    def _by_words(self, number: int) -> Program[tuple[Ranking, bool]]:
        """The items with the most, and the rarest, of the words (BM25)."""
        query = MatchQuery(TEXT, words_of(self.query.text or ""))
        if self.condition is not None:
            query = BoolQuery(must_queries=[query], filter_queries=[self.condition])
        hits = yield from self._hits(query, number, BY_SCORE)
        return _ranking(hits, float), len(hits) < number

    def _by_both(self, number: int) -> Program[tuple[Ranking, bool]]:
        settings = self.query.hybrid or HybridSettings()
        vector_k, text_k = settings.fetches(min(number, MAX_FETCH))
        (by_meaning, no_more_vectors), (by_words, no_more_words) = yield Together(
            [
                self._by_meaning(vector_k) if settings.vector_weight else _nothing(),
                self._by_words(text_k) if settings.text_weight else _nothing(),
            ]
        )
        # More is asked for only where the settings leave open how much.
        finished = (no_more_vectors or vector_k in {settings.vector_fetch_k, MAX_FETCH}) and (
            no_more_words or text_k in {settings.text_fetch_k, MAX_FETCH}
        )
        return dict(fuse(settings, _first(by_meaning, vector_k), _first(by_words, text_k))), finished

    def _without_vector(self, number: int) -> Program[tuple[Ranking, bool]]:
        """Items that have no vector, in the order in which they were made."""
        conditions = [TermQuery(VECTORS, 0), *([] if self.condition is None else [self.condition])]
        hits = yield from self._hits(
            BoolQuery(filter_queries=conditions), number, Sort([FieldSort(CREATED, SortOrder.ASC)])
        )
        return _ranking(hits, float), len(hits) < number

    def _hits(self, query: tablestore.Query, number: int, sort: Sort) -> Program[Sequence[Hit]]:
        return (yield from Search(self.index, query, sort, (PUT,)).collect(number)).hits


def _ranking(hits: Sequence[Hit], score: Callable[[float], float]) -> Ranking:
    ranking: dict[_Candidate, float] = {}
    for hit in hits:
        ranking.setdefault(_Candidate(identity_of(hit.row), put_of_row(hit.row)), score(hit.score or 0.0))
    return ranking


def _cosine(score: float) -> float:
    """The cosine, as LangGraph's stores give it, for a score of the service."""
    return max(-1.0, min(1.0, 2 * score - 1))


def _first(ranking: Ranking, number: int) -> Ranking:
    return dict(list(ranking.items())[:number])


def _nothing() -> Program[tuple[Ranking, bool]]:
    yield from ()
    return {}, True
