"""Reading checkpoints from the checkpoint table, as programs. Knows rows, and nothing of serializers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.ranges import KeyColumns, StoredRow, read_rows
from langchain_tablestore_memory.langgraph.checkpoints.bundles import unbundle
from langchain_tablestore_memory.langgraph.checkpoints.records import (
    StoredCheckpoint,
    StoredWrite,
    ValuesGoneError,
)
from langchain_tablestore_memory.langgraph.checkpoints.rows import (
    BUNDLES,
    DATA,
    PATH,
    PIECE,
    Item,
    Line,
    Pieces,
    Place,
    Run,
    written,
)
from langchain_tablestore_memory.langgraph.checkpoints.values import GONE, Part, Value

_PIECES_AT_A_TIME = 3
_ROWS_AT_A_TIME = 15
"""So that one request reads at most 4 MB."""

Found = dict[tuple[Line, str, str], list[Part]]
"""Parts by line, checkpoint and where the pieces are."""


class CheckpointReader:
    """Reads the checkpoint table.

    Args:
        table: Its name.
    """

    def __init__(self, table: str) -> None:
        self.table = table

    def bare(self, line: Line, checkpoint_id: str) -> Program[StoredCheckpoint | None]:
        """Read a checkpoint without its writes, and of the values only those that were new with it and are small."""
        [row] = yield from read_rows(self.table, [line.checkpoint(checkpoint_id)])
        if row is None:
            return None
        [found] = yield from self.decode([[row]])
        return found

    def fill(
        self,
        checkpoints: Sequence[StoredCheckpoint],
        channels: Collection[str] | None = None,
        known: Found | None = None,
    ) -> Program[Found]:
        """Read the values of checkpoints, in as few requests as it takes.

        Args:
            checkpoints: The checkpoints.
            channels: The channels to read; all by default.
            known: What has been read before.

        Returns:
            What was read or known before and was needed.

        Raises:
            ValuesGoneError: A value is gone.
        """
        wanted = [
            (checkpoint, channel, place)
            for checkpoint in checkpoints
            for channel, place in checkpoint.missing(channels).items()
        ]
        if not wanted:
            return {}
        needed = {
            (checkpoint.line, run.checkpoint_id, run.pieces) for checkpoint, _, place in wanted for run in place.runs
        }
        parts: Found = {(each.line, each.checkpoint_id, ""): each.parts for each in checkpoints}
        parts |= {where: found for where, found in (known or {}).items() if where in needed}
        unknown = needed - parts.keys()
        in_pieces = [Pieces(*each) for each in unknown if each[2]]
        in_rows = [(line, checkpoint_id) for line, checkpoint_id, where in unknown if not where]
        programs = [self._parts_in_pieces(in_pieces)] if in_pieces else []
        programs += [self._parts_in_rows(in_rows)] if in_rows else []
        for read in (yield Together(programs)):
            parts |= read
        for checkpoint, channel, place in wanted:
            found = [
                part
                for run in place.runs
                for part in parts[checkpoint.line, run.checkpoint_id, run.pieces][run.first : run.first + run.length]
            ]
            if GONE in found or len(found) != sum(run.length for run in place.runs):
                raise ValuesGoneError(f"Values of channel {channel!r} are gone: its thread was pruned meanwhile.")
            checkpoint.values[channel] = Value(place.is_list, found)
        return {where: parts[where] for where in needed}

    def pieces(self, wanted: Sequence[Pieces]) -> Program[dict[Pieces, bytes]]:
        """Put together what is in pieces.

        Raises:
            ValuesGoneError: A piece is gone.
        """
        rows = yield from self._rows([key for pieces in wanted for key in pieces.keys()], _PIECES_AT_A_TIME)  # noqa: SIM118 - no dict
        if None in rows:
            raise ValuesGoneError("A part of a checkpoint is gone: its thread was deleted or pruned meanwhile.")
        data = iter(bytes(row.columns[PIECE]) for row in rows if row is not None)
        return {pieces: b"".join(next(data) for _ in range(pieces.number)) for pieces in wanted}

    def decode(self, groups: Sequence[Sequence[StoredRow]]) -> Program[list[StoredCheckpoint]]:
        """Checkpoints, each from its own row and those of what tasks wrote after it."""
        rows = [row for group in groups for row in group]
        data = yield from self.pieces([pieces for row in rows for pieces in pieces_of(row)])
        return [_decode(group, data) for group in groups]

    def rows(self, line: Line, checkpoint_ids: Sequence[str]) -> Program[list[StoredRow | None]]:
        """The rows of checkpoints."""
        return self._rows([line.checkpoint(each) for each in checkpoint_ids], _ROWS_AT_A_TIME)

    def remains(self, line: Line, checkpoint_ids: Sequence[str]) -> Program[list[StoredRow | None]]:
        """The rows of what is left of removed checkpoints."""
        return self._rows([line.remains(each) for each in checkpoint_ids], _ROWS_AT_A_TIME)

    def _parts_in_pieces(self, wanted: Sequence[Pieces]) -> Program[Found]:
        data = yield from self.pieces(wanted)
        return {(each.line, each.checkpoint_id, each.where): unbundle_parts(data[each])[1] for each in wanted}

    def _parts_in_rows(self, wanted: Sequence[tuple[Line, str]]) -> Program[Found]:
        """The parts of checkpoints' bundles, also of those that were removed and whose values are still needed."""
        rows = yield from self._rows([line.checkpoint(each) for line, each in wanted], _ROWS_AT_A_TIME)
        removed = [each for each, row in zip(wanted, rows, strict=True) if row is None]
        left = yield from self._rows([line.remains(each) for line, each in removed], _ROWS_AT_A_TIME)
        if None in left:
            raise ValuesGoneError("Values of a checkpoint are gone: its thread was deleted or pruned meanwhile.")
        found = [row for row in (*rows, *left) if row is not None]
        data = yield from self.pieces([pieces for row in found for pieces in pieces_of(row)])
        return {(Line.of(row), Item.of(row).checkpoint_id, ""): unbundle_parts(_data(row, data))[1] for row in found}

    def _rows(self, keys: Sequence[KeyColumns], size: int) -> Program[list[StoredRow | None]]:
        if not keys:
            return []
        groups = [keys[start : start + size] for start in range(0, len(keys), size)]
        found = yield Together([read_rows(self.table, group) for group in groups])
        return [row for group in found for row in group]


def unbundle_parts(packed: bytes) -> tuple[dict[str, Any], list[Part]]:
    """What `bundle_parts` was given."""
    described, parts = unbundle(packed)
    return described, list(zip(described["kinds"], parts, strict=True))


def writes_of(reader: CheckpointReader, row: StoredRow) -> Program[list[StoredWrite]]:
    """What a task wrote, from its row."""
    return _writes(row, (yield from reader.pieces(list(pieces_of(row)))))


def _writes(row: StoredRow, data: Mapping[Pieces, bytes]) -> list[StoredWrite]:
    task_id, path = str(Item.of(row).task_id), row.columns.get(PATH, "")
    writes = []
    for column in BUNDLES:
        if column in row.columns:
            described, parts = unbundle(_data(row, data, column))
            writes += [
                StoredWrite(task_id, own_path[0] if own_path else path, index, channel, (kind, part))
                for (index, channel, kind, *own_path), part in zip(described, parts, strict=True)
            ]
    return writes


def pieces_of(row: StoredRow) -> Iterable[Pieces]:
    """What of a row is in pieces."""
    for column in BUNDLES:
        where = row.columns.get(column)
        if isinstance(where, str):
            yield Pieces(Line.of(row), Item.of(row).checkpoint_id, where)


def _data(row: StoredRow, data: Mapping[Pieces, bytes], column: str = DATA) -> bytes:
    """A bundle of a row."""
    value = row.columns[column]
    return data[Pieces(Line.of(row), Item.of(row).checkpoint_id, value)] if isinstance(value, str) else bytes(value)


def _decode(group: Sequence[StoredRow], data: Mapping[Pieces, bytes]) -> StoredCheckpoint:
    own = next(row for row in group if Item.of(row).listed)
    checkpoint_id = Item.of(own).checkpoint_id
    described, parts = unbundle_parts(_data(own, data))
    checkpoint = StoredCheckpoint(
        Line.of(own),
        checkpoint_id,
        described["parent"],
        max(written(row) for row in group),
        parts[0],
        parts[1],
        described["versions"],
        {channel: _read(place, checkpoint_id) for channel, place in described["values"].items()},
        parts,
    )
    checkpoint.take_own_values()
    for row in group:
        if row is not own:
            checkpoint.writes += _writes(row, data)
    checkpoint.writes.sort(key=lambda write: (write.path, write.task_id, write.index))
    return checkpoint


def _read(stored: Sequence[Any], own: str) -> Place:
    """A place from JSON. Its own checkpoint is not named."""
    is_list, runs = stored
    return Place(is_list, tuple(Run(run[0] or own, *run[1:]) for run in runs))
