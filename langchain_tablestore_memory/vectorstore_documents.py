"""What a vector store does with documents besides searching: adds, changes, deletes and reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from tablestore import AnalyzerType, VectorMetricType

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_count, check_id, check_mapping
from langchain_tablestore_memory.core.documents import DEFAULT_TENANT
from langchain_tablestore_memory.core.documents import Document as Record
from langchain_tablestore_memory.core.operations import operation
from langchain_tablestore_memory.core.programs import TOGETHER_LIMIT, Program
from langchain_tablestore_memory.core.records import MetadataFilter
from langchain_tablestore_memory.embedders import check_model
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.ingestion import (
    Batching,
    Ingestion,
    documents_of_embeddings,
    documents_of_langchain,
    documents_of_texts,
    progress_bar,
)
from langchain_tablestore_memory.vectorstore_opening import KnowledgeOpener

if TYPE_CHECKING:
    import tablestore
    from langchain_core.embeddings import Embeddings

    from langchain_tablestore_memory.core.documents import Vector
    from langchain_tablestore_memory.core.search_fields import Filterable


class VectorStoreDocuments(VectorStore):
    """The documents of a `TablestoreVectorStore`, which adds the searches and says what the arguments are."""

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
        check_model(embedding)
        self._connection = Connection.of(connection)
        self._tenant_id = None if tenant_id is None else check_id(tenant_id, "tenant_id")
        self._relevance_score_fn = relevance_score_fn
        self._batching = check_batching(batch_size, embedding_batch_size, concurrency)
        options: dict[str, Any] = {
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
        self._knowledge = KnowledgeOpener(self._connection, embedding, dimension, options)

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
        return self._knowledge.embedding

    @property
    def table_name(self) -> str:
        """The table."""
        return str(self._knowledge.options["table_name"])

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
        knowledge = yield from self._knowledge.opened()
        yield from knowledge._setup()  # noqa: SLF001 - a program of ours

    setup, asetup = operation(_setup)

    def _drop(self) -> Program[None]:
        """Delete the table with everything in it, other tenants' documents included. A missing one is fine."""
        knowledge = yield from self._knowledge.opened()
        yield from knowledge._drop()  # noqa: SLF001 - a program of ours

    drop, adrop = operation(_drop)

    def _wait_until_searchable(self, ids: Iterable[str] | None = None, *, timeout: float = 60.0) -> Program[None]:
        """Wait until searches see what was written.

        Args:
            ids: Documents to wait for, until searches find them. Of those that were there before and were changed,
                searches may show the earlier state for longer. By default, everything that was written before the call
                is waited for.
            timeout: Seconds to wait.

        Raises:
            UnavailableError: It is not there yet after that time.
        """
        knowledge = yield from self._knowledge.opened()
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
        refuse_options(kwargs, "add_texts")
        documents = documents_of_texts(texts, metadatas, ids, self._tenant_id or DEFAULT_TENANT)
        batching = self._batching_for_call(batch_size, embedding_batch_size, concurrency)
        return (yield from self._ingest(documents, self.embeddings, batching, texts, show_progress=show_progress))

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
        refuse_options(kwargs, "add_documents")
        records = documents_of_langchain(documents, ids, self._tenant_id or DEFAULT_TENANT)
        batching = self._batching_for_call(batch_size, embedding_batch_size, concurrency)
        return (yield from self._ingest(records, self.embeddings, batching, documents, show_progress=show_progress))

    add_documents, aadd_documents = operation(_add_documents)

    def _add_embeddings(
        self,
        /,
        text_embeddings: Iterable[tuple[str, Vector]],
        metadatas: Iterable[dict[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        batch_size: int | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Program[list[str]]:
        """Store texts whose embeddings are known already. Documents with the same ids are replaced as a whole.

        Args:
            text_embeddings: The texts, each with its embedding: a list of floats or a numpy array; any iterable, read
                as it goes. They are made by the model that the store searches with.
            metadatas: Metadata of each.
            ids: As for `add_texts`.
            batch_size: As for the constructor, for this call.
            show_progress: As for `add_texts`.
            **kwargs: None are taken.

        Returns:
            The ids, in order.

        Raises:
            InvalidArgumentError: A text, its embedding, its metadata or its id cannot be stored; it is named.
            WriteError: Some are not known to be stored; `failed` and `stored` list ids.

        Example:
            ```python
            store.add_embeddings(zip(texts, model.embed_documents(texts)), ids=ids)
            ```
        """
        refuse_options(kwargs, "add_embeddings")
        documents = documents_of_embeddings(text_embeddings, metadatas, ids, self._tenant_id or DEFAULT_TENANT)
        batching = self._batching_for_call(batch_size, None, None)
        return (yield from self._ingest(documents, None, batching, text_embeddings, show_progress=show_progress))

    add_embeddings, aadd_embeddings = operation(_add_embeddings)

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
        changes = [
            Record(document_id, tenant, metadata=check_mapping(given, f"The metadata of {document_id!r}"))
            for document_id, given in metadata_by_id.items()
        ]
        knowledge = yield from self._knowledge.opened()
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
        knowledge = yield from self._knowledge.opened()
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
        refuse_options(kwargs, "delete")
        if (ids is None) == (filter is None):
            raise InvalidArgumentError(
                "delete takes ids or filter, one of them. To delete every document, give filter=Filters.all()."
            )
        knowledge = yield from self._knowledge.opened()
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
        knowledge = yield from self._knowledge.opened()
        found = yield from knowledge._get_documents(  # noqa: SLF001 - a program of ours
            ids, self._tenant_id, include_embedding=False
        )
        return [to_langchain(record) for record in found if record is not None]

    get_by_ids, aget_by_ids = operation(_get_by_ids)

    # Below here: how they are stored

    def _ingest(
        self,
        documents: Iterable[Record],
        model: Embeddings | None,
        batching: Batching,
        source: Iterable[Any],
        *,
        show_progress: bool,
    ) -> Program[list[str]]:
        def put(embedded: Sequence[Record]) -> Program[None]:
            vector = embedded[0].embedding
            known = {"given": vector} if model is None else {"of_model": vector}
            knowledge = yield from self._knowledge.opened(**known)
            yield from knowledge._put_documents(embedded)  # noqa: SLF001 - a program of ours

        with progress_bar(source, show=show_progress) as progress:
            return (yield from Ingestion(documents, model, put, self._tenant_id, batching, progress).run())

    def _batching_for_call(self, write: int | None, embedding: int | None, concurrency: int | None) -> Batching:
        usual = self._batching
        return check_batching(
            usual.write if write is None else write,
            usual.embedding if embedding is None else embedding,
            usual.concurrency if concurrency is None else concurrency,
        )


def check_batching(write: int, embedding: int, concurrency: int) -> Batching:
    """How documents are grouped, checked.

    Raises:
        InvalidArgumentError: A number is out of range.
    """
    return Batching(
        check_count(write, "batch_size"),
        check_count(embedding, "embedding_batch_size"),
        check_count(concurrency, "concurrency", at_most=TOGETHER_LIMIT),
    )


def to_langchain(record: Record) -> Document:
    """A document as LangChain has it."""
    return Document(record.text or "", id=record.document_id, metadata=record.metadata)


def refuse_options(options: Mapping[str, Any], call: str) -> None:
    """Refuse options that a signature takes only because LangChain's does: a misspelt filter must not be ignored.

    Raises:
        InvalidArgumentError: There are some; names them.
    """
    if options:
        raise InvalidArgumentError(f"{call} takes no {', '.join(options)}. See its description for what it takes.")


def _check_mapping(metadata_by_id: Any) -> None:
    if not isinstance(metadata_by_id, Mapping):
        kind = type(metadata_by_id).__name__
        raise InvalidArgumentError(f'metadata_by_id is a {kind}. Give ids with metadata: {{"id": {{"key": 1}}}}.')
