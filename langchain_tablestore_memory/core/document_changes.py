"""Deleting and updating all documents that match a filter, although the search index lags behind the table.

The index says which documents to look at, the table which of them there are and match. First the index is waited for,
so that it holds what was written before the call; what it still shows afterwards is read before it is touched. That is
repeated until nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.core.document_rows import DocumentTable
from langchain_tablestore_memory.core.document_searches import DocumentSearches, Tenants
from langchain_tablestore_memory.core.documents import DEFAULT_TENANT, Document
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import KeyColumns, Pages, Scan, StoredRow
from langchain_tablestore_memory.core.search_index import SearchIndex, is_synced
from langchain_tablestore_memory.core.writes import write_rows
from langchain_tablestore_memory.errors import FilterError, InvalidArgumentError, UnavailableError
from langchain_tablestore_memory.filters.tree import And, Nearest

_DELETE_BATCH = 1600
"""Keys read before they are deleted: eight write requests, which go out together."""


def delete_matching(
    searches: DocumentSearches, metadata_filter: Any, *, tenant_id: Tenants, timeout: float
) -> Program[int]:
    """Delete all documents that match. Returns how many there were."""
    documents = searches.documents

    def delete(keys: Sequence[KeyColumns], matches: Callable[[StoredRow], bool], index: SearchIndex) -> Program[int]:
        rows = yield from documents.read_rows(keys, index)
        writes = [documents.delete(list(row.key.items())) for row in rows if row is not None and matches(row)]
        yield from write_rows(writes)
        return len(writes)

    return (yield from _repeat(searches, metadata_filter, tenant_id, timeout, delete))


def update_matching(
    searches: DocumentSearches, metadata_filter: Any, metadata: Mapping[str, Any], *, tenant_id: Tenants, timeout: float
) -> Program[int]:
    """Set metadata of all documents that match. Returns how many were changed."""
    if not isinstance(metadata, Mapping):
        raise InvalidArgumentError(f"metadata is a {type(metadata).__name__}. Give a dict.")
    documents = searches.documents

    def update(keys: Sequence[KeyColumns], matches: Callable[[StoredRow], bool], index: SearchIndex) -> Program[int]:
        changes = [
            Document(key[0][1], key[1][1] if len(key) > 1 else DEFAULT_TENANT, metadata=dict(metadata)) for key in keys
        ]
        return (yield from documents.change(changes, index, only_if=matches))

    return (yield from _repeat(searches, metadata_filter, tenant_id, timeout, update))


def delete_range(documents: DocumentTable) -> Program[int]:
    """Delete all documents of the table. Returns how many there were."""
    deleted = 0
    scan = _scan_keys(documents)
    while not scan.finished:
        keys = yield from scan.fetch()
        yield from write_rows([documents.delete(key) for key in keys])
        deleted += len(keys)
    return deleted


def _repeat(
    searches: DocumentSearches,
    metadata_filter: Any,
    tenant_id: Tenants,
    timeout: float,
    work: Callable[[Sequence[KeyColumns], Callable[[StoredRow], bool], SearchIndex], Program[int]],
) -> Program[int]:
    """Do some work on all documents that match, until none is left to do it on."""
    if metadata_filter is None or metadata_filter == {}:
        given = "None" if metadata_filter is None else "empty"
        raise FilterError(f"The filter is {given}. To mean every document, give Filters.all().")
    wanted = filters.parse(metadata_filter)
    if any(isinstance(node, Nearest) for node in filters.walk(wanted)):
        raise FilterError(
            "A filter for the nearest vectors cannot say what to change: once these are changed, others are the "
            "nearest. Search for them, and change them by their ids."
        )
    tenants = searches.documents.tenants(tenant_id)
    matches = _row_test(searches.documents, wanted, tenants)
    # A filter that the index does not answer is refused before anything is waited for.
    yield from searches.count(tenants or None, wanted)
    synced = yield from is_synced(searches.connection, searches.schema, timeout=timeout)
    if not synced and filters.is_scored(wanted):
        raise UnavailableError(
            f"The search index has not caught up with its table after {timeout} s, and it alone answers $text and "
            "$phrase. Nothing was changed. Try again, or wait longer.",
            api="search",
        )
    done = 0
    while True:
        pages: Pages[KeyColumns] = searches.keys(tenants or None, wanted) if synced else _scan_keys(searches.documents)
        before = done
        while not pages.finished:
            keys = yield from pages.fetch()
            if keys:
                done += yield from searches.with_index(lambda index, keys=keys: work(keys, matches, index))  # type: ignore[misc]
        if done == before or not synced:
            return done


def _row_test(documents: DocumentTable, wanted: filters.Filter, tenants: Sequence[str]) -> Callable[[StoredRow], bool]:
    """Whether a row of the table is one of those that are meant."""
    # What only searches can say was said by one.
    conditions = wanted.filters if isinstance(wanted, And) else (wanted,)
    tests = [filters.predicate(condition) for condition in conditions if not filters.is_scored(condition)]

    def test(row: StoredRow) -> bool:
        if tenants and row.key[documents.tenant_field] not in tenants:  # type: ignore[index]
            return False
        fields = documents.filterable_fields(row) if tests else {}
        return all(matches(fields) for matches in tests)

    return test


def _scan_keys(documents: DocumentTable) -> Scan[KeyColumns]:
    # Naming a key column gives rows without their attributes.
    return Scan(
        documents.name,
        documents.key(INF_MIN, INF_MIN),
        documents.key(INF_MAX, INF_MAX),
        lambda row: list(row.key.items()),
        columns=[documents.id_field],
        page_size=_DELETE_BATCH,
    )
