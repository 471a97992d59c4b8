"""Removing rows that time-to-live has taken, so that the file does not grow for ever.

Reads and searches never see an expired row, whether it is still stored or not. What is stored is swept a little at
a time, by the writes to the same table: every so many of them look at the next rows in the order of their number and
delete those that have expired. So the work keeps pace with the writing, no write waits long, and no other
thread is needed. Search indexes with a time-to-live of their own are swept likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .changes import apply_change
from .selection import expiry
from .storage import read_record

if TYPE_CHECKING:
    import sqlite3

    from .catalogue import Table
    from .search.definitions import SearchIndex

_WRITES_PER_SWEEP: Final = 50
_ROWS_PER_SWEEP: Final = 200


class Sweeper:
    """Sweeps the tables of an instance; remembers, by table, where to go on."""

    def __init__(self) -> None:
        self._writes: dict[int, int] = {}
        self._swept: dict[int, int] = {}
        self._swept_indexes: dict[str, int] = {}

    def count_writes(
        self, connection: sqlite3.Connection, table: Table, count: int, now: int, searchable: int | None
    ) -> None:
        """Take notice of writes to a table, and sweep a part of it when it is time to.

        Args:
            connection: A connection with a write transaction.
            table: The table.
            count: How many rows have been written.
            now: The time in milliseconds.
            searchable: When searches are to see what is done now, in milliseconds; None for at once.
        """
        expired = expiry(table.options, now)
        indexes = [index for index in table.search_indexes if index.time_to_live > 0]
        if expired is None and not indexes:
            return
        writes = self._writes.get(table.id, 0) + count
        if writes >= _WRITES_PER_SWEEP:
            writes = 0
            if expired is not None:
                self._sweep(connection, table, expired, searchable)
            for index in indexes:
                self._sweep_index(connection, index, now)
        self._writes[table.id] = writes

    def _sweep_index(self, connection: sqlite3.Connection, index: SearchIndex, now: int) -> None:
        swept = self._swept_indexes.get(index.prefix, 0)
        expired = now - index.time_to_live * 1000
        self._swept_indexes[index.prefix] = index.store.sweep(connection, expired, swept, _ROWS_PER_SWEEP)

    def _sweep(self, connection: sqlite3.Connection, table: Table, expired: int, searchable: int | None) -> None:
        place = (self._swept.get(table.id, 0), _ROWS_PER_SWEEP)
        found = connection.execute(table.rows.sweep, (expired, *place)).fetchall()
        for _, key, *record in found:
            if record[0] is not None:
                apply_change(connection, table, key, read_record(record), None, searchable)
        # At the end of the table the next sweep begins again.
        self._swept[table.id] = found[-1][0] if len(found) == _ROWS_PER_SWEEP else 0
