"""What a write request does to a row, apart from where the row is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .errors import parameter_invalid
from .limits import MAX_COLUMNS_PER_REQUEST, check_attribute, check_column_name, check_timestamp
from .messages import tables
from .plainbuffer import (
    DELETE_ALL_VERSIONS,
    DELETE_ONE_VERSION,
    INCREMENT,
    Cell,
    Change,
    Row,
    Stamper,
    cell_name,
    cells_size,
    make_cell,
    make_row,
    timestamp_of,
)
from .request_rows import RequestRow, decode_request_row
from .selection import newest_versions
from .values import AUTO_INCREMENT, INTEGER, decode_integer, encode_value, value_size

if TYPE_CHECKING:
    from .catalogue import Table
    from .keys import KeyReader

_APIS: Final = {tables.PUT: "PutRow", tables.UPDATE: "UpdateRow", tables.DELETE: "DeleteRow"}
_PUT: Final[int] = tables.PUT
_UPDATE: Final[int] = tables.UPDATE
_DELETE: Final[int] = tables.DELETE
_INT64: Final = range(-(1 << 63), 1 << 63)

# Cells of a row by column name and, newest first, version.
_Cells = dict[tuple[bytes, int], Cell]


class Mutation(NamedTuple):
    """A checked change of one row.

    Attributes:
        kind: PUT, UPDATE or DELETE of the protobuf enumeration.
        row: The primary key and the attribute cells.
        size: Names and values of key and cells, in bytes.
        is_simple: Whether the cells are values without operation and version, one for each column.
    """

    kind: int
    row: RequestRow
    size: int
    is_simple: bool

    @property
    def key(self) -> list[Cell]:
        """The primary key."""
        return self.row.key

    @property
    def api(self) -> str:
        """The call that carries such a change on its own."""
        return _APIS[self.kind]

    @property
    def deletes(self) -> bool:
        """Whether the row is to be deleted."""
        return self.kind == _DELETE

    @property
    def needs_cells_before(self) -> bool:
        """Whether the outcome depends on the row as it is."""
        return self.kind == _UPDATE

    @property
    def has_auto_increment(self) -> bool:
        """Whether the service is to choose the value of a key column."""
        # A reader recognises no placeholders.
        return self.row.reader is None and any(value[0] == AUTO_INCREMENT for _, value, _ in self.key)

    @property
    def incremented(self) -> list[bytes]:
        """The names of the columns that are added to instead of being set."""
        return [name for name, _, operation, _, _ in self.row.changes if operation == INCREMENT]

    def check(self, table: Table, now: int) -> None:
        """Check the change against the table's definition.

        Args:
            table: The table.
            now: The time in milliseconds.

        Raises:
            RequestError: ``OTSParameterInvalid``.
        """
        if self.kind == _UPDATE and not table.options.allow_update:
            raise parameter_invalid("Update operation is not allowed in this table")
        key_names = table.key_names
        for name, _, operation, timestamp, _ in self.row.changes:
            if name in key_names:
                raise parameter_invalid(f"Duplicated attribute column name with primary key column: {name.decode()}.")
            if timestamp is not None and operation is None:
                _check_version(name, timestamp, table, now)

    def apply(self, key: list[Cell], before: Row | None, table: Table, stamper: Stamper) -> Row | None:
        """Compute the row after the change.

        Args:
            key: The row's primary key, without placeholders.
            before: The row as it is, without expired cells; None where there is none.
            table: The table.
            stamper: Gives cells a version.

        Returns:
            The row, None where there is none any more.

        Raises:
            RequestError: ``OTSParameterInvalid`` for an increment that cannot be computed.
        """
        if self.kind == _DELETE:
            return None
        if self.kind == _PUT and self.is_simple:
            return self._put(key, stamper)
        cells: _Cells = {}
        if self.kind == _UPDATE:
            if before is None and not self._adds_cells():
                return None
            if before is not None:
                cells = {(cell[0], -timestamp_of(cell)): cell for cell in before.cells}
        for change in self.row.changes:
            _change_cell(cells, change, stamper)
        ordered = [cells[place] for place in sorted(cells)]
        return make_row(key, newest_versions(ordered, table.options.max_versions))

    def _put(self, key: list[Cell], stamper: Stamper) -> Row:
        cells: list[Cell] = []
        for name, value, _, _, wire in sorted(self.row.changes, key=cell_name):
            assert value is not None
            cells.append(stamper.stamp(name, value, wire))
        time = stamper.now if cells else None
        return Row(key, cells, self.size, time, time)

    def _adds_cells(self) -> bool:
        return any(operation in (None, INCREMENT) for _, _, operation, _, _ in self.row.changes)


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
    if kind == _DELETE:
        _check_delete(row)
    elif row.deletes_row:
        raise parameter_invalid("Invalid request of put/update row: unexpected RowDeleteMarker in request.")
    elif kind == _UPDATE:
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
    names: set[bytes] = set()
    is_plain = True
    for name, value, operation, timestamp, _ in row.changes:
        check_column_name(name)
        names.add(name)
        size += len(name)
        if value is not None:
            check_attribute(name, value)
            size += value_size(value)
        if operation is not None or timestamp is not None:
            is_plain = False
            if timestamp is not None:
                check_timestamp(timestamp)
    return Mutation(kind, row, size, is_plain and len(names) == count)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _check_put(changes: list[Change]) -> None:
    for name, value, operation, _, _ in changes:
        if operation is not None:
            raise parameter_invalid(f"OpType cannot be given for column name:{_text(name)} in PutRow.")
        if value is None:
            raise parameter_invalid("No value is given for column name.")


def _check_update(changes: list[Change]) -> None:
    if not changes:
        raise parameter_invalid("Attribute column is missing.")
    touched: dict[bytes, int | None] = {}
    for change in changes:
        name, value, operation, _, _ = change
        if operation in (DELETE_ALL_VERSIONS, DELETE_ONE_VERSION):
            _check_deletion(change)
        elif value is None:
            raise parameter_invalid("No value is given for column name.")
        elif operation == INCREMENT:
            _check_increment(change)
        if name in touched and INCREMENT in (operation, touched[name]):
            raise parameter_invalid(f"Column {_text(name)} cannot be changed more than once when it is incremented.")
        touched[name] = operation


def _check_deletion(change: Change) -> None:
    _, value, operation, timestamp, _ = change
    if value is not None:
        raise parameter_invalid("Column value cannot be given when type is DELETE_ONE_VERSION,DELETE_ALL_VERSION.")
    if operation == DELETE_ONE_VERSION and timestamp is None:
        raise parameter_invalid("Timestamp must be given when type is DELETE_ONE_VERSION.")
    if operation == DELETE_ALL_VERSIONS and timestamp is not None:
        raise parameter_invalid("Timestamp cannot be given when type is DELETE_ALL_VERSION.")


def _check_increment(change: Change) -> None:
    name, value, _, timestamp, _ = change
    if value is not None and value[0] != INTEGER:
        raise parameter_invalid(f"Only an INTEGER can be added to column {_text(name)} by INCREMENT.")
    if timestamp is not None:
        raise parameter_invalid(f"Timestamp cannot be given for column {_text(name)} when type is INCREMENT.")


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


def _change_cell(cells: _Cells, change: Change, stamper: Stamper) -> None:
    name, value, operation, timestamp, wire = change
    if operation == DELETE_ALL_VERSIONS:
        for place in [place for place in cells if place[0] == name]:
            del cells[place]
    elif operation == DELETE_ONE_VERSION:
        assert timestamp is not None
        cells.pop((name, -timestamp), None)
    elif operation == INCREMENT:
        assert value is not None
        cells[name, -stamper.now] = _increment(cells, name, value, stamper)
    elif timestamp is not None:
        assert value is not None
        cells[name, -timestamp] = name, value, wire
    else:
        assert value is not None
        cells[name, -stamper.now] = stamper.stamp(name, value, wire)


def _increment(cells: _Cells, name: bytes, step: bytes, stamper: Stamper) -> Cell:
    newest = min((place for place in cells if place[0] == name), default=None)
    total = decode_integer(step)
    if newest is not None:
        _, value, _ = cells[newest]
        if value[0] != INTEGER:
            raise parameter_invalid(f"Column {_text(name)} is not an INTEGER and cannot be incremented.")
        total += decode_integer(value)
    if total not in _INT64:
        raise parameter_invalid(f"Incrementing column {_text(name)} exceeds the range of INTEGER.")
    return make_cell(name, encode_value(total), stamper)
