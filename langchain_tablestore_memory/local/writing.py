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
    CONDITION_CHECK_FAIL,
    RequestError,
    condition_check_failed,
    data_out_of_range,
    parameter_invalid,
    table_not_exist,
)
from .keys import KeyUse, encode_key, encode_key_value
from .limits import MAX_REQUEST_SIZE, MAX_ROWS_PER_WRITE, check_table_name
from .messages import bytes_field, consumed, name_bytes, parse, tables
from .mutations import Mutation, parse_mutation
from .plainbuffer import Row, Stamper, cells_size, encode_answer, encode_row, make_row, timestamp_of
from .selection import expiry
from .sequences import check_auto_increment, fill_auto_increment
from .storage import read_record
from .sweeping import Sweeper
from .transactions import check_unlocked, find_transaction, open_overlay, stage
from .values import decode_value

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from .catalogue import Catalogue, Source, Table
    from .conditions import Filter
    from .keys import KeyReader
    from .plainbuffer import Cell
    from .storage import Database
    from .transactions import Transaction

_IGNORE: Final[int] = tables.IGNORE
# The number of BatchWriteRowRequest.is_atomic.
_IS_ATOMIC: Final = 3


class _Write(NamedTuple):
    """One row of a write request, checked as far as it can be without the table."""

    mutation: Mutation
    expectation: int
    condition: Filter | None
    return_type: int
    return_columns: list[bytes]

    @property
    def is_conditional(self) -> bool:
        return self.expectation != _IGNORE or self.condition is not None


class _Outcome(NamedTuple):
    """The capacity units that a write consumed, and the row that it returns."""

    read: int
    write: int
    row: bytes | None


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
        self._sweeper = Sweeper()
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
            scope = _Scope(connection, request.transaction_id, self._now(), self._index_delay)
            self._catalogue.refresh(connection)
            sources = [self._find(connection, name) for name, _ in batches]
            for source, (name, writes) in zip(sources, batches, strict=True):
                part = answer.tables.add(table_name=name)
                refusal = _atomic_refusal(writes) if atomic else None
                for write in writes:
                    _write_into(part.rows.add(), scope, source, write, refusal)
                self._sweeper.count_writes(connection, source.table, len(writes), scope.now, scope.searchable)
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
            scope = _Scope(connection, request.transaction_id, self._now(), self._index_delay)
            source = self._find(connection, request.table_name)
            outcome = scope.apply(source, write)
            self._sweeper.count_writes(connection, source.table, 1, scope.now, scope.searchable)
        answer = consumed(outcome.read, outcome.write)
        return answer if outcome.row is None else answer + bytes_field(2, encode_answer(outcome.row))

    def _parse_batch(self, part: Any) -> list[_Write]:
        reader = self._catalogue.reader(part.table_name)
        return [_parse_write(row, row.type, row.row_change, reader) for row in part.rows]

    def _find(self, connection: sqlite3.Connection, name: str) -> Source:
        source = self._catalogue.find(connection, name)
        if source is None:
            check_table_name(name)
            raise table_not_exist()
        if source.index is not None:
            raise parameter_invalid("Can't write index table directly.")
        return source


class _Scope:
    """One write transaction of the file, and what all rows written in it share.

    Args:
        connection: The connection with the write transaction.
        transaction_id: The local transaction that the request names, or the empty string.
        now: The time in milliseconds.
        index_delay: How long after it searches see what is written, in milliseconds; 0 for at once.
    """

    def __init__(self, connection: sqlite3.Connection, transaction_id: str, now: int, index_delay: int) -> None:
        self._connection = connection
        self._transaction_id = transaction_id
        self.now = now
        self.searchable = now + index_delay if index_delay else None
        self._stamper = Stamper(now)
        self._unlocked: set[tuple[int, bytes]] = set()

    def apply(self, source: Source, write: _Write) -> _Outcome:
        """Carry out one write, or refuse it before anything is changed."""
        mutation, table, connection = write.mutation, source.table, self._connection
        encoded = source.check_key(mutation.row, KeyUse.WRITE)
        if table.auto_increment is not None:
            check_auto_increment(
                table, mutation.key, mutation.kind, write.expectation, has_condition=write.condition is not None
            )
        mutation.check(table, self.now)
        transaction = self._enter(table, encode_key_value(mutation.key[0][1]))
        key = mutation.key
        if mutation.has_auto_increment:
            key = fill_auto_increment(connection, table, key, self.now)
            encoded = encode_key(key)
        before: Row | None = None
        if write.is_conditional or mutation.needs_cells_before or needs_row_before(table):
            before = self._row_before(table, encoded, transaction)
        live = None if before is None else _live(before, table, self.now)
        _check_condition(write, live)
        after = mutation.apply(key, live, table, self._stamper)
        if transaction is not None:
            stage(connection, transaction, table, encoded, after, mutation.size)
        else:
            apply_change(connection, table, encoded, before, after, self.searchable)
        return _Outcome(
            read=units(cells_size(key)) if write.is_conditional else 0,
            write=1 if mutation.deletes else units(mutation.size),
            row=_returned_row(write, key, after),
        )

    def _enter(self, table: Table, partition: bytes) -> Transaction | None:
        if self._transaction_id:
            return find_transaction(self._connection, self._transaction_id, table, partition, self.now)
        place = table.id, partition
        if place not in self._unlocked:
            check_unlocked(self._connection, table, partition, self.now)
            self._unlocked.add(place)
        return None

    def _row_before(self, table: Table, key: bytes, transaction: Transaction | None) -> Row | None:
        record = self._connection.execute(table.rows.get, (key,)).fetchone()
        if transaction is not None:
            record = open_overlay(self._connection, transaction).replace(key, record)
        return None if record is None else read_record(record)


def _live(row: Row, table: Table, now: int) -> Row | None:
    """Take what has expired from a row; a row that had cells and has none left does not exist any more."""
    expired = expiry(table.options, now)
    if expired is None or row.oldest is None or row.oldest > expired:
        return row
    cells = [cell for cell in row.cells if timestamp_of(cell) > expired]
    return make_row(row.key, cells) if cells else None


def _check_condition(write: _Write, row: Row | None) -> None:
    if (write.expectation == tables.EXPECT_EXIST and row is None) or (
        write.expectation == tables.EXPECT_NOT_EXIST and row is not None
    ):
        raise condition_check_failed()
    if write.condition is not None:
        versions = absent_row if row is None else row_versions(row.key, row.cells)
        if not write.condition.passes(versions):
            raise condition_check_failed()


def _returned_row(write: _Write, key: list[Cell], after: Row | None) -> bytes | None:
    if write.return_type == tables.RT_PK:
        return encode_row(key, ())
    if write.return_type == tables.RT_AFTER_MODIFY and after is not None:
        wanted = set(write.mutation.incremented)
        if write.return_columns:
            wanted &= set(write.return_columns)
        return encode_row(key, [cell for cell in after.cells if cell[0] in wanted])
    return None


def _write_into(answer: Any, scope: _Scope, source: Source, write: _Write, refusal: RequestError | None) -> None:
    try:
        if refusal is not None:
            raise refusal
        outcome = scope.apply(source, write)
    except RequestError as error:
        answer.is_ok = False
        answer.error.code = error.code
        answer.error.message = error.message
        if error.code == CONDITION_CHECK_FAIL:
            # The check has been made, and is billed.
            answer.consumed.capacity_unit.read = answer.consumed.capacity_unit.write = 1
        return
    answer.is_ok = True
    answer.consumed.capacity_unit.read = outcome.read
    answer.consumed.capacity_unit.write = outcome.write
    if outcome.row is not None:
        answer.row = encode_answer(outcome.row)


def _parse_write(message: Any, kind: int, row: bytes, reader: KeyReader | None) -> _Write:
    condition = message.condition
    filter_ = parse_condition(condition.column_condition) if condition.HasField("column_condition") else None
    returned = message.return_content
    return _Write(
        parse_mutation(kind, row, reader),
        condition.row_existence,
        filter_,
        returned.return_type,
        [name_bytes(name) for name in returned.return_column_names],
    )


def _check_batch_shape(request: Any) -> None:
    if not request.tables:
        raise parameter_invalid("No row is specified in BatchWriteRow.")
    count = sum(len(part.rows) for part in request.tables)
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
            groups.setdefault(tuple([wire for _, _, wire in write.mutation.key]), []).append(write)
        if len(groups) < len(writes):
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
        if write.mutation.incremented:
            raise parameter_invalid("Duplicate rows detected in MultiPut.")


def _is_atomic(request: Any) -> bool:
    """Read ``is_atomic``, a field that other SDKs send and this one's message does not know."""
    unknown: Any = UnknownFieldSet(request)
    return any(field.field_number == _IS_ATOMIC and field.data == 1 for field in unknown)


def _atomic_refusal(writes: list[_Write]) -> RequestError | None:
    first, *others = [write.mutation.key[0] for write in writes]
    for other in others:
        if other[1] != first[1]:
            return data_out_of_range(
                f"Data out of scope of atomic. Atomic PartKey:{_display(first)}. Data PartKey:{_display(other)}"
            )
    return None


def _display(cell: Cell) -> str:
    value = decode_value(cell[1])
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
