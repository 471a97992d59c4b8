"""The session table: who has which conversations, and which were active last."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tablestore import INF_MIN, Condition, Row, RowExistenceExpectation

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import (
    MAX_KEY_BYTES,
    Time,
    check_count,
    check_id,
    check_keys,
    check_mapping,
    check_optional_count,
    check_optional_time,
    check_time,
)
from langchain_tablestore_memory.core.columns import MetaType
from langchain_tablestore_memory.core.conversations import conversation_of, user_conversations
from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Call, Program, Sleep, Together
from langchain_tablestore_memory.core.ranges import StoredRow
from langchain_tablestore_memory.core.records import DEFAULT_USER, MetadataFilter, Page, Session, microseconds_timestamp
from langchain_tablestore_memory.core.schema import (
    IndexScan,
    TableSchema,
)
from langchain_tablestore_memory.core.session_rows import (
    CONVERSATION,
    LAST_WRITE,
    MESSAGE_COUNT,
    OPENING,
    PREVIEW,
    TITLE,
    UPDATE_TIME,
    WriteToken,
    check_title,
    conversation_in,
    decode_session,
    encode_session,
    excerpt,
    session_key,
    session_name,
    session_schema,
)
from langchain_tablestore_memory.core.session_table import UPDATE_ATTEMPTS, SessionTable, no_session
from langchain_tablestore_memory.core.writes import RowWrite, column_unchanged, update_row
from langchain_tablestore_memory.errors import InvalidArgumentError, ServiceError, SessionNotFoundError

if TYPE_CHECKING:
    import tablestore


_MAX_PAGE = 1000


class SessionRegistry:
    """Lists, names, changes and deletes the conversations of users.

    `TablestoreChatMessageHistory` keeps the registry current by itself; what it does not do is here.

    Args:
        connection: Where the tables are: what `connect` returns, an SDK client, or the default connection.
        session_table: The session table.
        message_table: The message table, from which a session's messages are deleted with it.
        index_name: The local index by time, where it has to be made; `{session_table}_secondary_index` by default.
        metadata_columns: Metadata that the index carries besides titles, counts and previews, so that lists can be
            filtered by it at no cost. Only used where the table has to be made.

    Example:
        ```python
        registry = SessionRegistry(connect("local::memory:"))
        session = registry.create("u1", title="Trip to Hangzhou")
        for session in registry.list("u1").items:
            print(session.title, session.update_time)
        ```
    """

    def __init__(
        self,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        *,
        session_table: str = "session",
        message_table: str = "message",
        index_name: str | None = None,
        metadata_columns: Mapping[str, MetaType] | None = None,
    ) -> None:
        self._connection = Connection.of(connection)
        self._messages = MessageStore(self._connection, table_name=message_table)
        self.table = SessionTable(self._connection, session_schema(session_table, index_name, metadata_columns or {}))

    @property
    def table_name(self) -> str:
        """The session table."""
        return self.table.name

    @property
    def schema(self) -> TableSchema:
        """The session table, as it is wanted."""
        return self.table.schema

    # Setting up

    def _setup(self) -> Program[None]:
        """Create the session table and its index if they are missing, verify them, and wait until they are ready.

        Calling it is not necessary: the first request that meets no table does the same.

        Raises:
            SchemaMismatchError: A table of this name has another primary key.
        """
        yield from self.table.setup()

    setup, asetup = operation(_setup)

    def _drop(self) -> Program[None]:
        """Delete the session table with everything in it."""
        yield from self.table.drop()

    drop, adrop = operation(_drop)

    # One session

    def _create(
        self,
        user_id: str = DEFAULT_USER,
        session_id: str | None = None,
        *,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Program[Session]:
        """Make a session that does not exist yet.

        Args:
            user_id: Its user.
            session_id: Its id; a new UUID by default.
            title: Its name. Without one it is called by the beginning of its first message.
            metadata: What to keep with it.

        Returns:
            The session.

        Raises:
            InvalidArgumentError: The session exists, or cannot be stored.
        """
        session = Session(
            check_id(user_id, "user_id"),
            str(uuid.uuid4()) if session_id is None else check_id(session_id, "session_id"),
            metadata=check_mapping(metadata, "metadata"),
            title=None if title is None else check_title(title),
        )
        columns = [*encode_session(session), (CONVERSATION, conversation_of(user_id, session.session_id))]
        if title is not None:
            columns.append((TITLE, session.title))
        row = Row(session_key(user_id, session.session_id), columns)
        absent = Condition(RowExistenceExpectation.EXPECT_NOT_EXIST)
        try:
            yield from self.table.call("put_row", row, absent)
        except ServiceError as error:
            if error.code != CONFLICT:
                raise
            # Found there either because somebody else made it, or because an earlier attempt of ours was carried out.
            stored = yield from self._get(session.session_id, user_id)
            if stored is None or stored.update_time != session.update_time:
                raise InvalidArgumentError(
                    f"Session {session.session_id!r} exists. Use get() to read it, or update() to change it."
                ) from error
        return session

    create, acreate = operation(_create)

    def _get(self, session_id: str, user_id: str = DEFAULT_USER) -> Program[Session | None]:
        """Read one session with all its metadata; None if there is none."""
        row = yield from self.table.read(session_id, user_id)
        return None if row is None else decode_session(row)

    get, aget = operation(_get)

    def _update(
        self,
        session_id: str,
        user_id: str = DEFAULT_USER,
        *,
        metadata: Mapping[str, Any] | None = None,
        remove: Collection[str] = (),
        update_time: Time | None = None,
    ) -> Program[Session]:
        """Change metadata of a session and leave the rest. Changes by several writers at once are all kept.

        Args:
            session_id: The session.
            user_id: Its user.
            metadata: Keys to set.
            remove: Keys to remove.
            update_time: When it was last active, in microseconds or as an aware datetime; unchanged where None.

        Returns:
            The session as it is then.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        return self.table.update(
            session_id,
            user_id,
            metadata=check_mapping(metadata, "metadata"),
            remove=check_keys(remove, "remove"),
            update_time=check_optional_time(update_time, UPDATE_TIME),
        )

    update, aupdate = operation(_update)

    def _rename(self, session_id: str, title: str, user_id: str = DEFAULT_USER) -> Program[None]:
        """Give a session a name. Its place in the list stays.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        yield from self.table.change(session_id, user_id, [(TITLE, check_title(title))])

    rename, arename = operation(_rename)

    def _touch(self, session_id: str, user_id: str = DEFAULT_USER, update_time: Time | None = None) -> Program[None]:
        """Bring a session to the top of the list.

        Args:
            session_id: The session.
            user_id: Its user.
            update_time: When it was active, in microseconds or as an aware datetime; now by default.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        time = microseconds_timestamp() if update_time is None else check_time(update_time, UPDATE_TIME)
        yield from self.table.change(session_id, user_id, [(UPDATE_TIME, time)])

    touch, atouch = operation(_touch)

    def _recount(self, session_id: str, user_id: str = DEFAULT_USER) -> Program[int]:
        """Count the messages of a session and set its `message_count`.

        Only needed where other tools write messages of their own, or after a `WriteError`.

        Returns:
            The number of messages.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        return (yield from self._settle(session_id, user_id, [], []))

    recount, arecount = operation(_recount)

    def _delete(self, session_id: str, user_id: str = DEFAULT_USER, *, messages: bool = True) -> Program[None]:
        """Delete a session; one that does not exist is fine.

        The messages go first and the session last, so a deletion that was interrupted can be repeated.

        Args:
            session_id: The session.
            user_id: Its user.
            messages: Whether to delete its messages as well.
        """
        row = yield from self.table.read(session_id, user_id)
        if messages:
            yield from self._delete_messages(row, session_id, user_id)
        yield from self.table.delete([(user_id, session_id)])

    delete, adelete = operation(_delete)

    # Many sessions

    def _list(
        self,
        user_id: str = DEFAULT_USER,
        *,
        since: Time | None = None,
        until: Time | None = None,
        metadata_filter: MetadataFilter = None,
        limit: int = 20,
        cursor: str | None = None,
        full: bool = False,
    ) -> Program[Page[Session]]:
        """List the sessions of a user, the most recently active first.

        Args:
            user_id: The user.
            since: The earliest `update_time`, included; microseconds or an aware datetime.
            until: The latest `update_time`, included.
            metadata_filter: Which metadata; see `langchain_tablestore_memory.Filters`.
            limit: Sessions on a page, at most 1000.
            cursor: `Page.cursor` of the page before.
            full: Whether to read all metadata. Without it a session carries the metadata in the index (see
                `metadata_columns`), which saves a request per 100 sessions.

        Returns:
            The page; its `cursor` is None where it is the last.

        Raises:
            CursorError: The cursor is malformed or was given out for another user.
        """
        check_count(limit, "limit", at_most=_MAX_PAGE)
        return self.table.recent_page(
            user_id,
            since=since,
            until=until,
            metadata_filter=metadata_filter,
            limit=limit,
            cursor=cursor,
            full=full,
        )

    def _iterate(
        self,
        user_id: str = DEFAULT_USER,
        *,
        since: Time | None = None,
        until: Time | None = None,
        metadata_filter: MetadataFilter = None,
        limit: int | None = None,
        full: bool = False,
    ) -> IndexScan[Session]:
        """Iterate over the sessions of a user, the most recently active first, reading pages as they are needed.

        The arguments are those of `list`.
        """
        return self.table.recent(
            user_id,
            since=since,
            until=until,
            metadata_filter=metadata_filter,
            limit=check_optional_count(limit, "limit"),
            full=full,
        )

    iterate, aiterate = listing(_iterate)

    def _delete_user(self, user_id: str) -> Program[int]:
        """Delete all sessions of a user with all their messages. Interrupted, it can be called again.

        Returns:
            How many sessions were deleted.
        """
        user_id = check_id(user_id, "user_id")
        deleted = 0
        scan = self.table.scan(user_id, lambda row: row)
        while not scan.finished:
            rows = yield from scan.fetch()
            yield Together([self._delete_messages(row, row.key["session_id"], user_id) for row in rows])
            yield from self.table.delete([(user_id, row.key["session_id"]) for row in rows])
            deleted += len(rows)
        # Messages whose session row was never written.
        low, high = user_conversations(user_id)
        if len(low.encode()) < MAX_KEY_BYTES:
            yield from self._messages._delete_range(  # noqa: SLF001 - a program of ours
                [("session_id", low), ("create_time", INF_MIN), ("message_id", INF_MIN)],
                [("session_id", high), ("create_time", INF_MIN), ("message_id", INF_MIN)],
            )
        return deleted

    delete_user, adelete_user = operation(_delete_user)

    def _delete_idle(self, before: Time | timedelta, *, user_id: str | None = None) -> Program[int]:
        """Delete sessions that have not been active for some time, with their messages.

        Meant to be scheduled. It reads the whole session table, or that of one user.

        Args:
            before: The time (microseconds or an aware datetime) before which a session was last active, or how long
                ago that has to be (a timedelta).
            user_id: Only this user's sessions.

        Returns:
            How many sessions were deleted.
        """
        if isinstance(before, timedelta):
            limit = microseconds_timestamp() - before // timedelta(microseconds=1)
        else:
            limit = check_time(before, "before")
        if user_id is not None:
            check_id(user_id, "user_id")

        def idle(row: StoredRow | None) -> StoredRow | None:
            return row if row is not None and row.columns.get(UPDATE_TIME, limit) < limit else None

        deleted = 0
        scan = self.table.scan(user_id, idle)
        while not scan.finished:
            for row in (yield from scan.fetch()):
                key = row.key["session_id"], row.key["user_id"]
                # Those at the end of a long page may have become active again.
                if idle((yield from self.table.read(*key))):
                    yield from self._delete_messages(row, *key)
                    yield from self.table.delete([(key[1], key[0])])
                    deleted += 1
        return deleted

    delete_idle, adelete_idle = operation(_delete_idle)

    # For those who write messages

    def activity(
        self,
        user_id: str,
        session_id: str,
        conversation: str,
        *,
        new_messages: int,
        opening: str | None,
        preview: str | None,
        title: str | None = None,
        token: WriteToken | None = None,
    ) -> RowWrite:
        """The write that goes with new messages: the session is made or moved to the top of the list.

        Args:
            user_id: The user.
            session_id: The session.
            conversation: Where its messages are in the message table.
            new_messages: How many there are.
            opening: The text of the first message of the conversation, where it is among them.
            preview: The text of the last message.
            title: A name to give to the session.
            token: What marks this write, for those who have to know whether others have written since.
        """
        columns: dict[str, Any] = {UPDATE_TIME: microseconds_timestamp(), CONVERSATION: conversation}
        if opening:
            columns[OPENING] = excerpt(opening)
        if preview:
            columns[PREVIEW] = excerpt(preview)
        if title is not None:
            columns[TITLE] = check_title(title)
        condition = None
        checked = token is not None and token.checked
        if token is not None:
            columns[LAST_WRITE] = token.token
            unchanged = column_unchanged({LAST_WRITE: token.known}, LAST_WRITE)
            condition = Condition(RowExistenceExpectation.IGNORE, unchanged if checked else None)
        write = update_row(
            self.table_name,
            session_key(user_id, session_id),
            list(columns.items()),
            increment=[(MESSAGE_COUNT, new_messages)] if new_messages else (),
            name=session_name(session_id),
            condition=condition,
        )
        return replace(write, repeat=None) if checked else write

    def summarize(self, user_id: str, session_id: str, *, opening: str | None, preview: str | None) -> Program[int]:
        """Bring the opening, the preview and the message count up to date after messages were changed or deleted."""
        texts = {OPENING: opening, PREVIEW: preview}
        put = [(name, excerpt(text)) for name, text in texts.items() if text]
        return self._settle(session_id, user_id, put, [name for name, text in texts.items() if not text])

    def _settle(
        self, session_id: str, user_id: str, put: Sequence[tuple[str, Any]], delete: Sequence[str]
    ) -> Program[int]:
        """Count the messages and write the number, with other columns."""
        for attempt in range(1, UPDATE_ATTEMPTS + 1):
            row = yield from self.table.read(session_id, user_id)
            if row is None:
                raise SessionNotFoundError(no_session(session_id))
            count = yield from self._messages.count_said(conversation_in(row))
            # Who adds a message while they are counted changes the number, and then they are counted again.
            condition = Condition(RowExistenceExpectation.EXPECT_EXIST, column_unchanged(row.columns, MESSAGE_COUNT))
            changes: dict[str, Any] = {"PUT": [(MESSAGE_COUNT, count), *put]}
            if delete:
                changes["DELETE_ALL"] = [*delete]
            try:
                yield Call("update_row", self.table_name, Row(session_key(user_id, session_id), changes), condition)
            except ServiceError as error:
                if error.code != CONFLICT:
                    raise
                yield Sleep(self._connection.retry.delay(attempt))
            else:
                return count
        raise ServiceError(
            f"Session {session_id!r} gained messages each time they were counted. Try again.",
            api="update_row",
        )

    # Below here: messages

    def _delete_messages(self, row: StoredRow | None, session_id: str, user_id: str) -> Program[None]:
        conversations = set()
        if user_id != DEFAULT_USER:
            # Where both ids together are too long for a key, no conversation can have that name.
            with contextlib.suppress(InvalidArgumentError):
                conversations.add(conversation_of(user_id, session_id))
        if row is not None and (yield from self._owns_conversation(row)):
            conversations.add(conversation_in(row))
        for conversation in sorted(conversations):
            yield from self._messages._delete_conversation(conversation)  # noqa: SLF001 - a program of ours

    def _owns_conversation(self, row: StoredRow) -> Program[bool]:
        """Whether the messages that a session names are its user's.

        A row that names none, which other tools wrote, stands for those under the bare session id. Where the user for
        whom nobody was named has a session of that id, they are that user's.
        """
        if CONVERSATION in row.columns or row.key["user_id"] == DEFAULT_USER:
            return True
        return (yield from self.table.read(row.key["session_id"], DEFAULT_USER)) is None

    # Last, because the name hides the built-in one in the class body.
    list, alist = operation(_list)
