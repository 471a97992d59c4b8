"""Writing checkpoints to the checkpoint table, as programs. Knows rows, and nothing of serializers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tablestore import Condition, RowExistenceExpectation

from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import read_rows
from langchain_tablestore_memory.core.writes import (
    RowWrite,
    column_unchanged,
    put_row,
    update_row,
    write_row,
    write_rows,
)
from langchain_tablestore_memory.errors import WriteError
from langchain_tablestore_memory.langgraph.checkpoints.bundles import bundle
from langchain_tablestore_memory.langgraph.checkpoints.reading import CheckpointReader, writes_of
from langchain_tablestore_memory.langgraph.checkpoints.records import (
    OWN_PARTS,
    NewCheckpoint,
    StoredCheckpoint,
    StoredWrite,
)
from langchain_tablestore_memory.langgraph.checkpoints.rows import (
    COUNT,
    DATA,
    MAX_IN_ROW,
    PATH,
    PIECE_BYTES,
    RUN,
    SPECIAL,
    WRITTEN,
    Line,
    NewPieces,
    Place,
    Run,
)
from langchain_tablestore_memory.langgraph.checkpoints.thread_sessions import SessionWrites
from langchain_tablestore_memory.langgraph.checkpoints.values import Held, Part, Value, stored_runs

MAX_INLINE = 48 * 1024
"""Bytes of a value that is kept in the row of its checkpoint; larger ones are in pieces of their own.

The latest checkpoint is read together with the row before it, which is mostly not needed: this bounds what that costs.
"""

_ABSENT = Condition(RowExistenceExpectation.EXPECT_NOT_EXIST)
_SPECIAL_COLUMNS = {index: name for name, index in SPECIAL.items()}


class CheckpointWriter:
    """Writes the checkpoint table.

    Args:
        reader: The table.
    """

    def __init__(self, reader: CheckpointReader) -> None:
        self._reader = reader
        self._table = reader.table

    def put(self, new: NewCheckpoint, now: int, session: SessionWrites | None = None) -> Program[dict[str, Held]]:
        """Store a checkpoint: pieces first, then its row.

        One of the same id is replaced, and what others refer to stays where it is.

        Args:
            new: The checkpoint.
            now: The time.
            session: The session to bring up to date in the same request.

        Returns:
            Its values, as the next checkpoint keeps them.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        draft = _Draft(self._table, new, now)
        held = draft.add_values()
        row = draft.row(_ABSENT)
        yield from _write_pieces(draft.pieces, row)
        try:
            yield from write_rows([row, session.first]) if session else write_row(row)
        except WriteError as error:
            if error.code != CONFLICT:
                raise
            again = set(error.failed)
        else:
            return held
        rows = []
        if row.name in again:
            stored = yield from self._reader.bare(new.line, new.checkpoint_id)
            draft = _Draft(self._table, new, now, stored)
            held = draft.add_values()
            rows.append(draft.row())
            yield from _write_pieces(draft.pieces, row)
        if session and session.first.name in again:
            rows.append(session.otherwise)
        try:
            yield from write_rows(rows)
        except WriteError as error:
            # What the first request stored stays stored.
            error.stored = (*(() if row.name in again else (row.name,)), *error.stored)
            raise
        return held

    def put_writes(
        self,
        line: Line,
        checkpoint_id: str,
        task: tuple[str, str],
        writes: Mapping[int, tuple[str, Part]],
        now: int,
    ) -> Program[None]:
        """Store what a task wrote, by index. What is stored at an index stays; special writes are replaced.

        Args:
            line: The line.
            checkpoint_id: The checkpoint.
            task: The task's id and path.
            writes: Channels and values by index.
            now: The time.

        Raises:
            InvalidArgumentError: They cannot be stored; nothing is written.
            WriteError: They are not known to be stored.
        """
        task_id, path = task
        name = f"writes of task {task_id!r}"
        key = line.task(checkpoint_id, task_id)
        new = [StoredWrite(task_id, path, index, *write) for index, write in writes.items()]
        regular = {write.index: write for write in new if write.index >= 0}
        pieces = NewPieces(self._table, line, checkpoint_id, now)
        columns: list[tuple[str, Any]] = [(WRITTEN, now)]
        columns += [
            pieces.column(_SPECIAL_COLUMNS[write.index], _bundle_writes([write])) for write in new if write.index < 0
        ]
        if not regular:
            row = update_row(self._table, key, columns, name=name)
            yield from _write_pieces(pieces, row)
            yield from write_row(row)
            return
        known: dict[str, Any] = {}
        nothing_else = len(regular) == len(writes)
        while True:
            content = [pieces.column(DATA, _bundle_writes(regular.values(), path)), (COUNT, len(regular))]
            content += [(PATH, path)] if path or PATH in known else []
            # Nobody else has written meanwhile: the number grows with each write that is added.
            unchanged = Condition(RowExistenceExpectation.IGNORE, column_unchanged(known, COUNT))
            row = update_row(self._table, key, [*columns, *content], name=name, condition=unchanged)
            yield from _write_pieces(pieces, row)
            try:
                yield from write_row(row)
            except WriteError as error:
                if error.code != CONFLICT:
                    raise
            else:
                return
            [stored] = yield from read_rows(self._table, [key])
            known = {} if stored is None else stored.columns
            before = {} if stored is None else (yield from self._regular(stored))
            if nothing_else and regular.keys() <= before.keys():
                return
            regular.update(before)
            pieces.writes.clear()

    def _regular(self, row: Any) -> Program[dict[int, StoredWrite]]:
        stored = yield from writes_of(self._reader, row)
        return {write.index: write for write in stored if write.index >= 0}


class _Draft:
    """A checkpoint's row and pieces, as they are put together.

    Args:
        table: The table.
        new: The checkpoint.
        now: The time.
        stored: What is stored under its id already. Others may refer to its parts by their numbers.
    """

    def __init__(self, table: str, new: NewCheckpoint, now: int, stored: StoredCheckpoint | None = None) -> None:
        self.pieces = NewPieces(table, new.line, new.checkpoint_id, now)
        self._table = table
        self._new = new
        self._now = now
        self._stored = stored
        self._parts = [new.skeleton, new.metadata, *(stored.parts[OWN_PARTS:] if stored else ())]
        self._size = sum(len(data) for _, data in self._parts)
        self._places: dict[str, Place] = {}
        # What does not fit into the row, though each value is small.
        self._overflow: list[tuple[str, Value, list[Run], Sequence[Part]]] = []
        self._overflow_size = 0

    def add_values(self) -> dict[str, Held]:
        """Find a place for each value. Returns the values as the next checkpoint keeps them."""
        new, held = self._new, {}
        for channel, kept in new.kept.items():
            if kept.value is None:
                self._places[channel] = kept.place
                held[channel] = kept
        values = {channel: kept.value for channel, kept in new.kept.items() if kept.value is not None}
        values.update(new.fresh)
        for channel, value in values.items():
            self._add(channel, value)
        self._flush()
        for channel, value in values.items():
            held[channel] = Held.of(new.versions.get(channel), self._places[channel], value)
        return held

    def row(self, condition: Condition | None = None) -> RowWrite:
        """The checkpoint's row."""
        new = self._new
        places = {channel: _written(place, new.checkpoint_id) for channel, place in self._places.items()}
        described = bundle_parts(self._parts, parent=new.parent_id, versions=dict(new.versions), values=places)
        columns = [self.pieces.column(DATA, described), (WRITTEN, self._now)]
        columns += [(RUN, new.run_id)] if new.run_id else []
        key = new.line.checkpoint(new.checkpoint_id)
        return put_row(self._table, key, columns, name=f"checkpoint {new.checkpoint_id!r}", condition=condition)

    def _add(self, channel: str, value: Value) -> None:
        if self._stored and self._stored.values.get(channel) == value:
            self._places[channel] = self._stored.places[channel]
            return
        runs, stored = stored_runs(value, self._new.before.get(channel))
        rest = value.parts[stored:]
        size = sum(len(data) for _, data in rest)
        checkpoint_id = self._new.checkpoint_id
        if size > MAX_INLINE:
            runs.append(Run(checkpoint_id, 0, len(rest), self.pieces.add(bundle_parts(rest))))
        elif rest and self._size + size > MAX_IN_ROW:
            self._overflow.append((channel, value, runs, rest))
            self._overflow_size += size
            if self._overflow_size > PIECE_BYTES - MAX_INLINE:
                self._flush()
            return
        elif rest:
            runs.append(Run(checkpoint_id, len(self._parts), len(rest)))
            self._parts += rest
            self._size += size
        self._places[channel] = Place(value.is_list, tuple(runs))

    def _flush(self) -> None:
        """Put what has overflown into one bundle of its own."""
        if not self._overflow:
            return
        where = self.pieces.add(bundle_parts([part for *_, rest in self._overflow for part in rest]))
        first = 0
        for channel, value, runs, rest in self._overflow:
            run = Run(self._new.checkpoint_id, first, len(rest), where)
            self._places[channel] = Place(value.is_list, (*runs, run))
            first += len(rest)
        self._overflow, self._overflow_size = [], 0


def _write_pieces(pieces: NewPieces, row: RowWrite) -> Program[None]:
    """Write the pieces that a row needs.

    Raises:
        WriteError: Names the row, which is not stored then.
    """
    try:
        yield from write_rows(pieces.writes)
    except WriteError as error:
        raise WriteError.over(
            error,
            f"The {row.name} could not be stored, because its pieces could not be written: {error}",
            failed=[row.name],
        ) from error


def bundle_parts(parts: Sequence[Part], **described: Any) -> bytes:
    """Parts, with what there is to say about them, as a bundle."""
    return bundle({"kinds": [kind for kind, _ in parts], **described}, [data for _, data in parts])


def _written(place: Place, own: str) -> list[Any]:
    """A place as JSON. Its own checkpoint is not named."""
    runs = [
        [None if run.checkpoint_id == own else run.checkpoint_id, *run[1 : 4 if run.pieces else 3]]
        for run in place.runs
    ]
    return [place.is_list, runs]


def _bundle_writes(writes: Collection[StoredWrite], path: str | None = None) -> bytes:
    """Writes as a bundle. Those of another path than that of the row say which one."""
    described = [
        [write.index, write.channel, write.value[0], *([] if write.path == path else [write.path])] for write in writes
    ]
    return bundle(described, [write.value[1] for write in writes])
