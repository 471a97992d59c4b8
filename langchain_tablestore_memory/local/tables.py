"""CreateTable, ListTable, DescribeTable, UpdateTable, DeleteTable, CreateIndex and DropIndex.

Definitions are read from the file here, never from the cache, which is dropped after every change. Tables are
usable as soon as the answer is sent; the service's limits on the rate of such calls are not imitated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .catalogue import Table, Throughput, add_table, change_table, load_sources, remove_table
from .definitions import (
    change_options,
    change_throughput,
    check_indexable,
    describe_table,
    describe_update,
    parse_capacity,
    parse_defined_columns,
    parse_encryption,
    parse_index,
    parse_key,
    parse_new_options,
    parse_split_points,
    parse_stream,
)
from .errors import RequestError, already_exists, parameter_invalid, quota_exhausted, table_not_exist
from .indexes import fill_index
from .limits import MAX_INDEXES_PER_TABLE, MAX_TABLES, check_table_name
from .messages import parse, tables
from .search.definitions import check_life
from .storage import read_record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from .catalogue import Catalogue, Index, Source
    from .storage import Database

_FILL_BATCH: Final = 500


class Tables:
    """Carries out the calls on tables and secondary indexes.

    Args:
        database: Where the definitions are.
        catalogue: The cache to drop after a change.
        now: Tells the time in milliseconds.
    """

    def __init__(self, database: Database, catalogue: Catalogue, now: Callable[[], int]) -> None:
        self._database = database
        self._catalogue = catalogue
        self._now = now

    def create_table(self, body: bytes) -> bytes:
        """Carry out CreateTable."""
        request = parse(tables.CreateTableRequest, body)
        meta = request.table_meta
        check_table_name(meta.table_name)
        key = parse_key(meta)
        defined = parse_defined_columns(meta, key)
        options = parse_new_options(request.table_options)
        capacity = request.reserved_throughput.capacity_unit
        table = Table(
            id=0,
            name=meta.table_name,
            generation=0,
            key=key,
            defined_columns=defined,
            options=options,
            widest_versions=options.max_versions,
            throughput=Throughput(
                parse_capacity(capacity, "read"), parse_capacity(capacity, "write"), self._now() // 1000
            ),
            encryption=parse_encryption(request.sse_spec),
            stream=parse_stream(request.stream_spec, self._now()),
            split_points=parse_split_points(request.partitions, key),
            next_index=len(request.index_metas),
            indexes=tuple(parse_index(index, number, key, defined) for number, index in enumerate(request.index_metas)),
        )
        if table.indexes:
            check_indexable(options)
        if len(table.indexes) > MAX_INDEXES_PER_TABLE:
            raise _too_many_indexes()
        with self._database.write() as connection:
            _check_names(connection, [table.name, *(index.name for index in table.indexes)])
            add_table(connection, table)
        self._catalogue.forget()
        return b""

    def list_table(self, body: bytes) -> bytes:
        """Carry out ListTable: the names of tables and index tables, sorted."""
        parse(tables.ListTableRequest, body)
        with self._database.read() as connection:
            names = sorted(load_sources(connection))
        return bytes(tables.ListTableResponse(table_names=names).SerializeToString())

    def describe_table(self, body: bytes) -> bytes:
        """Carry out DescribeTable."""
        request = parse(tables.DescribeTableRequest, body)
        with self._database.read() as connection:
            source = load_sources(connection).get(request.table_name)
        if source is None:
            check_table_name(request.table_name)
            raise table_not_exist()
        return describe_table(source)

    def update_table(self, body: bytes) -> bytes:
        """Carry out UpdateTable."""
        request = parse(tables.UpdateTableRequest, body)
        has_options = request.HasField("table_options") and bool(request.table_options.ListFields())
        if not (has_options or request.HasField("reserved_throughput") or request.HasField("stream_spec")):
            raise parameter_invalid("No parameter is specified in table options.")
        with self._database.write() as connection:
            old = _find_table(connection, request.table_name)
            options = change_options(old.options, request.table_options)
            if old.indexes or old.search_indexes:
                check_indexable(options)
            for search_index in old.search_indexes:
                check_life(search_index.time_to_live, options)
            throughput = change_throughput(
                old.throughput, request.reserved_throughput.capacity_unit, self._now() // 1000
            )
            new = replace(
                old,
                options=options,
                widest_versions=max(old.widest_versions, options.max_versions),
                throughput=throughput,
                stream=parse_stream(request.stream_spec, self._now())
                if request.HasField("stream_spec")
                else old.stream,
            )
            new = change_table(connection, old, new)
        self._catalogue.forget()
        return describe_update(new)

    def delete_table(self, body: bytes) -> bytes:
        """Carry out DeleteTable: secondary indexes go with the table, search indexes must be gone before."""
        request = parse(tables.DeleteTableRequest, body)
        with self._database.write() as connection:
            table = _find_table(connection, request.table_name)
            if table.search_indexes:
                raise parameter_invalid(f"Table[{table.name}] who has at least one search index cannot be deleted")
            remove_table(connection, table)
        self._catalogue.forget()
        return b""

    def create_index(self, body: bytes) -> bytes:
        """Carry out CreateIndex."""
        request = parse(tables.CreateIndexRequest, body)
        with self._database.write() as connection:
            old = _find_table(connection, request.main_table_name)
            index = parse_index(request.index_meta, old.next_index, old.key, old.defined_columns)
            check_indexable(old.options)
            if len(old.indexes) >= MAX_INDEXES_PER_TABLE:
                raise _too_many_indexes()
            _check_names(connection, [index.name])
            new = replace(old, indexes=(*old.indexes, index), next_index=old.next_index + 1)
            new = change_table(connection, old, new)
            if request.include_base_data:
                _fill(connection, new, new.indexes[-1])
        self._catalogue.forget()
        return b""

    def drop_index(self, body: bytes) -> bytes:
        """Carry out DropIndex."""
        request = parse(tables.DropIndexRequest, body)
        with self._database.write() as connection:
            old = _find_table(connection, request.main_table_name)
            kept = tuple(index for index in old.indexes if index.name != request.index_name)
            if len(kept) == len(old.indexes):
                raise RequestError(404, "OTSObjectNotExist", "Requested index does not exist.")
            change_table(connection, old, replace(old, indexes=kept))
        self._catalogue.forget()
        return b""


def _find_table(connection: sqlite3.Connection, name: str) -> Table:
    source: Source | None = load_sources(connection).get(name)
    if source is None:
        check_table_name(name)
        raise table_not_exist()
    if source.index is not None:
        raise parameter_invalid("Can't write index table directly.")
    return source.table


def _check_names(connection: sqlite3.Connection, names: list[str]) -> None:
    taken = set(load_sources(connection))
    for name in names:
        if name in taken:
            raise already_exists()
        taken.add(name)
    if len(taken) > MAX_TABLES:
        raise quota_exhausted(f"Number of tables exceeds the quota:{MAX_TABLES}.")


def _too_many_indexes() -> RequestError:
    return parameter_invalid(f"Number of index per table exceeds the quota:{MAX_INDEXES_PER_TABLE}.")


def _fill(connection: sqlite3.Connection, table: Table, index: Index) -> None:
    cursor = connection.execute(table.rows.all)
    while found := cursor.fetchmany(_FILL_BATCH):
        fill_index(connection, index, [read_record(record) for record in found])
