"""What a knowledge store does besides searching: sets up the table, and puts, changes, deletes and reads documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tablestore import INF_MAX, INF_MIN, AnalyzerType, FieldSchema, VectorMetricType

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.document_changes import delete_matching, delete_range, update_matching
from langchain_tablestore_memory.core.document_rows import DocumentTable
from langchain_tablestore_memory.core.document_searches import (
    DocumentSearches,
    Tenants,
)
from langchain_tablestore_memory.core.documents import Document
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import Pages, Scan
from langchain_tablestore_memory.core.records import MetadataFilter
from langchain_tablestore_memory.core.schema import PreparedScan, drop_table
from langchain_tablestore_memory.core.search_index import (
    SearchIndex,
    drop_search_indexes,
    ensure_search_index,
)
from langchain_tablestore_memory.core.writes import write_rows
from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    import tablestore

    from langchain_tablestore_memory.core.search_fields import Filterable


class KnowledgeDocuments:
    """The documents of a `KnowledgeStore`, which adds the searches and says what the arguments are."""

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
        yield from drop_table(self._connection, self._documents.schema)

    drop, adrop = operation(_drop)
    delete_table, adelete_table = drop, adrop
    _delete_table = drop
    """The name of tablestore-for-agent-memory, for tests only."""

    def _index(self) -> Program[SearchIndex]:
        """The search index as it exists: name, fields, dimension, metric. Made where it is missing."""
        return self._searches.with_index(_itself)

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

        yield from self._searches.with_index(put)

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

        return (yield from self._searches.with_index(update))

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

        Documents written before the call are found although the index lags: it is waited for (its time is compared
        with this machine's clock, which has to be right), and each document is read before it is changed.

        Args:
            metadata_filter: Which documents; ``Filters.all()`` for every one.
            metadata: What to set.
            tenant_id: Whose; required where the store has tenants.
            timeout: Seconds to wait for the index. After that the whole table is read instead.

        Returns:
            How many documents were changed.

        Raises:
            FilterError: A filter is missing, is not answered by the index, or asks for the nearest vectors, which are
                others after each change.
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
        yield from self._searches.prepared(lambda: write_rows([self._documents.delete(key) for key in keys]))

    delete_documents, adelete_documents = operation(_delete_documents)

    def _delete_by_filter(
        self,
        metadata_filter: MetadataFilter,
        *,
        tenant_id: Tenants = None,
        timeout: float = 30.0,
    ) -> Program[int]:
        """Delete all documents that match a filter, until none is left.

        Documents written before the call are found although the index lags: it is waited for (its time is compared
        with this machine's clock, which has to be right), and each document is read before it is deleted.

        Args:
            metadata_filter: Which documents. None is refused; ``Filters.all()`` means every one.
            tenant_id: Whose; required where the store has tenants.
            timeout: Seconds to wait for the index. After that the whole table is read instead.

        Returns:
            How many documents were deleted.

        Raises:
            FilterError: A filter is missing, is not answered by the index, or asks for the nearest vectors, which are
                others after each change.
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
        return (yield from self._searches.prepared(lambda: delete_range(self._documents)))

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
        found = yield from self._searches.with_index(
            lambda index: self._documents.read(unique, index, include_embedding=include_embedding)
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


def _itself(index: SearchIndex) -> Program[SearchIndex]:
    yield from ()
    return index
