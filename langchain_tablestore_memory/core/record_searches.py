"""Searches of the session table and of the message table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import tablestore
from tablestore import AnalyzerType, FieldSchema, FieldType

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import StoredRow
from langchain_tablestore_memory.core.records import Page
from langchain_tablestore_memory.core.schema import TableSchema
from langchain_tablestore_memory.core.search import (
    BY_SCORE,
    MAX_ROWS,
    Search,
    decode_token,
    encode_token,
    scope_of,
)
from langchain_tablestore_memory.core.search_fields import Filterable, declared_fields
from langchain_tablestore_memory.core.search_index import SearchIndex, SearchIndexSchema, with_search_index

T = TypeVar("T")


class RecordSearches(Generic[T]):
    """Searches of a table, each row turned into a record.

    Args:
        connection: The connection.
        schema: Its search index, as it is wanted.
        decode: Turns a row and its score into a record.
    """

    def __init__(
        self, connection: Connection, schema: SearchIndexSchema, decode: Callable[[StoredRow, float | None], T]
    ) -> None:
        self.connection = connection
        self.schema = schema
        self._decode = decode

    def page(self, wanted: Any, *, limit: int, token: str | None) -> Program[Page[T]]:
        """One page of the records that match a filter: best first where it asks for text, else in the order of keys.

        Args:
            wanted: The filter.
            limit: Records on the page, 1 to 100.
            token: The cursor of the page.

        Raises:
            FilterError: A field is not declared, or cannot be asked so; lists what can.
            CursorError: The token is malformed or belongs to another search.
        """
        check_count(limit, "limit", at_most=MAX_ROWS)
        condition = filters.parse(wanted)
        scope = scope_of({"table": self.schema.table.name, "filter": condition})
        start = decode_token(token, scope)

        def search(index: SearchIndex) -> Program[Page[T]]:
            query, scored = filters.to_scored_query(condition, index.fields)
            found = yield from Search(index, query, BY_SCORE if scored else None, None).collect(limit, start)
            return Page([self._decode(hit.row, hit.score) for hit in found.hits], encode_token(scope, found.token))

        return with_search_index(self.connection, self.schema, search)


def session_index(table: TableSchema, name: str | None, declared: Filterable | None) -> SearchIndexSchema:
    """The search index of the session table: its key, the time, and what is declared."""
    fields = {
        "user_id": FieldSchema("user_id", FieldType.KEYWORD),
        "session_id": FieldSchema("session_id", FieldType.KEYWORD),
        "update_time": FieldSchema("update_time", FieldType.LONG, enable_sort_and_agg=True),
    }
    return _index(table, name, fields, declared)


def message_index(table: TableSchema, name: str | None, declared: Filterable | None) -> SearchIndexSchema:
    """The search index of the message table: its key, the text, and what is declared."""
    fields = {
        "session_id": FieldSchema("session_id", FieldType.KEYWORD),
        "message_id": FieldSchema("message_id", FieldType.KEYWORD),
        "create_time": FieldSchema("create_time", FieldType.LONG, enable_sort_and_agg=True),
        "content": FieldSchema("content", FieldType.TEXT, analyzer=AnalyzerType.MAXWORD),
    }
    return _index(table, name, fields, declared)


def _index(
    table: TableSchema, name: str | None, fields: dict[str, tablestore.FieldSchema], declared: Filterable | None
) -> SearchIndexSchema:
    own: Sequence[FieldSchema] = declared_fields(declared, analyzer=AnalyzerType.MAXWORD)
    return SearchIndexSchema(table, name, tuple({**fields, **{field.field_name: field for field in own}}.values()))
