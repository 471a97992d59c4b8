"""KnowledgeStore: documents that are found by meaning, by words or by both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.core.document_searches import (
    MAX_LIMIT,
    Columns,
    Tenants,
    TextOperator,
)
from langchain_tablestore_memory.core.documents import Document, DocumentHit
from langchain_tablestore_memory.core.hybrid import HybridSettings
from langchain_tablestore_memory.core.knowledge_documents import KnowledgeDocuments
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import Pages
from langchain_tablestore_memory.core.records import MetadataFilter, Page
from langchain_tablestore_memory.core.search_index import (
    wait_until_synced,
    wait_until_visible,
)

if TYPE_CHECKING:
    from langchain_tablestore_memory.core.documents import Vector


class KnowledgeStore(KnowledgeDocuments):
    """Documents with text, embedding and metadata, searched by vector, by words, by both, or by metadata alone.

    The tables are those of tablestore-for-agent-memory, so is the naming of the calls, and both may work on the same
    data. Each call has an async twin: `aput_document`, `avector_search`, ...

    Documents are read, listed and deleted from the table, which shows every write at once. Searches ask the search
    index, which on the service is a few seconds behind; `wait_until_searchable` waits for it.

    Args:
        connection: What `connect` returns, an SDK client, or the default connection.
        vector_dimension: Numbers in an embedding, 1 to 4096. None takes that of an existing index; where there is
            none, the index that is made holds no vectors.
        tablestore_client: The connection, by the name that tablestore-for-agent-memory uses.
        enable_multi_tenant: Whether documents belong to tenants. Then each call names whose documents it is about,
            and searches go to the partitions of these tenants alone.
        table_name: The table.
        search_index_name: Its search index. By default the one that the table has, or `{table_name}_search_index`.
        search_index_schema: Declared fields, by the name that tablestore-for-agent-memory uses.
        filterable: Metadata that searches can filter and sort by: names and types, `{"year": int, "tags": list[str]}`.
            Types are `str`, `int`, `float`, `bool`, lists of these, and ``"text"`` for full text; or a
            `tablestore.FieldSchema` for what these cannot say. Other metadata is stored, and returned, all the same.
        text_field: The column of the text.
        embedding_field: The column of the embedding.
        vector_metric_type: How embeddings are compared: ``"cosine"``, ``"euclidean"``, ``"dot_product"``, or a
            `tablestore.VectorMetricType`.
        analyzer: How text is cut into words where the index has to be made; see `tablestore.AnalyzerType`.
        id_field: The key column of the ids, for tables of other tools.
        tenant_field: The key column of the tenants; None for tables of other tools that have none.

    Raises:
        ConfigurationError: Settings that contradict each other, or a field that cannot be declared.

    Example:
        ```python
        store = KnowledgeStore(connect("local::memory:"), vector_dimension=3, filterable={"year": int})
        store.put_document(Document("d1", text="Tea is a drink", embedding=[1, 0, 0], metadata={"year": 2024}))
        store.vector_search([1, 0, 0], top_k=5, metadata_filter={"year": {"$gte": 2020}}).items
        store.hybrid_search("tea", [1, 0, 0], limit=5).items
        ```
    """

    def _list_documents(
        self,
        tenant_id: Tenants = None,
        metadata_filter: MetadataFilter = None,
        *,
        order_by: Sequence[str] = (),
        limit: int | None = None,
        include_embedding: bool = False,
    ) -> Pages[Document]:
        """Iterate over the documents that match, as many as there are. Asks the search index.

        Args:
            tenant_id: Whose; required where the store has tenants.
            metadata_filter: Which; all by default.
            order_by: Fields to sort by, with a minus in front for descending: ``["-year", "title"]``. By id by default.
            limit: How many at the most.
            include_embedding: Whether to read embeddings, which are most of a row.
        """
        columns = Columns(include_embedding=include_embedding)
        return self._searches.iterate(tenant_id, metadata_filter, order_by=order_by, limit=limit, columns=columns)

    list_documents, alist_documents = listing(_list_documents)

    def _count_documents(self, tenant_id: Tenants = None, metadata_filter: MetadataFilter = None) -> Program[int]:
        """Count the documents that match. Asks the search index."""
        return self._searches.count(tenant_id, metadata_filter)

    count_documents, acount_documents = operation(_count_documents)

    # Searching

    def _search_documents(
        self,
        tenant_id: Tenants = None,
        metadata_filter: MetadataFilter = None,
        limit: int = 100,
        next_token: str | None = None,
        meta_data_to_get: Sequence[str] | None = None,
        *,
        order_by: Sequence[str] = (),
        include_embedding: bool = False,
    ) -> Program[Page[DocumentHit]]:
        """One page of the documents that match a filter.

        They are scored, and come best first, where the filter asks for text and no order is given.

        Args:
            tenant_id: Whose, one or several; required where the store has tenants.
            metadata_filter: Which metadata; see `langchain_tablestore_memory.Filters`. Fields are those of
                `filterable`, and the text, the id and the tenant by the names of their columns.
            limit: Documents on the page, 1 to 1000.
            next_token: `Page.next_token` of the page before.
            meta_data_to_get: The metadata to return, and the text field and the embedding field by their names; by
                default the text and all metadata.
            order_by: Fields to sort by, with a minus in front for descending: ``["-year", "title"]``. By id by default.
            include_embedding: Whether to return embeddings, which are most of a row.

        Raises:
            FilterError: A field is not declared, or cannot be asked so; lists what can.
            CursorError: The token is malformed or belongs to another search.
            InvalidArgumentError: The limit is out of range, or a tenant is missing.
        """
        return self._searches.page(
            tenant_id,
            metadata_filter,
            limit=limit,
            token=next_token,
            order_by=order_by,
            columns=Columns(meta_data_to_get, include_embedding=include_embedding),
        )

    search_documents, asearch_documents = operation(_search_documents)

    def _full_text_search(
        self,
        query: str,
        tenant_id: Tenants = None,
        metadata_filter: MetadataFilter = None,
        limit: int = 100,
        next_token: str | None = None,
        meta_data_to_get: Sequence[str] | None = None,
        *,
        operator: TextOperator = "or",
        phrase: bool = False,
        min_score: float | None = None,
        include_embedding: bool = False,
    ) -> Program[Page[DocumentHit]]:
        """Documents whose text has words of the query, best first (BM25).

        Args:
            query: The words.
            tenant_id: As for `search_documents`.
            metadata_filter: As for `search_documents`. It never changes a score.
            limit: Documents on the page, 1 to 1000.
            next_token: `Page.next_token` of the page before.
            meta_data_to_get: As for `search_documents`.
            operator: Whether one of the words is enough (``"or"``) or all have to be there (``"and"``).
            phrase: Whether the words have to stand side by side.
            min_score: Leaves out documents with lower scores.
            include_embedding: Whether to return embeddings.

        Raises:
            InvalidArgumentError: The query is empty or too long, or as for `search_documents`.
        """
        query_text = self._searches.text_query(query, operator=operator, phrase=phrase)
        return self._searches.scored_page(
            query_text,
            tenant_id,
            metadata_filter,
            limit=limit,
            token=next_token,
            min_score=min_score,
            columns=Columns(meta_data_to_get, include_embedding=include_embedding),
        )

    full_text_search, afull_text_search = operation(_full_text_search)

    def _vector_search(
        self,
        query_vector: Vector,
        top_k: int = 10,
        tenant_id: Tenants = None,
        metadata_filter: MetadataFilter = None,
        limit: int | None = None,
        next_token: str | None = None,
        meta_data_to_get: Sequence[str] | None = None,
        *,
        min_score: float | None = None,
        include_embedding: bool = False,
    ) -> Program[Page[DocumentHit]]:
        """The documents whose embeddings are nearest to a vector, nearest first.

        Scores are those of the service, higher is nearer: (1 + cosine) / 2, 1 / (1 + squared distance), or
        (1 + dot product) / 2.

        Args:
            query_vector: The vector, of the store's dimension.
            top_k: How many to find, 1 to 1000.
            tenant_id: As for `search_documents`.
            metadata_filter: As for `search_documents`; among the documents that match, the nearest are found.
            limit: Documents on the page; `top_k` by default.
            next_token: `Page.next_token` of the page before.
            meta_data_to_get: As for `search_documents`.
            min_score: Leaves out documents with lower scores.
            include_embedding: Whether to return embeddings.

        Raises:
            InvalidArgumentError: The vector has another dimension or a number that is not finite, `top_k` is out of
                range, or as for `search_documents`.
        """
        check_count(top_k, "top_k", at_most=MAX_LIMIT)
        return self._searches.scored_page(
            self._searches.vector_query(query_vector, top_k, min_score=min_score),
            tenant_id,
            metadata_filter,
            limit=top_k if limit is None else limit,
            token=next_token,
            most=top_k,
            min_score=min_score,
            columns=Columns(meta_data_to_get, include_embedding=include_embedding),
        )

    vector_search, avector_search = operation(_vector_search)

    def _hybrid_search(
        self,
        query: str,
        query_vector: Vector,
        tenant_id: Tenants = None,
        metadata_filter: MetadataFilter = None,
        limit: int = 10,
        meta_data_to_get: Sequence[str] | None = None,
        *,
        settings: HybridSettings | None = None,
        include_embedding: bool = False,
    ) -> Program[Page[DocumentHit]]:
        """Documents found by words, by vector or by both, in one ranking. Both searches run at the same time.

        Args:
            query: The words.
            query_vector: The vector, of the store's dimension.
            tenant_id: As for `search_documents`.
            metadata_filter: As for `search_documents`.
            limit: Documents to return, 1 to 1000.
            meta_data_to_get: As for `search_documents`.
            settings: How the two are combined; by reciprocal ranks with equal weights by default.
            include_embedding: Whether to return embeddings.

        Returns:
            One page, without a next one. The hits carry the fused score and those of both searches.

        Raises:
            InvalidArgumentError: As for `full_text_search` and `vector_search`.
        """
        return self._searches.hybrid_page(
            query,
            query_vector,
            tenant_id,
            metadata_filter,
            limit=limit,
            settings=settings,
            columns=Columns(meta_data_to_get, include_embedding=include_embedding),
        )

    hybrid_search, ahybrid_search = operation(_hybrid_search)

    def _wait_until_searchable(
        self,
        document_ids: Iterable[str] | None = None,
        tenant_id: str | None = None,
        *,
        timeout: float = 60.0,
    ) -> Program[None]:
        """Wait until searches see what was written.

        Args:
            document_ids: Documents to wait for, until searches find them. Of those that were there before and were
                changed, searches may show the earlier state for longer. By default, everything that was written before
                the call is waited for.
            tenant_id: Whose documents these are; required with ids where the store has tenants.
            timeout: Seconds to wait.

        Raises:
            UnavailableError: The index is not there yet after that time.
        """
        keys = None if document_ids is None else self._documents.keys(document_ids, tenant_id)
        index = yield from self._index()
        if keys is None or self._documents.id_field not in index.fields:
            yield from wait_until_synced(self._connection, self.index_schema, timeout=timeout)
        else:
            yield from wait_until_visible(self._searches.missing(keys, tenant_id), timeout=timeout)

    wait_until_searchable, await_until_searchable = operation(_wait_until_searchable)
