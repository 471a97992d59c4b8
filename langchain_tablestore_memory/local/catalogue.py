"""The catalogue: which tables and indexes an instance has, and what they are like.

Definitions are kept as JSON in the file and as `Table` objects in memory. Other processes may change the file
at any time, and asking it before every request whether they did would cost as much as a small read. Instead,
every change of a definition renames the SQLite tables that hold the rows: whoever works from an outdated
definition meets a table that is not there, forgets what it knows and starts over (see `Engine`). Names are
never used twice.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .keys import KeyReader, checked_key
from .search.analysis import DICTIONARY
from .search.definitions import SearchIndex
from .storage import RowTable
from .values import TYPE_NAMES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from .keys import KeyUse
    from .request_rows import RequestRow


class KeyColumn(NamedTuple):
    """A primary key column; `type` is the PlainBuffer type of its values."""

    name: bytes
    type: int
    auto_increment: bool = False


class DefinedColumn(NamedTuple):
    """An attribute column that was named when the table was made, so that indexes can use it."""

    name: bytes
    type: int


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index.

    Attributes:
        name: The name by which it is read.
        number: Tells it from every other index that the table ever had.
        key: Its whole primary key: the columns asked for, then the table's key columns that were missing.
        attributes: The names of the defined columns that its rows carry.
        local: Whether it shares the table's partition key.
        asked_key: How many of the key columns were asked for.
        rows: Where its rows are.
    """

    name: str
    number: int
    key: tuple[KeyColumn, ...]
    attributes: tuple[bytes, ...]
    local: bool
    asked_key: int
    rows: RowTable


@dataclass(frozen=True, slots=True)
class Options:
    """Table options; see "Max versions and TTL" in the Tablestore documentation.

    Attributes:
        time_to_live: Seconds after which a cell expires, -1 for never.
        max_versions: How many versions of a column are kept.
        max_time_deviation: Seconds by which a timestamp given by a client may be off the clock.
        allow_update: Whether UpdateRow is allowed.
    """

    time_to_live: int
    max_versions: int
    max_time_deviation: int
    allow_update: bool


@dataclass(frozen=True, slots=True)
class Throughput:
    """Reserved capacity units and when they were last raised and lowered, in seconds since 1970."""

    read: int
    write: int
    last_increase: int
    last_decrease: int | None = None


@dataclass(frozen=True, slots=True)
class Encryption:
    """What CreateTable asked for under server-side encryption: echoed, as a local file has no key service."""

    enable: bool = False
    key_type: int | None = None
    key_id: str | None = None
    role_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """What CreateTable or UpdateTable asked for under streams: echoed, as the stream calls are not served.

    Attributes:
        enable: Whether a stream was asked for.
        expiration_time: Hours that its records would be kept.
        last_enable_time: When it was asked for, in microseconds since 1970.
    """

    enable: bool = False
    expiration_time: int | None = None
    last_enable_time: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        id: Its number in the file; never used again after the table is deleted.
        name: Its name.
        generation: Counts the changes of the definition; part of the names of the SQLite tables.
        key: The primary key columns.
        defined_columns: The columns that indexes can use.
        options: The current options.
        widest_versions: The largest `max_versions` that the table ever had: what stored rows may hold.
        throughput: The reserved throughput.
        encryption: The encryption asked for.
        stream: The stream asked for.
        split_points: The encoded values at which the first key column was to be split.
        next_index: The number of the next index.
        indexes: The secondary indexes.
        next_search_index: The number of the next search index.
        search_indexes: The search indexes.
        rows: Where the rows are.
        key_names: The names of the primary key columns.
        auto_increment: The position of the auto-increment column in the key, or None.
    """

    id: int
    name: str
    generation: int
    key: tuple[KeyColumn, ...]
    defined_columns: tuple[DefinedColumn, ...]
    options: Options
    widest_versions: int
    throughput: Throughput
    encryption: Encryption = field(default_factory=Encryption)
    stream: Stream = field(default_factory=Stream)
    split_points: tuple[bytes, ...] = ()
    next_index: int = 0
    indexes: tuple[Index, ...] = ()
    next_search_index: int = 0
    search_indexes: tuple[SearchIndex, ...] = ()
    rows: RowTable = field(init=False)
    key_names: frozenset[bytes] = field(init=False)
    auto_increment: int | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", RowTable(f"rows_{self.id}_{self.generation}"))
        automatic = [place for place, column in enumerate(self.key) if column.auto_increment]
        object.__setattr__(self, "auto_increment", automatic[0] if automatic else None)
        object.__setattr__(self, "key_names", frozenset(column.name for column in self.key))

    def row_tables(self) -> list[RowTable]:
        """The SQLite tables of the table and its indexes, the table's own first."""
        return [self.rows, *(index.rows for index in self.indexes)]


# Compared by identity, so that caches can be keyed by them.
@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a call may name: a table, or an index of one, for which `index` is set."""

    table: Table
    index: Index | None
    key: tuple[KeyColumn, ...]
    rows: RowTable
    reader: KeyReader = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", KeyReader(self.key))

    def check_key(self, row: RequestRow, use: KeyUse) -> bytes:
        """Check the primary key of a request's row, and encode it for sorting; see `checked_key`."""
        return checked_key(row, self.key, self.reader, use)


class Catalogue:
    """The definitions of one instance, cached."""

    def __init__(self) -> None:
        # SQLite's counter of changes to its schema when the cache was filled, and tables and indexes by name.
        self._cache: tuple[int, dict[str, Source]] = (-1, {})

    def find(self, connection: sqlite3.Connection, name: str) -> Source | None:
        """Look a table or an index up by its name.

        Args:
            connection: Where to look when the name is not in the cache.
            name: The name.

        Returns:
            The table or the index, possibly as it was before another process changed it; None when there is
            none.
        """
        source = self._cache[1].get(name)
        if source is None:
            self._cache = _schema_version(connection), load_sources(connection)
            source = self._cache[1].get(name)
        return source

    def reader(self, name: str) -> KeyReader | None:
        """Guess which form the keys of a table have, without looking into the file.

        Args:
            name: The table's name.

        Returns:
            A reader of such keys, possibly outdated; None where the table is not in the cache.
        """
        source = self._cache[1].get(name)
        return None if source is None else source.reader

    def refresh(self, connection: sqlite3.Connection) -> bool:
        """Drop the cache if a definition has changed since it was filled.

        For what would otherwise not notice: refusals, which may come of an outdated definition before any row
        is looked at.

        Args:
            connection: A connection.

        Returns:
            Whether it has been dropped.
        """
        version, sources = self._cache
        if not sources or version == _schema_version(connection):
            return False
        self.forget()
        return True

    def forget(self) -> None:
        """Drop the cache: a definition has changed, here or in another process."""
        self._cache = (-1, {})

    def find_by_id(self, connection: sqlite3.Connection, table_id: int) -> Table | None:
        """Look a table up by its number, in the file.

        Args:
            connection: A connection.
            table_id: The number.

        Returns:
            The table, or None.
        """
        return next((table for table in load_tables(connection) if table.id == table_id), None)


def _schema_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA schema_version").fetchone()[0]
    return version


def load_tables(connection: sqlite3.Connection) -> list[Table]:
    """Read all definitions from the file.

    Args:
        connection: A connection.

    Returns:
        The tables, by name.
    """
    rows = connection.execute("SELECT id, name, definition FROM tables ORDER BY name").fetchall()
    return [_from_json(table_id, name, json.loads(definition)) for table_id, name, definition in rows]


def load_sources(connection: sqlite3.Connection) -> dict[str, Source]:
    """Read all definitions from the file.

    Args:
        connection: A connection.

    Returns:
        Tables and indexes by name.
    """
    sources = {}
    for table in load_tables(connection):
        sources[table.name] = Source(table, None, table.key, table.rows)
        for index in table.indexes:
            sources[index.name] = Source(table, index, index.key, index.rows)
    return sources


def add_table(connection: sqlite3.Connection, table: Table) -> Table:
    """Write the definition of a new table and make the SQLite tables for its rows.

    Args:
        connection: A connection with a write transaction.
        table: The table; its `id` is set here.

    Returns:
        The table with its number.
    """
    cursor = connection.execute("INSERT INTO tables (name, definition) VALUES (?, '')", (table.name,))
    assert cursor.lastrowid is not None
    table = with_indexes(replace(table, id=cursor.lastrowid), table.indexes)
    for rows in table.row_tables():
        connection.execute(rows.create)
    _write(connection, table)
    return table


def change_table(connection: sqlite3.Connection, old: Table, new: Table) -> Table:
    """Write a changed definition: rename what stays, drop and make indexes' row tables as needed.

    Args:
        connection: A connection with a write transaction.
        old: The definition in the file.
        new: The definition to write; its `generation` is set here.

    Returns:
        The new definition.
    """
    new = with_indexes(replace(new, generation=old.generation + 1), new.indexes)
    connection.execute(f"ALTER TABLE {old.rows.name} RENAME TO {new.rows.name}")
    before = {index.number: index.rows for index in old.indexes}
    for index in new.indexes:
        kept = before.pop(index.number, None)
        if kept is None:
            connection.execute(index.rows.create)
        else:
            connection.execute(f"ALTER TABLE {kept.name} RENAME TO {index.rows.name}")
    for dropped in before.values():
        connection.execute(dropped.drop)
    _write(connection, new)
    return new


def remove_table(connection: sqlite3.Connection, table: Table) -> None:
    """Delete a table with its rows, its indexes and its transactions.

    Args:
        connection: A connection with a write transaction.
        table: The table.
    """
    for rows in table.row_tables():
        connection.execute(rows.drop)
    connection.execute(
        "DELETE FROM staged_rows WHERE transaction_id IN (SELECT id FROM transactions WHERE table_id = ?)",
        (table.id,),
    )
    connection.execute("DELETE FROM transactions WHERE table_id = ?", (table.id,))
    connection.execute("DELETE FROM sequences WHERE table_id = ?", (table.id,))
    connection.execute("DELETE FROM tables WHERE id = ?", (table.id,))


def with_indexes(table: Table, indexes: Sequence[Index]) -> Table:
    """Copy a table with other indexes, their row tables named for the table's number and generation.

    Args:
        table: The table.
        indexes: The indexes.

    Returns:
        The table.
    """
    named = tuple(
        replace(index, rows=RowTable(f"index_{table.id}_{table.generation}_{index.number}")) for index in indexes
    )
    return replace(table, indexes=named)


def _write(connection: sqlite3.Connection, table: Table) -> None:
    definition = json.dumps(_to_json(table), ensure_ascii=False)
    connection.execute("UPDATE tables SET definition = ? WHERE id = ?", (definition, table.id))


_TYPE_NUMBERS = {name: number for number, name in TYPE_NAMES.items()}


def _column_to_json(column: KeyColumn | DefinedColumn) -> list[Any]:
    row: list[Any] = [column.name.decode(), TYPE_NAMES[column.type]]
    if isinstance(column, KeyColumn) and column.auto_increment:
        row.append("AUTO_INCREMENT")
    return row


def _key_from_json(columns: list[list[Any]]) -> tuple[KeyColumn, ...]:
    return tuple(
        KeyColumn(column[0].encode(), _TYPE_NUMBERS[column[1]], len(column) > 2)  # noqa: PLR2004 - see above
        for column in columns
    )


def _to_json(table: Table) -> dict[str, Any]:
    return {
        "generation": table.generation,
        "key": [_column_to_json(column) for column in table.key],
        "defined_columns": [_column_to_json(column) for column in table.defined_columns],
        "options": asdict(table.options),
        "widest_versions": table.widest_versions,
        "throughput": asdict(table.throughput),
        "encryption": asdict(table.encryption),
        "stream": asdict(table.stream),
        "split_points": [point.hex() for point in table.split_points],
        "next_index": table.next_index,
        "indexes": [
            {
                "name": index.name,
                "number": index.number,
                "key": [_column_to_json(column) for column in index.key],
                "attributes": [name.decode() for name in index.attributes],
                "local": index.local,
                "asked_key": index.asked_key,
            }
            for index in table.indexes
        ],
        "next_search_index": table.next_search_index,
        "search_indexes": [
            {
                "name": index.name,
                "number": index.number,
                "schema": base64.b64encode(index.schema).decode(),
                "time_to_live": index.time_to_live,
                "created": index.created,
                "segmenter": index.segmenter,
            }
            for index in table.search_indexes
        ],
    }


def _from_json(table_id: int, name: str, definition: dict[str, Any]) -> Table:
    table = Table(
        id=table_id,
        name=name,
        generation=definition["generation"],
        key=_key_from_json(definition["key"]),
        defined_columns=tuple(
            DefinedColumn(column.encode(), _TYPE_NUMBERS[kind]) for column, kind in definition["defined_columns"]
        ),
        options=Options(**definition["options"]),
        widest_versions=definition["widest_versions"],
        throughput=Throughput(**definition["throughput"]),
        encryption=Encryption(**definition["encryption"]),
        stream=Stream(**definition["stream"]),
        split_points=tuple(bytes.fromhex(point) for point in definition["split_points"]),
        next_index=definition["next_index"],
        # Files of earlier versions have none.
        next_search_index=definition.get("next_search_index", 0),
        search_indexes=tuple(
            SearchIndex(
                **{"segmenter": DICTIONARY, **index, "schema": base64.b64decode(index["schema"])}, table_id=table_id
            )
            for index in definition.get("search_indexes", ())
        ),
    )
    indexes = [
        Index(
            name=index["name"],
            number=index["number"],
            key=_key_from_json(index["key"]),
            attributes=tuple(attribute.encode() for attribute in index["attributes"]),
            local=index["local"],
            asked_key=index["asked_key"],
            rows=table.rows,
        )
        for index in definition["indexes"]
    ]
    return with_indexes(table, indexes)
