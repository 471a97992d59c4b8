"""Tables and local indexes as they are wanted and as they exist: create, attach, verify, wait until ready."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tablestore import (
    INF_MAX,
    INF_MIN,
    CapacityUnit,
    Direction,
    ReservedThroughput,
    SecondaryIndexMeta,
    SecondaryIndexType,
    TableMeta,
    TableOptions,
)

from langchain_tablestore_memory.core.failures import is_missing_table
from langchain_tablestore_memory.core.programs import Call, Program, Sleep
from langchain_tablestore_memory.core.ranges import KeyColumns, Scan
from langchain_tablestore_memory.errors import ConfigurationError, SchemaMismatchError, ServiceError

if TYPE_CHECKING:
    from langchain_tablestore_memory.connection import Connection

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
"""Names of tables (limits of the service)."""

_READY_WITHIN = 90.0
"""Seconds to wait for a new table. The service takes up to about a minute to load one."""

_POLL_INTERVAL = 0.5

_ALREADY_EXISTS = "OTSObjectAlreadyExist"
_WRONG_KEY = "OTSInvalidPK"


@dataclass(frozen=True, slots=True)
class LocalIndex:
    """A local secondary index: the table in another order, read as if it were a table.

    Attributes:
        name: Its name, where it has to be made. One that exists with the same key is used whatever its name.
        primary_key: Its key columns, the table's partition key first.
        columns: Attribute columns that it carries.
    """

    name: str
    primary_key: tuple[str, ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GlobalIndex(LocalIndex):
    """A global secondary index: the table partitioned by another column. The service updates it a moment later."""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table as it is wanted.

    Attributes:
        name: Its name.
        primary_key: Names and types (``STRING``, ``INTEGER``, ``BINARY``) of the key columns.
        columns: Names and types of the columns that indexes carry.
        indexes: Its secondary indexes.
        time_to_live: Seconds after which rows vanish; -1 for never.

    Raises:
        ConfigurationError: No table can have that name.
    """

    name: str
    primary_key: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...] = ()
    indexes: tuple[LocalIndex, ...] = ()
    time_to_live: int = -1

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it exists.

    Attributes:
        name: Its name.
        columns: The columns that its indexes can carry.
        indexes: Its indexes, by key columns.
        updatable: Whether rows may be updated; a table with a time to live takes only whole-row puts.
    """

    name: str
    columns: frozenset[str]
    indexes: dict[tuple[str, ...], LocalIndex]
    updatable: bool

    def index(self, wanted: LocalIndex) -> LocalIndex:
        """The existing index that serves for `wanted`."""
        return self.indexes[wanted.primary_key]


def ensure_table(connection: Connection, schema: TableSchema) -> Program[Table]:
    """Create what is missing, attach to what exists, verify it, and wait until it is ready.

    Several processes may do so at once.

    Raises:
        SchemaMismatchError: What exists has another primary key or time to live, or cannot be given an index.
    """
    table = yield from find_table(schema)
    existed = table is not None
    if table is None:
        yield from _create_table(schema)
        table = yield from _attach_again(schema)
    missing = [index for index in schema.indexes if index.primary_key not in table.indexes]
    for index in missing:
        yield from _create_index(table, index)
    if missing:
        table = yield from _attach_again(schema)
    # Reading by an index may be refused longer than reading the table.
    for index in schema.indexes if not existed else missing:
        yield from _wait_until_readable(table.index(index).name, index.primary_key)
    connection.tables[schema] = table
    return table


def find_table(schema: TableSchema) -> Program[Table | None]:
    """The table as it exists; None where there is none.

    Raises:
        SchemaMismatchError: It has another primary key or time to live.
    """
    try:
        found = yield Call("describe_table", schema.name)
    except ServiceError as error:
        if is_missing_table(error):
            return None
        raise
    actual_key = tuple((column[0], str(column[1])) for column in found.table_meta.schema_of_primary_key)
    if actual_key != schema.primary_key:
        raise SchemaMismatchError(
            f"Table {schema.name!r} has the primary key {_describe_key(actual_key)}, not "
            f"{_describe_key(schema.primary_key)}. Choose another table name, or delete that table."
        )
    time_to_live = found.table_options.time_to_live
    if time_to_live != schema.time_to_live:
        raise SchemaMismatchError(
            f"Table {schema.name!r} has a time to live of {_describe_ttl(time_to_live)}, not "
            f"{_describe_ttl(schema.time_to_live)}. Give the same ttl, or choose another table name."
        )
    kinds = {SecondaryIndexType.LOCAL_INDEX: LocalIndex, SecondaryIndexType.GLOBAL_INDEX: GlobalIndex}
    indexes = {
        tuple(index.primary_key_names): kinds[index.index_type](
            index.index_name, tuple(index.primary_key_names), tuple(index.defined_column_names)
        )
        for index in found.secondary_indexes
        if index.index_type in kinds
    }
    columns = {column[0] for column in (*found.table_meta.schema_of_primary_key, *found.table_meta.defined_columns)}
    return Table(schema.name, frozenset(columns), indexes, updatable=found.table_options.allow_update is not False)


def drop_table(connection: Connection, schema: TableSchema) -> Program[None]:
    """Delete the table with its indexes and all its rows. A missing table is fine."""
    connection.tables.pop(schema, None)
    try:
        yield Call("delete_table", schema.name)
    except ServiceError as error:
        if not is_missing_table(error):
            raise


def with_table(connection: Connection, schema: TableSchema, make: Callable[[Table], Program[T]]) -> Program[T]:
    """Run a program that has to know the existing table, such as the names of its indexes.

    The table is looked up once per connection. Where it has vanished since, it is made again.
    """
    known = connection.tables.get(schema)
    if known is not None:
        try:
            return (yield from make(known))
        except ServiceError as error:
            if not is_missing_table(error):
                raise
    return (yield from make((yield from ensure_table(connection, schema))))


def with_tables(connection: Connection, schemas: tuple[TableSchema, ...], make: Callable[[], Program[T]]) -> Program[T]:
    """Run a program; where it meets a missing table, make the tables and run it again.

    Raises:
        SchemaMismatchError: It meets a table with another primary key.
    """
    try:
        return (yield from make())
    except ServiceError as error:
        # Looking at a table whose key the service refuses says what it is.
        if not is_missing_table(error) and error.code != _WRONG_KEY:
            raise
    for schema in schemas:
        yield from ensure_table(connection, schema)
    return (yield from make())


class ManagedTable:
    """A table that is made where it is missing.

    Args:
        connection: The connection.
        schema: The table, as it is wanted.
    """

    def __init__(self, connection: Connection, schema: TableSchema) -> None:
        self.connection = connection
        self.schema = schema

    @property
    def name(self) -> str:
        """The table."""
        return self.schema.name

    def setup(self) -> Program[None]:
        """Create the table and its indexes if they are missing, and verify them."""
        yield from ensure_table(self.connection, self.schema)

    def drop(self) -> Program[None]:
        """Delete the table with everything in it."""
        yield from drop_table(self.connection, self.schema)

    def prepared(self, make: Callable[[], Program[T]]) -> Program[T]:
        """Run a program; a missing table is made, and the program run again."""
        return with_tables(self.connection, (self.schema,), make)


class PreparedScan(Generic[T]):
    """A scan of a table that is made where the first request finds none."""

    def __init__(self, connection: Connection, schema: TableSchema, scan: Scan[T]) -> None:
        self._connection = connection
        self._schema = schema
        self._scan = scan

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._scan.finished

    @property
    def position(self) -> KeyColumns | None:
        """The key at which to read on; None at the end of the range."""
        return self._scan.position

    def fetch(self) -> Program[list[T]]:
        """Read one page."""
        return with_tables(self._connection, (self._schema,), self._scan.fetch)


class IndexScan(Generic[T]):
    """A scan that has to know the existing table, such as the name of its index, before it can begin."""

    def __init__(self, connection: Connection, schema: TableSchema, begin: Callable[[Table], Scan[T]]) -> None:
        self._connection = connection
        self._schema = schema
        self._begin = begin
        self._scan: Scan[T] | None = None

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._scan is not None and self._scan.finished

    @property
    def position(self) -> KeyColumns | None:
        """The key at which to read on; None at the end of the range, and before the first page."""
        return None if self._scan is None else self._scan.position

    def fetch(self) -> Program[list[T]]:
        """Read one page."""
        if self._scan is not None:
            return (yield from self._scan.fetch())
        return (yield from with_table(self._connection, self._schema, self._first))

    def _first(self, table: Table) -> Program[list[T]]:
        scan = self._begin(table)
        items = yield from scan.fetch()
        self._scan = scan
        return items


def _attach_again(schema: TableSchema) -> Program[Table]:
    table = yield from find_table(schema)
    if table is None:
        raise SchemaMismatchError(
            f"Table {schema.name!r} was created and is gone again. Is another process deleting it?"
        )
    return table


def _create_table(schema: TableSchema) -> Program[None]:
    # The service refuses a time to live where rows may be updated and indexes exist.
    allow_update = None if schema.time_to_live == -1 else False
    try:
        yield Call(
            "create_table",
            TableMeta(schema.name, list(schema.primary_key), list(schema.columns)),
            TableOptions(time_to_live=schema.time_to_live, max_version=1, allow_update=allow_update),
            ReservedThroughput(CapacityUnit(0, 0)),
            [_index_meta(index) for index in schema.indexes],
        )
    except ServiceError as error:
        if error.code != _ALREADY_EXISTS:
            raise
    yield from _wait_until_readable(schema.name, [name for name, _ in schema.primary_key])


def _create_index(table: Table, wanted: LocalIndex) -> Program[None]:
    unknown = [name for name in wanted.primary_key if name not in table.columns]
    if unknown:
        raise SchemaMismatchError(
            f"Table {table.name!r} has no index by {', '.join(wanted.primary_key)}, and none can be made, because "
            f"{', '.join(unknown)} is no defined column of it. Add it in the console, or choose another table name."
        )
    # What the table does not define is read from the table itself.
    index = replace(wanted, columns=tuple(name for name in wanted.columns if name in table.columns))
    try:
        yield Call("create_secondary_index", table.name, _index_meta(index), True)
    except ServiceError as error:
        if error.code != _ALREADY_EXISTS:
            raise


def _wait_until_readable(name: str, primary_key: Sequence[str]) -> Program[None]:
    waited = 0.0
    while True:
        try:
            yield Call(
                "get_range",
                name,
                Direction.FORWARD,
                [(column, INF_MIN) for column in primary_key],
                [(column, INF_MAX) for column in primary_key],
                limit=1,
                max_version=1,
            )
        except ServiceError as error:
            building = "building base state" in str(error) or "local index" in str(error)
            if not (building or is_missing_table(error)) or waited >= _READY_WITHIN:
                raise
        else:
            return
        yield Sleep(_POLL_INTERVAL)
        waited += _POLL_INTERVAL


def _index_meta(index: LocalIndex) -> SecondaryIndexMeta:
    is_global = isinstance(index, GlobalIndex)
    kind = SecondaryIndexType.GLOBAL_INDEX if is_global else SecondaryIndexType.LOCAL_INDEX
    return SecondaryIndexMeta(index.name, list(index.primary_key), list(index.columns), kind)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"The table name is {name!r}. Give 1 to 255 letters (A to Z, a to z), digits and underscores, "
            "of which the first is no digit."
        )


def _describe_key(key: tuple[tuple[str, str], ...]) -> str:
    return "(" + ", ".join(f"{name} {kind}" for name, kind in key) + ")"


def _describe_ttl(seconds: int) -> str:
    return "none" if seconds == -1 else f"{seconds} s"
