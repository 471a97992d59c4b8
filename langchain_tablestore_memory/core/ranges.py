"""Reading rows of a key range, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from tablestore import Direction

from langchain_tablestore_memory.core.programs import Call, Program

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

    @property
    def finished(self) -> bool:
        """Whether the range, or what was asked of it, has been read."""
        return self._start is None or self._remaining == 0

    @property
    def more(self) -> bool:
        """Whether the range holds rows that have not been looked at."""
        return self._start is not None

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
        items: list[T] = []
        self._start = following
        for position, row in enumerate(rows):
            item = self._decode(StoredRow.of(row))
            if item is None:
                continue
            items.append(item)
            if self._remaining is not None:
                self._remaining -= 1
                if self._remaining == 0:
                    if position + 1 < len(rows):
                        self._start = list(rows[position + 1].primary_key)
                    break
        return items

    def _next_page_size(self) -> int | None:
        if self._page_size is not None:
            return self._page_size
        if self._remaining is None:
            return None
        wanted = max(self._remaining, _FILTERED_PAGE) if self._drops else self._remaining
        return min(wanted, MAX_PAGE)


def collect(pages: Pages[T]) -> Program[list[T]]:
    """Read all pages into one list."""
    items: list[T] = []
    while not pages.finished:
        items += yield from pages.fetch()
    return items
