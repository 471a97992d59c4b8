"""PutRow, UpdateRow, DeleteRow and BatchWriteRow.

Whatever can be refused without looking at the data is refused before the write transaction begins; a row that
is refused inside it has changed nothing yet, so rows of a batch fail on their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.protobuf.unknown_fields import UnknownFieldSet

from .capacity import units
from .changes import apply_change, needs_row_before
from .conditions import absent_row, parse_condition, row_versions
from .errors import (
    RequestError,
    condition_check_failed,
    data_out_of_range,
    parameter_invalid,
    table_not_exist,
)
from .keys import KeyUse, encode_key, encode_key_value
from .limits import MAX_REQUEST_SIZE, MAX_ROWS_PER_WRITE
from .messages import consumed, parse, tables
from .mutations import Mutation, parse_mutation
from .plainbuffer import Row, cells_size, decode_row, encode_answer, encode_row
from .selection import expiry
from .sequences import check_auto_increment, fill_auto_increment
from .transactions import check_unlocked, find_transaction, open_overlay, stage
from .values import decode_value

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from .catalogue import Catalogue, Source, Table
    from .conditions import Filter
    from .keys import KeyReader
    from .plainbuffer import KeyCell
    from .storage import Database
    from .transactions import Transaction


# The number of BatchWriteRowRequest.is_atomic.
_IS_ATOMIC: Final = 3


class _Write(NamedTuple):
    """One row of a write request, checked as far as it can be without the table."""

    mutation: Mutation
    expectation: int
    condition: Filter | None
    returns_key: bool

    @property
    def is_conditional(self) -> bool:
        return self.expectation != tables.IGNORE or self.condition is not None


class _Outcome(NamedTuple):
    read: int
    write: int
    row: bytes


class Writer:
    """Carries out the write calls.

    Args:
        database: Where the rows are.
        catalogue: The definitions.
        now: Tells the time in milliseconds.
        index_delay: How long after a write searches see it, in milliseconds; 0 for at once.
    """

    def __init__(self, database: Database, catalogue: Catalogue, now: Callable[[], int], index_delay: int = 0) -> None:
        self._database = database
        self._catalogue = catalogue
        self._now = now
        self._index_delay = index_delay

    def put_row(self, body: bytes) -> bytes:
        """Carry out PutRow."""
        request = parse(tables.PutRowRequest, body)
        return self._write_one(request, tables.PUT, request.row)

    def update_row(self, body: bytes) -> bytes:
        """Carry out UpdateRow."""
        request = parse(tables.UpdateRowRequest, body)
        return self._write_one(request, tables.UPDATE, request.row_change)

    def delete_row(self, body: bytes) -> bytes:
        """Carry out DeleteRow."""
        request = parse(tables.DeleteRowRequest, body)
        return self._write_one(request, tables.DELETE, request.primary_key)

    def batch_write_row(self, body: bytes) -> bytes:
        """Carry out BatchWriteRow: rows fail on their own, anything else fails the whole request."""
        request = parse(tables.BatchWriteRowRequest, body)
        _check_batch_shape(request)
        batches = [(part.table_name, self._parse_batch(part)) for part in request.tables]
        _check_batch_rows(batches)
        atomic = _is_atomic(request)
        answer = tables.BatchWriteRowResponse()
        with self._database.write() as connection:
            # Only now: a version older than that of a write which went first would lose to it.
            now = self._now()
            targets = [self._find(connection, name) for name, _ in batches]
            for source, (name, writes) in zip(targets, batches, strict=True):
                part = answer.tables.add(table_name=name)
                refusal = _atomic_refusal(writes) if atomic else None
                for write in writes:
                    row_answer = part.rows.add()
                    try:
                        if refusal is not None:
                            raise refusal
                        outcome = _apply(connection, source, write, request.transaction_id, now, self._index_delay)
                    except RequestError as error:
                        row_answer.is_ok = False
                        row_answer.error.code = error.code
                        row_answer.error.message = error.message
                    else:
                        row_answer.is_ok = True
                        row_answer.consumed.capacity_unit.read = outcome.read
                        row_answer.consumed.capacity_unit.write = outcome.write
                        if outcome.row:
                            row_answer.row = outcome.row
        return bytes(answer.SerializeToString())

    def _write_one(self, request: Any, kind: int, row: bytes) -> bytes:
        write = _parse_write(request, kind, row, self._catalogue.reader(request.table_name))
        size = write.mutation.size
        if size > MAX_REQUEST_SIZE:
            raise parameter_invalid(
                f"The total data size of {write.mutation.api} request exceeds the limit, limit size:"
                f" {MAX_REQUEST_SIZE}, data size: {size}."
            )
        with self._database.write() as connection:
            now = self._now()
            source = self._find(connection, request.table_name)
            outcome = _apply(connection, source, write, request.transaction_id, now, self._index_delay)
        answer = consumed(outcome.read, outcome.write)
        if outcome.row:
            answer += bytes(tables.PutRowResponse(row=outcome.row).SerializePartialToString())
        return answer

    def _parse_batch(self, part: Any) -> list[_Write]:
        reader = self._catalogue.reader(part.table_name)
        return [_parse_write(row, row.type, row.row_change, reader) for row in part.rows]

    def _find(self, connection: sqlite3.Connection, name: str) -> Source:
        source = self._catalogue.find(connection, name)
        if source is None:
            raise table_not_exist()
        if source.index is not None:
            raise parameter_invalid("Can't write index table directly.")
        return source


def _parse_write(message: Any, kind: int, row: bytes, reader: KeyReader | None) -> _Write:
    condition = message.condition
    filter_ = parse_condition(condition.column_condition) if condition.HasField("column_condition") else None
    return _Write(
        parse_mutation(kind, row, reader),
        condition.row_existence,
        filter_,
        message.return_content.return_type == tables.RT_PK,
    )


def _check_batch_shape(request: Any) -> None:
    count = sum(len(part.rows) for part in request.tables)
    if not request.tables:
        raise parameter_invalid("No row is specified in BatchWriteRow.")
    if count > MAX_ROWS_PER_WRITE:
        raise parameter_invalid(f"Rows count exceeds the upper limit: {MAX_ROWS_PER_WRITE}.")
    names: set[str] = set()
    for part in request.tables:
        if part.table_name in names:
            raise parameter_invalid(f"Duplicated table name: '{part.table_name}'.")
        names.add(part.table_name)
        if not part.rows:
            raise parameter_invalid(f"No operation is specified for table: '{part.table_name}'.")


def _check_batch_rows(batches: list[tuple[str, list[_Write]]]) -> None:
    size = sum(write.mutation.size for _, writes in batches for write in writes)
    if size > MAX_REQUEST_SIZE:
        raise parameter_invalid(
            "The total data size of BatchWriteRow request exceeds the limit, limit size:"
            f" {MAX_REQUEST_SIZE}, data size: {size}."
        )
    for _, writes in batches:
        groups: dict[tuple[bytes, ...], list[_Write]] = {}
        for write in writes:
            groups.setdefault(tuple(cell.wire for cell in write.mutation.key), []).append(write)
        for group in groups.values():
            if len(group) > 1:
                _check_repeated(group)


def _check_repeated(group: list[_Write]) -> None:
    if group[0].mutation.has_auto_increment:
        return
    for write in group:
        if write.expectation != tables.IGNORE:
            raise parameter_invalid("Repeated rows do not support row exist expectation check in BatchModify.")
        if write.condition is not None:
            raise parameter_invalid("Repeated rows do not support row condition check in BatchModify.")
        if write.mutation.has_increment:
            raise parameter_invalid("Duplicate rows detected in MultiPut.")


def _is_atomic(request: Any) -> bool:
    """Read ``is_atomic``, a field that other SDKs send and this one's message does not know."""
    unknown: Any = UnknownFieldSet(request)
    return any(field.field_number == _IS_ATOMIC and field.data == 1 for field in unknown)


def _atomic_refusal(writes: list[_Write]) -> RequestError | None:
    first, *others = [write.mutation.key[0] for write in writes]
    for other in others:
        if other.value != first.value:
            return data_out_of_range(
                f"Data out of scope of atomic. Atomic PartKey:{_display(first)}. Data PartKey:{_display(other)}"
            )
    return None


def _display(cell: KeyCell) -> str:
    value = decode_value(cell.value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _apply(
    connection: sqlite3.Connection, source: Source, write: _Write, transaction_id: str, now: int, index_delay: int
) -> _Outcome:
    """Carry out one write; refuses it before anything is changed."""
    mutation, table = write.mutation, source.table
    encoded = source.check_key(mutation.row, KeyUse.WRITE)
    check_auto_increment(
        table, mutation.key, mutation.kind, write.expectation, has_condition=write.condition is not None
    )
    mutation.check(table, now)
    partition = encode_key_value(mutation.key[0].value)
    transaction = None
    if transaction_id:
        transaction = find_transaction(connection, transaction_id, table, partition, now)
    else:
        check_unlocked(connection, table, partition, now)
    key = mutation.key
    if mutation.has_auto_increment:
        key = fill_auto_increment(connection, table, key, now)
        encoded = encode_key(key)
    before = None
    if write.is_conditional or mutation.needs_cells_before or needs_row_before(table):
        before = _row_before(connection, table, encoded, transaction)
    live = before if before is None else _live(before, table, now)
    _check_condition(write, live)
    cells = mutation.apply(None if live is None else live.cells, table, now)
    after = None if cells is None else Row(key, cells)
    if transaction is not None:
        stage(connection, transaction, encoded, after, mutation.size)
    else:
        apply_change(connection, table, encoded, before, after, now + index_delay if index_delay else None)
    return _Outcome(
        read=units(cells_size(key)) if write.is_conditional else 0,
        write=1 if mutation.kind == tables.DELETE else units(mutation.size),
        row=encode_answer([encode_row(key, ())]) if write.returns_key else b"",
    )


def _row_before(
    connection: sqlite3.Connection, table: Table, key: bytes, transaction: Transaction | None
) -> Row | None:
    found = connection.execute(table.rows.get, (key,)).fetchone()
    if transaction is not None:
        found = open_overlay(connection, transaction).replace(key, found)
    return None if found is None else decode_row(found[0])


def _live(row: Row, table: Table, now: int) -> Row | None:
    """Take what has expired from a row; a row that had cells and has none left does not exist any more."""
    expired = expiry(table.options, now)
    if expired is None or not row.cells:
        return row
    cells = [cell for cell in row.cells if cell.timestamp > expired]
    return Row(row.key, cells) if cells else None


def _check_condition(write: _Write, row: Row | None) -> None:
    if (write.expectation == tables.EXPECT_EXIST and row is None) or (
        write.expectation == tables.EXPECT_NOT_EXIST and row is not None
    ):
        raise condition_check_failed()
    if write.condition is not None:
        versions = absent_row if row is None else row_versions(row.key, row.cells)
        if not write.condition.passes(versions):
            raise condition_check_failed()
