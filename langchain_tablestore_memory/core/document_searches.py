"""Searches of the knowledge table: whose documents, which, by what, and what of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np
import tablestore
from tablestore import KnnVectorQuery, MatchPhraseQuery, MatchQuery, QueryOperator, TermQuery, TermsQuery

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.core.document_rows import DocumentTable
from langchain_tablestore_memory.core.documents import Document, DocumentHit
from langchain_tablestore_memory.core.hybrid import HybridSettings, fuse
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.ranges import KeyColumns, StoredRow, read_rows
from langchain_tablestore_memory.core.records import Page
from langchain_tablestore_memory.core.search import (
    BY_SCORE,
    Hit,
    Hits,
    Search,
    SearchPages,
    conjunction,
    decode_token,
    encode_token,
    in_order,
    scope_of,
)
from langchain_tablestore_memory.core.search_index import SearchIndex, SearchIndexSchema, with_search_index
from langchain_tablestore_memory.core.vectors import check_vector
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.filters.search import MAX_TERMS, check_text

T = TypeVar("T")
K = TypeVar("K")

Tenants = str | Sequence[str] | None
"""Whose documents: one tenant, several, or None where the store has none."""

TextOperator = Literal["or", "and"]

MAX_LIMIT = 1000
"""Documents on a page, and the top k of a vector search (limits of the service)."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What of the documents to return.

    Attributes:
        names: Metadata, the text field and the embedding field by name; by default the text and all metadata.
        include_embedding: Whether to return embeddings.
    """

    names: Sequence[str] | None = None
    include_embedding: bool = False

    def __post_init__(self) -> None:
        names = () if self.names is None else self.names
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise InvalidArgumentError('meta_data_to_get is no list of str. Give names: ["year", "title"].')


class Scored(Protocol):
    """Something that documents are scored by."""

    def query(self, index: SearchIndex, condition: tablestore.Query | None) -> tablestore.Query:
        """The query, for the documents that fulfil a condition."""
        ...

    def describe(self) -> str:
        """What cursors are bound to."""
        ...


@dataclass(frozen=True, slots=True)
class ByText:
    """Scored by words."""

    field: str
    text: str
    operator: TextOperator = "or"
    phrase: bool = False

    def query(self, _: SearchIndex, condition: tablestore.Query | None) -> tablestore.Query:
        """The query, for the documents that fulfil a condition."""
        words = (
            MatchPhraseQuery(self.field, self.text)
            if self.phrase
            else MatchQuery(
                self.field, self.text, operator=QueryOperator.AND if self.operator == "and" else QueryOperator.OR
            )
        )
        if condition is None:
            return words
        # A filter clause adds nothing to the score.
        return tablestore.BoolQuery(must_queries=[words], filter_queries=[condition])

    def describe(self) -> str:
        """What cursors are bound to."""
        return repr(self)


@dataclass(frozen=True, slots=True)
class ByVector:
    """Scored by nearness to a vector."""

    documents: DocumentTable
    vector: Any
    top_k: int
    min_score: float | None = None

    def query(self, index: SearchIndex, condition: tablestore.Query | None) -> tablestore.Query:
        """The query, for the documents that fulfil a condition."""
        dimension = self.documents.space(index).dimension
        vector = check_vector(self.vector, dimension=dimension, what="The query vector")
        return KnnVectorQuery(
            self.documents.embedding_field,
            top_k=self.top_k,
            float32_query_vector=vector.tolist(),
            filter=condition,
            min_score=None if self.min_score is None else _just_below(self.min_score),
        )

    def describe(self) -> str:
        """What cursors are bound to."""
        vector = check_vector(self.vector, dimension=None, what="The query vector")
        return f"{hashlib.blake2b(vector.tobytes(), digest_size=16).hexdigest()} {self.top_k} {self.min_score}"


class DocumentSearches:
    """Searches of one knowledge table.

    Args:
        connection: The connection.
        documents: The table.
        schema: Its search index, as it is wanted.
    """

    def __init__(self, connection: Connection, documents: DocumentTable, schema: SearchIndexSchema) -> None:
        self.connection = connection
        self.documents = documents
        self.schema = schema

    def with_index(self, make: Callable[[SearchIndex], Program[T]]) -> Program[T]:
        """Run a program that has to know the search index, which is made where it is missing."""
        return with_search_index(self.connection, self.schema, make)

    def prepared(self, make: Callable[[], Program[T]]) -> Program[T]:
        """Run a program that needs the table, which is made, with its index, where it is missing."""
        return self.with_index(lambda _: make())

    # What to score by

    def text_query(self, query: str, *, operator: TextOperator = "or", phrase: bool = False) -> ByText:
        """Score by words.

        Raises:
            InvalidArgumentError: The query is no text, empty or too long.
        """
        if not isinstance(query, str):
            raise InvalidArgumentError(f"query is a {type(query).__name__}. Give a str.")
        check_text(query, "query")
        if operator not in get_args(TextOperator):
            raise InvalidArgumentError(f"operator is {operator!r}. Give 'or' or 'and'.")
        return ByText(self.documents.text_field, query, operator, phrase)

    def vector_query(self, vector: Any, top_k: int, *, min_score: float | None = None) -> ByVector:
        """Score by nearness to a vector.

        Raises:
            InvalidArgumentError: It is no vector of the store's dimension, or the score is no number.
        """
        check_vector(vector, dimension=self.documents.dimension, what="The query vector")
        return ByVector(self.documents, vector, top_k, _check_score(min_score))

    # Searching

    def page(
        self,
        tenant_id: Tenants,
        metadata_filter: Any,
        *,
        limit: int,
        token: str | None,
        order_by: Sequence[str],
        columns: Columns,
    ) -> Program[Page[DocumentHit]]:
        """One page of the documents that match, in order; best first where the filter asks for text instead."""
        check_count(limit, "limit", at_most=MAX_LIMIT)
        tenants, wanted = self.documents.tenants(tenant_id), filters.parse(metadata_filter)

        def scope() -> Sequence[str]:
            return self._scope(tenants, wanted, f"by {list(order_by)}")

        start = None if token is None else decode_token(token, scope())

        def search(index: SearchIndex) -> Program[Page[DocumentHit]]:
            if filters.is_scored(wanted) and not order_by:
                scored, _ = filters.to_scored_query(self._nearest_of(tenants, wanted), index.fields)
                theirs = self._condition(index, tenants, filters.Filters.all())
                query = tablestore.BoolQuery(must_queries=[scored], filter_queries=[theirs] if theirs else [])
                order = BY_SCORE
            else:
                query = self._condition(index, tenants, wanted) or tablestore.MatchAllQuery()
                order = in_order(index, order_by, key=self.documents.id_field)
            search = self._search(index, query, tenants, columns, order)
            found = yield from search.collect(limit, start)
            hits = yield from self._hits(found.hits, columns)
            return Page(hits, None if found.token is None else encode_token(scope(), found.token))

        return self.with_index(search)

    def scored_page(
        self,
        scored: Scored,
        tenant_id: Tenants,
        metadata_filter: Any,
        *,
        limit: int,
        columns: Columns,
        token: str | None = None,
        min_score: float | None = None,
        most: int | None = None,
    ) -> Program[Page[DocumentHit]]:
        """One page of the documents that match, best first.

        Args:
            scored: What to score by.
            tenant_id: Whose.
            metadata_filter: Which.
            limit: How many on the page.
            columns: What of them.
            token: The page.
            min_score: Where to stop.
            most: How many there are over all pages. A page that reaches it is the last.
        """
        check_count(limit, "limit", at_most=MAX_LIMIT)
        if most is not None:
            # Asked for more, the service finds more.
            limit = min(limit, most)
        _check_score(min_score)
        tenants, wanted = self.documents.tenants(tenant_id), filters.parse(metadata_filter)

        def search(index: SearchIndex) -> Program[Page[DocumentHit]]:
            query = scored.query(index, self._condition(index, tenants, wanted))
            start = None if token is None else decode_token(token, scope())
            search = self._search(index, query, tenants, columns, BY_SCORE)
            found = yield from self._best(search, limit, start, least_score=min_score)
            hits = yield from self._hits(found.hits, columns)
            last = found.token is None or (most is not None and limit == most)
            return Page(hits, None if last else encode_token(scope(), found.token))

        def scope() -> Sequence[str]:
            return self._scope(tenants, wanted, scored.describe())

        return self.with_index(search)

    def hybrid_page(
        self,
        text: str,
        vector: Any,
        tenant_id: Tenants,
        metadata_filter: Any,
        *,
        limit: int,
        settings: HybridSettings | None,
        columns: Columns,
    ) -> Program[Page[DocumentHit]]:
        """The documents that match, found by words, by vector or by both, in one ranking."""
        settings = settings or HybridSettings()
        if not isinstance(settings, HybridSettings):
            raise InvalidArgumentError(f"settings is a {type(settings).__name__}. Give HybridSettings(...).")
        check_count(limit, "limit", at_most=MAX_LIMIT)
        tenants, wanted = self.documents.tenants(tenant_id), filters.parse(metadata_filter)
        vector_k, text_k = settings.fetches(limit)
        # Both are checked, also where one has no weight and is not made.
        legs: list[tuple[Scored, int, float]] = [
            (self.vector_query(vector, vector_k), vector_k, settings.vector_weight),
            (self.text_query(text), text_k, settings.text_weight),
        ]

        def search(index: SearchIndex) -> Program[Page[DocumentHit]]:
            condition = self._condition(index, tenants, wanted)
            found = yield Together(
                [
                    self._best(self._search(index, scored.query(index, condition), tenants, columns, BY_SCORE), k)
                    if weight
                    else _nothing()
                    for scored, k, weight in legs
                ]
            )
            by_vector, by_text = ({tuple(hit.row.key.values()): hit for hit in leg.hits} for leg in found)
            ranking = fuse(settings, _scores(by_vector), _scores(by_text))[:limit]
            # Most of what was found does not get this far, and is never decoded.
            rows = yield from self._completed([(by_vector.get(key) or by_text[key]).row for key, _ in ranking], columns)
            return Page(
                [
                    DocumentHit(
                        self._document(row, columns),
                        score,
                        vector_score=by_vector[key].score if key in by_vector else None,
                        text_score=by_text[key].score if key in by_text else None,
                    )
                    for (key, score), row in zip(ranking, rows, strict=True)
                    if row is not None
                ]
            )

        return self.with_index(search)

    def iterate(
        self,
        tenant_id: Tenants,
        metadata_filter: Any,
        *,
        order_by: Sequence[str],
        limit: int | None,
        columns: Columns,
    ) -> SearchPages[Document]:
        """All documents that match."""
        if limit is not None:
            check_count(limit, "limit")
        tenants, wanted = self.documents.tenants(tenant_id), filters.parse(metadata_filter)

        def begin(index: SearchIndex) -> Search:
            query = self._condition(index, tenants, wanted) or tablestore.MatchAllQuery()
            order = in_order(index, order_by, key=self.documents.id_field)
            return self._search(index, query, tenants, columns, order)

        def finish(hits: Sequence[Hit]) -> Program[Sequence[Document]]:
            return [hit.document for hit in (yield from self._hits(hits, columns))]

        return SearchPages(self.with_index, begin, finish, limit)

    def keys(self, tenant_id: Tenants, metadata_filter: Any) -> SearchPages[KeyColumns]:
        """The keys of all documents that match."""
        tenants, wanted = self.documents.tenants(tenant_id), filters.parse(metadata_filter)

        def begin(index: SearchIndex) -> Search:
            query = self._condition(index, tenants, wanted) or tablestore.MatchAllQuery()
            return Search(index, query, routing=self._routing(index, tenants))

        def finish(hits: Sequence[Hit]) -> Program[Sequence[KeyColumns]]:
            yield from ()
            return [list(hit.row.key.items()) for hit in hits]

        return SearchPages(self.with_index, begin, finish)

    def count(self, tenant_id: Tenants, metadata_filter: Any) -> Program[int]:
        """How many documents match."""
        tenants, wanted = self.documents.tenants(tenant_id), filters.parse(metadata_filter)

        def count(index: SearchIndex) -> Program[int]:
            query = self._condition(index, tenants, wanted) or tablestore.MatchAllQuery()
            found = yield from Search(index, query, routing=self._routing(index, tenants)).request(0, total=True)
            return found.total

        return self.with_index(count)

    def missing(self, keys: Sequence[KeyColumns], tenant_id: str | None) -> Callable[[], Program[int]]:
        """Makes programs that count which of these documents searches do not show."""
        ids = sorted({str(key[0][1]) for key in keys})
        groups = [ids[start : start + MAX_TERMS] for start in range(0, len(ids), MAX_TERMS)]

        def missing() -> Program[int]:
            wanted = [filters.Filters.In(self.documents.id_field, group) for group in groups]
            found = yield Together([self.count(tenant_id, group) for group in wanted])
            return len(ids) - sum(found)

        return missing

    # Below here: what searches are made of

    def _search(
        self,
        index: SearchIndex,
        query: tablestore.Query,
        tenants: Sequence[str],
        columns: Columns,
        sort: tablestore.Sort | None,
    ) -> Search:
        names = self._names(index, columns)
        return Search(index, query, sort, names, self._routing(index, tenants))

    def _names(self, index: SearchIndex, columns: Columns) -> Sequence[str]:
        """The columns that hold what is wanted."""
        documents = self.documents
        wanted = columns.names
        if wanted is None:
            return documents.columns_to_read(index, embedding=columns.include_embedding)
        own = documents.columns_to_read(
            index,
            text=documents.text_field in wanted,
            embedding=columns.include_embedding or documents.embedding_field in wanted,
        )
        return list(dict.fromkeys([*own, *wanted]))

    def _best(
        self, search: Search, limit: int, token: bytes | None = None, *, least_score: float | None = None
    ) -> Program[Hits]:
        """The first rows of a search, however many, in one ranking."""
        if limit <= search.most:
            return (yield from search.collect(limit, token, least_score=least_score))
        # Keys come in one request, and their rows together. Page by page, each page would be searched anew, and the
        # pages of a vector search may hold more than its top k (the service merges partitions).
        found = yield from replace(search, columns=()).collect(limit, token, least_score=least_score)
        keys = [list(hit.row.key.items()) for hit in found.hits]
        rows = yield from read_rows(self.documents.name, keys, columns=search.columns)
        hits = [Hit(row, hit.score) for hit, row in zip(found.hits, rows, strict=True) if row is not None]
        return Hits(hits, found.token)

    def _completed(self, rows: Sequence[StoredRow], columns: Columns) -> Program[Sequence[StoredRow | None]]:
        return rows if columns.names is not None else (yield from self.documents.complete(rows))

    def _hits(self, hits: Sequence[Hit], columns: Columns) -> Program[list[DocumentHit]]:
        rows = yield from self._completed([hit.row for hit in hits], columns)
        # A document that was deleted since is no hit.
        return [
            DocumentHit(self._document(row, columns), hit.score)
            for hit, row in zip(hits, rows, strict=True)
            if row is not None
        ]

    def _document(self, row: StoredRow, columns: Columns) -> Document:
        wanted = columns.names
        embedding = columns.include_embedding or (wanted is not None and self.documents.embedding_field in wanted)
        document = self.documents.decode(row, include_embedding=embedding)
        if wanted is not None:
            document.metadata = {name: value for name, value in document.metadata.items() if name in wanted}
        return document

    def _condition(self, index: SearchIndex, tenants: Sequence[str], wanted: filters.Filter) -> tablestore.Query | None:
        """The condition that documents fulfil; None where all do."""
        queries = []
        if tenants:
            field = self.documents.tenant_field
            queries.append(TermQuery(field, tenants[0]) if len(tenants) == 1 else TermsQuery(field, list(tenants)))
        if wanted != filters.Filters.all():
            queries.append(filters.to_query(self._nearest_of(tenants, wanted), index.fields))
        return conjunction(queries)

    def _nearest_of(self, tenants: Sequence[str], wanted: filters.Filter) -> filters.Filter:
        """The filter in which the nearest vectors are those of the tenants."""
        if not tenants or self.documents.tenant_field is None:
            return wanted
        return filters.among(wanted, filters.Filters.In(self.documents.tenant_field, tenants))

    def _routing(self, index: SearchIndex, tenants: Sequence[str]) -> Sequence[Sequence[tuple[str, Any]]]:
        field = self.documents.tenant_field
        return [[(field, tenant)] for tenant in tenants] if field is not None and index.routing == (field,) else ()

    def _scope(self, tenants: Sequence[str], wanted: filters.Filter, what: str) -> Sequence[str]:
        return scope_of({"table": self.documents.name, "tenants": tenants, "filter": wanted, "search": what})


def _nothing() -> Program[Hits]:
    yield from ()
    return Hits([])


def _scores(leg: Mapping[K, Hit]) -> Mapping[K, float]:
    return {key: hit.score or 0.0 for key, hit in leg.items()}


def _just_below(score: float) -> float:
    """A least score that leaves out nothing which is to be kept.

    The request carries float32, and whether the service keeps equal scores is not documented: the exact cut is made
    here.
    """
    return max(0.0, float(np.nextafter(np.float32(score), np.float32(-1))))


def _check_score(score: Any) -> float | None:
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float) or score != score:  # noqa: PLR0124 - NaN
        raise InvalidArgumentError(f"min_score is {score!r}. Give a number.")
    return float(score)
