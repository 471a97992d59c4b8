"""TablestoreVectorStore: LangChain's vector store over a knowledge table, searched by vector, by words or by both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from langchain_core.documents import Document
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.core.documents import DocumentHit
from langchain_tablestore_memory.core.operations import operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.records import MetadataFilter
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.vectorstore_documents import VectorStoreDocuments, refuse_options, to_langchain

if TYPE_CHECKING:
    from langchain_tablestore_memory.core.document_searches import TextOperator
    from langchain_tablestore_memory.core.hybrid import HybridSettings
    from langchain_tablestore_memory.retrievers import TablestoreRetriever

SearchType = Literal["similarity", "similarity_score_threshold", "mmr", "full_text", "hybrid"]

MAX_K = 1000
"""Documents that one search returns at the most (limits of the service)."""

Scored = list[tuple[Document, float]]


class TablestoreVectorStore(VectorStoreDocuments):
    """Documents in a knowledge table, found by meaning, by words or by both, and filtered by metadata.

    Making one sends no request and calls no model. The table and its search index are made when they are first needed,
    or by `setup`. Metadata is stored and returned exactly as given, whether declared or not; only what searches filter
    by has to be declared in `filterable`.

    On the service, searches are a few seconds behind what was written (`wait_until_searchable`); `get_by_ids` is not.

    Every call has an async twin that does not block: `aadd_documents`, `asimilarity_search`, `ahybrid_search`, ...

    Args:
        embedding: The embedding model. None for a store that is searched by words only.
        connection: What `connect` returns, an SDK client, or the default connection.
        table_name: The table.
        dimension: Numbers in an embedding. By default taken from the first vector that the model returns.
        metric: How embeddings are compared: ``"cosine"``, ``"euclidean"`` or ``"dot_product"``.
        filterable: Metadata that searches can filter by: names and types, `{"year": int, "tags": list[str]}`. Types are
            `str`, `int`, `float`, `bool`, lists of these, ``"text"`` for full text, or a `tablestore.FieldSchema`. A
            value of another type, such as ``"2024"`` where `int` is declared, is kept, and no filter finds it.
        tenant_id: Whose documents this store is about. Others' are neither found nor changed. All stores of one table
            are with tenants or without.
        search_index_name: The search index. By default the one that the table has, or `{table_name}_search_index`.
        text_field: The column of the text.
        embedding_field: The column of the embedding.
        id_field: The key column of the ids, for tables of other tools.
        tenant_field: The key column of the tenants; None for tables of other tools that have none.
        analyzer: How text is cut into words where the index has to be made; see `tablestore.AnalyzerType`.
        batch_size: Documents written at a time.
        embedding_batch_size: Texts in one call of the embedding model.
        concurrency: Calls of the embedding model in flight while documents are added, 1 to 8.
        relevance_score_fn: Turns a score of the service into a relevance between 0 and 1; see
            `similarity_search_with_relevance_scores`. By default the score itself, cut off at 0 and 1, which dot
            products of vectors that are longer than 1 exceed.

    Raises:
        ConfigurationError: Settings that contradict each other, or a field that cannot be declared.

    Example:
        ```python
        store = TablestoreVectorStore(embeddings, connection=connect("local:./data"), filterable={"year": int})
        store.add_texts(["Tea is a drink."], [{"year": 2024}], ids=["tea"])
        store.similarity_search("What do people drink?", k=3, filter={"year": {"$gte": 2020}})
        store.hybrid_search("tea", k=3)
        retriever = store.as_retriever(search_type="hybrid", k=5)
        ```
    """

    # Searching by meaning

    def _similarity_search(
        self,
        /,
        query: str,
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> Program[list[Document]]:
        """The documents nearest in meaning to a query, nearest first.

        Args:
            query: The query.
            k: How many, 1 to 1000.
            filter: Which metadata, as a dict or made with `Filters`. Among the documents that match, the nearest are
                found.
            score_threshold: Leaves out documents with lower scores.
            **kwargs: None are taken.

        Raises:
            InvalidArgumentError: `k` is out of range, or the store has no embedding model.
            FilterError: A field is not declared, or cannot be asked so; lists what can.
        """
        scored = yield from self._similarity_search_with_score(
            query, k, filter, score_threshold=score_threshold, **kwargs
        )
        return _without_scores(scored)

    similarity_search, asimilarity_search = operation(_similarity_search)

    def _similarity_search_with_score(
        self,
        /,
        query: str,
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> Program[Scored]:
        """`similarity_search` with the scores of the service; higher is nearer.

        They are (1 + cosine) / 2, 1 / (1 + squared distance), or (1 + dot product) / 2.
        """
        check_count(k, "k", at_most=MAX_K)
        vector = yield from self._knowledge.query_vector(query)
        return (
            yield from self._similarity_search_with_score_by_vector(
                vector, k, filter, score_threshold=score_threshold, **kwargs
            )
        )

    similarity_search_with_score, asimilarity_search_with_score = operation(_similarity_search_with_score)

    def _similarity_search_by_vector(
        self,
        /,
        embedding: Sequence[float],
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> Program[list[Document]]:
        """`similarity_search` for a vector."""
        scored = yield from self._similarity_search_with_score_by_vector(
            embedding, k, filter, score_threshold=score_threshold, **kwargs
        )
        return _without_scores(scored)

    similarity_search_by_vector, asimilarity_search_by_vector = operation(_similarity_search_by_vector)

    def _similarity_search_with_score_by_vector(
        self,
        /,
        embedding: Sequence[float],
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> Program[Scored]:
        """`similarity_search_with_score` for a vector."""
        refuse_options(kwargs, "A similarity search")
        hits = yield from self._nearest(embedding, k, filter, min_score=score_threshold)
        return _scored(hits)

    similarity_search_with_score_by_vector, asimilarity_search_with_score_by_vector = operation(
        _similarity_search_with_score_by_vector
    )

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Scores of the service are relevances between 0 and 1 already where vectors have length 1."""
        return self._relevance_score_fn or _within_0_and_1

    def _max_marginal_relevance_search(
        self,
        /,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: MetadataFilter = None,
        **kwargs: Any,
    ) -> Program[list[Document]]:
        """Documents that are near to a query and unlike each other, in the order in which they were chosen.

        Args:
            query: The query.
            k: How many, 1 to 1000.
            fetch_k: Of how many nearest documents to choose, up to 1000; at least `k`.
            lambda_mult: Between 0, most unlike each other, and 1, nearest to the query.
            filter: As for `similarity_search`.
            **kwargs: None are taken.
        """
        _check_marginal(k, fetch_k, lambda_mult)
        vector = yield from self._knowledge.query_vector(query)
        return (
            yield from self._max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **kwargs)
        )

    max_marginal_relevance_search, amax_marginal_relevance_search = operation(_max_marginal_relevance_search)

    def _max_marginal_relevance_search_by_vector(
        self,
        /,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: MetadataFilter = None,
        **kwargs: Any,
    ) -> Program[list[Document]]:
        """`max_marginal_relevance_search` for a vector."""
        refuse_options(kwargs, "A search by maximal marginal relevance")
        _check_marginal(k, fetch_k, lambda_mult)
        hits = yield from self._nearest(embedding, max(k, fetch_k), filter, include_embedding=True)
        vectors: list[Any] = [hit.document.embedding for hit in hits]
        chosen = maximal_marginal_relevance(np.asarray(embedding, dtype=np.float64), vectors, lambda_mult, k)
        return [to_langchain(hits[position].document) for position in chosen]

    max_marginal_relevance_search_by_vector, amax_marginal_relevance_search_by_vector = operation(
        _max_marginal_relevance_search_by_vector
    )

    def _relevant(
        self, /, query: str, k: int = 4, filter: MetadataFilter = None, *, score_threshold: float = 0.0, **kwargs: Any
    ) -> Program[list[Document]]:
        """`similarity_search` for documents of at least some relevance."""
        scored = yield from self._similarity_search_with_score(query, k, filter, **kwargs)
        relevance = self._select_relevance_score_fn()
        return [document for document, score in scored if relevance(score) >= score_threshold]

    # Searching by words, and by both

    def _full_text_search(
        self,
        /,
        query: str,
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        operator: TextOperator = "or",
        phrase: bool = False,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> Program[list[Document]]:
        """Documents whose text has words of a query, best first (BM25). Needs no embedding model.

        Args:
            query: The words.
            k: How many, 1 to 1000.
            filter: As for `similarity_search`. It never changes a score.
            operator: Whether one of the words is enough (``"or"``) or all have to be there (``"and"``).
            phrase: Whether the words have to stand side by side.
            score_threshold: Leaves out documents with lower scores. They have no upper bound.
            **kwargs: None are taken.
        """
        scored = yield from self._full_text_search_with_score(
            query, k, filter, operator=operator, phrase=phrase, score_threshold=score_threshold, **kwargs
        )
        return _without_scores(scored)

    full_text_search, afull_text_search = operation(_full_text_search)

    def _full_text_search_with_score(
        self,
        /,
        query: str,
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        operator: TextOperator = "or",
        phrase: bool = False,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> Program[Scored]:
        """`full_text_search` with scores."""
        refuse_options(kwargs, "A full-text search")
        check_count(k, "k", at_most=MAX_K)
        knowledge = yield from self._knowledge.opened()
        page = yield from knowledge._full_text_search(  # noqa: SLF001 - a program of ours
            query,
            self._tenant_id,
            filter,
            k,
            operator=operator,
            phrase=phrase,
            min_score=score_threshold,
        )
        return _scored(page.items)

    full_text_search_with_score, afull_text_search_with_score = operation(_full_text_search_with_score)

    def _hybrid_search(
        self,
        /,
        query: str,
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        settings: HybridSettings | None = None,
        **kwargs: Any,
    ) -> Program[list[Document]]:
        """Documents found by meaning, by words or by both, in one ranking. Both searches run at the same time.

        Args:
            query: The query.
            k: How many, 1 to 1000.
            filter: As for `similarity_search`.
            settings: How the two are combined; by reciprocal ranks with equal weights by default.
            **kwargs: None are taken.
        """
        return _without_scores(
            (yield from self._hybrid_search_with_score(query, k, filter, settings=settings, **kwargs))
        )

    hybrid_search, ahybrid_search = operation(_hybrid_search)

    def _hybrid_search_with_score(
        self,
        /,
        query: str,
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        settings: HybridSettings | None = None,
        **kwargs: Any,
    ) -> Program[Scored]:
        """`hybrid_search` with the fused scores. They order results and mean nothing else: they are no thresholds."""
        refuse_options(kwargs, "A hybrid search")
        check_count(k, "k", at_most=MAX_K)
        vector = yield from self._knowledge.query_vector(query)
        knowledge = yield from self._knowledge.opened()
        page = yield from knowledge._hybrid_search(  # noqa: SLF001 - a program of ours
            query, vector, self._tenant_id, filter, k, settings=settings
        )
        return _scored(page.items)

    hybrid_search_with_score, ahybrid_search_with_score = operation(_hybrid_search_with_score)

    # Searching in the way that is asked for

    def _search(self, /, query: str, search_type: str, **kwargs: Any) -> Program[list[Document]]:
        """Search in the way that `search_type` names.

        Args:
            query: The query.
            search_type: ``"similarity"``, ``"similarity_score_threshold"``, ``"mmr"``, ``"full_text"`` or
                ``"hybrid"``.
            **kwargs: As for the search that is named, such as `k` and `filter`.
        """
        searches: dict[str, Callable[..., Program[list[Document]]]] = {
            "similarity": self._similarity_search,
            "similarity_score_threshold": self._relevant,
            "mmr": self._max_marginal_relevance_search,
            "full_text": self._full_text_search,
            "hybrid": self._hybrid_search,
        }
        if search_type not in searches:
            allowed = ", ".join(map(repr, searches))
            raise InvalidArgumentError(f"search_type is {search_type!r}. Give one of {allowed}.")
        return (yield from searches[search_type](query, **kwargs))

    search, asearch = operation(_search)

    def as_retriever(self, **kwargs: Any) -> TablestoreRetriever:
        """A retriever that searches this store.

        Args:
            **kwargs: Fields of `TablestoreRetriever`: `search_type`, `k`, `search_kwargs`, `tags`, ...

        Example:
            ```python
            store.as_retriever(search_type="hybrid", k=5, search_kwargs={"filter": {"year": 2024}})
            store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.8})
            ```
        """
        from langchain_tablestore_memory.retrievers import TablestoreRetriever  # noqa: PLC0415 - imports this module

        tags = [*(kwargs.pop("tags", None) or ()), *self._get_retriever_tags()]
        return TablestoreRetriever(vectorstore=self, tags=tags, **kwargs)

    # Below here: vectors

    def _nearest(
        self,
        vector: Sequence[float],
        k: int,
        filter: MetadataFilter,
        *,
        min_score: float | None = None,
        include_embedding: bool = False,
    ) -> Program[Sequence[DocumentHit]]:
        check_count(k, "k", at_most=MAX_K)
        knowledge = yield from self._knowledge.opened()
        page = yield from knowledge._vector_search(  # noqa: SLF001 - a program of ours
            vector, k, self._tenant_id, filter, min_score=min_score, include_embedding=include_embedding
        )
        return page.items


def _check_marginal(k: int, fetch_k: int, lambda_mult: float) -> None:
    check_count(k, "k", at_most=MAX_K)
    check_count(fetch_k, "fetch_k", at_most=MAX_K)
    if type(lambda_mult) not in {int, float} or not 0 <= lambda_mult <= 1:
        raise InvalidArgumentError(f"lambda_mult is {lambda_mult!r}. Give a number from 0 to 1.")


def _scored(hits: Iterable[DocumentHit]) -> Scored:
    return [(to_langchain(hit.document), hit.score or 0.0) for hit in hits]


def _without_scores(scored: Scored) -> list[Document]:
    return [document for document, _ in scored]


def _within_0_and_1(score: float) -> float:
    # Rounding alone can leave the range.
    return min(1.0, max(0.0, score))
