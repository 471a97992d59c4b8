"""Removing and copying checkpoints, as programs.

A value is stored with the checkpoint that it was new with, and later ones may still need it. So before a checkpoint is
removed, what others need of it is set aside in a row of its own, which is not listed (`Line.remains`). Removing is
resumable: what was interrupted is finished by calling it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import KeyColumns, Scan, StoredRow
from langchain_tablestore_memory.core.writes import delete_row, put_row, write_rows
from langchain_tablestore_memory.langgraph.checkpoint_rows import (
    ITEM,
    NAMESPACE,
    RUN,
    THREAD,
    Item,
    Line,
    Pieces,
    line_of_row,
)
from langchain_tablestore_memory.langgraph.checkpoint_store import CheckpointTable, StoredCheckpoint, bundle_parts

_BATCH = 1000
_COPIED_AT_A_TIME = 50


def delete_thread(table: CheckpointTable, thread_id: str) -> Program[None]:
    """Delete everything of a thread, the latest checkpoints first."""
    start, end = _whole(thread_id)
    # Naming a key column gives rows without their attributes.
    scan = Scan(table.name, end, start, _key, backward=True, columns=[THREAD], page_size=_BATCH)
    while not scan.finished:
        yield from _delete(table, (yield from scan.fetch()))


def delete_runs(table: CheckpointTable, index_name: str, run_ids: Iterable[str]) -> Program[None]:
    """Delete all checkpoints that some runs made, with their writes."""
    removed: dict[Line, set[str]] = defaultdict(set)
    for run_id in dict.fromkeys(run_ids):
        low, high = (
            [(RUN, run_id), (THREAD, bound), (NAMESPACE, bound), (ITEM, bound)] for bound in (INF_MIN, INF_MAX)
        )
        scan = Scan(index_name, low, high, _itself)
        while not scan.finished:
            for row in (yield from scan.fetch()):
                removed[line_of_row(row)].add(Item.of(row.key[ITEM]).checkpoint_id)
    for line, checkpoint_ids in removed.items():
        yield from _remove(table, line, lambda _, ids=checkpoint_ids: ids)  # type: ignore[misc]


def keep_latest(
    table: CheckpointTable, thread_id: str, deltas: Callable[[StoredCheckpoint], Collection[str]]
) -> Program[None]:
    """Delete all but the latest checkpoint of each namespace, and those that its delta channels are put together from.

    Args:
        table: The table.
        thread_id: The thread.
        deltas: Tells the delta channels of a checkpoint.
    """

    def older(checkpoints: Sequence[StoredCheckpoint]) -> Collection[str]:
        return _older(checkpoints, deltas(checkpoints[0])) if checkpoints else ()

    for namespace in (yield from _namespaces(table, thread_id)):
        yield from _remove(table, Line(thread_id, namespace), older)


def copy_thread(table: CheckpointTable, source: str, target: str) -> Program[None]:
    """Copy everything of a thread, values before the checkpoints that need them, the oldest first."""
    start, end = _whole(source)
    scan = Scan(table.name, start, end, _itself, page_size=_COPIED_AT_A_TIME)
    while not scan.finished:
        rows = yield from scan.fetch()
        yield from write_rows(
            [
                put_row(
                    table.name,
                    Line(target, row.key[NAMESPACE]).key(row.key[ITEM]),
                    list(row.columns.items()),
                    name=f"a row of thread {target!r}",
                )
                for row in rows
            ]
        )


Choose = Callable[[Sequence[StoredCheckpoint]], Collection[str]]
"""Of all checkpoints of a line, newest first, those to remove."""


def _remove(table: CheckpointTable, line: Line, choose: Choose) -> Program[None]:
    start, end = line.backward()
    pages = table.pages(start, end, lambda _: True, fill=False)
    checkpoints: list[StoredCheckpoint] = []
    while not pages.finished:
        checkpoints += yield from pages.fetch()
    removed = set(choose(checkpoints))
    survivors = [each for each in checkpoints if each.checkpoint_id not in removed]
    yield from _set_aside(table, line, [each for each in checkpoints if each.checkpoint_id in removed], survivors)
    keys = []
    for checkpoint_id in sorted(removed, reverse=True):
        first, last = line.of_checkpoint(checkpoint_id)
        keys += yield from _keys(Scan(table.name, first, last, _key, columns=[THREAD]))
    yield from _delete(table, keys)
    yield from _delete(table, (yield from _unneeded(table, line, survivors)))


def _set_aside(
    table: CheckpointTable, line: Line, removed: Sequence[StoredCheckpoint], survivors: Sequence[StoredCheckpoint]
) -> Program[None]:
    """Keep the values of checkpoints about to be removed that others still need."""
    needed: dict[str, set[int]] = defaultdict(set)
    for checkpoint in survivors:
        for place in checkpoint.places.values():
            for run in place.runs:
                if not run.pieces:
                    needed[run.checkpoint_id].update(range(run.first, run.first + run.length))
    pieces = Pieces(table.name, line, "")
    writes = []
    for checkpoint in removed:
        indexes = needed.get(checkpoint.checkpoint_id)
        if not indexes:
            continue
        parts = [part if index in indexes else ("", b"") for index, part in enumerate(checkpoint.parts)]
        pieces.checkpoint_id = checkpoint.checkpoint_id
        columns = pieces.columns("~", bundle_parts(parts))
        name = f"values of checkpoint {checkpoint.checkpoint_id!r}"
        writes.append(put_row(table.name, line.remains(checkpoint.checkpoint_id), columns, name=name))
    yield from write_rows(pieces.writes)
    yield from write_rows(writes)


def _unneeded(table: CheckpointTable, line: Line, survivors: Sequence[StoredCheckpoint]) -> Program[list[KeyColumns]]:
    """The rows of removed checkpoints that nobody needs any more."""
    alive = {checkpoint.checkpoint_id for checkpoint in survivors}
    runs = [run for checkpoint in survivors for place in checkpoint.places.values() for run in place.runs]
    needed = {run.checkpoint_id for run in runs if not run.pieces}
    needed_pieces = {(run.checkpoint_id, run.name) for run in runs if run.pieces}
    # What is newer may belong to a checkpoint that is just being stored.
    newest = max(alive, default="")
    keys = yield from _keys(Scan(table.name, *line.aside(), _key, columns=[THREAD]))

    def unneeded(key: KeyColumns) -> bool:
        item = Item.of(key[-1][1])
        if item.checkpoint_id in alive or item.checkpoint_id > newest:
            return False
        if item.piece is None or item.piece == "~":
            return item.checkpoint_id not in needed
        return (item.checkpoint_id, item.piece) not in needed_pieces

    return [key for key in keys if unneeded(key)]


def _older(checkpoints: Sequence[StoredCheckpoint], deltas: Collection[str]) -> Collection[str]:
    """All but the latest, and those before it that its delta channels are put together from.

    Of a delta channel, most checkpoints hold no value: it is made of what tasks wrote since the last one that does.
    """
    by_id = {checkpoint.checkpoint_id: checkpoint for checkpoint in checkpoints}
    current: StoredCheckpoint | None = checkpoints[0]
    without = set(deltas)
    while current is not None:
        del by_id[current.checkpoint_id]
        without -= current.places.keys()
        current = by_id.get(current.parent_id or "") if without else None
    return by_id


def _namespaces(table: CheckpointTable, thread_id: str) -> Program[list[str]]:
    """The namespaces of a thread: one row of each is read."""
    found: list[str] = []
    _, end = _whole(thread_id)
    after: Any = INF_MIN
    while True:
        start = [(THREAD, thread_id), (NAMESPACE, after), (ITEM, INF_MIN if after is INF_MIN else INF_MAX)]
        rows = yield from Scan(table.name, start, end, _key, columns=[THREAD], limit=1).fetch()
        if not rows:
            return found
        after = rows[0][1][1]
        found.append(after)


def _whole(thread_id: str) -> tuple[KeyColumns, KeyColumns]:
    low, high = ([(THREAD, thread_id), (NAMESPACE, bound), (ITEM, bound)] for bound in (INF_MIN, INF_MAX))
    return low, high


def _delete(table: CheckpointTable, keys: Sequence[KeyColumns]) -> Program[None]:
    for start in range(0, len(keys), _BATCH):
        rows = keys[start : start + _BATCH]
        yield from write_rows([delete_row(table.name, key, name="a row of a checkpoint") for key in rows])


def _keys(scan: Scan[KeyColumns]) -> Program[list[KeyColumns]]:
    keys: list[KeyColumns] = []
    while not scan.finished:
        keys += yield from scan.fetch()
    return keys


def _key(row: StoredRow) -> KeyColumns:
    return list(row.key.items())


def _itself(row: StoredRow) -> StoredRow:
    return row
