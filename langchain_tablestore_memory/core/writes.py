"""Row writes: grouped into as few `BatchWriteRow` requests as the service takes, and followed up row by row."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tablestore import (
    BatchWriteRowRequest,
    ComparatorType,
    Condition,
    DeleteRowItem,
    PutRowItem,
    Row,
    RowExistenceExpectation,
    SingleColumnCondition,
    TableInBatchWriteRowItem,
    UpdateRowItem,
)

from langchain_tablestore_memory.core.columns import check_row_size, row_size
from langchain_tablestore_memory.core.failures import CONFLICT, Failure
from langchain_tablestore_memory.core.programs import Attempt, Call, Program, RetryPolicy, Sleep, Together
from langchain_tablestore_memory.errors import AuthenticationError, PermissionDeniedError, ServiceError, WriteError

MAX_ROWS = 200
"""Rows in one BatchWriteRow request (reference: limits of the service)."""

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of names and values in one BatchWriteRow request."""

_NAMED_IN_MESSAGE = 5

PrimaryKey = Sequence[tuple[str, Any]]
Columns = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class RowWrite:
    """One row to put, update or delete.

    Attributes:
        table: The table's name.
        item: The SDK's description of the write.
        name: What the row is called in errors, such as ``message 'm1'``.
        size: Bytes of names and values, as the service counts them.
        repeat: What to write instead where it is not known whether `item` took effect. Only for writes that are
            not harmless to repeat; `WriteOutcome.doubted` tells that it was used.
    """

    table: str
    item: Any
    name: str
    size: int
    repeat: RowWrite | None = None


def put_row(
    table: str, primary_key: PrimaryKey, columns: Columns, *, name: str, condition: Condition | None = None
) -> RowWrite:
    """Replace the whole row.

    Raises:
        InvalidArgumentError: No request could write it, so large is it.
    """
    size = check_row_size(primary_key, columns, what=name)
    item = PutRowItem(Row(list(primary_key), list(columns)), condition or _unconditionally())
    return RowWrite(table, item, name, size)


def update_row(
    table: str,
    primary_key: PrimaryKey,
    columns: Columns,
    *,
    name: str,
    delete: Sequence[str] = (),
    increment: Columns = (),
    condition: Condition | None = None,
) -> RowWrite:
    """Set, delete and increment columns of a row; unless the condition says otherwise it is made if it is absent.

    An increment is not harmless to repeat: where it is in doubt, the rest of the update is written without it.

    Raises:
        InvalidArgumentError: No request could write it, so large is it.
    """
    touched = [*columns, *increment, *((column, 0) for column in delete)]
    size = check_row_size(primary_key, touched, what=name)
    changes: dict[str, list[Any]] = {}
    if columns:
        changes["PUT"] = list(columns)
    if delete:
        changes["DELETE_ALL"] = list(delete)
    plain = dict(changes)
    if increment:
        changes["INCREMENT"] = list(increment)
    condition = condition or _unconditionally()
    write = RowWrite(table, UpdateRowItem(Row(list(primary_key), changes), condition), name, size)
    if not increment:
        return write
    repeat = UpdateRowItem(Row(list(primary_key), plain), condition)
    return RowWrite(table, write.item, name, size, RowWrite(table, repeat, name, size))


def column_changes(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[Columns, Sequence[str]]:
    """The columns to set and those to delete in a row that holds some columns and shall hold others."""
    put = [(name, value) for name, value in wanted.items() if not _same(stored.get(name), value)]
    return put, [name for name in stored if name not in wanted]


def _same(stored: Any, wanted: Any) -> bool:
    if type(stored) is not type(wanted) or stored != wanted:
        return False
    # 0.0 and -0.0 are equal, and not the same.
    return not isinstance(stored, float) or repr(stored) == repr(wanted)


def column_unchanged(columns: Mapping[str, Any], name: str) -> SingleColumnCondition:
    """The condition that a column still holds, or still lacks, what it did when the columns of its row were read."""
    value = columns.get(name)
    if value is None:
        # No column that is asked about holds a bytearray: only a missing one passes.
        return SingleColumnCondition(name, bytearray(b"missing"), ComparatorType.EQUAL, pass_if_missing=True)
    return SingleColumnCondition(name, value, ComparatorType.EQUAL, pass_if_missing=False)


def delete_row(table: str, primary_key: PrimaryKey, *, name: str, condition: Condition | None = None) -> RowWrite:
    """Delete the row; unless the condition says otherwise, deleting an absent one is fine."""
    item = DeleteRowItem(Row(list(primary_key)), condition or _unconditionally())
    return RowWrite(table, item, name, row_size(primary_key, ()))


def _unconditionally() -> Condition:
    return Condition(RowExistenceExpectation.IGNORE)


@dataclass(slots=True)
class WriteOutcome:
    """What became of some rows.

    Attributes:
        stored: The rows that are stored.
        failed: The rows that are not known to be stored, each with why.
        doubted: Whether a row's `repeat` was written in place of its `item`.
    """

    stored: list[RowWrite] = field(default_factory=list)
    failed: list[tuple[RowWrite, Failure]] = field(default_factory=list)
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class WriteRows:
    """One BatchWriteRow request. Rows that fail for a passing reason are sent again, alone.

    Answers with a `WriteOutcome`; it does not raise for failures of the service.
    """

    rows: Sequence[RowWrite]

    def attempts(self, policy: RetryPolicy) -> Generator[Attempt | Sleep, Any, WriteOutcome]:
        """Attempt until every row is stored, refused, or out of attempts."""
        outcome = WriteOutcome()
        pending = list(self.rows)
        retries, in_doubt = policy.begin(), False
        while True:
            failures = yield from self._attempt(pending, outcome)
            # What one attempt may have done, a later one that was turned away does not undo.
            in_doubt = in_doubt or any(failure.ambiguous for _, failure in failures)
            pending = []
            for row, failure in failures:
                if not retries.allow(failure):
                    outcome.failed.append((row, replace(failure, ambiguous=in_doubt)))
                elif failure.ambiguous and row.repeat is not None:
                    outcome.doubted = True
                    pending.append(row.repeat)
                else:
                    pending.append(row)
            if not pending:
                return outcome
            yield retries.pause()

    @staticmethod
    def _attempt(
        rows: Sequence[RowWrite], outcome: WriteOutcome
    ) -> Generator[Attempt | Sleep, Any, list[tuple[RowWrite, Failure]]]:
        tables: dict[str, list[RowWrite]] = {}
        for row in rows:
            tables.setdefault(row.table, []).append(row)
        request = BatchWriteRowRequest()
        for table, table_rows in tables.items():
            request.add(TableInBatchWriteRowItem(table, [row.item for row in table_rows]))
        try:
            response = yield Attempt("batch_write_row", (request,), {})
        except Exception as error:
            failure = Failure.of(error)
            if failure is None:
                raise
            return [(row, failure) for row in rows]
        failures = []
        for table, table_rows in tables.items():
            for results in (response.table_of_put, response.table_of_update, response.table_of_delete):
                for result in results[table]:
                    row = table_rows[result.index]
                    if result.is_ok:
                        outcome.stored.append(row)
                    else:
                        failures.append((row, Failure.of_code(result.error_code, result.error_message)))
        return failures


_APIS = {PutRowItem: "put_row", UpdateRowItem: "update_row", DeleteRowItem: "delete_row"}


def write_row(row: RowWrite) -> Program[None]:
    """Write one row that is harmless to write again, by the call that is made for it: cheaper than a batch of one.

    Raises:
        WriteError: It is not known to be stored.
        AuthenticationError: The credentials were refused; it is not stored.
        PermissionDeniedError: The access key may not write; it is not stored.
    """
    assert row.repeat is None
    try:
        yield Call(_APIS[type(row.item)], row.table, row.item.row, row.item.condition)
    except (AuthenticationError, PermissionDeniedError):
        raise
    except ServiceError as error:
        raise WriteError.over(
            error,
            f"It is not known whether {row.name} is stored. {error} Writing it again is harmless.",
            failed=[row.name],
        ) from error


def write_rows(rows: Sequence[RowWrite]) -> Program[WriteOutcome]:
    """Write rows, in as few requests as the service's limits allow, several at a time.

    Raises:
        WriteError: Some rows are not known to be stored; it names them.
        AuthenticationError: The credentials were refused; nothing is stored.
        PermissionDeniedError: The access key may not write; nothing is stored.
    """
    if not rows:
        return WriteOutcome()
    outcomes = yield Together([_request(group) for group in _groups(rows)])
    total = WriteOutcome()
    for outcome in outcomes:
        total.stored += outcome.stored
        total.failed += outcome.failed
        total.doubted |= outcome.doubted
    if total.failed:
        raise _write_error(rows, total)
    return total


def _request(rows: Sequence[RowWrite]) -> Program[WriteOutcome]:
    outcome: WriteOutcome = yield WriteRows(rows)
    return outcome


def _groups(rows: Sequence[RowWrite]) -> Iterator[list[RowWrite]]:
    group: list[RowWrite] = []
    size = 0
    for row in rows:
        if group and (len(group) == MAX_ROWS or size + row.size > MAX_BYTES):
            yield group
            group, size = [], 0
        group.append(row)
        size += row.size
    yield group


def write_unless_changed(rows: Sequence[RowWrite]) -> Program[frozenset[str]]:
    """Write rows under their conditions; returns the names of those that somebody else has changed.

    Raises:
        WriteError: Some failed for another reason.
    """
    try:
        yield from write_rows(rows)
    except WriteError as error:
        if error.code != CONFLICT:
            raise
        return frozenset(error.failed)
    return frozenset()


def some_of(names: Sequence[str]) -> str:
    """The first of some names, as an error's text shows them."""
    shown = ", ".join(names[:_NAMED_IN_MESSAGE])
    return f"{shown} and {len(names) - _NAMED_IN_MESSAGE} more" if len(names) > _NAMED_IN_MESSAGE else shown


def _write_error(rows: Sequence[RowWrite], outcome: WriteOutcome) -> Exception:
    failures = [failure for _, failure in outcome.failed]
    # Who meets a row that was changed meanwhile goes on: that must not pass over what failed beside it.
    failure = next((each for each in failures if each.code != CONFLICT), failures[0])
    cause = failure.to_error("batch_write_row")
    in_doubt = any(each.ambiguous for each in failures)
    if not (outcome.stored or in_doubt) and isinstance(cause, AuthenticationError | PermissionDeniedError):
        return cause
    order = {row.name: position for position, row in enumerate(rows)}
    failed = sorted({row.name for row, _ in outcome.failed}, key=order.__getitem__)
    stored = sorted({row.name for row in outcome.stored}, key=order.__getitem__)
    certainty = "may not be stored" if in_doubt else "not stored"
    error = WriteError(
        f"{len(outcome.failed)} of {len(rows)} rows {certainty}: {some_of(failed)}. {cause} "
        "Writing the same rows again is harmless; `failed` and `stored` name them all.",
        failed=failed,
        stored=stored,
        api="batch_write_row",
        code=failure.code,
        status=failure.status,
        request_id=failure.request_id,
    )
    error.__cause__ = cause
    return error
