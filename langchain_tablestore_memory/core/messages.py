"""The message table: one row per message, in order of time within each conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_id, check_order, check_time, check_ttl
from langchain_tablestore_memory.core.columns import (
    METADATA_COLUMN,
)
from langchain_tablestore_memory.core.cursors import check_position, decode_cursor, encode_cursor
from langchain_tablestore_memory.core.failures import is_missing_table
from langchain_tablestore_memory.core.message_rows import (
    SOURCE,
    TimeRange,
    check_message,
    decode_row,
    is_message_metadata,
    message_columns,
    message_keys,
)
from langchain_tablestore_memory.core.message_table import MessageTable
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import MAX_PAGE, KeyColumns, Scan, StoredRow, collect
from langchain_tablestore_memory.core.records import Message, MetadataFilter, Order, Page, microseconds_timestamp
from langchain_tablestore_memory.core.schema import (
    LocalIndex,
    PreparedScan,
    TableSchema,
)
from langchain_tablestore_memory.core.writes import (
    RowWrite,
    write_rows,
)
from langchain_tablestore_memory.errors import InvalidArgumentError, ServiceError

if TYPE_CHECKING:
    from datetime import timedelta

    import tablestore


_DELETE_BATCH = 1600
"""Keys read before they are deleted: eight write requests, which go out together."""


class MessageStore:
    """Messages of conversations, in the message table.

    A *conversation* is the table's partition key, stored in the column ``session_id``: whoever holds its name may read
    it. `TablestoreChatMessageHistory` puts the user into it; tablestore-for-agent-memory uses the bare session id.

    Args:
        connection: Where the table is: what `connect` returns, an SDK client, or the default connection.
        table_name: The table.
        index_name: The local index by message id, where it has to be made; `{table_name}_secondary_index` by default.
        ttl: Seconds (or a `timedelta`) after which messages vanish, at least one day; None for never. It belongs to
            the table, so all who use the table give the same.

    Example:
        ```python
        store = MessageStore(connect("local::memory:"))
        store.put([Message("s1", "m1", content="Hello")])
        [message.content for message in store.list("s1")]
        ```
    """

    def __init__(
        self,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        *,
        table_name: str = "message",
        index_name: str | None = None,
        ttl: int | timedelta | None = None,
    ) -> None:
        self._connection = Connection.of(connection)
        schema = TableSchema(
            table_name,
            primary_key=(("session_id", "STRING"), ("create_time", "INTEGER"), ("message_id", "STRING")),
            indexes=(
                LocalIndex(index_name or f"{table_name}_secondary_index", ("session_id", "message_id", "create_time")),
            ),
            time_to_live=check_ttl(ttl),
        )
        self.table = MessageTable(self._connection, schema)

    @property
    def table_name(self) -> str:
        """The table."""
        return self.table.name

    @property
    def schema(self) -> TableSchema:
        """The table, as it is wanted."""
        return self.table.schema

    # Setting up

    def _setup(self) -> Program[None]:
        """Create the table and its index if they are missing, verify them, and wait until they are ready.

        Calling it is not necessary: the first request that meets no table does the same.

        Raises:
            SchemaMismatchError: A table of this name has another primary key or time to live.
        """
        yield from self.table.setup()

    setup, asetup = operation(_setup)

    def _drop(self) -> Program[None]:
        """Delete the table with everything in it."""
        yield from self.table.drop()

    drop, adrop = operation(_drop)

    def verify_ttl(self) -> Program[None]:
        """Before the first message is added, look whether messages vanish from the table as was asked for.

        Raises:
            SchemaMismatchError: They do not.
        """
        # Without one there is nothing that anybody could believe wrongly.
        if self.schema.time_to_live != -1 and self.schema not in self._connection.tables:
            yield from self._setup()

    # Writing

    def writes(self, messages: Sequence[Message]) -> Sequence[RowWrite]:
        """The row writes that store messages, each replacing the row of its key. Messages need a `create_time`.

        Raises:
            InvalidArgumentError: A message cannot be stored; it is named.
        """
        return [self.table.put(message) for message in messages]

    def _put(self, messages: Iterable[Message]) -> Program[None]:
        """Store messages. One whose key exists is replaced.

        Args:
            messages: What to store. A `create_time` of None becomes the present time, in the caller's object too;
                messages of one call keep their order.

        Raises:
            InvalidArgumentError: A message cannot be stored; nothing is written.
            WriteError: Some messages are not known to be stored; it names them.
        """
        if not isinstance(messages, Iterable):
            raise InvalidArgumentError(f"messages is a {type(messages).__name__}. Give a list of messages.")
        messages = list(messages)
        for message in messages:
            check_message(message)
        now = microseconds_timestamp()
        for message in messages:
            if message.create_time is None:
                message.create_time, now = now, now + 1
        # Requests of one call overtake each other: only the last message of a key may be written.
        latest = {(message.session_id, message.create_time, message.message_id): message for message in messages}
        rows = self.writes(list(latest.values()))
        yield from self.table.prepared(lambda: write_rows(rows))

    put, aput = operation(_put)

    def _update(self, message: Message) -> Program[None]:
        """Change what is given of a stored message and leave the rest.

        Given are `content` and `body` where they are not None, and the keys of `metadata`. A message that is not there
        is stored. A `create_time` of None is looked up, and set in the caller's object.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        check_message(message)
        if message.create_time is None:
            times = yield from self.table.times_of(message.session_id, message.message_id)
            message.create_time = times[-1] if times else microseconds_timestamp()
        columns = message_columns(message)
        if columns and METADATA_COLUMN not in dict(columns) and self.table.updatable:
            row = self.table.update(message, columns)
            yield from self.table.prepared(lambda: write_rows([row]))
        else:
            yield from self.table.update_read(message)

    update, aupdate = operation(_update)

    # Reading

    def _get(self, conversation: str, message_id: str, create_time: int | None = None) -> Program[Message | None]:
        """Read one message; None if there is none.

        Args:
            conversation: The conversation.
            message_id: The message.
            create_time: Its time, which saves a request. It is looked up where None.
        """
        check_id(conversation, "session_id")
        check_id(message_id, "message_id")
        if create_time is not None:
            return (yield from self._read(conversation, check_time(create_time, "create_time"), message_id))
        for time in reversed((yield from self.table.times_of(conversation, message_id))):
            message = yield from self._read(conversation, time, message_id)
            if message is not None:
                return message
        return None

    get, aget = operation(_get)

    def _list(
        self,
        conversation: str,
        *,
        times: TimeRange | None = None,
        order: Order = Order.DESC,
        metadata_filter: MetadataFilter = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> PreparedScan[Message]:
        """List the messages of a conversation.

        Args:
            conversation: The conversation.
            times: Which times; all by default.
            order: Newest first by default.
            metadata_filter: Which metadata; see `langchain_tablestore_memory.Filters`.
            limit: How many at the most.
            page_size: Rows per request; chosen by default.

        Returns:
            An iterator, which reads as it goes.
        """
        return self.list_from(
            conversation,
            None,
            times=times,
            order=order,
            metadata_filter=metadata_filter,
            limit=limit,
            page_size=page_size,
        )

    def list_from(
        self,
        conversation: str,
        position: Sequence[Any] | None,
        *,
        times: TimeRange | None = None,
        order: Order = Order.DESC,
        metadata_filter: MetadataFilter = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> PreparedScan[Message]:
        """As `list`, from a position (time and message id) on, that one included; from the beginning where None."""
        check_id(conversation, "session_id")
        check_order(order)
        times = times or TimeRange()
        if times.empty:
            raise InvalidArgumentError(f"The times begin at {times.first} and end before, at {times.last}. Swap them.")
        start, end = times.key_bounds(order)
        if position is not None:
            check_position(position[0], times.first, times.last)
            start = tuple(position)
        return self.scan(
            message_keys(conversation, *start),
            message_keys(conversation, *end),
            order=order,
            metadata_filter=metadata_filter,
            limit=limit,
            page_size=page_size,
        )

    def page(
        self,
        conversation: str,
        *,
        limit: int,
        cursor: str | None = None,
        times: TimeRange | None = None,
        order: Order = Order.DESC,
        metadata_filter: MetadataFilter = None,
        page_size: int | None = None,
    ) -> Program[Page[Message]]:
        """One page of `list`; its cursor leads to the next.

        Raises:
            CursorError: The cursor is malformed or was given out for another conversation or order.
        """
        check_id(conversation, "session_id")
        check_order(order)
        scope = ("messages", self.table_name, conversation, order.name)
        scan = self.list_from(
            conversation,
            None if cursor is None else decode_cursor(cursor, scope, (int, str)),
            times=times,
            order=order,
            metadata_filter=metadata_filter,
            limit=limit,
            page_size=page_size,
        )
        messages = yield from collect(scan)
        if scan.position is None:
            return Page(messages)
        following = dict(scan.position)
        return Page(messages, encode_cursor(scope, (following["create_time"], following["message_id"])))

    def beside(
        self,
        conversation: str,
        boundary: Sequence[Any] | None,
        *,
        order: Order,
        limit: int,
        included: bool = False,
        metadata_filter: MetadataFilter = None,
    ) -> Program[tuple[Sequence[Message], bool]]:
        """Messages next to a key (time and message id); from the first one on where None.

        Args:
            conversation: The conversation.
            boundary: The key.
            order: On which side of it.
            limit: How many at the most.
            included: Whether the message of that key is one of them.
            metadata_filter: Which metadata.

        Returns:
            The messages, in reading order, and whether more follow.
        """
        skips = boundary is not None and not included
        extra = 2 if skips else 1
        scan = self.list_from(
            conversation,
            boundary,
            order=order,
            limit=limit + extra,
            metadata_filter=metadata_filter,
            page_size=min(limit + extra, MAX_PAGE) if metadata_filter is None else None,
        )
        found = yield from collect(scan)
        messages = [m for m in found if not (skips and [m.create_time, m.message_id] == list(boundary or ()))]
        return messages[:limit], len(messages) > limit

    def _list_all(self) -> PreparedScan[Message]:
        """List all messages of all conversations, in the order of the conversations' names."""
        return self.scan(
            message_keys(INF_MIN, INF_MIN, INF_MIN), message_keys(INF_MAX, INF_MAX, INF_MAX), order=Order.ASC
        )

    list_all, alist_all = listing(_list_all)

    def scan(
        self,
        start: KeyColumns,
        end: KeyColumns,
        *,
        order: Order,
        metadata_filter: MetadataFilter = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> PreparedScan[Message]:
        """The messages between two keys."""
        wanted = filters.parse(metadata_filter)
        wants = filters.predicate(wanted)
        # The service leaves out what it can; the rest of the filter is decided here.
        condition = filters.to_condition(wanted, columns=is_message_metadata, overflow_column=METADATA_COLUMN)

        def decode(row: StoredRow) -> Message | None:
            message = decode_row(row)
            return message if wants(message.metadata) else None

        scan = Scan(
            self.table_name,
            start,
            end,
            decode,
            backward=order is Order.DESC,
            condition=condition,
            limit=limit,
            drops=bool(filters.fields(wanted)),
            page_size=page_size,
        )
        return PreparedScan(self._connection, self.schema, scan)

    def _count(self, conversation: str) -> Program[int]:
        """Count the messages of a conversation. Reads all its keys, 5000 per request."""
        return (yield from self._count_rows(conversation, lambda _: True))

    count, acount = operation(_count)

    def count_said(self, conversation: str) -> Program[int]:
        """Count the messages of a conversation, but for those that nobody said; see `message_rows.SOURCE`."""
        return self._count_rows(conversation, lambda row: None if SOURCE in row.columns else True)

    # Deleting

    def _delete(self, conversation: str, message_id: str, create_time: int | None = None) -> Program[None]:
        """Delete a message; one that is not there is fine.

        Args:
            conversation: The conversation.
            message_id: The message.
            create_time: Its time, which saves a request. It is looked up where None.
        """
        check_id(conversation, "session_id")
        check_id(message_id, "message_id")
        if create_time is None:
            times = yield from self.table.times_of(conversation, message_id)
        else:
            times = [check_time(create_time, "create_time")]
        rows = [self.table.delete(message_keys(conversation, time, message_id)) for time in times]
        yield from self.table.prepared(lambda: write_rows(rows))

    delete, adelete = operation(_delete)

    def _delete_conversation(self, conversation: str) -> Program[int]:
        """Delete all messages of a conversation. Interrupted, it can be called again.

        Returns:
            How many messages were deleted.
        """
        check_id(conversation, "session_id")
        return (
            yield from self._delete_range(
                message_keys(conversation, INF_MIN, INF_MIN), message_keys(conversation, INF_MAX, INF_MAX)
            )
        )

    delete_conversation, adelete_conversation = operation(_delete_conversation)

    def _delete_range(self, start: KeyColumns, end: KeyColumns) -> Program[int]:
        """Delete all messages between two keys. Where there is no table there is nothing to delete."""
        deleted = 0
        scan = self.table.keys(start, end, page_size=_DELETE_BATCH)
        try:
            while not scan.finished:
                keys = yield from scan.fetch()
                yield from write_rows([self.table.delete(key) for key in keys])
                deleted += len(keys)
        except ServiceError as error:
            if not is_missing_table(error):
                raise
        return deleted

    def _delete_all(self) -> Program[int]:
        """Delete all messages of everybody.

        Returns:
            How many messages were deleted.
        """
        return (
            yield from self._delete_range(
                message_keys(INF_MIN, INF_MIN, INF_MIN), message_keys(INF_MAX, INF_MAX, INF_MAX)
            )
        )

    delete_all, adelete_all = operation(_delete_all)

    # Below here: rows and keys

    def _count_rows(self, conversation: str, wanted: Callable[[StoredRow], bool | None]) -> Program[int]:
        check_id(conversation, "session_id")
        count = 0
        # Naming a key column gives rows without their other attributes.
        scan = Scan(
            self.table_name,
            message_keys(conversation, INF_MIN, INF_MIN),
            message_keys(conversation, INF_MAX, INF_MAX),
            wanted,
            columns=["session_id", SOURCE],
        )
        try:
            while not scan.finished:
                count += len((yield from scan.fetch()))
        except ServiceError as error:
            # Where there is no table there are no messages.
            if not is_missing_table(error):
                raise
        return count

    def _read(self, conversation: str, create_time: int, message_id: str) -> Program[Message | None]:
        row = yield from self.table.read_row(message_keys(conversation, create_time, message_id))
        return None if row is None else decode_row(row)

    # Last, because the name hides the built-in one in the class body.
    list, alist = listing(_list)
