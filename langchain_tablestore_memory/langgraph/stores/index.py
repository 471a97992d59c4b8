"""The search index of items: what is in it, and the conditions that searches put to it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import tablestore
from tablestore import AnalyzerType, BoolQuery, FieldSchema, FieldType, PrefixQuery, RangeQuery

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import MAX_KEY_BYTES
from langchain_tablestore_memory.core.columns import MAX_VALUE_BYTES
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.schema import TableSchema
from langchain_tablestore_memory.core.search import conjunction
from langchain_tablestore_memory.core.search_fields import (
    Filterable,
    declared_fields,
    kind_of,
    searchable_form,
    vector_field,
)
from langchain_tablestore_memory.core.search_index import (
    SearchIndex,
    SearchIndexSchema,
    existing_dimension,
    with_search_index,
)
from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError
from langchain_tablestore_memory.filters import FieldKind, Filters
from langchain_tablestore_memory.langgraph.stores.filters import ItemFilter, ValueFields
from langchain_tablestore_memory.langgraph.stores.items import (
    CREATED,
    EMBEDDING,
    EXPIRES,
    NAMESPACE,
    PUT,
    TEXT,
    VECTORS,
    Identity,
    item_name,
)
from langchain_tablestore_memory.langgraph.stores.namespaces import Namespace, encode_namespace
from langchain_tablestore_memory.langgraph.stores.texts import TextSettings

T = TypeVar("T")

MAX_INDEXED_KEY_BYTES = 1000 - 40
"""Bytes of namespace and key: the service indexes rows whose key columns have up to 1000 together."""

_ADVICE = "Items that were put before the field was declared have to be put again to be found by it."
"""What is in a value has a column only where it is declared: a new index finds nothing in rows that exist."""

_FIELD_PREFIX = "field_"
_MAX_COLUMN_NAME = 255
_NO_COLUMN_CHARACTER = re.compile(r"[^A-Za-z0-9]")


class ItemIndex:
    """The search index of the store table.

    Args:
        connection: The connection.
        table: The store table.
        texts: What items are found by.
        filterable: Fields of values that searches filter by.
        name: Its name. By default the one that the table has, or `{table}_search_index`.
        analyzer: How text is cut into words where the index has to be made.

    Raises:
        ConfigurationError: A field cannot be declared so.
    """

    def __init__(
        self,
        connection: Connection,
        table: TableSchema,
        texts: TextSettings,
        *,
        filterable: Filterable | None,
        name: str | None,
        analyzer: str,
    ) -> None:
        self.connection = connection
        self.texts = texts
        self._table = table
        self._name = name
        self._analyzer = analyzer
        declared = {field.field_name: field for field in declared_fields(filterable, analyzer=analyzer)}
        for field_name in declared:
            _check_name(field_name)
        self.kinds: Mapping[str, FieldKind] = {name: kind_of(field) for name, field in declared.items()}
        self._columns = {name: _column_of(name) for name in declared}
        self._declared = [_renamed(field, self._columns[name]) for name, field in declared.items()]
        if len(set(self._columns.values())) < len(declared):
            raise ConfigurationError(f"Two fields of filterable have one column: {', '.join(map(repr, declared))}.")
        self._schema: SearchIndexSchema | None = None
        # Wrong settings are refused here, and not by the first call.
        checked = self._schema_for(texts.dimension or (1 if texts.embedder else None))
        if texts.dimension is not None or texts.embedder is None:
            self._schema = checked

    @property
    def known_schema(self) -> SearchIndexSchema:
        """The index as it is wanted, without vectors where their dimension is not known yet."""
        return self._schema or self._schema_for(None)

    def schema(self) -> Program[SearchIndexSchema]:
        """The index as it is wanted.

        Raises:
            EmbeddingError: The model was asked for its dimension, and failed.
        """
        if self._schema is None:
            assert self.texts.embedder is not None
            # An index that exists says so too.
            known = yield from existing_dimension(self._schema_for(None), EMBEDDING)
            self._schema = self._schema_for(known or (yield from self.texts.embedder.dimension()))
        return self._schema

    def dimension(self) -> Program[int]:
        """Numbers in a vector.

        Raises:
            EmbeddingError: The model was asked for it, and failed.
        """
        schema = yield from self.schema()
        options = next(field.vector_options for field in schema.declared if field.field_name == EMBEDDING)
        return int(options.dimension)

    def prepared(self, make: Callable[[SearchIndex], Program[T]]) -> Program[T]:
        """Run a program that has to know the index, which is made, with the table, where it is missing."""
        schema = yield from self.schema()
        return (yield from with_search_index(self.connection, schema, make))

    @staticmethod
    def has_below(prefix: Namespace) -> bool:
        """Whether there can be items below a prefix, which may be too long for a query."""
        return len(encode_namespace(prefix).encode()) <= MAX_INDEXED_KEY_BYTES

    def check_key(self, identity: Identity) -> None:
        """Refuse a key that the service does not index.

        Raises:
            InvalidArgumentError: It is one.
        """
        namespace, key = identity
        size = len(encode_namespace(namespace).encode()) + len(key.encode())
        if size > MAX_INDEXED_KEY_BYTES:
            raise InvalidArgumentError(
                f"Namespace and key take {size} bytes in UTF-8. Items that searches find have {MAX_INDEXED_KEY_BYTES} "
                f"at most ({MAX_KEY_BYTES} each in a store without index)."
            )

    def columns(self, value: Mapping[str, Any], identity: Identity) -> list[tuple[str, Any]]:
        """The columns by which searches filter.

        Raises:
            InvalidArgumentError: A list is longer than the service indexes.
        """
        found = ValueFields(value)
        columns = []
        for name, kind in self.kinds.items():
            if name not in found:
                continue
            form = searchable_form(kind, found[name], what=f"{name!r} of {item_name(identity)}")
            if form is not None and not (isinstance(form, str) and len(form.encode()) > MAX_VALUE_BYTES):
                columns.append((self._columns[name], form))
        return columns

    def check_filter(self, wanted: ItemFilter) -> None:
        """Refuse a filter that searches cannot answer.

        Raises:
            FilterError: A field is not declared, or cannot be asked so; lists what can.
        """
        for name in sorted(wanted.fields):
            if name not in self.kinds:
                filters.to_query(Filters.exists(name), self.kinds)
        filters.to_query(wanted.tree, self.kinds)

    def condition(
        self, prefix: Namespace, wanted: ItemFilter | None, expired_at: int | None
    ) -> tablestore.Query | None:
        """The condition that items fulfil; None where all do. It adds nothing to a score.

        Args:
            prefix: What their namespaces begin with.
            wanted: Which values. It may pass more than the filter: items are looked at again.
            expired_at: The time at which expired ones are left out.
        """
        queries: list[tablestore.Query] = []
        if prefix:
            queries.append(PrefixQuery(NAMESPACE, encode_namespace(prefix)))
        if wanted is not None and wanted.tree != Filters.all():
            fields = {self._columns[name]: kind for name, kind in self.kinds.items()}
            queries.append(filters.to_query(filters.renamed(wanted.tree, self._columns.__getitem__), fields))
        if expired_at is not None:
            expired = RangeQuery(EXPIRES, range_to=expired_at, include_upper=True)
            queries.append(BoolQuery(must_not_queries=[expired]))
        return conjunction(queries)

    def _schema_for(self, dimension: int | None) -> SearchIndexSchema:
        fields = [
            FieldSchema(NAMESPACE, FieldType.KEYWORD),
            FieldSchema(PUT, FieldType.KEYWORD),
            FieldSchema(VECTORS, FieldType.LONG),
            FieldSchema(CREATED, FieldType.LONG, enable_sort_and_agg=True),
            FieldSchema(EXPIRES, FieldType.LONG),
            FieldSchema(TEXT, FieldType.TEXT, analyzer=self._analyzer or AnalyzerType.MAXWORD),
        ]
        if dimension is not None:
            fields.append(vector_field(EMBEDDING, dimension, "cosine"))
        return SearchIndexSchema(self._table, self._name, (*fields, *self._declared), advice=_ADVICE)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name or len(_column_of(name)) > _MAX_COLUMN_NAME:
        raise ConfigurationError(
            f"filterable declares the field {name!r}. Give names of fields, which are str: not empty, and of up to "
            f"{_MAX_COLUMN_NAME - len(_FIELD_PREFIX)} letters and digits; other characters count more."
        )


def _column_of(name: str) -> str:
    """The column of a field, whose name may be any text."""
    return _FIELD_PREFIX + _NO_COLUMN_CHARACTER.sub(lambda found: f"_{ord(found[0]):x}_", name)


def _renamed(field: FieldSchema, column: str) -> FieldSchema:
    renamed = copy.copy(field)
    renamed.field_name = column
    return renamed
