"""GetRow, BatchGetRow and GetRange."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .capacity import units
from .errors import RequestError, parameter_invalid, read_table_not_exist
from .keys import KeyUse, encode_key_value
from .limits import MAX_PAGE_ROWS, MAX_PAGE_SIZE, MAX_ROWS_PER_READ, check_table_name
from .messages import bytes_field, consumed, parse, tables
from .packing import unpack_row
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

# Rows that are fetched at a time.
_CHUNK = 32

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
        selection = parse_selection(request, _NO_VERSION)
        now = self._now()
        with self._connection(request) as connection:
            source = self._find(connection, request.table_name)
            key = _read_key(request.primary_key, source, KeyUse.READ)
            overlay = _overlay(connection, request, source, [request.primary_key], now)
            row, read = _get(connection, source, Selector(selection, source, now), key, overlay)
        return consumed(read, 0) + (bytes_field(2) if row is None else bytes_field(2, HEADER, row))

    def batch_get_row(self, body: bytes) -> bytes:
        """Carry out BatchGetRow: rows fail on their own, anything else fails the whole request."""
        request = parse(tables.BatchGetRowRequest, body)
        _check_batch(request)
        selections = [parse_selection(part, _NO_VERSION_IN_BATCH) for part in request.tables]
        answer = tables.BatchGetRowResponse()
        now = self._now()
        with self._database.snapshot() as connection:
            self._catalogue.refresh(connection)
            parts = []
            for part, selection in zip(request.tables, selections, strict=True):
                source = self._find(connection, part.table_name)
                keys = [_decode_key(key, source.reader) for key in part.primary_key]
                parts.append((source, keys, Selector(selection, source, now)))
            for part, (source, keys, selector) in zip(request.tables, parts, strict=True):
                table_answer = answer.tables.add(table_name=part.table_name)
                for key in keys:
                    _get_into(table_answer.rows.add(), connection, source, selector, key)
        return bytes(answer.SerializeToString())

    def get_range(self, body: bytes) -> bytes:
        """Carry out GetRange."""
        request = parse(tables.GetRangeRequest, body)
        selection = parse_selection(request, _NO_VERSION)
        if request.HasField("limit") and request.limit <= 0:
            raise parameter_invalid("The limit must be greater than 0.")
        limit = min(request.limit or MAX_PAGE_ROWS, MAX_PAGE_ROWS)
        backward = request.direction == tables.BACKWARD
        ends = request.inclusive_start_primary_key, request.exclusive_end_primary_key
        now = self._now()
        with self._connection(request) as connection:
            source = self._find(connection, request.table_name)
            bounds = _read_bounds(source, *ends, backward=backward)
            overlay = _overlay(connection, request, source, ends, now)
            selector = Selector(selection, source, now)
            if selector.copies_all and overlay is None:
                page = _copy_page(connection, source, bounds, limit, backward=backward)
            else:
                records = _scan(connection, source, bounds, selector.expired, backward=backward)
                if overlay is not None:
                    records = overlay.merge(records, bounds, backward=backward)
                page = _select_page(records, selector, limit)
        rows = bytes_field(2, HEADER, *page.rows) if page.rows else bytes_field(2)
        if page.next_row is None:
            return consumed(units(page.size), 0) + rows
        next_key = encode_row(decode_key(page.next_row), ())
        return b"".join((consumed(units(page.size), 0), rows, bytes_field(3, HEADER, next_key)))

    def _connection(self, request: Any) -> AbstractContextManager[sqlite3.Connection]:
        return self._database.snapshot() if request.transaction_id else self._database.read()

    def _find(self, connection: sqlite3.Connection, name: str) -> Source:
        source = self._catalogue.find(connection, name)
        if source is None:
            check_table_name(name)
            raise read_table_not_exist()
        return source


class _Page(NamedTuple):
    """Rows to return, the size that is billed for them, and the first row that was not read."""

    rows: list[bytes]
    size: int
    next_row: bytes | None


@lru_cache(maxsize=1024)
def _read_key(body: bytes, source: Source, use: KeyUse) -> bytes:
    """Decode, check and encode a key to read; the ends of ranges in particular come again and again."""
    return source.check_key(_decode_key(body, source.reader), use)


def _decode_key(body: bytes, reader: KeyReader | None) -> RequestRow:
    row = decode_request_row(body, reader)
    if row.changes:
        raise parameter_invalid("Attribute column cannot be given while reading data.")
    if row.deletes_row:
        raise parameter_invalid("Delete marker cannot be given.")
    return row


def _overlay(
    connection: sqlite3.Connection, request: Any, source: Source, keys: Iterable[bytes], now: int
) -> Overlay | None:
    if not request.transaction_id:
        return None
    for body in keys:
        partition = encode_key_value(_decode_key(body, None).key[0][1])
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
    row, size = selector.select(unpack_row(record[0]), *record[1:])
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
    answer.row = encode_answer(row)


def _read_bounds(source: Source, start: bytes, end: bytes, *, backward: bool) -> tuple[bytes, bytes]:
    first, last = _read_key(start, source, KeyUse.RANGE), _read_key(end, source, KeyUse.RANGE)
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
    cursor = connection.execute(sql, bounds)
    while found := cursor.fetchmany(_CHUNK):
        chunk_total = total + sum([size for _, size in found])
        if len(rows) + len(found) <= limit and chunk_total <= MAX_PAGE_SIZE:
            rows += [unpack_row(row) for row, _ in found]
            total = chunk_total
            continue
        for row, size in found:
            if len(rows) == limit or (rows and total + size > MAX_PAGE_SIZE):
                return _Page(rows, total, row)
            rows.append(unpack_row(row))
            total += size
    return _Page(rows, total, None)


def _select_page(records: Iterable[tuple[Any, ...]], selector: Selector, limit: int) -> _Page:
    """Read one page: at most `limit` rows or 4 MB, counted before filtering."""
    rows: list[bytes] = []
    total = 0
    for scanned, (row, size, oldest, newest, _) in enumerate(records):
        if scanned == limit:
            return _Page(rows, total, row)
        selected, billed = selector.select(unpack_row(row), size, oldest, newest)
        if scanned and total + billed > MAX_PAGE_SIZE:
            return _Page(rows, total, row)
        total += billed
        if selected is not None:
            rows.append(selected)
    return _Page(rows, total, None)
