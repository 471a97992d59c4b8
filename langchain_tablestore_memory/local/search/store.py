"""The SQLite tables of one search index, and keeping them in step with the rows.

``docs`` has one row per row of the table: a number, the encoded primary key, the time of its newest cell, and a
typed column for each field with one value. Values of arrays are in ``values``, each TEXT field in an FTS5 table of
its own (so that its statistics are those of the field), each VECTOR field in a table of float32 blobs. ``log`` tells
the caches in memory, here and in other processes, which documents have changed. ``queue`` holds changes that are to
become visible later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_tablestore_memory.local.messages import search

from .rows import column_values, decode_stored, encode_stored, newest_time
from .values import read_scalar, read_scalars, read_tokens, read_vector

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from langchain_tablestore_memory.local.plainbuffer import Row

    from .definitions import Field

_SQL_TYPES: Final = {
    search.KEYWORD: "TEXT",
    search.LONG: "INTEGER",
    search.DOUBLE: "REAL",
    search.BOOLEAN: "INTEGER",
    search.DATE: "INTEGER",
}
# How many changes the log keeps: a cache that is further behind is loaded anew.
_LOG_LENGTH: Final = 65_536
_LOG_TRIM: Final = 1024


class Store:
    """The tables of one index.

    Args:
        prefix: What their names begin with.
        fields: The fields of the index.
    """

    def __init__(self, prefix: str, fields: Sequence[Field]) -> None:
        self.docs = f"{prefix}_docs"
        self.values = f"{prefix}_values"
        self.log = f"{prefix}_log"
        self.queue = f"{prefix}_queue"
        self._prefix = prefix
        self._columns = [field for field in fields if field.type in _SQL_TYPES and not field.is_array]
        self._arrays = [field for field in fields if field.type in _SQL_TYPES and field.is_array]
        self._texts = [field for field in fields if field.type == search.TEXT]
        self._vectors = [field for field in fields if field.type == search.VECTOR]
        names = ["newest", *(self.column(field) for field in self._columns), "key"]
        self._add_doc = f"INSERT INTO {self.docs} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - ours

    def column(self, field: Field) -> str:
        """The column of ``docs`` that holds a field with one value."""
        return f"f{field.number}"

    def text(self, field: Field) -> str:
        """The FTS5 table of a TEXT field."""
        return f"{self._prefix}_text_{field.number}"

    def terms(self, field: Field) -> str:
        """The table of the tokens of a TEXT field."""
        return f"{self._prefix}_terms_{field.number}"

    def places(self, field: Field) -> str:
        """The table of the places of the tokens of a TEXT field."""
        return f"{self._prefix}_places_{field.number}"

    def vectors(self, field: Field) -> str:
        """The table of a VECTOR field."""
        return f"{self._prefix}_vectors_{field.number}"

    def create(self, connection: sqlite3.Connection) -> None:
        """Make the tables.

        Args:
            connection: A connection with a write transaction.
        """
        columns = "".join(f", {self.column(field)} {_SQL_TYPES[field.type]}" for field in self._columns)
        connection.execute(
            f"CREATE TABLE {self.docs} (doc INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, newest INTEGER{columns})"
        )
        for field in self._columns:
            column = self.column(field)
            # With the key behind it, a page of the documents of one value is read in order.
            columns = f"{column}, key" if field.type == search.KEYWORD else column
            connection.execute(
                f"CREATE INDEX {self.docs}_{column} ON {self.docs} ({columns}) WHERE {column} IS NOT NULL"
            )
        connection.execute(
            f"CREATE TABLE {self.values} (field INTEGER, value, doc INTEGER, count INTEGER,"
            " PRIMARY KEY (field, value, doc)) WITHOUT ROWID"
        )
        connection.execute(f"CREATE INDEX {self.values}_doc ON {self.values} (doc)")
        for field in self._texts:
            text = self.text(field)
            connection.execute(f"CREATE VIRTUAL TABLE {text} USING fts5(tokens, tokenize='ascii')")
            connection.execute(f"CREATE VIRTUAL TABLE {self.terms(field)} USING fts5vocab({text}, row)")
            connection.execute(f"CREATE VIRTUAL TABLE {self.places(field)} USING fts5vocab({text}, instance)")
        for field in self._vectors:
            connection.execute(f"CREATE TABLE {self.vectors(field)} (doc INTEGER PRIMARY KEY, vector BLOB NOT NULL)")
        connection.execute(f"CREATE TABLE {self.log} (seq INTEGER PRIMARY KEY, doc INTEGER NOT NULL)")
        connection.execute(
            f"CREATE TABLE {self.queue} (seq INTEGER PRIMARY KEY, due INTEGER NOT NULL, key BLOB NOT NULL,"
            " before BLOB, after BLOB)"
        )
        connection.execute(f"CREATE INDEX {self.queue}_key ON {self.queue} (key)")

    def drop(self, connection: sqlite3.Connection) -> None:
        """Drop the tables.

        Args:
            connection: A connection with a write transaction.
        """
        tables = [self.docs, self.values, self.log, self.queue]
        for field in self._texts:
            tables += [self.terms(field), self.places(field), self.text(field)]
        tables += [self.vectors(field) for field in self._vectors]
        for table in tables:
            connection.execute(f"DROP TABLE {table}")

    def change(
        self, connection: sqlite3.Connection, key: bytes, before: Row | None, after: Row | None, visible: int | None
    ) -> None:
        """Take note of a change of one row.

        Args:
            connection: A connection with a write transaction.
            key: The row's encoded key.
            before: The row as it was, None where there was none.
            after: The row as it is, None where it is gone.
            visible: When searches are to see the change, in milliseconds since 1970; None for at once.
        """
        if visible is not None:
            self.enqueue(connection, key, before, after, visible)
            return
        if self.oldest_due(connection) is not None:
            self.apply_due(connection, None)
        self.apply(connection, key, before, after)

    def apply(self, connection: sqlite3.Connection, key: bytes, before: Row | None, after: Row | None) -> None:
        """Bring the index up to date with a change of one row.

        Args:
            connection: A connection with a write transaction.
            key: The row's encoded key.
            before: The row as it is indexed, None where it is not.
            after: The row as it is, None where it is gone.
        """
        if after is None:
            if before is not None:
                self._remove(connection, key)
            return
        new = column_values(after)
        old = {} if before is None else column_values(before)
        doc = None if before is None else self._change_doc(connection, key, newest_time(after), old, new)
        if doc is None:
            # Also where the row is known but its document has been swept.
            old = {}
            row = (newest_time(after), *[_scalar(field, new) for field in self._columns], key)
            doc = connection.execute(self._add_doc, row).lastrowid
            assert doc is not None
        self._put_arrays(connection, doc, old, new)
        changed = self._put_texts(connection, doc, old, new)
        changed |= self._put_vectors(connection, doc, old, new)
        if changed:
            self._note(connection, doc)

    def enqueue(
        self, connection: sqlite3.Connection, key: bytes, before: Row | None, after: Row | None, due: int
    ) -> None:
        """Keep a change until it is to become visible.

        Args:
            connection: A connection with a write transaction.
            key: The row's encoded key.
            before: The row as it was.
            after: The row as it is.
            due: When the change becomes visible, in milliseconds since 1970.
        """
        connection.execute(
            f"INSERT INTO {self.queue} (due, key, before, after) VALUES (?, ?, ?, ?)",  # noqa: S608
            (due, key, _encode(before), _encode(after)),
        )

    def oldest_due(self, connection: sqlite3.Connection, *, later_than: int = -1) -> int | None:
        """Tell when the next waiting change becomes visible.

        Args:
            connection: A connection.
            later_than: A time in milliseconds. What is due by then is visible to the next search, and passed over.

        Returns:
            The time in milliseconds, None where nothing waits.
        """
        found = connection.execute(
            f"SELECT due FROM {self.queue} WHERE due > ? ORDER BY seq LIMIT 1",  # noqa: S608
            (later_than,),
        ).fetchone()
        return None if found is None else int(found[0])

    def apply_due(self, connection: sqlite3.Connection, now: int | None) -> None:
        """Make waiting changes visible, in the order in which they were made.

        Args:
            connection: A connection with a write transaction.
            now: The time in milliseconds; None for all changes.
        """
        waiting = connection.execute(
            f"SELECT seq, due, key, before, after FROM {self.queue} ORDER BY seq"  # noqa: S608
        )
        last = None
        for seq, due, key, before, after in waiting:
            if now is not None and due > now:
                break
            self.apply(connection, key, _decode(before), _decode(after))
            last = seq
        if last is not None:
            connection.execute(f"DELETE FROM {self.queue} WHERE seq <= ?", (last,))  # noqa: S608

    def sweep(self, connection: sqlite3.Connection, expired: int, after: int, count: int) -> int:
        """Remove documents whose time-to-live has ended, among the next ones in the order of their number.

        Args:
            connection: A connection with a write transaction.
            expired: The time in milliseconds up to which documents have expired.
            after: The number after which to begin.
            count: How many documents to look at.

        Returns:
            The number after which to go on, 0 at the end.
        """
        found = connection.execute(
            f"SELECT doc, key, newest FROM {self.docs} WHERE doc > ? ORDER BY doc LIMIT ?",  # noqa: S608
            (after, count),
        ).fetchall()
        for _, key, newest in found:
            if newest is not None and newest <= expired:
                self._remove(connection, key)
        return found[-1][0] if len(found) == count else 0

    def log_range(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Tell which changes the log has.

        Args:
            connection: A connection.

        Returns:
            The numbers of the first and the last one; 0 and 0 where there was none yet.
        """
        log = self.log
        # Each on its own is read from an end of the table, both in one SELECT would read all of it.
        first, last = connection.execute(
            f"SELECT (SELECT min(seq) FROM {log}), (SELECT max(seq) FROM {log})"  # noqa: S608
        ).fetchone()
        return first or 0, last or 0

    def indexed_row(self, connection: sqlite3.Connection, key: bytes) -> bytes | None:
        """Look up the row that a document was made from, where a change of it waits.

        Args:
            connection: A connection.
            key: The row's encoded key.

        Returns:
            The stored form of the row, None where the row is indexed as it is.
        """
        found = connection.execute(
            f"SELECT before FROM {self.queue} WHERE key = ? ORDER BY seq LIMIT 1",  # noqa: S608
            (key,),
        ).fetchone()
        return None if found is None else found[0]

    def _remove(self, connection: sqlite3.Connection, key: bytes) -> None:
        found = connection.execute(f"DELETE FROM {self.docs} WHERE key = ? RETURNING doc", (key,)).fetchone()  # noqa: S608
        if found is None:
            return
        if self._arrays:
            connection.execute(f"DELETE FROM {self.values} WHERE doc = ?", found)  # noqa: S608
        for field in self._texts:
            connection.execute(f"DELETE FROM {self.text(field)} WHERE rowid = ?", found)  # noqa: S608
        for field in self._vectors:
            connection.execute(f"DELETE FROM {self.vectors(field)} WHERE doc = ?", found)  # noqa: S608
        if self._texts or self._vectors:
            self._note(connection, found[0])

    def _change_doc(
        self,
        connection: sqlite3.Connection,
        key: bytes,
        newest: int | None,
        old: dict[bytes, bytes],
        new: dict[bytes, bytes],
    ) -> int | None:
        """Update a document; only what has changed, as each column means a page of its index to be written."""
        changed = _changed(self._columns, old, new)
        columns = ", ".join(["newest = ?", *[f"{self.column(field)} = ?" for field in changed]])
        found = connection.execute(
            f"UPDATE {self.docs} SET {columns} WHERE key = ? RETURNING doc",  # noqa: S608
            (newest, *[_scalar(field, new) for field in changed], key),
        ).fetchone()
        return None if found is None else int(found[0])

    def _put_arrays(
        self, connection: sqlite3.Connection, doc: int, old: dict[bytes, bytes], new: dict[bytes, bytes]
    ) -> None:
        for field in _changed(self._arrays, old, new):
            if old:
                connection.execute(
                    f"DELETE FROM {self.values} WHERE doc = ? AND field = ?",  # noqa: S608
                    (doc, field.number),
                )
            value = new.get(field.column)
            if value is not None:
                connection.executemany(
                    f"INSERT INTO {self.values} (field, value, doc, count) VALUES (?, ?, ?, 1)"  # noqa: S608
                    " ON CONFLICT DO UPDATE SET count = count + 1",
                    [(field.number, element, doc) for element in read_scalars(field, value)],
                )

    def _put_texts(
        self, connection: sqlite3.Connection, doc: int, old: dict[bytes, bytes], new: dict[bytes, bytes]
    ) -> bool:
        changed = False
        for field in _changed(self._texts, old, new):
            changed = True
            if old:
                connection.execute(f"DELETE FROM {self.text(field)} WHERE rowid = ?", (doc,))  # noqa: S608
            value = new.get(field.column)
            tokens = None if value is None else read_tokens(field, value)
            if tokens is not None:
                connection.execute(
                    f"INSERT INTO {self.text(field)} (rowid, tokens) VALUES (?, ?)",  # noqa: S608
                    (doc, tokens),
                )
        return changed

    def _put_vectors(
        self, connection: sqlite3.Connection, doc: int, old: dict[bytes, bytes], new: dict[bytes, bytes]
    ) -> bool:
        changed = False
        for field in _changed(self._vectors, old, new):
            changed = True
            value = new.get(field.column)
            vector = None if value is None else read_vector(field, value)
            if vector is not None:
                connection.execute(
                    f"INSERT OR REPLACE INTO {self.vectors(field)} (doc, vector) VALUES (?, ?)",  # noqa: S608
                    (doc, vector),
                )
            elif old:
                connection.execute(f"DELETE FROM {self.vectors(field)} WHERE doc = ?", (doc,))  # noqa: S608
        return changed

    def _note(self, connection: sqlite3.Connection, doc: int) -> None:
        seq = connection.execute(f"INSERT INTO {self.log} (doc) VALUES (?)", (doc,)).lastrowid  # noqa: S608
        if seq is not None and seq % _LOG_TRIM == 0:
            connection.execute(f"DELETE FROM {self.log} WHERE seq <= ?", (seq - _LOG_LENGTH,))  # noqa: S608


def _scalar(field: Field, values: dict[bytes, bytes]) -> Any:
    value = values.get(field.column)
    if value is None:
        return None
    return read_scalar(field, value)


def _changed(fields: list[Field], old: dict[bytes, bytes], new: dict[bytes, bytes]) -> Iterable[Field]:
    return [field for field in fields if old.get(field.column) != new.get(field.column)]


def _encode(row: Row | None) -> bytes | None:
    return None if row is None else encode_stored(row)


def _decode(row: bytes | None) -> Row | None:
    return None if row is None else decode_stored(row)
