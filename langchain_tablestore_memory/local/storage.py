"""The SQLite file behind an instance: connections, transactions, and tables of encoded rows.

One file holds one instance. Writers take turns on one connection per process, and SQLite's lock makes the
processes take turns; readers have connections of their own and, thanks to the write-ahead log, wait for
nobody. With ``durability="full"`` a commit returns when the log is on disk.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from .errors import StorageError
from .failures import diagnosis, error_code
from .packing import pack_row, unpack_cells
from .plainbuffer import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

Durability = Literal["full", "normal"]

# 2: rows may be packed.
FORMAT_VERSION: Final = 2
# "OTSm" in ASCII: tells a file of ours from any other SQLite file.
_APPLICATION_ID: Final = 0x4F54536D
# Seconds that a writer waits for other processes before it gives up.
_BUSY_TIMEOUT: Final = 30.0
# 8 KiB pages hold a chat message or a small document without a chain of overflow pages.
_PAGE_SIZE: Final = 8192

_SCHEMA: Final = (
    """CREATE TABLE tables (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        definition TEXT NOT NULL
    )""",
    # The last value of each table's auto-increment column.
    "CREATE TABLE sequences (table_id INTEGER PRIMARY KEY, last INTEGER NOT NULL)",
    """CREATE TABLE transactions (
        id TEXT PRIMARY KEY,
        table_id INTEGER NOT NULL,
        partition BLOB NOT NULL,
        expires INTEGER NOT NULL,
        size INTEGER NOT NULL,
        UNIQUE (table_id, partition)
    ) WITHOUT ROWID""",
    # Rows as open transactions will leave them; a row that they delete is NULL here.
    """CREATE TABLE staged_rows (
        transaction_id TEXT NOT NULL,
        key BLOB NOT NULL,
        row BLOB,
        PRIMARY KEY (transaction_id, key)
    ) WITHOUT ROWID""",
)


class Record(NamedTuple):
    """A stored row, packed, with what reads need to know without taking it apart.

    `oldest` and `newest` are the times of its oldest and newest cell in milliseconds, None without cells:
    from them follows whether time-to-live has taken all, some or none of the row.
    """

    row: bytes
    size: int
    oldest: int | None
    newest: int | None


def make_record(row: Row) -> Record:
    """Make the stored form of a row.

    Args:
        row: The row.

    Returns:
        Its record.
    """
    return Record(pack_row(row), row.size, row.oldest, row.newest)


def read_record(record: Sequence[Any]) -> Row:
    """Take a stored row apart.

    Args:
        record: Its record, or the same columns as SQLite returns them.

    Returns:
        The row.
    """
    key, cells = unpack_cells(record[0])
    return Row(key, cells, *record[1:])


class RowTable:
    """The SQL of one SQLite table of encoded rows.

    The tables have a rowid besides the key. That costs small rows a little, makes large ones (documents with
    vectors) twice as fast to write, and gives a row a small number by which other structures can refer to it.
    """

    __slots__ = (
        "all",
        "copy_backward",
        "copy_forward",
        "create",
        "delete",
        "drop",
        "get",
        "name",
        "put",
        "scan_backward",
        "scan_backward_live",
        "scan_forward",
        "scan_forward_live",
        "sweep",
    )

    def __init__(self, name: str) -> None:
        live = "AND (newest IS NULL OR newest > ?)"
        columns = "row, size, oldest, newest"
        self.name = name
        self.create = (
            f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, row BLOB NOT NULL,"
            " size INTEGER NOT NULL, oldest INTEGER, newest INTEGER)"
        )
        self.drop = f"DROP TABLE {name}"
        self.put = (
            f"INSERT INTO {name} (key, row, size, oldest, newest) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key)"  # noqa: S608
            " DO UPDATE SET row = excluded.row, size = excluded.size, oldest = excluded.oldest,"
            " newest = excluded.newest"
        )
        self.delete = f"DELETE FROM {name} WHERE key = ?"  # noqa: S608 - the name is ours
        self.all = f"SELECT {columns} FROM {name}"  # noqa: S608
        # Rows by number, without what they hold unless they have expired.
        self.sweep = (
            f"SELECT id, key, CASE WHEN newest <= ? THEN row END, size, oldest, newest FROM {name}"  # noqa: S608
            " WHERE id > ? ORDER BY id LIMIT ?"
        )
        self.get = f"SELECT {columns} FROM {name} WHERE key = ?"  # noqa: S608
        forward, backward = "WHERE key >= ? AND key < ?", "WHERE key <= ? AND key > ?"
        scan = f"SELECT {columns}, key FROM {name}"  # noqa: S608
        self.scan_forward = f"{scan} {forward} ORDER BY key"
        self.scan_forward_live = f"{scan} {forward} {live} ORDER BY key"
        self.scan_backward = f"{scan} {backward} ORDER BY key DESC"
        self.scan_backward_live = f"{scan} {backward} {live} ORDER BY key DESC"
        copy = f"SELECT row, size FROM {name}"  # noqa: S608
        self.copy_forward = f"{copy} {forward} ORDER BY key"
        self.copy_backward = f"{copy} {backward} ORDER BY key DESC"


class _File:
    """The file of an instance, None for one in memory, and how it is opened."""

    def __init__(self, path: Path | None, durability: Durability) -> None:
        self.path = path
        self.closed = False
        self._durability = durability
        # What the system knows the file by, once it has been opened.
        self._inode: int | None = None

    def open(self, *, first: bool) -> sqlite3.Connection:
        """Open a connection, for writing if it is the first one and for reading otherwise."""
        if self.closed:
            raise StorageError("The instance has been closed.")
        if self.path is None:
            connection = _connect(":memory:")
            _create_schema(connection)
            return connection
        self.check()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = _connect(os.fspath(self.path))
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"{self.path} cannot be opened ({error}). Choose a folder that exists or can be made, and in"
                " which files may be written."
            ) from error
        try:
            if first:
                self._prepare(connection)
            else:
                connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            connection.close()
            raise StorageError(diagnosis(self.path, error)) from error
        except StorageError:
            connection.close()
            raise
        if self._inode is None:
            self._inode = self.path.stat().st_ino
        return connection

    def check(self) -> None:
        """Check that the file is where it was opened: SQLite writes on into one that has been moved or deleted.

        Raises:
            StorageError: The file is not there any more.
        """
        if self.path is None or self._inode is None:
            return
        try:
            inode = self.path.stat().st_ino
        except OSError:
            inode = None
        if inode != self._inode:
            raise StorageError(
                f"{self.path} has been moved, deleted or replaced while it was in use. Put it back, or restart the"
                " program to begin with what is there now."
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Before anything is changed: the file may be another program's.
        self._refuse_foreign(connection)
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        _keep_log(connection)
        connection.execute(f"PRAGMA synchronous = {self._durability}")
        # On macOS a plain fsync leaves data in the drive's cache; elsewhere this changes nothing.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("BEGIN IMMEDIATE")
        if self._is_new(connection):
            _create_schema(connection)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        # Earlier versions of the package cannot read what this one may write. Also where nothing changes this fails
        # if the file cannot be written, which would otherwise show with the first write.
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.execute("ROLLBACK" if version == FORMAT_VERSION else "COMMIT")

    def _refuse_foreign(self, connection: sqlite3.Connection) -> None:
        # In one transaction: between two statements of their own another process may make the file ours.
        connection.execute("BEGIN")
        self._is_new(connection)
        connection.execute("COMMIT")

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        application_id = connection.execute("PRAGMA application_id").fetchone()[0]
        if application_id == _APPLICATION_ID:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > FORMAT_VERSION:
                raise StorageError(
                    f"{self.path} was written by a newer version of this package (file format {version}, this"
                    f" version knows {FORMAT_VERSION}). Upgrade the package, or choose another folder."
                )
            return False
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StorageError(f"{self.path} is an SQLite file of another program. Choose another folder.")
        return True


class Database:
    """The connections to one instance's file, or to an instance in memory.

    Args:
        path: The file, made when it does not exist; None keeps everything in memory.
        durability: ``"full"`` makes an acknowledged write survive a power failure, ``"normal"`` only the
            death of the process, several times faster.

    Raises:
        StorageError: The file cannot be used.
    """

    def __init__(self, path: Path | None, durability: Durability) -> None:
        self._file = _File(path, durability)
        self._forking = False
        # Reading connections: all that are open, and those of them that nobody uses.
        self._readers: set[sqlite3.Connection] = set()
        self._idle: list[sqlite3.Connection] = []
        self._opening = threading.Lock()
        self._write = _Write(self._file)
        with _fork_lock:
            _databases.add(self)
        with self._write.lock:
            self._write.open()

    def write(self) -> _Write:
        """Start a write transaction: commits at the end of the ``with`` block, or rolls back on an exception."""
        return self._write

    def read(self) -> _Read | _Write:
        """Borrow a connection for reading; each statement sees the latest state of the data."""
        return self._write if self._file.path is None else _Read(self, "")

    def snapshot(self) -> _Read | _Write:
        """Borrow a connection for reading; all statements in the ``with`` block see one state of the data."""
        return self._write if self._file.path is None else _Read(self, "BEGIN")

    def take(self) -> sqlite3.Connection:
        """Take a reading connection from the pool, or open one."""
        try:
            return self._idle.pop()
        except IndexError:
            with self._opening:
                connection = self._file.open(first=False)
                self._readers.add(connection)
                return connection

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Return a reading connection to the pool."""
        if self._file.closed or self._forking:
            self.discard(connection)
        else:
            self._idle.append(connection)

    def discard(self, connection: sqlite3.Connection) -> None:
        """Close a reading connection."""
        connection.close()
        self._readers.discard(connection)

    def close(self) -> None:
        """Close the connections, after the write that is under way. Closing twice is fine."""
        with self._write.lock:
            self._file.closed = True
            self._discard_idle()
            self._write.close()

    def before_fork(self) -> None:
        """Close the connections as soon as nobody uses them, and let nobody open one.

        What SQLite knows of a file that is open, its locks above all, may not cross a fork: a child would take the
        parent's locks for its own, and write to a log that the parent deletes. An instance in memory is the child's
        own copy, and only must not be in the middle of a write.
        """
        self._write.lock.acquire()
        self._opening.acquire()
        if self._file.path is None or self._file.closed:
            return
        self._forking = True
        self._discard_idle()
        give_up = time.monotonic() + _BUSY_TIMEOUT
        while self._readers and time.monotonic() < give_up:
            time.sleep(0.001)
            self._discard_idle()
        self._write.close()

    def after_fork(self) -> None:
        """Let connections be opened again, in the parent and in the child: each opens its own when it needs one."""
        self._forking = False
        self._opening.release()
        self._write.lock.release()

    def diagnose(self, error: sqlite3.Error) -> str:
        """Say what an error of SQLite means and what to do about it."""
        return diagnosis(self._file.path, error)

    def _discard_idle(self) -> None:
        # Others may take the last one at any moment.
        with suppress(IndexError):
            while True:
                self.discard(self._idle.pop())


class _Write:
    """One write transaction at a time, on the writing connection."""

    def __init__(self, file: _File) -> None:
        self.lock = threading.Lock()
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def open(self) -> sqlite3.Connection:
        """Open the connection unless it is open; for whoever holds the lock, as is `close`."""
        if self._connection is None:
            self._connection = self._file.open(first=True)
        return self._connection

    def close(self) -> None:
        """Close the connection; the next write opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> sqlite3.Connection:
        self.lock.acquire()
        try:
            self._file.check()
            connection = self._connection or self.open()
            connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self.lock.release()
            raise
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self.open()
        try:
            if kind is None:
                connection.execute("COMMIT")
        finally:
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            finally:
                self.lock.release()


class _Read:
    """A borrowed reading connection."""

    __slots__ = ("_begin", "_connection", "_database")

    def __init__(self, database: Database, begin: str) -> None:
        self._database = database
        self._begin = begin

    def __enter__(self) -> sqlite3.Connection:
        self._connection = self._database.take()
        if self._begin:
            self._connection.execute(self._begin)
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._begin:
                self._connection.execute("COMMIT")
        except BaseException:
            self._database.discard(self._connection)
            raise
        self._database.give_back(self._connection)


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
# Held while the process forks, so that no file is opened then.
_fork_lock = threading.Lock()
_forking: list[Database] = []


def _before_fork() -> None:
    _fork_lock.acquire()
    _forking[:] = _databases
    for database in _forking:
        database.before_fork()


def _after_fork() -> None:
    for database in _forking:
        database.after_fork()
    _forking.clear()
    _fork_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _connect(target: str) -> sqlite3.Connection:
    return sqlite3.connect(
        target,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=1024,
    )


def _keep_log(connection: sqlite3.Connection) -> None:
    # Only to change the mode of its journal SQLite does not wait until the file is free.
    give_up = time.monotonic() + _BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.005)
        else:
            return


def _create_schema(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
