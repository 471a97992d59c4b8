"""KnowledgeStore: documents that are found by meaning, by words or by both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tablestore import INF_MAX, INF_MIN, AnalyzerType, FieldSchema, VectorMetricType

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.core.document_changes import delete_matching, delete_range, update_matching
from langchain_tablestore_memory.core.document_rows import DocumentTable
from langchain_tablestore_memory.core.document_searches import (
    MAX_LIMIT,
    Columns,
    DocumentSearches,
    Tenants,
    TextOperator,
)
from langchain_tablestore_memory.core.documents import Document, DocumentHit
from langchain_tablestore_memory.core.hybrid import HybridSettings
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import Pages, Scan
from langchain_tablestore_memory.core.records import Page
from langchain_tablestore_memory.core.schema import PreparedScan, drop_table
from langchain_tablestore_memory.core.search_index import (
    SearchIndex,
    drop_search_indexes,
    ensure_search_index,
    wait_until_synced,
    wait_until_visible,
    with_search_index,
)
from langchain_tablestore_memory.core.writes import write_rows
from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    import tablestore

    from langchain_tablestore_memory.core.documents import Vector
    from langchain_tablestore_memory.core.search_fields import Filterable

T = TypeVar("T")

MetadataFilter = filters.Filter | Mapping[str, Any] | None


class KnowledgeStore:
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

    def __init__(
        self,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        vector_dimension: int | None = None,
        *,
        tablestore_client: tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        enable_multi_tenant: bool = False,
        table_name: str = "knowledge",
        search_index_name: str | None = None,
        search_index_schema: Sequence[FieldSchema] | None = None,
        filterable: Filterable | None = None,
        text_field: str = "text",
        embedding_field: str = "embedding",
        vector_metric_type: str | VectorMetricType = "cosine",
        analyzer: str = AnalyzerType.MAXWORD,
        id_field: str = "document_id",
        tenant_field: str | None = "tenant_id",
    ) -> None:
        if connection is not None and tablestore_client is not None:
            raise ConfigurationError("Give a connection or tablestore_client, not both.")
        if filterable is not None and search_index_schema is not None:
            raise ConfigurationError("Give filterable or search_index_schema, not both.")
        self._connection = Connection.of(connection if connection is not None else tablestore_client)
        self._documents = DocumentTable(
            table_name,
            id_field=id_field,
            tenant_field=tenant_field,
            text_field=text_field,
            embedding_field=embedding_field,
            dimension=vector_dimension,
            multi_tenant=enable_multi_tenant,
        )
        self.index_schema = self._documents.index_schema(
            search_index_name,
            filterable=search_index_schema if filterable is None else filterable,
            metric=vector_metric_type,
            analyzer=analyzer,
        )
        self._searches = DocumentSearches(self._connection, self._documents, self.index_schema)

    @property
    def table_name(self) -> str:
        """The table."""
        return self._documents.name

    @property
    def vector_dimension(self) -> int | None:
        """Numbers in an embedding, as given; None where that of the index counts."""
        return self._documents.dimension

    @property
    def multi_tenant(self) -> bool:
        """Whether documents belong to tenants."""
        return self._documents.multi_tenant

    # Setting up

    def _setup(self) -> Program[None]:
        """Create the table and its search index if they are missing, verify them, and wait until they are ready.

        Calling it is not necessary: the first request that meets no table or index does the same. An index that is
        made over existing rows holds them when this returns.

        Raises:
            SchemaMismatchError: The table has another primary key; or its search index has another vector dimension or
                metric, or lacks a declared field.
        """
        yield from ensure_search_index(self._connection, self.index_schema)

    setup, asetup = operation(_setup)
    init_table, ainit_table = setup, asetup

    def _drop(self) -> Program[None]:
        """Delete the table with everything in it, and its search indexes. A missing table is fine."""
        yield from drop_search_indexes(self._connection, self.index_schema)
        yield from drop_table(self._documents.schema)

    drop, adrop = operation(_drop)
    delete_table, adelete_table = drop, adrop
    _delete_table = drop
    """The name of tablestore-for-agent-memory, for tests only."""

    def _index(self) -> Program[SearchIndex]:
        """The search index as it exists: name, fields, dimension, metric. Made where it is missing."""
        return with_search_index(self._connection, self.index_schema, _itself)

    index, aindex = operation(_index)

    # Writing

    def _put_document(self, document: Document) -> Program[None]:
        """Store a document; one with the same id is replaced as a whole.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        yield from self._put_documents([document])

    put_document, aput_document = operation(_put_document)

    def _put_documents(self, documents: Iterable[Document]) -> Program[None]:
        """Store documents, those with ids that exist are replaced. Of several with one id, the last counts.

        Sent in as few requests as the service takes (200 rows or 4 MB each), several at a time.

        Raises:
            InvalidArgumentError: A document cannot be stored; it is named, and nothing is written.
            WriteError: Some are not known to be stored; `failed` and `stored` name them all.
        """
        documents = self._documents.check_documents(documents)

        def put(index: SearchIndex) -> Program[None]:
            rows = {(d.document_id, d.tenant_id): self._documents.put(d, index) for d in documents}
            yield from write_rows(list(rows.values()))

        yield from with_search_index(self._connection, self.index_schema, put)

    put_documents, aput_documents = operation(_put_documents)

    def _update_document(self, document: Document) -> Program[None]:
        """Change what is given of a document and leave the rest.

        Given are `text` and `embedding` where they are not None, and the keys of `metadata`. A document that is not
        there is stored.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        yield from self._update_documents([document])

    update_document, aupdate_document = operation(_update_document)

    def _update_documents(self, documents: Iterable[Document], *, create: bool = True) -> Program[int]:
        """`update_document` for several.

        Args:
            documents: What is given of each.
            create: Whether to store documents that are not there; otherwise they are left out.

        Returns:
            How many rows were written. A document in which nothing changes is not.
        """
        documents = self._documents.check_documents(documents)

        def update(index: SearchIndex) -> Program[int]:
            return (yield from self._documents.update(documents, index, create=create))

        return (yield from with_search_index(self._connection, self.index_schema, update))

    update_documents, aupdate_documents = operation(_update_documents)

    def _update_by_filter(
        self,
        metadata_filter: MetadataFilter,
        metadata: Mapping[str, Any],
        *,
        tenant_id: Tenants = None,
        timeout: float = 30.0,
    ) -> Program[int]:
        """Set metadata of all documents that match a filter; other metadata of theirs stays.

        Documents written before the call are found although the index lags: it is waited for, and each document is
        read before it is changed.

        Args:
            metadata_filter: Which documents; ``Filters.all()`` for every one.
            metadata: What to set.
            tenant_id: Whose; required where the store has tenants.
            timeout: Seconds to wait for the index. After that the whole table is read instead.

        Returns:
            How many documents were changed.

        Raises:
            FilterError: A filter is missing, or is not answered by the index.
        """
        return (
            yield from update_matching(self._searches, metadata_filter, metadata, tenant_id=tenant_id, timeout=timeout)
        )

    update_by_filter, aupdate_by_filter = operation(_update_by_filter)

    # Deleting

    def _delete_document(self, document_id: str, tenant_id: str | None = None) -> Program[None]:
        """Delete a document; one that does not exist is fine."""
        yield from self._delete_documents([document_id], tenant_id)

    delete_document, adelete_document = operation(_delete_document)

    def _delete_documents(self, document_ids: Iterable[str], tenant_id: str | None = None) -> Program[None]:
        """Delete documents by their ids; those that do not exist are fine.

        Raises:
            InvalidArgumentError: An id cannot be one, or the tenant is missing; nothing is deleted.
            WriteError: Some are not known to be deleted; `failed` names them.
        """
        keys = self._documents.keys(document_ids, tenant_id)
        yield from self._prepared(lambda: write_rows([self._documents.delete(key) for key in keys]))

    delete_documents, adelete_documents = operation(_delete_documents)

    def _delete_by_filter(
        self,
        metadata_filter: MetadataFilter,
        *,
        tenant_id: Tenants = None,
        timeout: float = 30.0,
    ) -> Program[int]:
        """Delete all documents that match a filter, until none is left.

        Documents written before the call are found although the index lags: it is waited for, and each document is
        read before it is deleted.

        Args:
            metadata_filter: Which documents. None is refused; ``Filters.all()`` means every one.
            tenant_id: Whose; required where the store has tenants.
            timeout: Seconds to wait for the index. After that the whole table is read instead.

        Returns:
            How many documents were deleted.

        Raises:
            FilterError: A filter is missing, or is not answered by the index.
        """
        return (yield from delete_matching(self._searches, metadata_filter, tenant_id=tenant_id, timeout=timeout))

    delete_by_filter, adelete_by_filter = operation(_delete_by_filter)

    def _delete_document_by_tenant(self, tenant_id: str | Sequence[str]) -> Program[int]:
        """Delete all documents of a tenant, or of several.

        Returns:
            How many documents were deleted.

        Raises:
            InvalidArgumentError: No tenant is named, or the store has no tenants: `delete_all_documents` deletes all.
        """
        tenants = self._documents.tenants(tenant_id, required=True)
        return (yield from delete_matching(self._searches, filters.Filters.all(), tenant_id=tenants, timeout=30.0))

    delete_document_by_tenant, adelete_document_by_tenant = operation(_delete_document_by_tenant)

    def _delete_all_documents(self) -> Program[int]:
        """Delete all documents of all tenants.

        Returns:
            How many documents were deleted.
        """
        return (yield from self._prepared(lambda: delete_range(self._documents)))

    delete_all_documents, adelete_all_documents = operation(_delete_all_documents)

    # Reading

    def _get_document(
        self, document_id: str, tenant_id: str | None = None, *, include_embedding: bool = True
    ) -> Program[Document | None]:
        """Read a document; None if there is none."""
        return (yield from self._get_documents([document_id], tenant_id, include_embedding=include_embedding))[0]

    get_document, aget_document = operation(_get_document)

    def _get_documents(
        self, document_id_list: Iterable[str], tenant_id: str | None = None, *, include_embedding: bool = True
    ) -> Program[list[Document | None]]:
        """Read documents by their ids, in the order of the ids, None for those that do not exist.

        Args:
            document_id_list: The ids; one may come more than once.
            tenant_id: Whose; required where the store has tenants.
            include_embedding: Whether to read embeddings, which are most of a row.
        """
        keys = self._documents.keys(document_id_list, tenant_id)
        unique = list({self._documents.identity(key): key for key in keys}.values())
        # Which columns hold metadata is known once the index is.
        found = yield from with_search_index(
            self._connection,
            self.index_schema,
            lambda index: self._documents.read(unique, index, include_embedding=include_embedding),
        )
        documents = dict(zip(map(self._documents.identity, unique), found, strict=True))
        return [documents[self._documents.identity(key)] for key in keys]

    get_documents, aget_documents = operation(_get_documents)

    def _get_all_documents(self) -> Pages[Document]:
        """Iterate over all documents of all tenants in the order of their ids, embeddings included."""
        low, high = self._documents.key(INF_MIN, INF_MIN), self._documents.key(INF_MAX, INF_MAX)
        scan = Scan(self.table_name, low, high, self._documents.decode)
        return PreparedScan(self._connection, self._documents.schema, scan)

    get_all_documents, aget_all_documents = listing(_get_all_documents)

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
            document_ids: Documents to wait for. By default, everything that was written before the call.
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

    # Below here: tables

    def _prepared(self, make: Callable[[], Program[T]]) -> Program[T]:
        """Run a program; a missing table is made with its index, and the program run again."""
        return self._searches.prepared(make)


def _itself(index: SearchIndex) -> Program[SearchIndex]:
    yield from ()
    return index
