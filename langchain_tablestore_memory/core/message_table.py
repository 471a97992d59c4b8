"""The message table: its rows read, written and found, for whoever keeps messages in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tablestore import INF_MAX, INF_MIN, Condition, RowExistenceExpectation

from langchain_tablestore_memory.core.columns import METADATA_COLUMN, continuation_columns
from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.message_rows import (
    BODY,
    CONTENT,
    check_message,
    decode_row,
    is_own_column,
    merged,
    message_columns,
    message_key,
    message_keys,
    message_name,
)
from langchain_tablestore_memory.core.programs import Call, Program, Sleep, Together
from langchain_tablestore_memory.core.ranges import KeyColumns, Scan, StoredRow, collect
from langchain_tablestore_memory.core.records import Message
from langchain_tablestore_memory.core.schema import (
    ManagedTable,
    Table,
    with_table,
)
from langchain_tablestore_memory.core.writes import (
    RowWrite,
    column_changes,
    column_unchanged,
    delete_row,
    put_row,
    update_row,
    write_rows,
)
from langchain_tablestore_memory.errors import InvalidArgumentError, WriteError

_UPDATE_ATTEMPTS = 10
_SINGLE_LOOKUPS = 8
"""Message ids that are looked up one by one: as many requests as go out together."""


class MessageTable(ManagedTable):
    """The rows of the message table, whose only index is by message id."""

    @property
    def updatable(self) -> bool:
        """Whether rows may be updated; a table with a time to live takes only whole-row puts."""
        return self.schema.time_to_live == -1

    # Writes

    def put(self, message: Message, condition: Condition | None = None) -> RowWrite:
        """The write that stores a message, replacing the row of its key.

        Raises:
            InvalidArgumentError: It cannot be stored; it is named.
        """
        check_message(message)
        if message.create_time is None:
            raise InvalidArgumentError(f"{message_name(message)} has no create_time. Set one.")
        return put_row(
            self.name,
            message_key(message),
            message_columns(message),
            name=message_name(message),
            condition=condition,
        )

    def update(self, message: Message, columns: Sequence[tuple[str, Any]]) -> RowWrite:
        """The write that sets columns of a message."""
        written = {name for name, _ in columns}
        # What is left of a longer text would otherwise stay behind a new, shorter one.
        stale = [
            name
            for column in (CONTENT, BODY)
            if column in written
            for name in continuation_columns(column)
            if name not in written
        ]
        return update_row(self.name, message_key(message), columns, name=message_name(message), delete=stale)

    def delete(self, key: KeyColumns) -> RowWrite:
        """The write that deletes a message."""
        return delete_row(self.name, key, name=f"message {key[2][1]!r}")

    # Reading and updating

    def read_row(self, key: KeyColumns) -> Program[StoredRow | None]:
        """Read one row; None if there is none."""

        def get() -> Program[Any]:
            return (yield Call("get_row", self.name, key, max_version=1))

        _, row, _ = yield from self.prepared(get)
        return None if row is None else StoredRow.of(row)

    def keys(self, start: KeyColumns, end: KeyColumns, *, page_size: int | None = None) -> Scan[KeyColumns]:
        """The keys of the rows between two keys."""
        # Naming a key column gives rows without their attributes.
        return Scan(
            self.name,
            start,
            end,
            lambda row: list(row.key.items()),
            columns=["session_id"],
            page_size=page_size,
        )

    def update_read(self, changes: Message) -> Program[None]:
        """Update a message that has to be read for it: metadata shares one column, or the table takes no updates.

        What others change meanwhile is kept, except in tables that take no updates: there the whole row is replaced.
        """
        for attempt in range(1, _UPDATE_ATTEMPTS + 1):
            row = yield from self.read_row(message_key(changes))
            if row is None:
                write: RowWrite | None = self.put(changes, Condition(RowExistenceExpectation.EXPECT_NOT_EXIST))
            else:
                write = self._merge_write(row, merged(decode_row(row), changes))
            if write is None:
                return
            try:
                yield from write_rows([write])
            except WriteError as error:
                if error.code != CONFLICT:
                    raise
                yield Sleep(self.connection.retry.delay(attempt))
            else:
                return
        raise WriteError(
            f"{message_name(changes)} was changed by others each time it was to be updated. Try again.",
            failed=[message_name(changes)],
            api="batch_write_row",
        )

    def _merge_write(self, row: StoredRow, message: Message) -> RowWrite | None:
        """The write that makes a message of the row as it was read; None if it is one already."""
        whole = self.put(message)
        if not self.updatable:
            return whole
        stored = {name: value for name, value in row.columns.items() if is_own_column(name)}
        put, delete = column_changes(stored, dict(message_columns(message)))
        if not put and not delete:
            return None
        unchanged = Condition(RowExistenceExpectation.EXPECT_EXIST, column_unchanged(row.columns, METADATA_COLUMN))
        return update_row(
            self.name, message_key(message), put, name=message_name(message), delete=delete, condition=unchanged
        )

    # Where messages are

    def latest_keys(self, conversation: str, limit: int) -> Program[list[tuple[str, int]]]:
        """Ids and times of the latest messages of a conversation, the latest one first."""
        scan: Scan[tuple[str, int]] = Scan(
            self.name,
            message_keys(conversation, INF_MAX, INF_MAX),
            message_keys(conversation, INF_MIN, INF_MIN),
            lambda row: (row.key["message_id"], row.key["create_time"]),
            backward=True,
            # Naming a key column gives rows without their attributes.
            columns=["session_id"],
            limit=limit,
        )
        return self.prepared(lambda: collect(scan))

    def times_of(self, conversation: str, message_id: str) -> Program[Sequence[int]]:
        """The times under which a message id is stored, oldest first; more than one where it was put twice."""

        def find(table: Table) -> Program[Sequence[int]]:
            index = table.index(self.schema.indexes[0])
            scan: Scan[int] = Scan(
                index.name,
                [("session_id", conversation), ("message_id", message_id), ("create_time", INF_MIN)],
                [("session_id", conversation), ("message_id", message_id), ("create_time", INF_MAX)],
                lambda row: row.key["create_time"],
            )
            return collect(scan)

        return with_table(self.connection, self.schema, find)

    def latest_times(self, conversation: str, message_ids: Collection[str]) -> Program[dict[str, int]]:
        """The time of each of these message ids that is stored, the latest where there are several."""
        left = sorted(set(message_ids))
        times: dict[str, int] = {}
        if len(left) > _SINGLE_LOOKUPS:
            # In the index they are next to each other, but for other ids between them: one page may well hold all.
            times, end = yield from self._times_between(conversation, left[0], left[-1])
            left = [] if end is None else [message_id for message_id in left if message_id >= end]
        if left:
            found = yield Together([self.times_of(conversation, message_id) for message_id in left])
            times.update({message_id: each[-1] for message_id, each in zip(left, found, strict=True) if each})
        return {message_id: times[message_id] for message_id in message_ids if message_id in times}

    def _times_between(self, conversation: str, low: str, high: str) -> Program[tuple[dict[str, int], str | None]]:
        """The times of the message ids from `low` on, up to `high` or as far as one page goes, and the id after it."""

        def find(table: Table) -> Program[tuple[dict[str, int], str | None]]:
            index = table.index(self.schema.indexes[0])
            scan: Scan[tuple[str, int]] = Scan(
                index.name,
                [("session_id", conversation), ("message_id", low), ("create_time", INF_MIN)],
                [("session_id", conversation), ("message_id", high), ("create_time", INF_MAX)],
                lambda row: (row.key["message_id"], row.key["create_time"]),
            )
            # Oldest first, so that the latest one stays.
            times = dict((yield from scan.fetch()))
            return times, None if scan.position is None else dict(scan.position)["message_id"]

        return with_table(self.connection, self.schema, find)
