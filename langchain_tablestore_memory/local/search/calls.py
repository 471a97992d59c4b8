"""CreateSearchIndex, DescribeSearchIndex, ListSearchIndex, UpdateSearchIndex, DeleteSearchIndex and Search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_tablestore_memory.local.catalogue import change_table, load_sources
from langchain_tablestore_memory.local.definitions import check_indexable
from langchain_tablestore_memory.local.errors import RequestError, parameter_invalid
from langchain_tablestore_memory.local.messages import parse, search
from langchain_tablestore_memory.local.selection import expiry

from .caches import Caches
from .definitions import check_life, check_time_to_live, describe, make_search_index
from .rows import decode_stored, select_columns
from .run import Condition, Outdated, Run
from .searching import Projection, carry_out, encode_hits, make_projection, plan_search

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from langchain_tablestore_memory.local.catalogue import Catalogue, Table
    from langchain_tablestore_memory.local.storage import Database

    from .definitions import SearchIndex
    from .searching import Hit

MAX_INDEXES_PER_TABLE: Final = 50
# How many results may be asked for with columns that the index does not have, and without.
MAX_LIMIT: Final = 100
MAX_LIMIT_FROM_INDEX: Final = 1000
_FILL_BATCH: Final = 500
# How often a search begins anew because another thread has seen a later state of the index meanwhile.
_MAX_ATTEMPTS: Final = 5


class _Target(NamedTuple):
    table: Table
    search_index: SearchIndex


class SearchIndexes:
    """Carries out the calls on search indexes.

    Args:
        database: Where tables and indexes are.
        catalogue: The definitions.
        now: Tells the time in milliseconds.
        delay: How long after its write a row becomes searchable, in milliseconds; 0 for at once.
    """

    def __init__(self, database: Database, catalogue: Catalogue, now: Callable[[], int], delay: int) -> None:
        self._database = database
        self._catalogue = catalogue
        self._now = now
        self._delay = delay
        self._caches = Caches()

    def create(self, body: bytes) -> bytes:
        """Carry out CreateSearchIndex: when it returns, the rows that the table has are searchable."""
        request = parse(search.CreateSearchIndexRequest, body)
        with self._database.write() as connection:
            old = _find_table(connection, request.table_name)
            if any(index.name == request.index_name for index in old.search_indexes):
                raise RequestError(409, "OTSObjectAlreadyExist", f"search index [{request.index_name}] already exists")
            if len(old.search_indexes) >= MAX_INDEXES_PER_TABLE:
                raise RequestError(
                    403,
                    "OTSQuotaExhausted",
                    f"Number of search indexes per table exceeds the quota:{MAX_INDEXES_PER_TABLE}.",
                )
            key_names = [column.name.decode() for column in old.key]
            index = make_search_index(request, old.id, old.next_search_index, key_names, self._now())
            check_indexable(old.options)
            check_life(index.time_to_live, old.options)
            new = replace(old, search_indexes=(*old.search_indexes, index), next_search_index=old.next_search_index + 1)
            new = change_table(connection, old, new)
            index.store.create(connection)
            _fill(connection, new, index)
        self._catalogue.forget()
        return b""

    def describe(self, body: bytes) -> bytes:
        """Carry out DescribeSearchIndex."""
        request = parse(search.DescribeSearchIndexRequest, body)
        with self._database.read() as connection:
            table = _find_table(connection, request.table_name)
            index = _find_index(table, request.index_name)
            now = self._now()
            waiting = index.store.oldest_due(connection, later_than=now) if self._delay else None
        answer = describe(index)
        if request.include_sync_stat:
            answer.sync_stat.sync_phase = search.INCR
            # What has been written before this moment, in nanoseconds, is searchable.
            written = now if waiting is None else waiting - self._delay
            answer.sync_stat.current_sync_timestamp = written * 1_000_000
        return bytes(answer.SerializeToString())

    def list(self, body: bytes) -> bytes:
        """Carry out ListSearchIndex: of one table, or of all."""
        request = parse(search.ListSearchIndexRequest, body)
        with self._database.read() as connection:
            if request.table_name:
                tables = [_find_table(connection, request.table_name)]
            else:
                sources = load_sources(connection)
                tables = [sources[name].table for name in sorted(sources) if sources[name].index is None]
        answer = search.ListSearchIndexResponse()
        for table in tables:
            for index in sorted(table.search_indexes, key=lambda index: index.name):
                answer.indices.add(table_name=table.name, index_name=index.name)
        return bytes(answer.SerializeToString())

    def update(self, body: bytes) -> bytes:
        """Carry out UpdateSearchIndex: its time-to-live."""
        request = parse(search.UpdateSearchIndexRequest, body)
        if not request.HasField("time_to_live"):
            raise parameter_invalid("UpdateSearchIndex must have a time_to_live: nothing else can be changed.")
        check_time_to_live(request.time_to_live)
        with self._database.write() as connection:
            old = _find_table(connection, request.table_name)
            changed = _find_index(old, request.index_name)
            check_life(request.time_to_live, old.options)
            indexes = tuple(
                replace(index, time_to_live=request.time_to_live) if index is changed else index
                for index in old.search_indexes
            )
            change_table(connection, old, replace(old, search_indexes=indexes))
        self._catalogue.forget()
        return b""

    def delete(self, body: bytes) -> bytes:
        """Carry out DeleteSearchIndex."""
        request = parse(search.DeleteSearchIndexRequest, body)
        with self._database.write() as connection:
            old = _find_table(connection, request.table_name)
            dropped = _find_index(old, request.index_name)
            kept = tuple(index for index in old.search_indexes if index is not dropped)
            change_table(connection, old, replace(old, search_indexes=kept))
            dropped.store.drop(connection)
        self._catalogue.forget()
        self._caches.drop(dropped)
        return b""

    def search(self, body: bytes) -> bytes:
        """Carry out Search."""
        request = parse(search.SearchRequest, body)
        message = parse(search.SearchQuery, request.search_query)
        attempt = 0
        while True:
            with self._database.snapshot() as connection:
                target = self._find(connection, request)
                now = self._now()
                oldest = target.search_index.store.oldest_due(connection)
                if oldest is None or (self._delay and oldest > now):
                    attempt += 1
                    # In the end without what other threads keep, which costs a scan and depends on nobody.
                    caches = self._caches if attempt < _MAX_ATTEMPTS else Caches()
                    try:
                        return self._search(connection, target, request.columns_to_get, message, now, caches)
                    except Outdated:
                        continue
            with self._database.write() as connection:
                target = self._find(connection, request)
                target.search_index.store.apply_due(connection, self._now() if self._delay else None)

    def _search(
        self, connection: sqlite3.Connection, target: _Target, columns: Any, message: Any, now: int, caches: Caches
    ) -> bytes:
        table, index = target
        plan = plan_search(message, index)
        projection = make_projection(columns, index, frozenset(column.name for column in table.key))
        maximum = MAX_LIMIT_FROM_INDEX if projection.from_index else MAX_LIMIT
        if plan.limit > maximum:
            raise parameter_invalid(
                f"limit must not be more than {maximum}, current limit is {plan.limit}: up to {MAX_LIMIT} where"
                f" columns that the search index does not have are returned, up to {MAX_LIMIT_FROM_INDEX} otherwise"
            )
        run = Run(connection, index, index.store, _live(table, index, now), plan.limit, caches.of(index))
        results = carry_out(plan, run)
        rows = _read_rows(connection, target, results.hits, projection, now)
        answer = search.SearchResponse()
        encode_hits(answer, results, rows)
        return bytes(answer.SerializeToString())

    def _find(self, connection: sqlite3.Connection, request: Any) -> _Target:
        source = self._catalogue.find(connection, request.table_name)
        if source is None or source.index is not None:
            raise _table_missing(request.table_name)
        # Fails where the definition is outdated.
        connection.execute(source.rows.get, (b"",))
        return _Target(source.table, _find_index(source.table, request.index_name))


def _find_table(connection: sqlite3.Connection, name: str) -> Table:
    source = load_sources(connection).get(name)
    if source is None or source.index is not None:
        raise _table_missing(name)
    return source.table


def _table_missing(name: str) -> RequestError:
    return parameter_invalid(f"table [{name}] does not exist")


def _find_index(table: Table, name: str) -> SearchIndex:
    for index in table.search_indexes:
        if index.name == name:
            return index
    raise RequestError(400, "OTSMetaNotMatch", f"search index [{name}] does not exist")


def _live(table: Table, index: SearchIndex, now: int) -> Condition | None:
    """What a document must meet whose time-to-live has not ended; None where it never does."""
    lives = [seconds for seconds in (table.options.time_to_live, index.time_to_live) if seconds > 0]
    if not lives:
        return None
    return Condition("(d.newest IS NULL OR d.newest > ?)", (now - min(lives) * 1000,))


def _fill(connection: sqlite3.Connection, table: Table, index: SearchIndex) -> None:
    cursor = connection.execute(f"SELECT key, row FROM {table.rows.name}")  # noqa: S608 - the name is ours
    while found := cursor.fetchmany(_FILL_BATCH):
        for key, row in found:
            index.store.apply(connection, key, None, decode_stored(row))


def _read_rows(
    connection: sqlite3.Connection, target: _Target, hits: list[Hit], projection: Projection, now: int
) -> list[bytes]:
    table, index = target
    expired = expiry(table.options, now)
    waiting = index.store.oldest_due(connection) is not None
    rows: list[bytes] = []
    for hit in hits:
        row = index.store.indexed_row(connection, hit.key) if waiting else None
        if row is None:
            row = connection.execute(table.rows.get, (hit.key,)).fetchone()[0]
        rows.append(select_columns(row, projection.names, expired))
    return rows
