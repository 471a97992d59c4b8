"""What of a row a read returns: its versions, its columns, or nothing where a filter says so.

Selecting works in the service's order: time-to-live, versions, columns, filter. So a filter on a column that
was not asked for sees it as missing (Tablestore, "Filter"). A row without attribute cells is a row, and is
returned where all columns are asked for; where columns are named, one of them, or a primary key column, must
be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .conditions import look_up, parse_filter, row_versions
from .errors import parameter_invalid
from .limits import MAX_COLUMNS_PER_REQUEST, check_column_name
from .messages import name_bytes
from .plainbuffer import Cell, cells_size, decode_cells, decode_values, encode_row, timestamp_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .catalogue import Options, Source
    from .conditions import ColumnPage, Filter


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a read request that says what to return of each row.

    Attributes:
        columns: The columns to return, None for all.
        start_column: The first column name to return, None for no bound.
        end_column: The first column name not to return any more, None for no bound.
        max_versions: How many versions of each column to return, None for all.
        time_range: The first version to return and the first one not to, in milliseconds.
        filter: Which rows to return, None for all.
        page: Which page of columns to return, None for all.
        whole: Whether all columns are returned, if only one version of each is kept.
    """

    columns: frozenset[bytes] | None
    start_column: bytes | None
    end_column: bytes | None
    max_versions: int | None
    time_range: tuple[int, int] | None
    filter: Filter | None
    page: ColumnPage | None
    whole: bool


def parse_selection(request: Any, no_version: str) -> Selection:
    """Read the selection of a GetRow, BatchGetRow or GetRange request.

    Args:
        request: The message, or the table's part of it.
        no_version: What the service says where neither versions nor times are given.

    Returns:
        The selection.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    count = len(request.columns_to_get)
    if count > MAX_COLUMNS_PER_REQUEST:
        raise parameter_invalid(
            "The number of columns from the request exceeds the limit, limit count:"
            f" {MAX_COLUMNS_PER_REQUEST}, column count: {count}."
        )
    max_versions = request.max_versions if request.HasField("max_versions") else None
    time_range = None
    if request.HasField("time_range"):
        time_range = _parse_time_range(request.time_range, max_versions)
    if max_versions is None and time_range is None:
        raise parameter_invalid(no_version)
    if max_versions is not None and max_versions <= 0:
        raise parameter_invalid(f"Invalid max versions: {max_versions} . Reason: Max versions must be positive.")
    columns = _parse_columns(request.columns_to_get) if count else None
    start = name_bytes(request.start_column) if request.HasField("start_column") else None
    end = name_bytes(request.end_column) if request.HasField("end_column") else None
    filter_, page = parse_filter(request.filter) if request.HasField("filter") else (None, None)
    whole = columns is None and start is None and end is None and time_range is None and page is None
    return Selection(columns, start, end, max_versions, time_range, filter_, page, whole)


def _parse_columns(names: Iterable[str]) -> frozenset[bytes]:
    columns = [name_bytes(name) for name in names]
    for name in columns:
        check_column_name(name)
    return frozenset(columns)


def _parse_time_range(message: Any, max_versions: int | None) -> tuple[int, int]:
    specific = message.HasField("specific_time")
    has_start, has_end = message.HasField("start_time"), message.HasField("end_time")
    if specific:
        if has_start or has_end:
            raise parameter_invalid(
                "Specific tiemstamp and time range cannot be given at the same time."
                if max_versions is None
                else "Specific timestamp, time range and max versions cannot be given at the same time."
            )
        if max_versions is not None:
            raise parameter_invalid("Specific tiemstamp and max versions cannot be given at the same time.")
        if message.specific_time < 0:
            raise parameter_invalid("Specific timestamp cannot be less than 0.")
        return message.specific_time, message.specific_time + 1
    if not (has_start and has_end):
        raise parameter_invalid("Start and end time must be given at the same time.")
    return message.start_time, message.end_time


class Selector:
    """Applies a selection to the rows of one table or index.

    Args:
        selection: What to return.
        source: The table or index.
        now: The time of the request in milliseconds.
    """

    def __init__(self, selection: Selection, source: Source, now: int) -> None:
        self._selection = selection
        self._names_key = selection.columns is not None and any(
            column.name in selection.columns for column in source.key
        )
        options = source.table.options
        kept = options.max_versions
        self._kept_versions = kept
        self._max_versions = kept if selection.max_versions is None else min(kept, selection.max_versions)
        self._filter = selection.filter
        # Rows that are returned can be returned as they are stored, unless some of their cells have expired.
        self._copies = selection.whole and source.table.widest_versions == 1
        self.expired = expiry(options, now)

    @property
    def copies_all(self) -> bool:
        """Whether every row is returned as it is stored."""
        return self._copies and self._filter is None and self.expired is None

    def select(self, row: bytes, size: int, oldest: int | None, newest: int | None) -> tuple[bytes | None, int]:
        """Select from one row.

        Args:
            row: The stored row.
            size: Its size.
            oldest: The time of its oldest cell, None without cells.
            newest: The time of its newest cell, None without cells.

        Returns:
            The row to send, or None where it is not to be seen, and the size that is billed for reading it.
        """
        expired = self.expired
        if expired is not None and newest is not None and newest <= expired:
            return None, 0
        if self._copies and (expired is None or oldest is None or oldest > expired):
            if self._filter is None or self._filter.passes(look_up(decode_values(row))):
                return row, size
            return None, size
        return self._rebuild(row)

    def _rebuild(self, row: bytes) -> tuple[bytes | None, int]:
        key, stored = decode_cells(row)
        cells = self._choose(stored)
        size = cells_size(key) + cells_size(cells)
        if not cells and self._selection.columns is not None and not self._names_key:
            return None, size
        if self._selection.page is not None:
            cells = self._selection.page.cut(cells)
        elif self._filter is not None and not self._filter.passes(row_versions(key, cells)):
            return None, size
        return encode_row(key, cells), size

    def _choose(self, stored: Sequence[Cell]) -> list[Cell]:
        selection = self._selection
        # What the table does not keep any more may still be stored; it is gone before anything is selected.
        cells = newest_versions(stored, self._kept_versions)
        if self.expired is not None:
            cells = [cell for cell in cells if timestamp_of(cell) > self.expired]
        if selection.columns is not None:
            cells = [cell for cell in cells if cell[0] in selection.columns]
        if selection.start_column is not None:
            cells = [cell for cell in cells if cell[0] >= selection.start_column]
        if selection.end_column is not None:
            cells = [cell for cell in cells if cell[0] < selection.end_column]
        if selection.time_range is not None:
            first, end = selection.time_range
            cells = [cell for cell in cells if first <= timestamp_of(cell) < end]
        return newest_versions(cells, self._max_versions)


def newest_versions(cells: Sequence[Cell], limit: int) -> list[Cell]:
    """Keep the newest versions of each column.

    Args:
        cells: Cells by name, newest version first.
        limit: How many versions to keep.

    Returns:
        The cells that stay.
    """
    if len({name for name, _, _ in cells}) == len(cells):
        return list(cells)
    kept: list[Cell] = []
    last: bytes | None = None
    count = 0
    for cell in cells:
        if cell[0] != last:
            last, count = cell[0], 0
        count += 1
        if count <= limit:
            kept.append(cell)
    return kept


def expiry(options: Options, now: int) -> int | None:
    """Compute from when on cells have expired.

    Args:
        options: The table's options.
        now: The time in milliseconds.

    Returns:
        The newest version that has expired, in milliseconds; None where none ever does.
    """
    return None if options.time_to_live < 0 else now - options.time_to_live * 1000
