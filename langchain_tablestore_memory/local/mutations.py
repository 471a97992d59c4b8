"""What a write request does to a row, apart from where the row is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .errors import parameter_invalid
from .limits import MAX_COLUMNS_PER_REQUEST, check_cell
from .messages import tables
from .plainbuffer import (
    DELETE_ALL_VERSIONS,
    DELETE_ONE_VERSION,
    INCREMENT,
    CellChange,
    KeyCell,
    Stamper,
    StoredCell,
    cells_size,
    make_cell,
)
from .request_rows import RequestRow, decode_request_row
from .selection import newest_versions
from .values import AUTO_INCREMENT, INTEGER, decode_integer, encode_value, value_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .catalogue import Table
    from .keys import KeyReader

_APIS: Final = {tables.PUT: "PutRow", tables.UPDATE: "UpdateRow", tables.DELETE: "DeleteRow"}
_INT64: Final = range(-(1 << 63), 1 << 63)

# Cells of a row by column name and, newest first, version.
_Cells = dict[tuple[bytes, int], StoredCell]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A checked change of one row.

    Attributes:
        kind: PUT, UPDATE or DELETE of the protobuf enumeration.
        row: The primary key and the attribute cells.
        size: Names and values of key and cells, in bytes.
    """

    kind: int
    row: RequestRow
    size: int

    @property
    def key(self) -> list[KeyCell]:
        """The primary key."""
        return self.row.key

    @property
    def api(self) -> str:
        """The call that carries such a change on its own."""
        return _APIS[self.kind]

    @property
    def has_auto_increment(self) -> bool:
        """Whether the service is to choose the value of a key column."""
        return any(cell.value[0] == AUTO_INCREMENT for cell in self.key)

    @property
    def has_increment(self) -> bool:
        """Whether the change adds to a column instead of setting it."""
        return any(change.operation == INCREMENT for change in self.row.changes)

    @property
    def needs_cells_before(self) -> bool:
        """Whether the outcome depends on the row as it is."""
        return bool(self.kind == tables.UPDATE)

    def check(self, table: Table, now: int) -> None:
        """Check the change against the table's definition.

        Args:
            table: The table.
            now: The time in milliseconds.

        Raises:
            RequestError: ``OTSParameterInvalid``.
        """
        if self.kind == tables.UPDATE and not table.options.allow_update:
            raise parameter_invalid("Update operation is not allowed in this table")
        key_names = [column.name for column in table.key]
        for change in self.row.changes:
            if change.name in key_names:
                raise parameter_invalid(
                    f"Duplicated attribute column name with primary key column: {change.name.decode()}."
                )
            if change.timestamp is not None and change.operation is None:
                _check_version(change.name, change.timestamp, table, now)

    def apply(self, before: list[StoredCell] | None, table: Table, now: int) -> list[StoredCell] | None:
        """Compute the row's cells after the change.

        Args:
            before: The cells as they are, without expired ones; None where there is no row.
            table: The table.
            now: The time in milliseconds: the version of cells that come without one.

        Returns:
            The cells in order, None where there is no row any more.

        Raises:
            RequestError: ``OTSParameterInvalid`` for an increment that cannot be computed.
        """
        if self.kind == tables.DELETE:
            return None
        cells: _Cells = {}
        if self.kind == tables.UPDATE:
            if before is None and not self._adds_cells():
                return None
            cells = {(cell.name, -cell.timestamp): cell for cell in before or ()}
        stamper = Stamper(now)
        for change in self.row.changes:
            _change_cell(cells, change, stamper)
        ordered = [cells[place] for place in sorted(cells)]
        if len(cells) == len({cell.name for cell in ordered}):
            return ordered
        return newest_versions(ordered, table.options.max_versions)

    def _adds_cells(self) -> bool:
        return any(change.operation in (None, INCREMENT) for change in self.row.changes)


def parse_mutation(kind: int, body: bytes, reader: KeyReader | None) -> Mutation:
    """Decode and check the row of a write request.

    Args:
        kind: PUT, UPDATE or DELETE of the protobuf enumeration.
        body: The row in PlainBuffer.
        reader: A reader for keys of the table, if its definition is known.

    Returns:
        The change.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    row = decode_request_row(body, reader)
    if kind == tables.DELETE:
        _check_delete(row)
    elif row.deletes_row:
        raise parameter_invalid("Invalid request of put/update row: unexpected RowDeleteMarker in request.")
    elif kind == tables.UPDATE:
        _check_update(row.changes)
    else:
        _check_put(row.changes)
    count = len(row.changes)
    if count > MAX_COLUMNS_PER_REQUEST:
        raise parameter_invalid(
            "The number of attribute columns exceeds the limit, limit count:"
            f" {MAX_COLUMNS_PER_REQUEST}, column count: {count}."
        )
    size = cells_size(row.key)
    for change in row.changes:
        check_cell(change)
        size += len(change.name) + (0 if change.value is None else value_size(change.value))
    return Mutation(kind, row, size)


def _check_put(changes: Iterable[CellChange]) -> None:
    for change in changes:
        if change.operation is not None:
            raise parameter_invalid(
                f"OpType cannot be given for column name:{change.name.decode('utf-8', 'replace')} in PutRow."
            )
        if change.value is None:
            raise parameter_invalid("No value is given for column name.")


def _check_update(changes: list[CellChange]) -> None:
    if not changes:
        raise parameter_invalid("Attribute column is missing.")
    touched: dict[bytes, int | None] = {}
    for change in changes:
        if change.operation in (DELETE_ALL_VERSIONS, DELETE_ONE_VERSION):
            _check_deletion(change)
        elif change.value is None:
            raise parameter_invalid("No value is given for column name.")
        elif change.operation == INCREMENT:
            _check_increment(change)
        if INCREMENT in (change.operation, touched.get(change.name)) and change.name in touched:
            name = change.name.decode("utf-8", "replace")
            raise parameter_invalid(f"Column {name} cannot be changed more than once when it is incremented.")
        touched[change.name] = change.operation


def _check_deletion(change: CellChange) -> None:
    if change.value is not None:
        raise parameter_invalid("Column value cannot be given when type is DELETE_ONE_VERSION,DELETE_ALL_VERSION.")
    if change.operation == DELETE_ONE_VERSION and change.timestamp is None:
        raise parameter_invalid("Timestamp must be given when type is DELETE_ONE_VERSION.")
    if change.operation == DELETE_ALL_VERSIONS and change.timestamp is not None:
        raise parameter_invalid("Timestamp cannot be given when type is DELETE_ALL_VERSION.")


def _check_increment(change: CellChange) -> None:
    name = change.name.decode("utf-8", "replace")
    if change.value is not None and change.value[0] != INTEGER:
        raise parameter_invalid(f"Only an INTEGER can be added to column {name} by INCREMENT.")
    if change.timestamp is not None:
        raise parameter_invalid(f"Timestamp cannot be given for column {name} when type is INCREMENT.")


def _check_delete(row: RequestRow) -> None:
    if row.changes:
        raise parameter_invalid("Invalid delete row request: unexpected cells in request.")
    if not row.deletes_row:
        raise parameter_invalid("Invalid request of delete row: missing RowDeleteMarker in request.")


def _check_version(name: bytes, timestamp: int, table: Table, now: int) -> None:
    options = table.options
    deviation = options.max_time_deviation * 1000
    earliest = now - deviation
    if options.time_to_live > 0:
        earliest = max(earliest, now - options.time_to_live * 1000)
    if not earliest <= timestamp < now + deviation:
        raise parameter_invalid(f"Invalid timestamp. Cell:{name.decode()}.")


def _change_cell(cells: _Cells, change: CellChange, stamper: Stamper) -> None:
    if change.operation == DELETE_ALL_VERSIONS:
        for place in [place for place in cells if place[0] == change.name]:
            del cells[place]
    elif change.operation == DELETE_ONE_VERSION:
        assert change.timestamp is not None
        cells.pop((change.name, -change.timestamp), None)
    elif change.operation == INCREMENT:
        cells[change.name, -stamper.now] = _increment(cells, change, stamper)
    else:
        timestamp = stamper.now if change.timestamp is None else change.timestamp
        cells[change.name, -timestamp] = stamper.stamp(change)


def _increment(cells: _Cells, change: CellChange, stamper: Stamper) -> StoredCell:
    assert change.value is not None
    newest = min((place for place in cells if place[0] == change.name), default=None)
    total = decode_integer(change.value)
    if newest is not None:
        value = cells[newest].value
        if value[0] != INTEGER:
            raise parameter_invalid(f"Column {change.name.decode()} is not an INTEGER and cannot be incremented.")
        total += decode_integer(value)
    if total not in _INT64:
        raise parameter_invalid(f"Incrementing column {change.name.decode()} exceeds the range of INTEGER.")
    return make_cell(change.name, encode_value(total), stamper)
