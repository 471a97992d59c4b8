"""Removing and copying checkpoints, as programs.

A value is stored with the checkpoint that it was new with, and later ones may still need it. So before a checkpoint is
removed, what others need of it is set aside in a row of its own, which is not listed (`Line.remains`). Removing is
resumable: what was interrupted is finished by calling it again. No more than a page of rows is held at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import KeyColumns, Scan, StoredRow
from langchain_tablestore_memory.core.writes import delete_row, put_row, write_rows
from langchain_tablestore_memory.langgraph.checkpoints.pages import Ancestors, CheckpointPages
from langchain_tablestore_memory.langgraph.checkpoints.reading import CheckpointReader
from langchain_tablestore_memory.langgraph.checkpoints.records import StoredCheckpoint
from langchain_tablestore_memory.langgraph.checkpoints.rows import (
    DATA,
    ITEM,
    NAMESPACE,
    RUN,
    THREAD,
    WRITTEN,
    Item,
    Line,
    NewPieces,
    whole,
)
from langchain_tablestore_memory.langgraph.checkpoints.values import GONE
from langchain_tablestore_memory.langgraph.checkpoints.writing import bundle_parts

_PAGE = 1000
_SET_ASIDE_AT_A_TIME = 30

Deltas = Callable[[StoredCheckpoint], Collection[str]]
"""Tells the channels of a checkpoint of which not every checkpoint holds the value."""


def delete_thread(table: str, thread_id: str) -> Program[None]:
    """Delete everything of a thread, the latest checkpoints first."""
    low, high = whole(thread_id)
    yield from _delete(_keys(table, high, low), table, lambda _: True)


def delete_runs(reader: CheckpointReader, index_name: str, run_ids: Iterable[str]) -> Program[None]:
    """Delete all checkpoints that some runs made, with their writes."""
    removed: dict[Line, set[str]] = defaultdict(set)
    for run_id in dict.fromkeys(run_ids):
        low, high = (
            [(RUN, run_id), (THREAD, bound), (NAMESPACE, bound), (ITEM, bound)] for bound in (INF_MIN, INF_MAX)
        )
        scan = Scan(index_name, low, high, lambda row: row)
        while not scan.finished:
            for row in (yield from scan.fetch()):
                removed[Line.of(row)].add(Item.of(row).checkpoint_id)
    for line, checkpoint_ids in removed.items():
        kept = _Kept(line)
        pages = CheckpointPages(reader, *line.backward())
        while not pages.finished:
            for found in (yield from pages.fetch()):
                if found.checkpoint_id not in checkpoint_ids:
                    kept.add(found)
        yield from _set_aside(reader, kept, [each for each in kept.needed if each in checkpoint_ids])
        yield from _delete(
            _keys(reader.table, *line.backward()),
            reader.table,
            lambda item, ids=checkpoint_ids: item.checkpoint_id in ids,  # type: ignore[misc]
        )
        yield from _sweep(reader.table, kept)


def keep_latest(reader: CheckpointReader, thread_id: str, deltas: Deltas) -> Program[None]:
    """Delete all but the latest checkpoint of each namespace, and those that its delta channels are put together from.

    Args:
        reader: The table.
        thread_id: The thread.
        deltas: Tells the delta channels of a checkpoint.
    """
    for namespace in (yield from _namespaces(reader.table, thread_id)):
        kept = yield from _latest(reader, Line(thread_id, namespace), deltas)
        if kept.newest is None:
            continue
        yield from _set_aside(reader, kept, [each for each in kept.needed if each not in kept.ids])
        # What is newer than the latest checkpoint was written since that was read.
        yield from _delete(
            _keys(reader.table, *kept.line.backward(kept.newest)),
            reader.table,
            lambda item, ids=kept.ids: item.checkpoint_id not in ids,  # type: ignore[misc]
        )
        yield from _sweep(reader.table, kept)


def copy_thread(table: str, source: str, target: str, now: int) -> Program[None]:
    """Copy everything of a thread, values before the checkpoints that need them, the oldest first."""
    scan = Scan(table, *whole(source), lambda row: row, page_size=_PAGE)
    while not scan.finished:
        rows = yield from scan.fetch()
        yield from write_rows(
            [
                put_row(
                    table,
                    Line(target, row.key[NAMESPACE]).key(row.key[ITEM]),
                    list({**row.columns, WRITTEN: now}.items()),
                    name=f"a row of thread {target!r}",
                )
                for row in rows
            ]
        )


class _Kept:
    """What the checkpoints need that stay.

    Args:
        line: Their line.

    Attributes:
        line: Their line.
        ids: Their ids.
        needed: Numbers of the parts that they need of checkpoints' bundles, by checkpoint.
        written: When the last of them was written. What is set aside for them makes the thread no younger.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.ids: set[str] = set()
        self.needed: defaultdict[str, set[int]] = defaultdict(set)
        self.written = 0
        self._pieces: set[tuple[str, str]] = set()

    @property
    def newest(self) -> str | None:
        """The latest one."""
        return max(self.ids, default=None)

    def add(self, found: StoredCheckpoint) -> None:
        """Take in one that stays."""
        self.ids.add(found.checkpoint_id)
        self.written = max(self.written, found.written)
        for place in found.places.values():
            for run in place.runs:
                if run.pieces:
                    self.keep_pieces(run.checkpoint_id, run.pieces)
                else:
                    self.needed[run.checkpoint_id].update(range(run.first, run.first + run.length))

    def keep_pieces(self, checkpoint_id: str, where: str) -> None:
        """Take in pieces that stay."""
        self._pieces.add((checkpoint_id, where.partition(":")[2]))

    def needs(self, item: Item) -> bool:
        """Whether a piece, or what is left of a removed checkpoint, is needed."""
        if item.checkpoint_id in self.ids:
            return True
        if item.piece is None:
            return item.checkpoint_id in self.needed
        return (item.checkpoint_id, item.piece) in self._pieces


def _latest(reader: CheckpointReader, line: Line, deltas: Deltas) -> Program[_Kept]:
    """The latest checkpoint, and those before it that its delta channels are put together from.

    Of a delta channel, most checkpoints hold no value: it is made of what tasks wrote since the last one that does.
    """
    kept = _Kept(line)
    pages = CheckpointPages(reader, *line.backward())
    current: StoredCheckpoint | None = None
    while current is None and not pages.finished:
        for found in (yield from pages.fetch(1)):
            # One that cannot be read any more is not the latest for readers either.
            current = found if (yield from pages.fill([found])) else None
    if current is None:
        return kept
    ancestors = Ancestors(reader, line, current.checkpoint_id)
    without = set(deltas(current))
    while current is not None:
        kept.add(current)
        without -= current.places.keys()
        current = (yield from ancestors.read(current.parent_id)) if without else None
    return kept


def _set_aside(reader: CheckpointReader, kept: _Kept, checkpoint_ids: Sequence[str]) -> Program[None]:
    """Keep the values of checkpoints about to be removed that others still need."""
    for start in range(0, len(checkpoint_ids), _SET_ASIDE_AT_A_TIME):
        group = checkpoint_ids[start : start + _SET_ASIDE_AT_A_TIME]
        rows = yield from reader.rows(kept.line, group)
        for row in rows:
            if row is not None:
                [checkpoint] = yield from reader.decode([[row]])
                yield from _set_aside_one(reader, kept, checkpoint)
        # Of those that were removed earlier, what is left may be in pieces too.
        removed = [checkpoint_id for checkpoint_id, row in zip(group, rows, strict=True) if row is None]
        for row in (yield from reader.remains(kept.line, removed)):
            if row is not None and isinstance(row.columns[DATA], str):
                kept.keep_pieces(Item.of(row).checkpoint_id, row.columns[DATA])


def _set_aside_one(reader: CheckpointReader, kept: _Kept, checkpoint: StoredCheckpoint) -> Program[None]:
    checkpoint_id, needed = checkpoint.checkpoint_id, kept.needed[checkpoint.checkpoint_id]
    # Parts are known by their numbers.
    parts = [part if number in needed else GONE for number, part in enumerate(checkpoint.parts)]
    pieces = NewPieces(reader.table, kept.line, checkpoint_id, kept.written)
    column = pieces.column(DATA, bundle_parts(parts))
    if isinstance(column[1], str):
        kept.keep_pieces(checkpoint_id, column[1])
    name = f"values of checkpoint {checkpoint_id!r}"
    row = put_row(reader.table, kept.line.remains(checkpoint_id), [column, (WRITTEN, kept.written)], name=name)
    yield from write_rows(pieces.writes)
    yield from write_rows([row])


def _sweep(table: str, kept: _Kept) -> Program[None]:
    """Delete the rows of removed checkpoints that nobody needs any more."""
    newest = kept.newest or ""
    # What is newer may belong to a checkpoint that is just being stored.
    yield from _delete(
        _keys(table, *kept.line.aside(), backward=False),
        table,
        lambda item: item.checkpoint_id <= newest and not kept.needs(item),
    )


def _namespaces(table: str, thread_id: str) -> Program[list[str]]:
    """The namespaces of a thread: one row of each is read."""
    found: list[str] = []
    start, end = whole(thread_id)
    while True:
        scan = Scan(table, start, end, lambda row: row, columns=[THREAD], limit=1)
        rows = yield from scan.fetch()
        if not rows:
            return found
        found.append(rows[0].key[NAMESPACE])
        start = whole(thread_id, found[-1])[1]


def _keys(table: str, start: KeyColumns, end: KeyColumns, *, backward: bool = True) -> Scan[StoredRow]:
    # Naming a key column gives rows without their attributes.
    return Scan(table, start, end, lambda row: row, backward=backward, columns=[THREAD], page_size=_PAGE)


def _delete(scan: Scan[StoredRow], table: str, which: Callable[[Item], bool]) -> Program[None]:
    while not scan.finished:
        rows = yield from scan.fetch()
        keys: list[Any] = [list(row.key.items()) for row in rows if which(Item.of(row))]
        yield from write_rows([delete_row(table, key, name="a row of a checkpoint") for key in keys])
