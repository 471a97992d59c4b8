"""MemoryStore: sessions and messages in one object, with the calls of tablestore-for-agent-memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from langchain_tablestore_memory.connection import Connection, connect
from langchain_tablestore_memory.core.checks import check_count, check_id, check_optional_count
from langchain_tablestore_memory.core.closing import Closing
from langchain_tablestore_memory.core.columns import MetaType
from langchain_tablestore_memory.core.listing_arguments import check_order_with_times, recent_times, times_between
from langchain_tablestore_memory.core.message_rows import decode_row
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import MAX_PAGE
from langchain_tablestore_memory.core.record_searches import RecordSearches, message_index, session_index
from langchain_tablestore_memory.core.records import (
    Message,
    MetadataFilter,
    Order,
    Page,
    Session,
    microseconds_timestamp,
)
from langchain_tablestore_memory.core.schema import IndexScan, PreparedScan
from langchain_tablestore_memory.core.search_index import drop_search_indexes, ensure_search_index
from langchain_tablestore_memory.core.session_rows import (
    decode_session,
)
from langchain_tablestore_memory.core.session_table import SessionTable
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.errors import (
    ConfigurationError,
)

if TYPE_CHECKING:
    import tablestore

    from langchain_tablestore_memory.core.search_fields import Filterable


class MemoryStore(Closing):
    """Sessions and messages of conversations, as plain records.

    A user has any number of sessions, a session any number of messages. Sessions are listed by when they were last
    active, messages by when they were made. The tables are those of tablestore-for-agent-memory, so is the naming of
    the calls, and both may work on the same data. Each call has an async twin: `aput_session`, `alist_messages`, ...

    Messages are found by their bare session id, without a user: keep session ids unique, as UUIDs are.
    `TablestoreChatMessageHistory` does not need that.

    Args:
        connection: What `connect` returns, or an SDK client. By default what the following settings say, or, without
            them, the default connection.
        tablestore_client: The same, by the name that tablestore-for-agent-memory uses.
        endpoint: The address, as for `connect`.
        instance_name: The instance.
        access_key_id: The access key's id.
        access_key_secret: The access key's secret.
        session_table_name: The session table.
        session_secondary_index_name: Its index by time, where it has to be made.
        session_secondary_index_meta: Session metadata which that index carries, and so `list_recent_sessions` gives.
        message_table_name: The message table.
        message_secondary_index_name: Its index by message id, where it has to be made.
        session_search_index_name: The session table's search index; by default the one that it has, or
            `{table}_search_index`.
        session_search_index_schema: Session metadata that `search_sessions` can filter by: names and types,
            `{"model": str, "title": "text"}`, or a list of `tablestore.FieldSchema`.
        message_search_index_name: The message table's search index, the same.
        message_search_index_schema: Message metadata that `search_messages` can filter by. The text is searchable
            without, as ``content``.
        **client_options: Further options of `tablestore.OTSClient`, with `endpoint`.

    Raises:
        ConfigurationError: The settings are incomplete or contradict each other.

    Example:
        ```python
        store = MemoryStore(connect("local::memory:"), session_secondary_index_meta={"model": MetaType.STRING})
        store.init_table()
        store.put_session(Session("u1", "s1", metadata={"model": "qwen-plus"}))
        store.put_message(Message("s1", "m1", content="Hello"))
        recent = list(store.list_recent_sessions("u1", max_count=5))
        messages = list(store.list_messages("s1", max_count=20))
        ```
    """

    def __init__(
        self,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        *,
        tablestore_client: tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        endpoint: str | None = None,
        instance_name: str | None = None,
        access_key_id: str | None = None,
        access_key_secret: str | None = None,
        session_table_name: str = "session",
        session_secondary_index_name: str | None = None,
        session_secondary_index_meta: Mapping[str, MetaType] | None = None,
        message_table_name: str = "message",
        message_secondary_index_name: str | None = None,
        session_search_index_name: str | None = None,
        session_search_index_schema: Filterable | None = None,
        message_search_index_name: str | None = None,
        message_search_index_schema: Filterable | None = None,
        **client_options: Any,
    ) -> None:
        settings = {
            "endpoint": endpoint,
            "instance_name": instance_name,
            "access_key_id": access_key_id,
            "access_key_secret": access_key_secret,
            **client_options,
        }
        self._connection, self._owns_connection = _connection(connection, tablestore_client, settings)
        self._messages = MessageStore(
            self._connection, table_name=message_table_name, index_name=message_secondary_index_name
        )
        self._sessions = SessionRegistry(
            self._connection,
            session_table=session_table_name,
            message_table=message_table_name,
            index_name=session_secondary_index_name,
            metadata_columns=session_secondary_index_meta,
        )
        self._session_searches = RecordSearches(
            self._connection,
            session_index(self._sessions.schema, session_search_index_name, session_search_index_schema),
            lambda row, _: decode_session(row),
        )
        self._message_searches = RecordSearches(
            self._connection,
            message_index(self._messages.schema, message_search_index_name, message_search_index_schema),
            lambda row, _: decode_row(row),
        )

    # Tables

    def _init_table(self) -> Program[None]:
        """Create the tables and indexes that are missing, verify them, and wait until they are ready.

        Calling it is not necessary: the first request that meets no table does the same.

        Raises:
            SchemaMismatchError: A table of the same name has another primary key.
        """
        yield from self._sessions._setup()  # noqa: SLF001 - a program of ours
        yield from self._messages._setup()  # noqa: SLF001

    init_table, ainit_table = operation(_init_table)

    def _init_search_index(self) -> Program[None]:
        """Create the search indexes that are missing, verify them, and wait until they are ready.

        Calling it is not necessary: the first search that meets no index does the same. Search indexes cost storage
        and, on the service, reserved throughput, so they are not made before.

        Raises:
            SchemaMismatchError: A search index lacks a declared field, or has it with another type.
        """
        yield from ensure_search_index(self._connection, self._session_searches.schema)
        yield from ensure_search_index(self._connection, self._message_searches.schema)

    init_search_index, ainit_search_index = operation(_init_search_index)

    def _delete_tables(self) -> Program[None]:
        """Delete both tables with everything in them, and their search indexes."""
        yield from drop_search_indexes(self._connection, self._session_searches.schema)
        yield from drop_search_indexes(self._connection, self._message_searches.schema)
        yield from self._sessions._drop()  # noqa: SLF001 - a program of ours
        yield from self._messages._drop()  # noqa: SLF001

    delete_tables, adelete_tables = operation(_delete_tables)
    _delete_table = delete_tables
    """The name of the seed notebook, for tests only."""

    # Sessions

    def _put_session(self, session: Session) -> Program[None]:
        """Store a session; one that exists is replaced as a whole.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        _date(session)
        yield from self._rows.put(session)

    put_session, aput_session = operation(_put_session)

    def _update_session(self, session: Session) -> Program[None]:
        """Set the `update_time` and the metadata that are given and leave the rest.

        A session that is not there is made.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        _date(session)
        yield from self._rows.merge(session)

    update_session, aupdate_session = operation(_update_session)

    def _get_session(self, user_id: str, session_id: str) -> Program[Session | None]:
        """Read one session with all its metadata; None if there is none."""
        return self._sessions._get(session_id, user_id)  # noqa: SLF001 - a program of ours

    get_session, aget_session = operation(_get_session)

    def _delete_session(self, user_id: str, session_id: str) -> Program[None]:
        """Delete a session and leave its messages; one that does not exist is fine."""
        yield from self._sessions._delete(session_id, user_id, messages=False)  # noqa: SLF001 - a program of ours

    delete_session, adelete_session = operation(_delete_session)

    def _delete_session_and_messages(self, user_id: str, session_id: str) -> Program[None]:
        """Delete a session and its messages, the messages first: interrupted, it can be called again.

        Where the user has no such session nothing is deleted, so nobody deletes another user's messages.
        """
        yield from self._sessions._delete(session_id, user_id)  # noqa: SLF001 - a program of ours

    delete_session_and_messages, adelete_session_and_messages = operation(_delete_session_and_messages)

    def _delete_sessions(self, user_id: str) -> Program[None]:
        """Delete all sessions of a user and leave their messages.

        `SessionRegistry.delete_user` deletes the messages too.
        """
        yield from self._rows.delete_all(check_id(user_id, "user_id"))

    delete_sessions, adelete_sessions = operation(_delete_sessions)

    def _delete_all_sessions(self) -> Program[None]:
        """Delete all sessions of all users and leave their messages."""
        yield from self._rows.delete_all(None)

    delete_all_sessions, adelete_all_sessions = operation(_delete_all_sessions)

    def _list_sessions(
        self,
        user_id: str,
        metadata_filter: MetadataFilter = None,
        max_count: int | None = None,
        batch_size: int | None = None,
    ) -> PreparedScan[Session]:
        """Iterate over the sessions of a user in the order of their ids.

        Args:
            user_id: The user.
            metadata_filter: Which metadata; see `langchain_tablestore_memory.Filters`.
            max_count: How many at the most.
            batch_size: Rows per request, 1 to 5000; chosen by default.
        """
        return self._rows.in_order_of_ids(
            check_id(user_id, "user_id"),
            metadata_filter=metadata_filter,
            limit=check_optional_count(max_count, "max_count"),
            page_size=check_optional_count(batch_size, "batch_size", at_most=MAX_PAGE),
        )

    list_sessions, alist_sessions = listing(_list_sessions)

    def _list_all_sessions(self) -> PreparedScan[Session]:
        """Iterate over all sessions of all users."""
        return self._rows.in_order_of_ids(None, metadata_filter=None, limit=None, page_size=None)

    list_all_sessions, alist_all_sessions = listing(_list_all_sessions)

    def _list_recent_sessions(
        self,
        user_id: str,
        inclusive_start_update_time: int | None = None,
        inclusive_end_update_time: int | None = None,
        metadata_filter: MetadataFilter = None,
        max_count: int | None = None,
        batch_size: int | None = None,
    ) -> IndexScan[Session]:
        """Iterate over the sessions of a user, the most recently active first.

        They carry the metadata of `session_secondary_index_meta`; `get_session` gives all of it.

        Args:
            user_id: The user.
            inclusive_start_update_time: The latest time, in microseconds.
            inclusive_end_update_time: The earliest time, in microseconds.
            metadata_filter: Which metadata. What the index does not carry is read from the table.
            max_count: How many at the most.
            batch_size: Rows per request, 1 to 5000; chosen by default.
        """
        since, until = recent_times(inclusive_start_update_time, inclusive_end_update_time)
        return self._rows.recent(
            user_id,
            since=since,
            until=until,
            metadata_filter=metadata_filter,
            limit=check_optional_count(max_count, "max_count"),
            needed=(),
            page_size=check_optional_count(batch_size, "batch_size", at_most=MAX_PAGE),
        )

    list_recent_sessions, alist_recent_sessions = listing(_list_recent_sessions)

    def _list_recent_sessions_paginated(
        self,
        user_id: str,
        page_size: int = 100,
        next_token: str | None = None,
        inclusive_start_update_time: int | None = None,
        inclusive_end_update_time: int | None = None,
        metadata_filter: MetadataFilter = None,
        batch_size: int | None = None,
    ) -> Program[Page[Session]]:
        """One page of `list_recent_sessions`.

        Args:
            user_id: The user.
            page_size: Sessions on the page.
            next_token: `Page.next_token` of the page before.
            inclusive_start_update_time: The latest time, in microseconds.
            inclusive_end_update_time: The earliest time, in microseconds.
            metadata_filter: Which metadata.
            batch_size: Rows per request, 1 to 5000; chosen by default.

        Raises:
            CursorError: The token is malformed or was given out for another user.
        """
        since, until = recent_times(inclusive_start_update_time, inclusive_end_update_time)
        return self._rows.recent_page(
            user_id,
            since=since,
            until=until,
            metadata_filter=metadata_filter,
            limit=check_count(page_size, "page_size"),
            cursor=next_token,
            needed=(),
            page_size=check_optional_count(batch_size, "batch_size", at_most=MAX_PAGE),
        )

    list_recent_sessions_paginated, alist_recent_sessions_paginated = operation(_list_recent_sessions_paginated)

    def _search_sessions(
        self, metadata_filter: MetadataFilter = None, limit: int = 100, next_token: str | None = None
    ) -> Program[Page[Session]]:
        """One page of the sessions that match, of all users: best first where the filter asks for text.

        Asks the search index, which on the service is a few seconds behind the table.

        Args:
            metadata_filter: Which sessions, by ``user_id``, ``session_id``, ``update_time`` and what
                `session_search_index_schema` declares.
            limit: Sessions on the page, 1 to 100.
            next_token: `Page.next_token` of the page before.

        Raises:
            FilterError: A field is not declared, or cannot be asked so; lists what can.
            CursorError: The token is malformed or belongs to another search.
        """
        return self._session_searches.page(metadata_filter, limit=limit, token=next_token)

    search_sessions, asearch_sessions = operation(_search_sessions)

    # Messages

    def _put_message(self, message: Message) -> Program[None]:
        """Store a message; one with the same session, time and id is replaced.

        A `create_time` of None becomes the present time, in the caller's object too.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        yield from self._messages._put([message])  # noqa: SLF001 - a program of ours

    put_message, aput_message = operation(_put_message)

    def _update_message(self, message: Message) -> Program[None]:
        """Set the content (unless None) and the metadata that are given and leave the rest.

        A message that is not there is made.

        Raises:
            InvalidArgumentError: It cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        yield from self._messages._update(message)  # noqa: SLF001 - a program of ours

    update_message, aupdate_message = operation(_update_message)

    def _get_message(self, session_id: str, message_id: str, create_time: int | None = None) -> Program[Message | None]:
        """Read one message; None if there is none. Giving its `create_time` saves a request."""
        return self._messages._get(session_id, message_id, create_time)  # noqa: SLF001 - a program of ours

    get_message, aget_message = operation(_get_message)

    def _delete_message(self, session_id: str, message_id: str, create_time: int | None = None) -> Program[None]:
        """Delete a message; one that is not there is fine. Giving its `create_time` saves a request."""
        yield from self._messages._delete(session_id, message_id, create_time)  # noqa: SLF001 - a program of ours

    delete_message, adelete_message = operation(_delete_message)

    def _delete_messages(self, session_id: str) -> Program[None]:
        """Delete all messages of a session. Interrupted, it can be called again."""
        yield from self._messages._delete_conversation(session_id)  # noqa: SLF001 - a program of ours

    delete_messages, adelete_messages = operation(_delete_messages)

    def _delete_all_messages(self) -> Program[None]:
        """Delete all messages of all sessions."""
        yield from self._messages._delete_all()  # noqa: SLF001 - a program of ours

    delete_all_messages, adelete_all_messages = operation(_delete_all_messages)

    def _list_messages(
        self,
        session_id: str,
        inclusive_start_create_time: int | None = None,
        inclusive_end_create_time: int | None = None,
        order: Order | None = None,
        metadata_filter: MetadataFilter = None,
        max_count: int | None = None,
        batch_size: int | None = None,
    ) -> PreparedScan[Message]:
        """Iterate over the messages of a session.

        Args:
            session_id: The session.
            inclusive_start_create_time: The time at which to begin, in microseconds: the later one when descending.
            inclusive_end_create_time: The time at which to end: the earlier one when descending.
            order: Descending (newest first) by default. Required with a time.
            metadata_filter: Which metadata; see `langchain_tablestore_memory.Filters`.
            max_count: How many at the most.
            batch_size: Rows per request, 1 to 5000; chosen by default.
        """
        order = check_order_with_times(order, inclusive_start_create_time, inclusive_end_create_time)
        return self._messages._list(  # noqa: SLF001 - a listing of ours
            session_id,
            times=times_between(inclusive_start_create_time, inclusive_end_create_time, order),
            order=order,
            metadata_filter=metadata_filter,
            limit=check_optional_count(max_count, "max_count"),
            page_size=check_optional_count(batch_size, "batch_size", at_most=MAX_PAGE),
        )

    list_messages, alist_messages = listing(_list_messages)
    get_messages, aget_messages = list_messages, alist_messages

    def _list_all_messages(self) -> PreparedScan[Message]:
        """Iterate over all messages of all sessions."""
        return self._messages._list_all()  # noqa: SLF001 - a listing of ours

    list_all_messages, alist_all_messages = listing(_list_all_messages)
    get_all_messages, aget_all_messages = list_all_messages, alist_all_messages

    def _list_messages_paginated(
        self,
        session_id: str,
        page_size: int = 100,
        next_token: str | None = None,
        inclusive_start_create_time: int | None = None,
        inclusive_end_create_time: int | None = None,
        order: Order | None = None,
        metadata_filter: MetadataFilter = None,
        batch_size: int | None = None,
    ) -> Program[Page[Message]]:
        """One page of `list_messages`.

        Args:
            session_id: The session.
            page_size: Messages on the page.
            next_token: `Page.next_token` of the page before.
            inclusive_start_create_time: The time at which to begin, in microseconds: the later one when descending.
            inclusive_end_create_time: The time at which to end: the earlier one when descending.
            order: Descending (newest first) by default. Required with a time.
            metadata_filter: Which metadata.
            batch_size: Rows per request, 1 to 5000; chosen by default.

        Raises:
            CursorError: The token is malformed or was given out for another session or order.
        """
        order = check_order_with_times(order, inclusive_start_create_time, inclusive_end_create_time)
        return self._messages.page(
            session_id,
            limit=check_count(page_size, "page_size"),
            cursor=next_token,
            times=times_between(inclusive_start_create_time, inclusive_end_create_time, order),
            order=order,
            metadata_filter=metadata_filter,
            page_size=check_optional_count(batch_size, "batch_size", at_most=MAX_PAGE),
        )

    list_messages_paginated, alist_messages_paginated = operation(_list_messages_paginated)

    def _search_messages(
        self, metadata_filter: MetadataFilter = None, limit: int = 100, next_token: str | None = None
    ) -> Program[Page[Message]]:
        """One page of the messages that match, of all sessions: best first where the filter asks for text.

        Asks the search index, which on the service is a few seconds behind the table.

        Args:
            metadata_filter: Which messages, by ``content``, ``session_id``, ``message_id``, ``create_time`` and what
                `message_search_index_schema` declares.
            limit: Messages on the page, 1 to 100.
            next_token: `Page.next_token` of the page before.

        Raises:
            FilterError: A field is not declared, or cannot be asked so; lists what can.
            CursorError: The token is malformed or belongs to another search.

        Example:
            ```python
            store.search_messages(
                Filters.logical_and([Filters.text_match("content", "tea"), Filters.eq("session_id", "s1")])
            )
            ```
        """
        return self._message_searches.page(metadata_filter, limit=limit, token=next_token)

    search_messages, asearch_messages = operation(_search_messages)

    # Closing

    @override
    def close(self) -> None:
        """Close the connection, where it was made from `endpoint`; one that was given stays open."""
        if self._owns_connection:
            self._connection.close()

    @override
    async def aclose(self) -> None:
        """Close the connection, where it was made from `endpoint`; one that was given stays open."""
        if self._owns_connection:
            await self._connection.aclose()

    # Below here: rows

    @property
    def _rows(self) -> SessionTable:
        return self._sessions.table


def _connection(connection: Any, client: Any, settings: Mapping[str, Any]) -> tuple[Connection, bool]:
    given = {name: value for name, value in settings.items() if value is not None}
    if (connection is not None) + (client is not None) + bool(given) > 1:
        raise ConfigurationError("Give a connection, or tablestore_client, or endpoint and keys: only one of them.")
    if given:
        return connect(**given), True
    return Connection.of(connection if connection is not None else client), False


def _date(session: Session) -> None:
    # As in tablestore-for-agent-memory, None stands for now.
    if getattr(session, "update_time", 0) is None:
        session.update_time = microseconds_timestamp()
