"""Documents as rows of the knowledge table, and back.

A row keeps the document's metadata twice: whole and exact in one JSON column, and value by value in columns of its own,
by which searches filter and which other tools read. So a search that returns the JSON column returns all metadata in
one request, without naming every column and without the embedding, which is most of a row. A row without the JSON
column was written by another tool; its metadata is its columns. Where both hold a key and differ, another tool has
changed the column since, and the column counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tablestore import (
    AnalyzerType,
    Condition,
    FieldSchema,
    FieldType,
    RowExistenceExpectation,
    VectorMetricType,
)

from langchain_tablestore_memory.core import tagged_json
from langchain_tablestore_memory.core.checks import check_id
from langchain_tablestore_memory.core.columns import (
    COLUMN_PREFIX,
    MAX_VALUE_BYTES,
    METADATA_COLUMN,
    continuation_columns,
    encode_metadata,
    is_metadata_column,
    join_text,
    split_text,
)
from langchain_tablestore_memory.core.documents import DEFAULT_TENANT, Document, document_name
from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import KeyColumns, StoredRow, read_rows
from langchain_tablestore_memory.core.schema import TableSchema
from langchain_tablestore_memory.core.search_fields import (
    MAX_LIST,
    Filterable,
    declared_fields,
    list_from_column,
    searchable_form,
    vector_field,
)
from langchain_tablestore_memory.core.search_index import SearchIndex, SearchIndexSchema, VectorSpace
from langchain_tablestore_memory.core.vectors import check_vector, decode_vector, encode_vector
from langchain_tablestore_memory.core.writes import (
    RowWrite,
    column_unchanged,
    delete_row,
    put_row,
    update_row,
    write_rows,
)
from langchain_tablestore_memory.errors import (
    ConfigurationError,
    InvalidArgumentError,
    StoredDataError,
    WriteError,
)
from langchain_tablestore_memory.filters import FieldKind
from langchain_tablestore_memory.filters import FieldType as Kind

Identity = tuple[str, ...]
"""The values of a row's key."""

_METADATA_COLUMNS = frozenset({METADATA_COLUMN, *continuation_columns(METADATA_COLUMN)})
_LIST_KINDS = tuple(FieldKind(kind, is_list=True) for kind in (Kind.KEYWORD, Kind.LONG, Kind.DOUBLE, Kind.BOOLEAN))
_UPDATE_ATTEMPTS = 10


class DocumentTable:
    """The knowledge table: its key, its columns, and whose documents are in it.

    Args:
        name: The table.
        id_field: The key column of the ids.
        tenant_field: The key column of the tenants; None where there is none.
        text_field: The column of the text.
        embedding_field: The column of the embedding.
        dimension: Numbers in an embedding; None where that of the index counts.
        multi_tenant: Whether documents belong to tenants.
    """

    def __init__(
        self,
        name: str,
        *,
        id_field: str,
        tenant_field: str | None,
        text_field: str,
        embedding_field: str,
        dimension: int | None,
        multi_tenant: bool,
    ) -> None:
        if multi_tenant and tenant_field is None:
            raise ConfigurationError("enable_multi_tenant needs a tenant_field: without one, documents have no tenant.")
        self.id_field = id_field
        self.tenant_field = tenant_field
        self.text_field = text_field
        self.embedding_field = embedding_field
        self.dimension = dimension
        self.multi_tenant = multi_tenant
        key = (id_field,) if tenant_field is None else (id_field, tenant_field)
        self._own = (*key, text_field, embedding_field)
        if len(set(self._own)) < len(self._own):
            raise ConfigurationError(
                f"Two of the table's columns have one name: {', '.join(self._own)}. Name them apart."
            )
        self.schema = TableSchema(name, primary_key=tuple((column, "STRING") for column in key))
        self._text_columns = (text_field, *continuation_columns(text_field))
        self._lists: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The table."""
        return self.schema.name

    def index_schema(
        self, name: str | None, *, filterable: Filterable | None, metric: str | VectorMetricType, analyzer: str
    ) -> SearchIndexSchema:
        """The search index as it is wanted: what was declared, the key, the text and the embedding.

        Raises:
            ConfigurationError: A field cannot be declared so.
        """
        declared = {field.field_name: field for field in declared_fields(filterable, analyzer=analyzer)}
        for column in declared:
            if not is_metadata_column(column, reserved=()):
                raise ConfigurationError(
                    f"filterable: {column!r} cannot be a column. Names begin with a letter or underscore and hold "
                    "letters, digits and underscores; lc_... is taken."
                )
        self._lists = frozenset(column for column, field in declared.items() if field.is_array)
        fields = {column: FieldSchema(column, FieldType.KEYWORD) for column, _ in self.schema.primary_key}
        fields[self.text_field] = FieldSchema(
            self.text_field, FieldType.TEXT, analyzer=analyzer or AnalyzerType.MAXWORD
        )
        if self.dimension is not None:
            fields[self.embedding_field] = vector_field(self.embedding_field, self.dimension, metric)
        for column, field in fields.items():
            if column in declared and declared[column].field_type != field.field_type:
                raise ConfigurationError(
                    f"filterable: {column!r} is a column of every document, a {field.field_type.name} field. Leave it "
                    "out, or give a tablestore.FieldSchema of that type."
                )
        routing = (self.tenant_field,) if self.multi_tenant and self.tenant_field else ()
        # Only filters on ids need these, and other tools' indexes do not have them.
        optional = () if self.id_field in declared else (self.id_field,)
        return SearchIndexSchema(self.schema, name, tuple({**fields, **declared}.values()), routing, optional)

    def space(self, index: SearchIndex) -> VectorSpace:
        """What embeddings are.

        Raises:
            ConfigurationError: The index holds none.
        """
        space = index.vectors.get(self.embedding_field)
        if space is None:
            raise ConfigurationError(
                f"Search index {index.name!r} holds no embeddings. Make the store with vector_dimension= and, for a "
                "table that exists, another search_index_name."
            )
        return space

    # Tenants and keys

    def tenant(self, tenant_id: str | None) -> str:
        """Whose one document is.

        Raises:
            InvalidArgumentError: A tenant is missing, or the store has none.
        """
        if self.multi_tenant:
            if tenant_id is None or tenant_id == DEFAULT_TENANT:
                raise InvalidArgumentError("tenant_id is missing. This store has tenants: say whose document it is.")
            return check_id(tenant_id, "tenant_id")
        if tenant_id not in {None, DEFAULT_TENANT}:
            raise InvalidArgumentError(
                "tenant_id is given, but this store has no tenants. Leave it out, or make the store with "
                "enable_multi_tenant=True."
            )
        return DEFAULT_TENANT

    def tenants(self, tenant_id: str | Sequence[str] | None, *, required: bool = False) -> tuple[str, ...]:
        """Whose documents to look at; empty where the store has no tenants.

        Args:
            tenant_id: One or several.
            required: Whether a store without tenants is an error too.

        Raises:
            InvalidArgumentError: A tenant is missing, or the store has none.
        """
        if not self.multi_tenant:
            if required:
                raise InvalidArgumentError(
                    "This store has no tenants. To delete everything, call delete_all_documents; otherwise make it "
                    "with enable_multi_tenant=True."
                )
            self.tenant(tenant_id if tenant_id is None or isinstance(tenant_id, str) else str(tenant_id))
            return ()
        given = [tenant_id] if tenant_id is None or isinstance(tenant_id, str) else list(tenant_id)
        if not given:
            raise InvalidArgumentError("tenant_id is an empty list. This store has tenants: name at least one.")
        return tuple(dict.fromkeys(map(self.tenant, given)))

    def key(self, document_id: Any, tenant_id: Any) -> KeyColumns:
        """The key of a row."""
        key = [(self.id_field, document_id)]
        return key if self.tenant_field is None else [*key, (self.tenant_field, tenant_id)]

    def keys(self, document_ids: Iterable[str], tenant_id: str | None) -> list[KeyColumns]:
        """The keys of a tenant's documents.

        Raises:
            InvalidArgumentError: An id cannot be one, or the tenant is missing.
        """
        if isinstance(document_ids, str) or not isinstance(document_ids, Iterable):
            raise InvalidArgumentError(f"The document ids are a {type(document_ids).__name__}. Give a list of them.")
        tenant = self.tenant(tenant_id)
        return [self.key(check_id(document_id, "document_id"), tenant) for document_id in document_ids]

    @staticmethod
    def identity(key: KeyColumns) -> Identity:
        """The values of a key, which can be looked up."""
        return tuple(value for _, value in key)

    def check_documents(self, documents: Iterable[Document]) -> list[Document]:
        """Check whose documents they are and what they are called.

        Raises:
            InvalidArgumentError: Something is no document, or its id or tenant cannot be.
        """
        if isinstance(documents, Document) or not isinstance(documents, Iterable):
            raise InvalidArgumentError(f"documents is a {type(documents).__name__}. Give a list of documents.")
        checked = list(documents)
        for document in checked:
            if not isinstance(document, Document):
                raise InvalidArgumentError(
                    f"A {type(document).__name__} was given for a document. Give a Document(document_id=...)."
                )
            check_id(document.document_id, "document_id")
            self.tenant(document.tenant_id)
        return checked

    # Rows

    def put(self, document: Document, index: SearchIndex) -> RowWrite:
        """The write that stores a document.

        Args:
            document: The document, checked.
            index: The search index.

        Raises:
            InvalidArgumentError: It cannot be stored; it is named.
        """
        key, name = self._key_of(document), self._name(document)
        with _named_in_errors(name):
            columns = [*self._content(document, index), *self._metadata(document.metadata or {}, index, name)]
        return put_row(self.name, key, columns, name=name)

    def delete(self, key: KeyColumns) -> RowWrite:
        """The write that deletes a document."""
        name = document_name(key[0][1], key[1][1] if self.multi_tenant else None)
        return delete_row(self.name, key, name=name)

    def columns_to_read(self, index: SearchIndex, *, text: bool = True, embedding: bool = False) -> list[str]:
        """The columns that hold a document, without its embedding unless that is wanted."""
        declared = [
            name for name, kind in index.fields.items() if kind.type is not Kind.VECTOR and name not in self._own
        ]
        own = [*(self._text_columns if text else ()), *((self.embedding_field,) if embedding else ())]
        return [*(column for column, _ in self.schema.primary_key), *own, *sorted(_METADATA_COLUMNS), *declared]

    def read(
        self, keys: Sequence[KeyColumns], index: SearchIndex, *, include_embedding: bool
    ) -> Program[list[Document | None]]:
        """Read documents by their keys."""
        rows = yield from self.read_rows(keys, index, include_embedding=include_embedding)
        return [None if row is None else self.decode(row, include_embedding=include_embedding) for row in rows]

    def read_rows(
        self, keys: Sequence[KeyColumns], index: SearchIndex, *, include_embedding: bool = False
    ) -> Program[list[StoredRow | None]]:
        """Read rows by their keys: all columns that hold metadata, whoever wrote them."""
        if include_embedding:
            return (yield from read_rows(self.name, keys))
        rows = yield from read_rows(self.name, keys, columns=self.columns_to_read(index))
        return (yield from self.complete(rows))

    def complete(self, rows: Sequence[StoredRow | None]) -> Program[list[StoredRow | None]]:
        """Rows of other tools, which were read without the columns that only they know of, as a whole."""
        completed = list(rows)
        foreign = [i for i, row in enumerate(rows) if row is not None and METADATA_COLUMN not in row.columns]
        keys = [list(row.key.items()) for i in foreign if (row := rows[i]) is not None]
        for position, row in zip(foreign, (yield from read_rows(self.name, keys)), strict=True):
            completed[position] = row
        return completed

    def decode(self, row: StoredRow, *, include_embedding: bool = True) -> Document:
        """The document in a row, whoever wrote it.

        Raises:
            StoredDataError: It was damaged.
        """
        document_id = row.key[self.id_field]
        embedding = row.columns.get(self.embedding_field) if include_embedding else None
        return Document(
            document_id,
            DEFAULT_TENANT if self.tenant_field is None else row.key[self.tenant_field],
            join_text(self.text_field, row.columns),
            None if embedding is None else decode_vector(embedding, what=f"The embedding of document {document_id!r}"),
            self.metadata(row),
        )

    def metadata(self, row: StoredRow) -> dict[str, Any]:
        """The metadata in a row, whoever wrote it."""
        metadata: dict[str, Any] = {}
        text = join_text(METADATA_COLUMN, row.columns)
        if text is not None:
            exact = tagged_json.loads(text, name=f"the column {METADATA_COLUMN!r}")
            if type(exact) is not dict:
                raise StoredDataError(f"the column {METADATA_COLUMN!r} is no JSON object. {tagged_json.DAMAGED}")
            metadata = exact
        for name, value in row.columns.items():
            if name in self._own or name.startswith(COLUMN_PREFIX):
                continue
            if name not in metadata or not _is_copy(metadata[name], value):
                metadata[name] = list_from_column(value) if name in self._lists else value
        return metadata

    def filterable_fields(self, row: StoredRow) -> dict[str, Any]:
        """What a filter looks at, for rows that are read: metadata, and the key by the names of its columns."""
        return {**self.metadata(row), **row.key}

    # Changing

    def update(self, documents: Sequence[Document], index: SearchIndex, *, create: bool) -> Program[int]:
        """Change what is given of each document; those that are not there are stored, or left out.

        Returns:
            How many rows were written.
        """
        written = 0
        # Of several changes of one document, each builds on the one before: only different ones go out together.
        while documents:
            first: dict[Identity, Document] = {}
            rest: list[Document] = []
            for document in documents:
                identity = self.identity(self._key_of(document))
                if first.setdefault(identity, document) is not document:
                    rest.append(document)
            written += yield from self.change(list(first.values()), index, only_if=None if create else _any_row)
            documents = rest
        return written

    def change(
        self,
        changes: Sequence[Document],
        index: SearchIndex,
        *,
        only_if: Callable[[StoredRow], bool] | None = None,
    ) -> Program[int]:
        """Read rows and write what is to change in them, again where somebody else changed them meanwhile.

        Args:
            changes: What is given of each document, ids unique.
            index: The search index.
            only_if: Which of the rows to change, as they are now. Rows that are not there are then left alone; without
                it they are made.

        Returns:
            How many rows were written.
        """
        pending = {self._name(document): document for document in changes}
        written = 0
        for attempt in range(_UPDATE_ATTEMPTS):
            documents = list(pending.values())
            rows = yield from self.read_rows([self._key_of(document) for document in documents], index)
            writes = []
            for document, row in zip(documents, rows, strict=True):
                if row is None:
                    if only_if is None:
                        writes.append(self.put(document, index))
                    continue
                write = self._change(row, document, index)
                if write is None:
                    # Of a write whose answer was lost, the repetition meets what it has written itself.
                    written += attempt > 0
                elif only_if is None or only_if(row):
                    writes.append(write)
            try:
                yield from write_rows(writes)
            except WriteError as error:
                if error.code != CONFLICT:
                    raise
                written += len(error.stored)
                pending = {name: pending[name] for name in error.failed}
            else:
                return written + len(writes)
        raise WriteError(
            f"{len(pending)} documents were changed by somebody else each time that they were read. Try again.",
            failed=list(pending),
            api="batch_write_row",
            code=CONFLICT,
        )

    def _change(self, row: StoredRow, document: Document, index: SearchIndex) -> RowWrite | None:
        """The write that changes what is given of a document; None where nothing changes."""
        key, name = self._key_of(document), self._name(document)
        current = self.metadata(row)
        with _named_in_errors(name):
            wanted = {**current, **(document.metadata or {})}
            put = self._content(document, index)
            before, after = dict(self._metadata(current, index, name)), dict(self._metadata(wanted, index, name))
        if METADATA_COLUMN not in row.columns or before != after:
            put += after.items()
        if not put:
            return None
        delete = sorted(before.keys() - after.keys())
        if document.text is not None:
            written = {column for column, _ in put}
            delete += [column for column in self._text_columns if column not in written]
        # Metadata is read, changed and written back as a whole: nobody may have changed it in between.
        unchanged = Condition(RowExistenceExpectation.EXPECT_EXIST, column_unchanged(row.columns, METADATA_COLUMN))
        return update_row(self.name, key, put, name=name, delete=delete, condition=unchanged)

    def _key_of(self, document: Document) -> KeyColumns:
        return self.key(document.document_id, self.tenant(document.tenant_id))

    def _name(self, document: Document) -> str:
        return document_name(document.document_id, document.tenant_id if self.multi_tenant else None)

    def _content(self, document: Document, index: SearchIndex) -> list[tuple[str, Any]]:
        """The columns of text and embedding, where these are given."""
        columns: list[tuple[str, Any]] = []
        if document.text is not None:
            if not isinstance(document.text, str):
                raise InvalidArgumentError(
                    f"The text of {self._name(document)} is a {type(document.text).__name__}. Give a str."
                )
            columns += split_text(self.text_field, document.text)
        if document.embedding is not None:
            vector = check_vector(
                document.embedding,
                dimension=self.space(index).dimension,
                what=f"The embedding of {self._name(document)}",
            )
            columns.append((self.embedding_field, encode_vector(vector)))
        return columns

    def _metadata(self, metadata: Mapping[str, Any], index: SearchIndex, name: str) -> list[tuple[str, Any]]:
        """The columns of metadata: each value that has one, and all of it as JSON."""
        columns: dict[str, Any] = {
            column: value
            for column, value in encode_metadata(metadata, reserved=self._own)
            if column not in _METADATA_COLUMNS
        }
        for field, kind in index.fields.items():
            if field not in metadata or field in self._own:
                continue
            # Otherwise it is found as what its type would make of it.
            columns.pop(field, None)
            form = searchable_form(kind, metadata[field], what=f"metadata[{field!r}] of {name}")
            if form is not None and not (isinstance(form, str) and len(form.encode()) > MAX_VALUE_BYTES):
                columns[field] = form
        whole = split_text(METADATA_COLUMN, tagged_json.dumps(dict(metadata), name=f"metadata of {name}"))
        return [*columns.items(), *whole]


@contextmanager
def _named_in_errors(name: str) -> Iterator[None]:
    """Of many documents, errors say which one cannot be stored."""
    try:
        yield
    except InvalidArgumentError as error:
        if name in str(error):
            raise
        raise InvalidArgumentError(f"{name} cannot be stored: {error}") from None


def _any_row(_: StoredRow) -> bool:
    return True


def _is_copy(exact: Any, column: Any) -> bool:
    """Whether a column is what was made of a value of metadata."""
    if isinstance(exact, bool) or isinstance(column, bool):
        return exact is column
    if isinstance(exact, list | tuple | set | frozenset):
        return len(exact) <= MAX_LIST and any(searchable_form(kind, exact, what="") == column for kind in _LIST_KINDS)
    return bool(exact == column)
