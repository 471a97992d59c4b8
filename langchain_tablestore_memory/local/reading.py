"""GetRow, BatchGetRow and GetRange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .capacity import units
from .errors import RequestError, parameter_invalid, read_table_not_exist
from .keys import KeyUse, encode_key_value
from .limits import MAX_PAGE_ROWS, MAX_PAGE_SIZE, MAX_ROWS_PER_READ
from .messages import bytes_field, consumed, parse, tables
from .plainbuffer import HEADER, decode_key, encode_answer, encode_row
from .request_rows import decode_request_row
from .selection import Selector, parse_selection
from .transactions import find_transaction, open_overlay

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from .catalogue import Catalogue, Source
    from .keys import KeyReader
    from .request_rows import RequestRow
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
        key = _decode_key(request.primary_key, self._catalogue.reader(request.table_name))
        selection = parse_selection(request, _NO_VERSION)
        now = self._now()
        with self._connection(request) as connection:
            source = self._find(connection, request.table_name)
            encoded = source.check_key(key, KeyUse.READ)
            overlay = _overlay(connection, request, source, (key,), now)
            row, read = _get(connection, source, Selector(selection, source, now), encoded, overlay)
        return consumed(read, 0) + (bytes_field(2) if row is None else bytes_field(2, HEADER, row))

    def batch_get_row(self, body: bytes) -> bytes:
        """Carry out BatchGetRow: rows fail on their own, anything else fails the whole request."""
        request = parse(tables.BatchGetRowRequest, body)
        _check_batch(request)
        parts = []
        for part in request.tables:
            reader = self._catalogue.reader(part.table_name)
            keys = [_decode_key(key, reader) for key in part.primary_key]
            parts.append((part.table_name, keys, parse_selection(part, _NO_VERSION_IN_BATCH)))
        answer = tables.BatchGetRowResponse()
        now = self._now()
        with self._database.snapshot() as connection:
            sources = [self._find(connection, name) for name, _, _ in parts]
            for source, (name, keys, selection) in zip(sources, parts, strict=True):
                table_answer = answer.tables.add(table_name=name)
                selector = Selector(selection, source, now)
                for key in keys:
                    _get_into(table_answer.rows.add(), connection, source, selector, key)
        return bytes(answer.SerializeToString())

    def get_range(self, body: bytes) -> bytes:
        """Carry out GetRange."""
        request = parse(tables.GetRangeRequest, body)
        reader = self._catalogue.reader(request.table_name)
        start = _decode_key(request.inclusive_start_primary_key, reader)
        end = _decode_key(request.exclusive_end_primary_key, reader)
        selection = parse_selection(request, _NO_VERSION)
        if request.HasField("limit") and request.limit <= 0:
            raise parameter_invalid("The limit must be greater than 0.")
        limit = min(request.limit or MAX_PAGE_ROWS, MAX_PAGE_ROWS)
        backward = request.direction == tables.BACKWARD
        now = self._now()
        with self._connection(request) as connection:
            source = self._find(connection, request.table_name)
            bounds = _check_bounds(source, start, end, backward=backward)
            overlay = _overlay(connection, request, source, (start, end), now)
            selector = Selector(selection, source, now)
            if selector.copies_all and overlay is None:
                page = _copy_page(connection, source, bounds, limit, backward=backward)
            else:
                records = _scan(connection, source, bounds, selector.expired, backward=backward)
                if overlay is not None:
                    records = overlay.merge(records, bounds, backward=backward)
                page = _select_page(records, selector, limit)
        rows = bytes_field(2, HEADER, *page.rows) if page.rows else bytes_field(2)
        answer = consumed(units(page.size), 0) + rows
        if page.next_row is not None:
            answer += bytes_field(3, HEADER, encode_row(decode_key(page.next_row), ()))
        return answer

    def _connection(self, request: Any) -> AbstractContextManager[sqlite3.Connection]:
        return self._database.snapshot() if request.transaction_id else self._database.read()

    def _find(self, connection: sqlite3.Connection, name: str) -> Source:
        source = self._catalogue.find(connection, name)
        if source is None:
            raise read_table_not_exist()
        return source


class _Page(NamedTuple):
    """Rows to return, the size that is billed for them, and the first row that was not read."""

    rows: list[bytes]
    size: int
    next_row: bytes | None


def _decode_key(body: bytes, reader: KeyReader | None) -> RequestRow:
    row = decode_request_row(body, reader)
    if row.changes:
        raise parameter_invalid("Attribute column cannot be given while reading data.")
    if row.deletes_row:
        raise parameter_invalid("Delete marker cannot be given.")
    return row


def _overlay(
    connection: sqlite3.Connection, request: Any, source: Source, keys: tuple[RequestRow, ...], now: int
) -> Overlay | None:
    if not request.transaction_id:
        return None
    for partition in {encode_key_value(row.key[0].value) for row in keys}:
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
    connection: sqlite3.Connection, source: Source, selector: Selector, key: bytes, overlay: Overlay | None
) -> tuple[bytes | None, int]:
    record = connection.execute(source.rows.get, (key,)).fetchone()
    if overlay is not None:
        record = overlay.replace(key, record)
    if record is None:
        return None, 1
    row, size = selector.select(*record)
    return row, units(size)


def _get_into(answer: Any, connection: sqlite3.Connection, source: Source, selector: Selector, key: RequestRow) -> None:
    try:
        row, read = _get(connection, source, selector, source.check_key(key, KeyUse.READ), None)
    except RequestError as error:
        answer.is_ok = False
        answer.error.code = error.code
        answer.error.message = error.message
        return
    answer.is_ok = True
    answer.consumed.capacity_unit.read = read
    answer.consumed.capacity_unit.write = 0
    answer.row = encode_answer([] if row is None else [row])


def _check_bounds(source: Source, start: RequestRow, end: RequestRow, *, backward: bool) -> tuple[bytes, bytes]:
    first, last = source.check_key(start, KeyUse.RANGE), source.check_key(end, KeyUse.RANGE)
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
) -> Iterable[tuple[Any, ...]]:
    """Read the live records of a range in order, each with its key as the last item."""
    rows = source.rows
    if expired is None:
        return connection.execute(rows.scan_backward if backward else rows.scan_forward, bounds)
    return connection.execute(rows.scan_backward_live if backward else rows.scan_forward_live, (*bounds, expired))


def _copy_page(
    connection: sqlite3.Connection, source: Source, bounds: tuple[bytes, bytes], limit: int, *, backward: bool
) -> _Page:
    """Read one page of rows that are returned as they are stored."""
    rows: list[bytes] = []
    total = 0
    sql = source.rows.copy_backward if backward else source.rows.copy_forward
    for row, size in connection.execute(sql, bounds):
        if len(rows) == limit or total >= MAX_PAGE_SIZE:
            return _Page(rows, total, row)
        rows.append(row)
        total += size
    return _Page(rows, total, None)


def _select_page(records: Iterable[tuple[Any, ...]], selector: Selector, limit: int) -> _Page:
    """Read one page: at most `limit` rows or 4 MB, counted before filtering."""
    rows: list[bytes] = []
    total = 0
    for scanned, (row, size, oldest, newest, _) in enumerate(records):
        if scanned == limit or total >= MAX_PAGE_SIZE:
            return _Page(rows, total, row)
        selected, billed = selector.select(row, size, oldest, newest)
        total += billed
        if selected is not None:
            rows.append(selected)
    return _Page(rows, total, None)
