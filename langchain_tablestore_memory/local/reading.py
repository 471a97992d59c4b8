"""GetRow, BatchGetRow and GetRange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .capacity import units
from .errors import RequestError, parameter_invalid, read_table_not_exist
from .keys import KeyUse, check_key, encode_key, encode_key_value
from .limits import MAX_PAGE_ROWS, MAX_PAGE_SIZE, MAX_ROWS_PER_READ
from .messages import consumed, parse, tables
from .plainbuffer import decode_key, encode_answer, encode_row
from .request_rows import decode_request_row
from .selection import Selector, parse_selection
from .storage import Record
from .transactions import find_transaction, open_overlay

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .catalogue import Catalogue, Source
    from .plainbuffer import KeyCell
    from .storage import Database
    from .transactions import Overlay

_NO_VERSION = "No version condition is specified."
_NO_VERSION_IN_BATCH = "No version condition is specified while querying row."


class Reader:
    """Carries out the read calls.

    Args:
        database: Where the rows are.
        catalogue: The definitions.
        now: Tells the time in milliseconds.
    """

    def __init__(self, database: Database, catalogue: Catalogue, now: Callable[[], int]) -> None:
        self._database = database
        self._catalogue = catalogue
        self._now = now

    def get_row(self, body: bytes) -> bytes:
        """Carry out GetRow."""
        request = parse(tables.GetRowRequest, body)
        key = _decode_key_of_read(request.primary_key)
        selection = parse_selection(request, _NO_VERSION)
        now = self._now()
        with self._connection(request) as connection:
            source = self._find(connection, request.table_name)
            check_key(key, source.key, KeyUse.READ)
            overlay = _overlay(connection, request, source, (key,), now)
            row, read = _get(connection, source, Selector(selection, source, now), key, overlay)
        answer = tables.GetRowResponse(row=encode_answer([] if row is None else [row]))
        return consumed(read, 0) + bytes(answer.SerializePartialToString())

    def batch_get_row(self, body: bytes) -> bytes:
        """Carry out BatchGetRow: rows fail on their own, anything else fails the whole request."""
        request = parse(tables.BatchGetRowRequest, body)
        _check_batch(request)
        parts = [
            (
                part,
                [_decode_key_of_read(key) for key in part.primary_key],
                parse_selection(part, _NO_VERSION_IN_BATCH),
            )
            for part in request.tables
        ]
        answer = tables.BatchGetRowResponse()
        now = self._now()
        with self._database.snapshot() as connection:
            sources = [self._find(connection, part.table_name) for part in request.tables]
            for source, (part, keys, selection) in zip(sources, parts, strict=True):
                table_answer = answer.tables.add(table_name=part.table_name)
                selector = Selector(selection, source, now)
                for key in keys:
                    _get_into(table_answer.rows.add(), connection, source, selector, key)
        return bytes(answer.SerializeToString())

    def get_range(self, body: bytes) -> bytes:
        """Carry out GetRange."""
        request = parse(tables.GetRangeRequest, body)
        start = _decode_key_of_read(request.inclusive_start_primary_key)
        end = _decode_key_of_read(request.exclusive_end_primary_key)
        selection = parse_selection(request, _NO_VERSION)
        if request.HasField("limit") and request.limit <= 0:
            raise parameter_invalid("The limit must be greater than 0.")
        limit = min(request.limit or MAX_PAGE_ROWS, MAX_PAGE_ROWS)
        backward = request.direction == tables.BACKWARD
        now = self._now()
        with self._connection(request) as connection:
            source = self._find(connection, request.table_name)
            bounds = _encode_bounds(source, start, end, backward=backward)
            overlay = _overlay(connection, request, source, (start, end), now)
            selector = Selector(selection, source, now)
            records = _scan(connection, source, bounds, selector.expired, backward=backward)
            if overlay is not None:
                records = overlay.merge(records, bounds, backward=backward)
            page = _read_page(records, selector, limit)
        answer = tables.GetRangeResponse(rows=encode_answer(page.rows))
        if page.next_key is not None:
            answer.next_start_primary_key = encode_answer([encode_row(page.next_key, ())])
        return consumed(units(page.size), 0) + bytes(answer.SerializePartialToString())

    def _connection(self, request: Any) -> AbstractContextManager[sqlite3.Connection]:
        return self._database.snapshot() if request.transaction_id else self._database.read()

    def _find(self, connection: sqlite3.Connection, name: str) -> Source:
        source = self._catalogue.find(connection, name)
        if source is None:
            raise read_table_not_exist()
        return source


class _Page(NamedTuple):
    rows: list[bytes]
    size: int
    next_key: list[KeyCell] | None


def _decode_key_of_read(body: bytes) -> list[KeyCell]:
    row = decode_request_row(body)
    if row.changes:
        raise parameter_invalid("Attribute column cannot be given while reading data.")
    if row.deletes_row:
        raise parameter_invalid("Delete marker cannot be given.")
    return row.key


def _overlay(
    connection: sqlite3.Connection, request: Any, source: Source, keys: tuple[list[KeyCell], ...], now: int
) -> Overlay | None:
    if not request.transaction_id:
        return None
    partitions = {encode_key_value(key[0].value) for key in keys}
    for partition in partitions:
        transaction = find_transaction(connection, request.transaction_id, source.table, partition, now)
    # The rows of an index are written when the transaction commits.
    return open_overlay(connection, transaction) if source.index is None else None


def _check_batch(request: Any) -> None:
    count = sum(len(part.primary_key) for part in request.tables)
    if count == 0:
        raise parameter_invalid("No row specified in the request of BatchGetRow.")
    if count > MAX_ROWS_PER_READ:
        raise parameter_invalid(f"Rows count exceeds the upper limit: {MAX_ROWS_PER_READ}.")
    names: set[str] = set()
    for part in request.tables:
        if part.table_name in names:
            raise parameter_invalid(f"Duplicated table name: '{part.table_name}'.")
        names.add(part.table_name)


def _get(
    connection: sqlite3.Connection,
    source: Source,
    selector: Selector,
    key: list[KeyCell],
    overlay: Overlay | None,
) -> tuple[bytes | None, int]:
    encoded = encode_key(key)
    record = connection.execute(source.rows.get, (encoded,)).fetchone()
    if overlay is not None:
        record = overlay.replace(encoded, record)
    if record is None:
        return None, 1
    row, size = selector.select(Record(*record[:4]))
    return row, units(size)


def _get_into(
    answer: Any, connection: sqlite3.Connection, source: Source, selector: Selector, key: list[KeyCell]
) -> None:
    try:
        check_key(key, source.key, KeyUse.READ)
        row, read = _get(connection, source, selector, key, None)
    except RequestError as error:
        answer.is_ok = False
        answer.error.code = error.code
        answer.error.message = error.message
        return
    answer.is_ok = True
    answer.consumed.capacity_unit.read = read
    answer.consumed.capacity_unit.write = 0
    answer.row = encode_answer([] if row is None else [row])


def _encode_bounds(source: Source, start: list[KeyCell], end: list[KeyCell], *, backward: bool) -> tuple[bytes, bytes]:
    check_key(start, source.key, KeyUse.RANGE)
    check_key(end, source.key, KeyUse.RANGE)
    first, last = encode_key(start), encode_key(end)
    if backward and first <= last:
        raise parameter_invalid("Begin key must more than end key in BACKWARD")
    if not backward and first >= last:
        raise parameter_invalid("Begin key must less than end key in FORWARD")
    return first, last


def _scan(
    connection: sqlite3.Connection,
    source: Source,
    bounds: tuple[bytes, bytes],
    expired: int | None,
    *,
    backward: bool,
) -> Iterator[tuple[Any, ...]]:
    """Read the live rows of a range in order, each with its key as the last item."""
    rows = source.rows
    if expired is None:
        return connection.execute(rows.scan_backward if backward else rows.scan_forward, bounds)
    return connection.execute(rows.scan_backward_live if backward else rows.scan_forward_live, (*bounds, expired))


def _read_page(records: Iterator[tuple[Any, ...]], selector: Selector, limit: int) -> _Page:
    """Read one page: at most `limit` rows or 4 MB, counted before filtering."""
    rows: list[bytes] = []
    scanned = total = 0
    for row, size, oldest, newest, _ in records:
        if scanned == limit or total >= MAX_PAGE_SIZE:
            return _Page(rows, total, decode_key(row))
        scanned += 1
        if selector.copies_all:
            rows.append(row)
            total += size
            continue
        selected, billed = selector.select(Record(row, size, oldest, newest))
        total += billed
        if selected is not None:
            rows.append(selected)
    return _Page(rows, total, None)
