"""Threads expire as a whole: one in which nothing was written for some time is gone, with all that is in it.

Values are shared between the checkpoints of a thread, so its rows cannot expire one by one. A thread is as old as its
youngest row, in all namespaces. Who reads a row that is young enough knows that the thread is alive; only where it is
old, the rest of the thread has to be looked at. Before something is written to a thread that has expired, what is left
of it is deleted, so that it does not come back.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeGuard

from tablestore import INF_MAX, ComparatorType, Condition, RowExistenceExpectation, SingleColumnCondition

from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import KeyColumns, Scan, StoredRow
from langchain_tablestore_memory.core.writes import RowWrite, delete_row, write_rows
from langchain_tablestore_memory.errors import WriteError
from langchain_tablestore_memory.langgraph.checkpoints.rows import ITEM, NAMESPACE, THREAD, WRITTEN, whole, written

_REMEMBERED = 4096
"""Threads of which it is remembered when they were active."""

_FIRST_PAGE = 20


class Expiry:
    """Tells which threads have expired.

    Args:
        table: The checkpoint table.
        ttl: After how many microseconds without a write a thread expires; never by default.
        clock: Tells the time in microseconds since 1970-01-01 UTC.
    """

    def __init__(self, table: str, ttl: int | None, clock: Callable[[], int]) -> None:
        self._table = table
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._active: OrderedDict[str, int] = OrderedDict()

    def now(self) -> int:
        """The time."""
        return self._clock()

    def is_alive(self, thread_id: str, seen: int) -> Program[bool]:
        """Whether a thread has not expired.

        Args:
            thread_id: The thread.
            seen: When a row of it was written.
        """
        if self._ttl is None:
            return True
        oldest = self.now() - self._ttl
        if max(seen, self._last(thread_id)) >= oldest:
            self.note(thread_id, seen)
            return True
        youngest = yield from self._youngest(thread_id, oldest)
        if youngest is None or youngest < oldest:
            return False
        self.note(thread_id, youngest)
        return True

    def begin(self, thread_id: str) -> Program[bool]:
        """Prepare to write to a thread: where it has expired, what is left of it is deleted. Returns whether it had."""
        if self._ttl is None:
            return False
        oldest = self.now() - self._ttl
        if self._last(thread_id) >= oldest:
            return False
        youngest = yield from self._youngest(thread_id, oldest)
        if youngest is not None and youngest >= oldest:
            self.note(thread_id, youngest)
            return False
        if youngest is not None:
            yield from self._delete(thread_id, oldest)
        return True

    def note(self, thread_id: str, time: int) -> None:
        """Remember that something was written to a thread."""
        if self._ttl is None:
            return
        with self._lock:
            self._active[thread_id] = max(time, self._active.get(thread_id, 0))
            self._active.move_to_end(thread_id)
            while len(self._active) > _REMEMBERED:
                self._active.popitem(last=False)

    def forget(self, thread_id: str | None) -> None:
        """Forget a thread that is deleted, or all."""
        with self._lock:
            if thread_id is None:
                self._active.clear()
            else:
                self._active.pop(thread_id, None)

    def delete_idle(self, age: int) -> Program[int]:
        """Delete the threads to which nothing was written for so many microseconds. Returns how many."""
        oldest = self.now() - age
        deleted = 0
        position, end = whole()
        current: str | None = None
        youngest = 0
        start: KeyColumns | None = position
        while start is not None:
            scan = self._narrow(start, end)
            for row in (yield from scan.fetch()):
                if row.key[THREAD] != current:
                    deleted += yield from self._delete_if_idle(current, youngest, oldest)
                    current, youngest = row.key[THREAD], 0
                youngest = max(youngest, written(row))
            start = scan.position
            if start is not None and start[0][1] == current and youngest >= oldest:
                # The rest of it need not be read.
                start = [(THREAD, current), (NAMESPACE, INF_MAX), (ITEM, INF_MAX)]
        return deleted + (yield from self._delete_if_idle(current, youngest, oldest))

    def _delete_if_idle(self, thread_id: str | None, youngest: int, oldest: int) -> Program[int]:
        if thread_id is None or youngest >= oldest:
            return 0
        # It may have been written to since it was read.
        youngest_now = yield from self._youngest(thread_id, oldest)
        if youngest_now is None or youngest_now >= oldest:
            return 0
        yield from self._delete(thread_id, oldest)
        return 1

    def _youngest(self, thread_id: str, oldest: int) -> Program[int | None]:
        """When the youngest row of a thread was written, or one that is young enough; None where there is no row."""
        low, high = whole(thread_id)
        scan = self._narrow(high, low, backward=True, page_size=_FIRST_PAGE)
        youngest: int | None = None
        while not scan.finished and (youngest is None or youngest < oldest):
            for row in (yield from scan.fetch()):
                youngest = max(youngest or 0, written(row))
            if scan.position is not None:
                scan = self._narrow(scan.position, low, backward=True)
        return youngest

    def _delete(self, thread_id: str, oldest: int) -> Program[None]:
        """Delete the rows of a thread that were written before a time."""
        self.forget(thread_id)
        low, high = whole(thread_id)
        scan = self._narrow(high, low, backward=True)
        idle = SingleColumnCondition(WRITTEN, oldest, ComparatorType.LESS_THAN, pass_if_missing=True)
        condition = Condition(RowExistenceExpectation.IGNORE, idle)
        while not scan.finished:
            rows = yield from scan.fetch()
            try:
                yield from write_rows([self._deletion(row, condition) for row in rows])
            except WriteError as error:
                # A row was written meanwhile: somebody has begun the thread afresh.
                if error.code != CONFLICT:
                    raise

    def _deletion(self, row: StoredRow, condition: Condition) -> RowWrite:
        return delete_row(self._table, list(row.key.items()), name="a row of an expired thread", condition=condition)

    def _narrow(
        self, start: KeyColumns, end: KeyColumns, *, backward: bool = False, page_size: int | None = None
    ) -> Scan[StoredRow]:
        """Rows with nothing but their keys and times."""
        return Scan(
            self._table,
            start,
            end,
            lambda row: row,
            backward=backward,
            columns=[THREAD, WRITTEN],
            page_size=page_size,
        )

    def _last(self, thread_id: str) -> int:
        with self._lock:
            return self._active.get(thread_id, 0)


def is_duration(value: Any) -> TypeGuard[timedelta]:
    """Whether this is a positive timedelta."""
    return isinstance(value, timedelta) and value > timedelta(0)


def microseconds(duration: timedelta) -> int:
    """A duration in microseconds."""
    return duration // timedelta(microseconds=1)
