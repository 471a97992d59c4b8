"""Local transactions: several calls on the rows of one partition key that take effect together, or not at all.

A transaction locks its partition key: others can read it, but not write it. Its writes wait in the file,
outside the tables, and only reads that carry its id see them; committing moves them into the tables. It lives
60 seconds. Being in the file, a transaction can be used from any process (Tablestore, "Local transaction").
"""

from __future__ import annotations

import heapq
import re
import uuid
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .changes import apply_change
from .errors import (
    RequestError,
    data_out_of_range,
    parameter_invalid,
    row_operation_conflict,
    session_not_exist,
    table_not_exist,
)
from .indexes import plan_index_changes
from .keys import KeyUse, check_key, encode_key_value
from .limits import MAX_TRANSACTION_SIZE, TRANSACTION_LIFE_SECONDS, check_table_name
from .messages import parse, tables
from .packing import unpack_cells
from .plainbuffer import make_row
from .request_rows import decode_request_row
from .storage import make_record, read_record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from .catalogue import Catalogue, Table
    from .plainbuffer import Row
    from .storage import Database, Record

_ID: Final = re.compile(r"[0-9a-f]{32}")


class Transaction(NamedTuple):
    """An open transaction."""

    id: str
    table_id: int
    partition: bytes


class Transactions:
    """Carries out StartLocalTransaction, CommitTransaction and AbortTransaction.

    Args:
        database: Where transactions are kept.
        catalogue: The definitions.
        now: Tells the time in milliseconds.
        index_delay: How long after a commit searches see it, in milliseconds; 0 for at once.
    """

    def __init__(self, database: Database, catalogue: Catalogue, now: Callable[[], int], index_delay: int = 0) -> None:
        self._database = database
        self._catalogue = catalogue
        self._now = now
        self._index_delay = index_delay

    def start(self, body: bytes) -> bytes:
        """Carry out StartLocalTransaction."""
        request = parse(tables.StartLocalTransactionRequest, body)
        key = decode_request_row(request.key, None).key
        now = self._now()
        with self._database.write() as connection:
            source = self._catalogue.find(connection, request.table_name)
            if source is None or source.index is not None:
                check_table_name(request.table_name)
                raise table_not_exist()
            if len(key) != 1:
                raise parameter_invalid("StartLocalTransaction support only one primary key.")
            check_key(key, source.key[:1], KeyUse.READ)
            # Fails where the definition is outdated: the lock must be on the table of today.
            connection.execute(source.rows.get, (b"",))
            _remove_expired(connection, now)
            partition = encode_key_value(key[0][1])
            if _is_held(connection, source.table.id, partition, now):
                raise row_operation_conflict("Data is being modified by the other request.")
            transaction_id = uuid.uuid4().hex
            connection.execute(
                "INSERT INTO transactions (id, table_id, partition, expires, size) VALUES (?, ?, ?, ?, 0)",
                (transaction_id, source.table.id, partition, now + TRANSACTION_LIFE_SECONDS * 1000),
            )
        return bytes(tables.StartLocalTransactionResponse(transaction_id=transaction_id).SerializeToString())

    def commit(self, body: bytes) -> bytes:
        """Carry out CommitTransaction."""
        request = parse(tables.CommitTransactionRequest, body)
        with self._database.write() as connection:
            now = self._now()
            searchable = now + self._index_delay if self._index_delay else None
            transaction = _find(connection, request.transaction_id, now)
            table = self._table(connection, transaction.table_id)
            staged = connection.execute(
                "SELECT key, row FROM staged_rows WHERE transaction_id = ? ORDER BY key", (transaction.id,)
            ).fetchall()
            for key, row in staged:
                found = connection.execute(table.rows.get, (key,)).fetchone()
                before = None if found is None else read_record(found)
                after = None if row is None else make_row(*unpack_cells(row))
                apply_change(connection, table, key, before, after, searchable)
            _remove(connection, transaction.id)
        return b""

    def abort(self, body: bytes) -> bytes:
        """Carry out AbortTransaction."""
        request = parse(tables.AbortTransactionRequest, body)
        with self._database.write() as connection:
            _remove(connection, _find(connection, request.transaction_id, self._now()).id)
        return b""

    def _table(self, connection: sqlite3.Connection, table_id: int) -> Table:
        table = self._catalogue.find_by_id(connection, table_id)
        if table is None:
            raise session_not_exist()
        return table


class Overlay:
    """The rows of a transaction, laid over those of its table."""

    def __init__(self, staged: dict[bytes, bytes | None]) -> None:
        self._staged = {
            key: None if row is None else make_record(make_row(*unpack_cells(row))) for key, row in staged.items()
        }

    def replace(self, key: bytes, record: Record | None) -> Record | None:
        """Look a row up.

        Args:
            key: Its encoded key.
            record: What the table has under this key.

        Returns:
            What the transaction sees.
        """
        return self._staged.get(key, record)

    def merge(
        self, records: Iterable[tuple[Any, ...]], bounds: tuple[bytes, bytes], *, backward: bool
    ) -> Iterable[tuple[Any, ...]]:
        """Merge the transaction's rows into a scan of the table.

        Args:
            records: The table's records in reading order, each with its key as the last item.
            bounds: The encoded bounds of the scan, the first one inclusive.
            backward: Whether the scan runs from high keys to low ones.

        Returns:
            The records that the transaction sees, in the same form and order.
        """
        start, end = bounds
        staged = [
            (*record, key)
            for key, record in sorted(self._staged.items(), reverse=backward)
            if record is not None and ((end < key <= start) if backward else (start <= key < end))
        ]
        untouched = (record for record in records if record[-1] not in self._staged)
        return heapq.merge(untouched, staged, key=itemgetter(-1), reverse=backward)


def find_transaction(
    connection: sqlite3.Connection, transaction_id: str, table: Table, partition: bytes, now: int
) -> Transaction:
    """Find the transaction that a call names, and check that it covers the call's partition key.

    Args:
        connection: A connection.
        transaction_id: The id that the call carries.
        table: The table that the call is for.
        partition: The encoded first key column.
        now: The time in milliseconds.

    Returns:
        The transaction.

    Raises:
        RequestError: ``OTSParameterInvalid`` for what is no id, ``OTSSessionNotExist`` for a transaction that
            has ended, ``OTSDataOutOfRange`` for another partition key than the transaction's.
    """
    transaction = _find(connection, transaction_id, now)
    if transaction.table_id != table.id or transaction.partition != partition:
        raise data_out_of_range("Data out of scope of transaction.")
    return transaction


def open_overlay(connection: sqlite3.Connection, transaction: Transaction) -> Overlay:
    """Load the rows of a transaction.

    Args:
        connection: A connection.
        transaction: The transaction.

    Returns:
        The rows.
    """
    rows = connection.execute("SELECT key, row FROM staged_rows WHERE transaction_id = ?", (transaction.id,))
    return Overlay(dict(rows.fetchall()))


def stage(
    connection: sqlite3.Connection, transaction: Transaction, table: Table, key: bytes, row: Row | None, size: int
) -> None:
    """Keep a change of a transaction until it is committed.

    Args:
        connection: A connection with a write transaction.
        transaction: The transaction.
        table: The table.
        key: The row's encoded key.
        row: The row as it is to be, None to delete it.
        size: The size of the write in bytes, which counts towards the transaction's limit.

    Raises:
        RequestError: ``OTSOutOfTransactionDataSizeLimit``, or the row could not be indexed when committing.
    """
    plan_index_changes(table, None, row)
    (written,) = connection.execute("SELECT size FROM transactions WHERE id = ?", (transaction.id,)).fetchone()
    if written + size > MAX_TRANSACTION_SIZE:
        raise RequestError(
            400,
            "OTSOutOfTransactionDataSizeLimit",
            f"The total data size of the transaction exceeds the limit, limit size: {MAX_TRANSACTION_SIZE},"
            f" data size: {written + size}.",
        )
    connection.execute("UPDATE transactions SET size = size + ? WHERE id = ?", (size, transaction.id))
    connection.execute(
        "INSERT OR REPLACE INTO staged_rows (transaction_id, key, row) VALUES (?, ?, ?)",
        (transaction.id, key, None if row is None else make_record(row).row),
    )


def check_unlocked(connection: sqlite3.Connection, table: Table, partition: bytes, now: int) -> None:
    """Check that no transaction holds a partition key, for a write outside any.

    Args:
        connection: A connection.
        table: The table.
        partition: The encoded first key column.
        now: The time in milliseconds.

    Raises:
        RequestError: ``OTSRowOperationConflict``.
    """
    if _is_held(connection, table.id, partition, now):
        raise row_operation_conflict("Transaction timeout because cannot acquire exclusive lock.")


def _is_held(connection: sqlite3.Connection, table_id: int, partition: bytes, now: int) -> bool:
    found = connection.execute(
        "SELECT 1 FROM transactions WHERE table_id = ? AND partition = ? AND expires > ?",
        (table_id, partition, now),
    ).fetchone()
    return found is not None


def _find(connection: sqlite3.Connection, transaction_id: str | bytes, now: int) -> Transaction:
    if not isinstance(transaction_id, str) or _ID.fullmatch(transaction_id) is None:
        raise parameter_invalid("TransactionID is invalid.")
    found = connection.execute(
        "SELECT id, table_id, partition FROM transactions WHERE id = ? AND expires > ?", (transaction_id, now)
    ).fetchone()
    if found is None:
        raise session_not_exist()
    return Transaction(*found)


def _remove(connection: sqlite3.Connection, transaction_id: str) -> None:
    connection.execute("DELETE FROM staged_rows WHERE transaction_id = ?", (transaction_id,))
    connection.execute("DELETE FROM transactions WHERE id = ?", (transaction_id,))


def _remove_expired(connection: sqlite3.Connection, now: int) -> None:
    expired = connection.execute("SELECT id FROM transactions WHERE expires <= ?", (now,)).fetchall()
    for (transaction_id,) in expired:
        _remove(connection, transaction_id)
