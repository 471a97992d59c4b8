"""Reading and writing checkpoints in the checkpoint table, as programs. Knows rows, and nothing of serializers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tablestore import ComparatorType, Condition, RowExistenceExpectation, SingleColumnCondition

from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.ranges import KeyColumns, Scan, StoredRow, read_rows
from langchain_tablestore_memory.core.writes import column_unchanged, put_row, update_row, write_rows
from langchain_tablestore_memory.errors import StoredDataError, WriteError
from langchain_tablestore_memory.langgraph.bundles import bundle, unbundle
from langchain_tablestore_memory.langgraph.checkpoint_rows import (
    COUNT,
    DATA,
    ITEM,
    MAX_INLINE,
    PARENT,
    PATH,
    PIECE,
    PIECES,
    RUN,
    SPECIAL,
    Item,
    Line,
    Pieces,
    Place,
    Run,
    line_of_row,
)
from langchain_tablestore_memory.langgraph.values import Held, Part, Value, Version, stored_runs

_PIECES_AT_A_TIME = 3
_ROWS_AT_A_TIME = 20
_PAGE = 100
_OWN = 2
"""Parts of a bundle before the values: the skeleton and the metadata."""

SPECIAL_COLUMNS = {index: name for name, index in SPECIAL.items()}

WITHOUT_PIECES = SingleColumnCondition(PIECE, bytearray(b""), ComparatorType.EQUAL, pass_if_missing=True)
"""Leaves out pieces, none of which is empty."""


@dataclass(slots=True)
class NewCheckpoint:
    """A checkpoint to be stored.

    Attributes:
        line: Its line.
        checkpoint_id: Its id.
        parent_id: The checkpoint before it.
        run_id: The run that made it.
        skeleton: The checkpoint without its channels.
        metadata: Its metadata.
        versions: The version of each channel.
        fresh: The values that are new with it.
        kept: The values that were new with others.
        before: The values of the checkpoint before.
    """

    line: Line
    checkpoint_id: str
    parent_id: str | None
    run_id: str | None
    skeleton: Part
    metadata: Part
    versions: Mapping[str, Version]
    fresh: Mapping[str, Value]
    kept: Mapping[str, Held]
    before: Mapping[str, Held]


@dataclass(slots=True)
class StoredWrite:
    """Something that a task wrote.

    Attributes:
        task_id: The task.
        path: Its path.
        index: Which of the task's writes; negative for special ones.
        channel: The channel.
        value: What was written.
    """

    task_id: str
    path: str
    index: int
    channel: str
    value: Part


@dataclass(slots=True)
class StoredCheckpoint:
    """A checkpoint as it is stored.

    Attributes:
        line: Its line.
        checkpoint_id: Its id.
        parent_id: The checkpoint before it.
        skeleton: The checkpoint without its channels.
        metadata: Its metadata.
        versions: The version of each channel.
        places: Where the values are.
        parts: The parts of its own bundle.
        writes: What tasks wrote after it.
        values: The values, once they are read (`CheckpointTable.fill`).
    """

    line: Line
    checkpoint_id: str
    parent_id: str | None
    skeleton: Part
    metadata: Part
    versions: dict[str, Version]
    places: dict[str, Place]
    parts: list[Part]
    writes: list[StoredWrite] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    def held(self) -> dict[str, Held]:
        """Its values, as the next checkpoint keeps them."""
        return {
            channel: Held.of(self.versions[channel], place, self.values.get(channel))
            for channel, place in self.places.items()
        }


class CheckpointTable:
    """The checkpoint table.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    # Writing

    def put(self, new: NewCheckpoint) -> Program[dict[str, Held]]:
        """Store a checkpoint: pieces first, then its row. Returns its values as the next one keeps them."""
        pieces = Pieces(self.name, new.line, new.checkpoint_id)
        parts = [new.skeleton, new.metadata]
        held: dict[str, Held] = {}

        def store(channel: str, value: Value, before: Held | None = None) -> None:
            runs, stored = stored_runs(value, before)
            rest = value.parts[stored:]
            if sum(len(data) for _, data in rest) > MAX_INLINE:
                name = f"v{len(held)}"
                count = pieces.add(name, bundle_parts(rest))
                runs.append(Run(new.checkpoint_id, 0, len(rest), count, name))
            elif rest:
                runs.append(Run(new.checkpoint_id, len(parts), len(rest)))
                parts.extend(rest)
            held[channel] = Held.of(new.versions[channel], Place(value.is_list, tuple(runs)), value)

        for channel, value in new.fresh.items():
            store(channel, value, new.before.get(channel))
        for channel, kept in new.kept.items():
            if kept.value is None:
                held[channel] = kept
            else:
                store(channel, kept.value)
        values = {channel: _written(value.place, new.checkpoint_id) for channel, value in held.items()}
        columns = pieces.columns("~", bundle_parts(parts, versions=dict(new.versions), values=values))
        columns += [(name, value) for name, value in ((PARENT, new.parent_id), (RUN, new.run_id)) if value]
        yield from write_rows(pieces.writes)
        key = new.line.checkpoint(new.checkpoint_id)
        yield from write_rows([put_row(self.name, key, columns, name=f"checkpoint {new.checkpoint_id!r}")])
        return held

    def put_writes(
        self, line: Line, checkpoint_id: str, task_id: str, path: str, writes: Mapping[int, tuple[str, Part]]
    ) -> Program[None]:
        """Store what a task wrote, by index. What is stored at an index stays; special writes are replaced.

        Args:
            line: The line.
            checkpoint_id: The checkpoint.
            task_id: The task.
            path: The task's path.
            writes: Channels and values by index.
        """
        name = f"writes of task {task_id!r}"
        key = line.task(checkpoint_id, task_id)
        special = {index: write for index, write in writes.items() if index < 0}
        regular = {index: write for index, write in writes.items() if index >= 0}
        columns: list[tuple[str, Any]] = [(PATH, path)] if path else []
        for index, write in special.items():
            columns.append((SPECIAL_COLUMNS[index], bytearray(_bundle_writes({index: write}))))
        if not regular:
            yield from write_rows([update_row(self.name, key, columns, name=name)])
            return
        known: dict[str, Any] = {}
        while True:
            pieces = Pieces(self.name, line, checkpoint_id)
            content = pieces.columns(_writes_name(task_id, len(regular)), _bundle_writes(regular))
            yield from write_rows(pieces.writes)
            # Nobody else has written meanwhile.
            condition = Condition(RowExistenceExpectation.IGNORE, column_unchanged(known, COUNT))
            update = update_row(
                self.name,
                key,
                [*columns, *content, (COUNT, len(regular))],
                name=name,
                delete=[column for column in (DATA, PIECES) if column in known and column != content[0][0]],
                condition=condition,
            )
            try:
                yield from write_rows([update])
            except WriteError as error:
                if error.code != CONFLICT:
                    raise
            else:
                return
            [row] = yield from read_rows(self.name, [key])
            known = {} if row is None else row.columns
            stored = [] if row is None else (yield from self._writes_in(row))
            before = {write.index: (write.channel, write.value) for write in stored if write.index >= 0}
            if regular.keys() <= before.keys() and not special:
                return
            regular.update(before)

    # Reading

    def get(self, line: Line, checkpoint_id: str | None) -> Program[StoredCheckpoint | None]:
        """Read a checkpoint with its writes and values; the latest one where no id is given."""
        if checkpoint_id is None:
            found = yield from self._latest(line)
        else:
            found = yield from self._one(line, checkpoint_id)
        if found is not None:
            yield from self.fill([found])
        return found

    def _latest(self, line: Line) -> Program[StoredCheckpoint | None]:
        start, end = line.backward()
        scan = Scan(self.name, start, end, _itself, backward=True, page_size=2)
        while not scan.finished:
            rows = yield from scan.fetch()
            items = [Item.of(row.key[ITEM]) for row in rows]
            for position, item in enumerate(items):
                if not item.listed:
                    continue
                alone = position + 1 < len(items) and items[position + 1].checkpoint_id != item.checkpoint_id
                if alone or (position + 1 == len(items) and scan.finished):
                    return (yield from self._decode(rows[position], ()))
                return (yield from self._one(line, item.checkpoint_id))
        return None

    def _one(self, line: Line, checkpoint_id: str) -> Program[StoredCheckpoint | None]:
        start, end = line.of_checkpoint(checkpoint_id)
        rows = yield from _all(Scan(self.name, start, end, _itself))
        listed = [row for row in rows if Item.of(row.key[ITEM]).listed]
        if not listed:
            return None
        return (yield from self._decode(listed[0], [row for row in rows if row is not listed[0]]))

    def pages(
        self,
        start: KeyColumns,
        end: KeyColumns,
        accept: Callable[[StoredCheckpoint], bool],
        *,
        limit: int | None = None,
        fill: bool = True,
    ) -> CheckpointPages:
        """The checkpoints of a range, to be read backward, that are accepted: newest first in each line.

        Args:
            start: The last key.
            end: The key before the first one.
            accept: Which checkpoints; their values are not there yet.
            limit: How many at the most.
            fill: Whether to read their values.
        """
        return CheckpointPages(self, start, end, accept, limit=limit, fill=fill)

    def fill(self, checkpoints: Sequence[StoredCheckpoint], channels: Collection[str] | None = None) -> Program[None]:
        """Read the values of checkpoints, in as few requests as it takes.

        Args:
            checkpoints: The checkpoints.
            channels: The channels to read; all by default.

        Raises:
            StoredDataError: A value is gone.
        """
        wanted = [
            (checkpoint, channel, place)
            for checkpoint in checkpoints
            for channel, place in checkpoint.places.items()
            if (channels is None or channel in channels) and channel not in checkpoint.values
        ]
        runs = [(checkpoint.line, run) for checkpoint, _, place in wanted for run in place.runs]
        parts = {(each.line, each.checkpoint_id, ""): each.parts for each in checkpoints}
        elsewhere = {(line, run.checkpoint_id, run.name) for line, run in runs if not run.pieces} - parts.keys()
        in_pieces = {(line, run.checkpoint_id, run.name): run.pieces for line, run in runs if run.pieces}
        if elsewhere or in_pieces:
            bundles, pieces = yield Together([self._bundles(sorted(elsewhere, key=repr)), self.pieces(in_pieces)])
            parts |= bundles
            parts |= {place: unbundle_parts(data)[1] for place, data in pieces.items()}
        for checkpoint, channel, place in wanted:
            found = [
                part
                for run in place.runs
                for part in parts[checkpoint.line, run.checkpoint_id, run.name][run.first : run.first + run.length]
            ]
            checkpoint.values[channel] = Value(place.is_list, found)

    def pieces(self, wanted: Mapping[tuple[Line, str, str], int]) -> Program[dict[tuple[Line, str, str], bytes]]:
        """Put together what is in pieces.

        Args:
            wanted: How many pieces there are, by line, checkpoint and name.

        Raises:
            StoredDataError: A piece is gone.
        """
        keys = [
            (name, line.piece(checkpoint_id, name, number))
            for (line, checkpoint_id, name), count in wanted.items()
            for number in range(count)
        ]
        rows = yield from self._rows([key for _, key in keys], _PIECES_AT_A_TIME)
        if None in rows:
            raise StoredDataError("A part of a checkpoint is gone: its thread was deleted or pruned meanwhile.")
        data = iter(bytes(row.columns[PIECE]) for row in rows if row is not None)
        return {place: b"".join(next(data) for _ in range(count)) for place, count in wanted.items()}

    def _bundles(self, wanted: Sequence[tuple[Line, str, str]]) -> Program[dict[tuple[Line, str, str], list[Part]]]:
        """The parts of checkpoints' bundles, also of those that were removed and whose values are still needed."""
        rows = yield from self._rows([line.checkpoint(each) for line, each, _ in wanted], _ROWS_AT_A_TIME)
        removed = [place for place, row in zip(wanted, rows, strict=True) if row is None]
        remains = yield from self._rows([line.remains(each) for line, each, _ in removed], _ROWS_AT_A_TIME)
        left = iter(remains)
        found = {}
        for (line, checkpoint_id, _), row in zip(wanted, rows, strict=True):
            row = next(left) if row is None else row  # noqa: PLW2901
            if row is None:
                raise StoredDataError(
                    f"Values of checkpoint {checkpoint_id!r} are gone: its thread was deleted or pruned meanwhile."
                )
            data = yield from self._data(line, Item.of(row.key[ITEM]), row)
            found[line, checkpoint_id, ""] = unbundle_parts(data)[1]
        return found

    def _rows(self, keys: Sequence[KeyColumns], size: int) -> Program[list[StoredRow | None]]:
        groups = [keys[start : start + size] for start in range(0, len(keys), size)]
        if not groups:
            return []
        found = yield Together([read_rows(self.name, group) for group in groups])
        return [row for group in found for row in group]

    def _data(self, line: Line, item: Item, row: StoredRow, name: str = "~") -> Program[bytes]:
        """A row's bundle."""
        if PIECES not in row.columns:
            return bytes(row.columns[DATA])
        wanted = {(line, item.checkpoint_id, name): row.columns[PIECES]}
        [data] = (yield from self.pieces(wanted)).values()
        return data

    def _decode(self, row: StoredRow, tasks: Iterable[StoredRow]) -> Program[StoredCheckpoint]:
        line, item = line_of_row(row), Item.of(row.key[ITEM])
        described, parts = unbundle_parts((yield from self._data(line, item, row)))
        checkpoint = StoredCheckpoint(
            line,
            item.checkpoint_id,
            row.columns.get(PARENT),
            parts[0],
            parts[1],
            described["versions"],
            {channel: _read(place, item.checkpoint_id) for channel, place in described["values"].items()},
            parts,
        )
        for task in tasks:
            checkpoint.writes += yield from self._writes_in(task)
        checkpoint.writes.sort(key=lambda write: (write.path, write.task_id, write.index))
        return checkpoint

    def _writes_in(self, row: StoredRow) -> Program[list[StoredWrite]]:
        item = Item.of(row.key[ITEM])
        bundles = [bytes(row.columns[name]) for name in SPECIAL if name in row.columns]
        if DATA in row.columns or PIECES in row.columns:
            name = _writes_name(str(item.task_id), row.columns.get(COUNT, 0))
            bundles.append((yield from self._data(line_of_row(row), item, row, name)))
        writes = []
        for data in bundles:
            described, parts = unbundle(data)
            writes += [
                StoredWrite(str(item.task_id), row.columns.get(PATH, ""), index, channel, (kind, part))
                for (index, channel, kind), part in zip(described, parts, strict=True)
            ]
        return writes


class CheckpointPages:
    """The checkpoints of a range, page by page."""

    def __init__(
        self,
        table: CheckpointTable,
        start: KeyColumns,
        end: KeyColumns,
        accept: Callable[[StoredCheckpoint], bool],
        *,
        limit: int | None,
        fill: bool,
    ) -> None:
        self._table = table
        page = _PAGE if limit is None else min(_PAGE, 2 * limit + 1)
        self._scan = Scan(
            table.name, start, end, _itself, backward=True, page_size=page, condition=WITHOUT_PIECES, drops=True
        )
        self._accept = accept
        self._remaining = limit
        self._fill = fill
        self._open: list[StoredRow] = []

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._remaining == 0 or (self._scan.finished and not self._open)

    def fetch(self) -> Program[list[StoredCheckpoint]]:
        """Read the next page."""
        rows = [*self._open, *(yield from self._scan.fetch())]
        groups = _by_checkpoint(rows)
        # The last one may go on with the next page.
        self._open = groups.pop() if groups and not self._scan.finished else []
        found = []
        for group in groups:
            if self._remaining == 0:
                break
            listed = [row for row in group if Item.of(row.key[ITEM]).listed]
            if not listed:
                continue
            checkpoint = yield from self._table._decode(listed[0], [row for row in group if row is not listed[0]])  # noqa: SLF001
            if self._accept(checkpoint):
                found.append(checkpoint)
                self._remaining = None if self._remaining is None else self._remaining - 1
        if self._fill:
            yield from self._table.fill(found)
        return found


def _by_checkpoint(rows: Iterable[StoredRow]) -> list[list[StoredRow]]:
    """Rows side by side that are of one checkpoint. What is left of removed ones is left out."""
    groups: list[list[StoredRow]] = []
    current = None
    for row in rows:
        item = Item.of(row.key[ITEM])
        if not item.listed and item.task_id is None:
            continue
        whose = (line_of_row(row), item.checkpoint_id)
        if whose != current:
            groups.append([])
            current = whose
        groups[-1].append(row)
    return groups


def _itself(row: StoredRow) -> StoredRow:
    return row


def _all(scan: Scan[StoredRow]) -> Program[list[StoredRow]]:
    rows: list[StoredRow] = []
    while not scan.finished:
        rows += yield from scan.fetch()
    return rows


def bundle_parts(parts: Sequence[Part], **described: Any) -> bytes:
    """Parts, with what there is to say about them, as a bundle."""
    return bundle({"kinds": [kind for kind, _ in parts], **described}, [data for _, data in parts])


def unbundle_parts(packed: bytes) -> tuple[dict[str, Any], list[Part]]:
    """What `bundle_parts` was given."""
    described, parts = unbundle(packed)
    return described, list(zip(described["kinds"], parts, strict=True))


def _written(place: Place, own: str) -> list[Any]:
    """A place as JSON. Its own checkpoint is not named."""
    runs = [
        [None if run.checkpoint_id == own else run.checkpoint_id, *run[1 : 5 if run.pieces else 3]]
        for run in place.runs
    ]
    return [place.is_list, runs]


def _read(written: Sequence[Any], own: str) -> Place:
    is_list, runs = written
    return Place(is_list, tuple(Run(run[0] or own, *run[1:]) for run in runs))


def _writes_name(task_id: str, count: int) -> str:
    """What pieces of a task's writes are called: none changes while it is read, as more writes are other pieces."""
    return f"w{count}:{task_id}"


def _bundle_writes(writes: Mapping[int, tuple[str, Part]]) -> bytes:
    described = [[index, channel, kind] for index, (channel, (kind, _)) in writes.items()]
    return bundle(described, [data for _, (_, data) in writes.values()])
