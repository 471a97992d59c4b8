"""TablestoreVectorStore: LangChain's vector store over a knowledge table, searched by vector, by words or by both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from tablestore import AnalyzerType, VectorMetricType

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_count, check_id
from langchain_tablestore_memory.core.documents import DEFAULT_TENANT, DocumentHit
from langchain_tablestore_memory.core.documents import Document as Record
from langchain_tablestore_memory.core.knowledge import KnowledgeStore, MetadataFilter
from langchain_tablestore_memory.core.operations import operation
from langchain_tablestore_memory.core.programs import TOGETHER_LIMIT, Outside, Program
from langchain_tablestore_memory.core.vectors import check_vector
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.ingestion import (
    Batching,
    Ingestion,
    documents_of_langchain,
    documents_of_texts,
    progress_bar,
)

if TYPE_CHECKING:
    import tablestore
    from langchain_core.embeddings import Embeddings

    from langchain_tablestore_memory.core.document_searches import TextOperator
    from langchain_tablestore_memory.core.hybrid import HybridSettings
    from langchain_tablestore_memory.core.search_fields import Filterable
    from langchain_tablestore_memory.retrievers import TablestoreRetriever

SearchType = Literal["similarity", "similarity_score_threshold", "mmr", "full_text", "hybrid"]

MAX_K = 1000
"""Documents that one search returns at the most (limits of the service)."""

Scored = list[tuple[Document, float]]


class TablestoreVectorStore(VectorStore):
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
            `str`, `int`, `float`, `bool`, lists of these, ``"text"`` for full text, or a `tablestore.FieldSchema`.
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

    def __init__(
        self,
        embedding: Embeddings | None = None,
        *,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        table_name: str = "knowledge",
        dimension: int | None = None,
        metric: str | VectorMetricType = "cosine",
        filterable: Filterable | None = None,
        tenant_id: str | None = None,
        search_index_name: str | None = None,
        text_field: str = "text",
        embedding_field: str = "embedding",
        id_field: str = "document_id",
        tenant_field: str | None = "tenant_id",
        analyzer: str = AnalyzerType.MAXWORD,
        batch_size: int = 1000,
        embedding_batch_size: int = 64,
        concurrency: int = 4,
        relevance_score_fn: Callable[[float], float] | None = None,
    ) -> None:
        self._embedding = embedding
        self._connection = Connection.of(connection)
        self._tenant_id = None if tenant_id is None else check_id(tenant_id, "tenant_id")
        self._relevance_score_fn = relevance_score_fn
        self._batching = _batching(batch_size, embedding_batch_size, concurrency)
        self._options: dict[str, Any] = {
            "enable_multi_tenant": tenant_id is not None,
            "table_name": table_name,
            "search_index_name": search_index_name,
            "filterable": filterable,
            "text_field": text_field,
            "embedding_field": embedding_field,
            "vector_metric_type": metric,
            "analyzer": analyzer,
            "id_field": id_field,
            "tenant_field": tenant_field,
        }
        # Also where the dimension is not known yet, so that wrong settings are refused here and not by the first call.
        provisional = 1 if dimension is None and embedding is not None else dimension
        checked = KnowledgeStore(self._connection, provisional, **self._options)
        self._knowledge = checked if embedding is None or dimension is not None else None

    @classmethod
    def of_community_table(
        cls,
        embedding: Embeddings | None = None,
        *,
        table_name: str = "langchain_vector_store_ots_v1",
        index_name: str = "langchain_vector_store_ots_index_v1",
        text_field: str = "content",
        vector_field: str = "embedding",
        **options: Any,
    ) -> Self:
        """Open a table of `langchain_community.vectorstores.TablestoreVectorStore`. Both may go on writing to it.

        Args:
            embedding: The embedding model that the table was filled with.
            table_name: The table.
            index_name: Its search index.
            text_field: The column of the text.
            vector_field: The column of the embedding.
            **options: As for the constructor. `filterable` declares what the index was made with
                (`metadata_mappings`).
        """
        return cls(
            embedding,
            table_name=table_name,
            search_index_name=index_name,
            text_field=text_field,
            embedding_field=vector_field,
            id_field="id",
            tenant_field=None,
            **options,
        )

    @property
    def embeddings(self) -> Embeddings | None:
        """The embedding model."""
        return self._embedding

    @property
    def table_name(self) -> str:
        """The table."""
        return str(self._options["table_name"])

    @property
    def tenant_id(self) -> str | None:
        """Whose documents this store is about."""
        return self._tenant_id

    # Setting up

    def _setup(self) -> Program[None]:
        """Create the table and its search index if they are missing, verify them, and wait until they are ready.

        Calling it is not necessary: the first request that meets no table or index does the same.

        Raises:
            SchemaMismatchError: The table or its index is not what this store needs; says what differs.
        """
        knowledge = yield from self._opened()
        yield from knowledge._setup()  # noqa: SLF001 - a program of ours

    setup, asetup = operation(_setup)

    def _drop(self) -> Program[None]:
        """Delete the table with everything in it, other tenants' documents included. A missing one is fine."""
        knowledge = yield from self._opened()
        yield from knowledge._drop()  # noqa: SLF001 - a program of ours

    drop, adrop = operation(_drop)

    def _wait_until_searchable(self, ids: Iterable[str] | None = None, *, timeout: float = 60.0) -> Program[None]:
        """Wait until searches see what was written.

        Args:
            ids: Documents to wait for. By default, everything that was written before the call.
            timeout: Seconds to wait.

        Raises:
            UnavailableError: It is not there yet after that time.
        """
        knowledge = yield from self._opened()
        tenant = None if ids is None else self._tenant_id
        yield from knowledge._wait_until_searchable(ids, tenant, timeout=timeout)  # noqa: SLF001 - a program of ours

    wait_until_searchable, await_until_searchable = operation(_wait_until_searchable)

    # Adding

    def _add_texts(
        self,
        /,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        batch_size: int | None = None,
        embedding_batch_size: int | None = None,
        concurrency: int | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Program[list[str]]:
        """Embed texts and store them. Documents with the same ids are replaced as a whole.

        Args:
            texts: The texts; any iterable, read as it goes.
            metadatas: Metadata of each.
            ids: An id of each; where one is None, it is made up. Of several with one id, the last counts.
            batch_size: As for the constructor, for this call.
            embedding_batch_size: As for the constructor, for this call.
            concurrency: As for the constructor, for this call.
            show_progress: Whether to show a progress bar (needs `tqdm`).
            **kwargs: None are taken.

        Returns:
            The ids, in order.

        Raises:
            InvalidArgumentError: A text, its metadata, its id or its vector cannot be stored; it is named.
            EmbeddingError: The model failed or did not return a vector for each text.
            WriteError: Some are not known to be stored. `failed` and `stored` of both errors list ids.
        """
        _refuse(kwargs, "add_texts")
        documents = documents_of_texts(texts, metadatas, ids, self._tenant_id or DEFAULT_TENANT)
        batching = self._batching_for_call(batch_size, embedding_batch_size, concurrency)
        with progress_bar(texts, show=show_progress) as progress:
            return (
                yield from Ingestion(documents, self._embedding, self._put, self._tenant_id, batching, progress).run()
            )

    add_texts, aadd_texts = operation(_add_texts)

    def _add_documents(
        self,
        /,
        documents: Iterable[Document],
        *,
        ids: Iterable[str | None] | None = None,
        batch_size: int | None = None,
        embedding_batch_size: int | None = None,
        concurrency: int | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Program[list[str]]:
        """Embed documents and store them. Those with the same ids are replaced as a whole.

        Args:
            documents: The documents; any iterable, read as it goes. Where one has no id, it is made up.
            ids: Ids that count in place of those of the documents.
            batch_size: As for `add_texts`.
            embedding_batch_size: As for `add_texts`.
            concurrency: As for `add_texts`.
            show_progress: As for `add_texts`.
            **kwargs: None are taken.

        Returns:
            The ids, in order.

        Raises:
            InvalidArgumentError: As for `add_texts`.
            EmbeddingError: As for `add_texts`.
            WriteError: As for `add_texts`.
        """
        _refuse(kwargs, "add_documents")
        records = documents_of_langchain(documents, ids, self._tenant_id or DEFAULT_TENANT)
        batching = self._batching_for_call(batch_size, embedding_batch_size, concurrency)
        with progress_bar(documents, show=show_progress) as progress:
            return (
                yield from Ingestion(records, self._embedding, self._put, self._tenant_id, batching, progress).run()
            )

    add_documents, aadd_documents = operation(_add_documents)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: Iterable[dict[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Make a store and add texts to it.

        Args:
            texts: As for `add_texts`.
            embedding: The embedding model.
            metadatas: As for `add_texts`.
            ids: As for `add_texts`.
            show_progress: As for `add_texts`.
            **kwargs: As for the constructor.
        """
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids, show_progress=show_progress)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: Iterable[dict[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Self:
        """The async twin of `from_texts`."""
        store = cls(embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids, show_progress=show_progress)
        return store

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        embedding: Embeddings,
        *,
        ids: Iterable[str | None] | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Make a store and add documents to it, as `from_texts` does with texts."""
        store = cls(embedding, **kwargs)
        store.add_documents(documents, ids=ids, show_progress=show_progress)
        return store

    @classmethod
    async def afrom_documents(
        cls,
        documents: Iterable[Document],
        embedding: Embeddings,
        *,
        ids: Iterable[str | None] | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Self:
        """The async twin of `from_documents`."""
        store = cls(embedding, **kwargs)
        await store.aadd_documents(documents, ids=ids, show_progress=show_progress)
        return store

    # Changing, deleting, reading

    def _update_metadata(self, metadata_by_id: Mapping[str, Mapping[str, Any]]) -> Program[int]:
        """Set metadata of documents, without embedding them again. Their other metadata stays.

        Args:
            metadata_by_id: For each id, what to set. Documents that do not exist are left out.

        Returns:
            How many documents were changed.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: Some are not known to be changed.
        """
        _check_mapping(metadata_by_id)
        tenant = self._tenant_id or DEFAULT_TENANT
        changes = [Record(document_id, tenant, metadata=dict(given)) for document_id, given in metadata_by_id.items()]
        knowledge = yield from self._opened()
        return (yield from knowledge._update_documents(changes, create=False))  # noqa: SLF001 - a program of ours

    update_metadata, aupdate_metadata = operation(_update_metadata)

    def _update_metadata_by_filter(
        self, filter: MetadataFilter, metadata: Mapping[str, Any], *, timeout: float = 30.0
    ) -> Program[int]:
        """Set metadata of all documents that match a filter, also of those that searches do not show yet.

        Args:
            filter: Which documents; ``Filters.all()`` for every one.
            metadata: What to set.
            timeout: Seconds to wait for the index. After that the whole table is read instead.

        Returns:
            How many documents were changed.
        """
        knowledge = yield from self._opened()
        return (
            yield from knowledge._update_by_filter(  # noqa: SLF001 - a program of ours
                filter, metadata, tenant_id=self._tenant_id, timeout=timeout
            )
        )

    update_metadata_by_filter, aupdate_metadata_by_filter = operation(_update_metadata_by_filter)

    def _delete(
        self,
        /,
        ids: Iterable[str] | None = None,
        *,
        filter: MetadataFilter = None,
        timeout: float = 30.0,
        **kwargs: Any,
    ) -> Program[bool | None]:
        """Delete documents by their ids, or all that match a filter. Ids that do not exist are fine.

        Args:
            ids: The ids.
            filter: Which documents, in place of ids; ``Filters.all()`` for every one. Also those that searches do not
                show yet are deleted.
            timeout: With a filter: seconds to wait for the index. After that the whole table is read instead.
            **kwargs: None are taken.

        Returns:
            True.

        Raises:
            InvalidArgumentError: Neither ids nor a filter is given, or both are: nothing is ever deleted by default.
            WriteError: Some are not known to be deleted; `failed` names them.
        """
        _refuse(kwargs, "delete")
        if (ids is None) == (filter is None):
            raise InvalidArgumentError(
                "delete takes ids or filter, one of them. To delete every document, give filter=Filters.all()."
            )
        knowledge = yield from self._opened()
        if ids is not None:
            yield from knowledge._delete_documents(ids, self._tenant_id)  # noqa: SLF001 - a program of ours
        else:
            yield from knowledge._delete_by_filter(  # noqa: SLF001 - a program of ours
                filter, tenant_id=self._tenant_id, timeout=timeout
            )
        return True

    delete, adelete = operation(_delete)

    def _get_by_ids(self, ids: Sequence[str], /) -> Program[list[Document]]:
        """Documents by their ids, in the order of these. Those that do not exist are left out."""
        knowledge = yield from self._opened()
        found = yield from knowledge._get_documents(  # noqa: SLF001 - a program of ours
            ids, self._tenant_id, include_embedding=False
        )
        return [_document(record) for record in found if record is not None]

    get_by_ids, aget_by_ids = operation(_get_by_ids)

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
        vector = yield from self._query_vector(query)
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
        _refuse(kwargs, "A similarity search")
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
        vector = yield from self._query_vector(query)
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
        _refuse(kwargs, "A search by maximal marginal relevance")
        check_count(k, "k", at_most=MAX_K)
        check_count(fetch_k, "fetch_k", at_most=MAX_K)
        if type(lambda_mult) not in {int, float} or not 0 <= lambda_mult <= 1:
            raise InvalidArgumentError(f"lambda_mult is {lambda_mult!r}. Give a number from 0 to 1.")
        hits = yield from self._nearest(embedding, max(k, fetch_k), filter, include_embedding=True)
        vectors: list[Any] = [hit.document.embedding for hit in hits]
        chosen = maximal_marginal_relevance(np.asarray(embedding, dtype=np.float64), vectors, lambda_mult, k)
        return [_document(hits[position].document) for position in chosen]

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
        _refuse(kwargs, "A full-text search")
        check_count(k, "k", at_most=MAX_K)
        knowledge = yield from self._opened()
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
        _refuse(kwargs, "A hybrid search")
        check_count(k, "k", at_most=MAX_K)
        vector = yield from self._query_vector(query)
        knowledge = yield from self._opened(vector)
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

    # Below here: vectors, and the store that knows their dimension

    def _query_vector(self, query: str) -> Program[list[float]]:
        model = self._embedding
        if model is None:
            raise InvalidArgumentError(
                "This store has no embedding model: only full_text_search works. Give it one: embedding=..."
            )
        if not isinstance(query, str):
            raise InvalidArgumentError(f"query is a {type(query).__name__}. Give a str.")
        vector: list[float] = yield Outside(lambda: model.embed_query(query), lambda: model.aembed_query(query))
        return vector

    def _opened(self, vector: Any = None) -> Program[KnowledgeStore]:
        """The store of documents, once it is known how many numbers their embeddings have.

        Args:
            vector: What tells it; without one, the model is asked for one.
        """
        if self._knowledge is None:
            if vector is None:
                vector = yield from self._query_vector("How many numbers does an embedding have?")
            dimension = check_vector(vector, dimension=None, what="The vector of the embedding model").size
            self._knowledge = KnowledgeStore(self._connection, dimension, **self._options)
        return self._knowledge

    def _put(self, documents: Sequence[Record]) -> Program[None]:
        knowledge = yield from self._opened(documents[0].embedding)
        yield from knowledge._put_documents(documents)  # noqa: SLF001 - a program of ours

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
        knowledge = yield from self._opened(vector)
        page = yield from knowledge._vector_search(  # noqa: SLF001 - a program of ours
            vector, k, self._tenant_id, filter, min_score=min_score, include_embedding=include_embedding
        )
        return page.items

    def _batching_for_call(self, write: int | None, embedding: int | None, concurrency: int | None) -> Batching:
        usual = self._batching
        return _batching(
            usual.write if write is None else write,
            usual.embedding if embedding is None else embedding,
            usual.concurrency if concurrency is None else concurrency,
        )


def _batching(write: int, embedding: int, concurrency: int) -> Batching:
    return Batching(
        check_count(write, "batch_size"),
        check_count(embedding, "embedding_batch_size"),
        check_count(concurrency, "concurrency", at_most=TOGETHER_LIMIT),
    )


def _document(record: Record) -> Document:
    return Document(record.text or "", id=record.document_id, metadata=record.metadata)


def _scored(hits: Iterable[DocumentHit]) -> Scored:
    return [(_document(hit.document), hit.score or 0.0) for hit in hits]


def _without_scores(scored: Scored) -> list[Document]:
    return [document for document, _ in scored]


def _within_0_and_1(score: float) -> float:
    # Rounding alone can leave the range.
    return min(1.0, max(0.0, score))


def _check_mapping(metadata_by_id: Any) -> None:
    if not isinstance(metadata_by_id, Mapping):
        kind = type(metadata_by_id).__name__
        raise InvalidArgumentError(f'metadata_by_id is a {kind}. Give ids with metadata: {{"id": {{"key": 1}}}}.')


def _refuse(options: Mapping[str, Any], call: str) -> None:
    """Refuse options that a signature takes only because LangChain's does: a misspelt filter must not be ignored."""
    if options:
        raise InvalidArgumentError(f"{call} takes no {', '.join(options)}. See its description for what it takes.")
