"""Reading ranges of checkpoints page by page, and the latest one: its first page."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Generic, TypeVar

from tablestore import ComparatorType, SingleColumnCondition

from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import KeyColumns, Pages, Scan, StoredRow
from langchain_tablestore_memory.langgraph.checkpoints.reading import CheckpointReader, Found, pieces_of
from langchain_tablestore_memory.langgraph.checkpoints.records import StoredCheckpoint, ValuesGoneError
from langchain_tablestore_memory.langgraph.checkpoints.rows import PIECE, Item, Line, Pieces

T = TypeVar("T")

_logger = logging.getLogger("langchain_tablestore_memory.langgraph")

_FIRST_PAGE = 2
"""The latest checkpoint has often no writes after it: then the row before it tells that it is complete."""
_GROWTH = 10
_PAGE, _MAX_PAGE = 100, 1000

_PIECES_IN_MEMORY = 16
"""Pieces that are read for the checkpoints of one page at the most, but for a single one that has more."""

_WITHOUT_PIECES = SingleColumnCondition(PIECE, bytearray(b""), ComparatorType.EQUAL, pass_if_missing=True)
"""Leaves out pieces, none of which is empty."""

_GONE = "values of it were deleted with its thread, or by pruning."

Accept = Callable[[StoredCheckpoint], Program[bool]]


def read_latest(reader: CheckpointReader, line: Line, accept: Accept) -> Program[StoredCheckpoint | None]:
    """Read the latest checkpoint with its writes and values; None where there is none or it is not accepted."""
    return _read_first(reader, line.backward(), accept, page_size=_FIRST_PAGE)


def read_one(
    reader: CheckpointReader, line: Line, checkpoint_id: str, accept: Accept
) -> Program[StoredCheckpoint | None]:
    """Read a checkpoint with its writes and values; None where there is none or it is not accepted."""
    return _read_first(reader, line.of_checkpoint(checkpoint_id), accept, page_size=_PAGE)


def _read_first(
    reader: CheckpointReader, bounds: tuple[KeyColumns, KeyColumns], accept: Accept, *, page_size: int
) -> Program[StoredCheckpoint | None]:
    """The first checkpoint of a range.

    Values can be gone because the thread is being pruned while it is read: then it is read again. Where they are gone
    for good, a run was storing its checkpoint while the thread was deleted, and that checkpoint went with it.
    """
    try:
        return (yield from _first(CheckpointPages(reader, *bounds, page_size=page_size, skip_gone=False), accept))
    except ValuesGoneError:
        return (yield from _first(CheckpointPages(reader, *bounds, page_size=page_size), accept))


def _first(pages: CheckpointPages, accept: Accept) -> Program[StoredCheckpoint | None]:
    while not pages.finished:
        for found in (yield from pages.fetch(1)):
            if not (yield from accept(found)):
                return None
            if (yield from pages.fill([found])):
                return found
    return None


class CheckpointPages:
    """The checkpoints of a range with their writes, page by page, newest first in each line; without their values.

    Args:
        reader: The table.
        start: The last key.
        end: The key before the first one.
        page_size: Rows of the first page; those that follow are larger.
        skip_gone: Whether checkpoints of which something is gone are left out; otherwise that is an error.
    """

    def __init__(
        self,
        reader: CheckpointReader,
        start: KeyColumns,
        end: KeyColumns,
        *,
        page_size: int = _PAGE,
        skip_gone: bool = True,
    ) -> None:
        self._reader = reader
        self._end = end
        self._start: KeyColumns | None = start
        self._page_size = page_size
        self._skip_gone = skip_gone
        self._open: list[StoredRow] = []
        self._groups: deque[list[StoredRow]] = deque()
        # Neighbours share most of their values.
        self._known: Found = {}

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._start is None and not self._groups

    def fetch(self, limit: int = _MAX_PAGE) -> Program[list[StoredCheckpoint]]:
        """Read the next page.

        Args:
            limit: How many checkpoints at the most.
        """
        if not self._groups:
            yield from self._read()
        # Kept in bounds by what is in pieces.
        taken: list[list[StoredRow]] = []
        pieces = 0
        while self._groups and len(taken) < limit and pieces < _PIECES_IN_MEMORY:
            taken.append(self._groups.popleft())
            pieces += sum(each.number for row in taken[-1] for each in pieces_of(row))
        return (yield from self._decode(taken))

    def fill(self, checkpoints: list[StoredCheckpoint]) -> Program[list[StoredCheckpoint]]:
        """Read the values of checkpoints. Returns those of which no value is gone."""
        try:
            self._known = yield from self._reader.fill(checkpoints, known=self._known)
        except ValuesGoneError:
            return (yield from self._singly(checkpoints, self.fill))
        return checkpoints

    def _decode(self, groups: list[list[StoredRow]]) -> Program[list[StoredCheckpoint]]:
        try:
            return (yield from self._reader.decode(groups))
        except ValuesGoneError:
            return (yield from self._singly(groups, self._decode))

    def _singly(
        self, several: list[T], read: Callable[[list[T]], Program[list[StoredCheckpoint]]]
    ) -> Program[list[StoredCheckpoint]]:
        """Leave out the one of which something is gone, and read the others."""
        if not self._skip_gone:
            raise ValuesGoneError(_GONE)
        if len(several) == 1:
            _logger.warning("A checkpoint is left out: %s", _GONE)
            return []
        found = []
        for each in several:
            found += yield from read([each])
        return found

    def _read(self) -> Program[None]:
        assert self._start is not None
        scan = Scan(
            self._reader.table,
            self._start,
            self._end,
            lambda row: row,
            backward=True,
            page_size=self._page_size,
            # Within a line, pieces are in another range.
            condition=None if self._start[1] == self._end[1] else _WITHOUT_PIECES,
        )
        # What is left of removed checkpoints is beside others where a range goes on below them.
        rows = [row for row in (yield from scan.fetch()) if Item.of(row).readable]
        self._start = scan.position
        self._page_size = min(_GROWTH * self._page_size, _MAX_PAGE)
        groups = [list(group) for _, group in groupby([*self._open, *rows], key=_whose)]
        # The last one may go on with the next page.
        self._open = groups.pop() if groups and self._start is not None else []
        # Writes to a checkpoint that is not there (yet) are left out.
        self._groups.extend(group for group in groups if any(Item.of(row).listed for row in group))


class FilledPages:
    """The checkpoints of a range that are accepted, with writes and values, page by page.

    Args:
        pages: The checkpoints.
        accept: Which ones; their values are not there yet.
        limit: How many at the most.
    """

    def __init__(self, pages: CheckpointPages, accept: Accept, limit: int | None) -> None:
        self._pages = pages
        self._accept = accept
        self._remaining = limit
        self._accepted: deque[StoredCheckpoint] = deque()

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._remaining == 0 or (self._pages.finished and not self._accepted)

    def fetch(self) -> Program[list[StoredCheckpoint]]:
        """Read the next page."""
        if not self._accepted:
            for found in (yield from self._pages.fetch()):
                if (yield from self._accept(found)):
                    self._accepted.append(found)
        taken: list[StoredCheckpoint] = []
        pieces: set[Pieces] = set()
        while self._accepted and len(taken) != self._remaining:
            pieces |= _needed(self._accepted[0])
            if taken and sum(each.number for each in pieces) > _PIECES_IN_MEMORY:
                break
            taken.append(self._accepted.popleft())
        filled = yield from self._pages.fill(taken)
        if self._remaining is not None:
            self._remaining -= len(filled)
        return filled


class Ancestors:
    """The checkpoints before one, as they are asked for from parent to parent; without their values.

    Mostly the ids become smaller from parent to parent, so they are read as pages; one that is elsewhere is read alone.

    Args:
        reader: The table.
        line: The line.
        checkpoint_id: The checkpoint whose parents are wanted.
    """

    def __init__(self, reader: CheckpointReader, line: Line, checkpoint_id: str) -> None:
        self._reader = reader
        self._line = line
        self._pages = CheckpointPages(reader, *line.backward(checkpoint_id))
        self._next: deque[StoredCheckpoint] = deque()
        self._given = {checkpoint_id}

    def read(self, checkpoint_id: str | None) -> Program[StoredCheckpoint | None]:
        """Read a checkpoint; None where it is not there any more, or was given already."""
        if checkpoint_id is None or checkpoint_id in self._given:
            return None
        self._given.add(checkpoint_id)
        while True:
            while self._next and self._next[0].checkpoint_id > checkpoint_id:
                self._next.popleft()
            if self._next or self._pages.finished:
                break
            self._next.extend((yield from self._pages.fetch()))
        if self._next and self._next[0].checkpoint_id == checkpoint_id:
            return self._next.popleft()
        alone = CheckpointPages(self._reader, *self._line.of_checkpoint(checkpoint_id))
        while not alone.finished:
            for found in (yield from alone.fetch()):
                return found
        return None


class PreparedPages(Generic[T]):
    """Pages of a table that is made where the first request finds none.

    Args:
        pages: The pages.
        prepared: Runs a program, and where that meets no table, makes it and runs the program again.
    """

    def __init__(
        self, pages: Pages[T], prepared: Callable[[Callable[[], Program[Sequence[T]]]], Program[Sequence[T]]]
    ) -> None:
        self._pages = pages
        self._prepared = prepared

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._pages.finished

    def fetch(self) -> Program[Sequence[T]]:
        """Read the next page."""
        return self._prepared(self._pages.fetch)


def _whose(row: StoredRow) -> tuple[Line, str]:
    return Line.of(row), Item.of(row).checkpoint_id


def _needed(found: StoredCheckpoint) -> set[Pieces]:
    return {
        Pieces(found.line, run.checkpoint_id, run.pieces)
        for place in found.missing().values()
        for run in place.runs
        if run.pieces
    }
