"""Reading rows: those of a key range page by page, and those of given keys."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from tablestore import BatchGetRowRequest, Direction, TableInBatchGetRowItem

from langchain_tablestore_memory.core.failures import Failure
from langchain_tablestore_memory.core.programs import (
    Attempt,
    Call,
    Program,
    RetryPolicy,
    Sleep,
    Together,
)

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAX_PAGE = 5000
"""Rows that the service scans for one GetRange request at the most."""

_FILTERED_PAGE = 200
"""Rows to scan at least where a filter may drop some, so that a rare match does not cost a request per row."""

KeyColumns = list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row as read: primary key and columns by name, in the order of the table and of the column names."""

    key: dict[str, Any]
    columns: dict[str, Any]

    @classmethod
    def of(cls, row: Any) -> StoredRow:
        """From the SDK's row."""
        return cls(dict(row.primary_key), {column[0]: column[1] for column in row.attribute_columns})


class Pages(Protocol[T_co]):
    """Something that is read page by page."""

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        ...

    def fetch(self) -> Program[Sequence[T_co]]:
        """Read the next page. It may be empty although more follow."""
        ...


class Scan(Generic[T]):
    """The rows of a key range, each turned into a `T` or left out.

    Reads on at the key that the service names, never stopping at an empty page: under a filter a page may hold no
    row although more match further on.

    Args:
        table: The table or secondary index.
        start: The first key, inclusive, every key column of the table in order.
        end: The last key, exclusive; before `start` when reading backward.
        decode: Turns a row into what is wanted, or None to leave it out.
        backward: Read from high keys to low ones.
        condition: Filter for the service to apply (a `tablestore.ColumnCondition`); `decode` decides.
        columns: Names of the columns to read; all by default.
        limit: How many items to give at the most; all by default.
        drops: Whether the filter or `decode` may leave rows out.
        page_size: Rows to ask for per request; chosen by default.
        complete: Reads what `decode` needs besides, for the rows of one page; None for a row that is gone.
    """

    def __init__(
        self,
        table: str,
        start: KeyColumns,
        end: KeyColumns,
        decode: Callable[[StoredRow], T | None],
        *,
        backward: bool = False,
        condition: Any = None,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        drops: bool = False,
        page_size: int | None = None,
        complete: Callable[[Sequence[StoredRow]], Program[Sequence[StoredRow | None]]] | None = None,
    ) -> None:
        self._table = table
        self._start: KeyColumns | None = start
        self._end = end
        self._decode = decode
        self._direction = Direction.BACKWARD if backward else Direction.FORWARD
        self._condition = condition
        self._columns = list(columns) if columns else None
        self._remaining = limit
        self._drops = drops or condition is not None
        self._page_size = page_size
        self._complete = complete

    @property
    def finished(self) -> bool:
        """Whether the range, or what was asked of it, has been read."""
        return self._start is None or self._remaining == 0

    @property
    def position(self) -> KeyColumns | None:
        """The key at which to read on; None at the end of the range."""
        return self._start

    def fetch(self) -> Program[list[T]]:
        """Read one page."""
        if self.finished:
            return []
        size = self._next_page_size()
        _, following, rows, _ = yield Call(
            "get_range",
            self._table,
            self._direction,
            self._start,
            self._end,
            self._columns,
            size,
            column_filter=self._condition,
            max_version=1,
        )
        stored = [StoredRow.of(row) for row in rows]
        complete: Sequence[StoredRow | None] = stored
        if self._complete is not None and stored:
            complete = yield from self._complete(stored)
        self._start = following
        return self._take(stored, complete)

    def _take(self, stored: Sequence[StoredRow], complete: Sequence[StoredRow | None]) -> list[T]:
        """The items in rows, until the limit; reading then goes on at the first row not taken."""
        items: list[T] = []
        for position, row in enumerate(complete):
            item = None if row is None else self._decode(row)
            if item is None:
                continue
            items.append(item)
            if self._remaining is not None:
                self._remaining -= 1
                if self._remaining == 0:
                    if position + 1 < len(stored):
                        self._start = list(stored[position + 1].key.items())
                    break
        return items

    def _next_page_size(self) -> int | None:
        if self._page_size is not None:
            return self._page_size
        if self._remaining is None:
            return None
        wanted = max(self._remaining, _FILTERED_PAGE) if self._drops else self._remaining
        return min(wanted, MAX_PAGE)


class MappedPages(Generic[S, T]):
    """Pages of other pages' items, each turned into something else."""

    def __init__(self, pages: Pages[S], turn: Callable[[S], T]) -> None:
        self._pages = pages
        self._turn = turn

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._pages.finished

    def fetch(self) -> Program[list[T]]:
        """Read the next page."""
        return [self._turn(item) for item in (yield from self._pages.fetch())]


MAX_READ = 100
"""Rows in one BatchGetRow request (limits of the service)."""


@dataclass(frozen=True, slots=True)
class ReadRows:
    """One BatchGetRow request. Rows that fail for a passing reason are read again, alone.

    Answers with a `StoredRow` for each key, or None where there is no such row.

    Attributes:
        table: The table.
        keys: The rows.
        columns: The columns to read; all by default. Rows that have none of them count as missing, unless a key column
            is named too.
    """

    table: str
    keys: Sequence[KeyColumns]
    columns: Sequence[str] | None = None

    def attempts(self, policy: RetryPolicy) -> Generator[Attempt | Sleep, Any, list[StoredRow | None]]:
        """Attempt until every row is read or refused, or attempts run out."""
        found: dict[int, StoredRow | None] = {}
        retries = policy.begin()
        while True:
            pending = [position for position in range(len(self.keys)) if position not in found]
            request = BatchGetRowRequest()
            keys = [self.keys[position] for position in pending]
            columns = list(self.columns) if self.columns else None
            request.add(TableInBatchGetRowItem(self.table, keys, columns, max_version=1))
            failure: Failure | None = None
            try:
                response = yield Attempt("batch_get_row", (request,), {})
            except Exception as error:
                failure = Failure.of(error)
                if failure is None:
                    raise
            else:
                for position, item in zip(pending, response.get_result_by_table(self.table), strict=True):
                    if item.is_ok:
                        found[position] = None if item.row is None else StoredRow.of(item.row)
                    else:
                        failure = Failure.of_code(item.error_code, item.error_message)
            if failure is None:
                return [found[position] for position in range(len(self.keys))]
            if not retries.allow(failure):
                raise failure.to_error("batch_get_row")
            yield retries.pause()


def read_rows(
    table: str, keys: Sequence[KeyColumns], *, columns: Sequence[str] | None = None
) -> Program[list[StoredRow | None]]:
    """Read rows by their keys, in as few requests as the service's limits allow, several at a time.

    Args:
        table: The table.
        keys: The rows.
        columns: The columns to read; see `ReadRows`.
    """
    if not keys:
        return []
    groups = [keys[start : start + MAX_READ] for start in range(0, len(keys), MAX_READ)]
    found = yield Together([_read_group(table, group, columns) for group in groups])
    return [row for group in found for row in group]


def _read_group(
    table: str, keys: Sequence[KeyColumns], columns: Sequence[str] | None
) -> Program[list[StoredRow | None]]:
    rows: list[StoredRow | None] = yield ReadRows(table, keys, columns)
    return rows


def collect(pages: Pages[T]) -> Program[list[T]]:
    """Read all pages into one list."""
    items: list[T] = []
    while not pages.finished:
        items += yield from pages.fetch()
    return items
