"""TablestoreChatMessageHistory: the messages of one conversation, for LangChain."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage, HumanMessage

from langchain_tablestore_memory import filters, message_codec
from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_count, check_id, check_optional_count
from langchain_tablestore_memory.core.conversations import conversation_of, of_user
from langchain_tablestore_memory.core.message_rows import SOURCE
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.ranges import MappedPages, collect
from langchain_tablestore_memory.core.record_searches import RecordSearches, message_index
from langchain_tablestore_memory.core.records import (
    DEFAULT_USER,
    Message,
    MetadataFilter,
    Order,
    Page,
)
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.drafts import (
    Places,
    Tail,
    check_messages,
    check_metadata,
    check_types,
    make_drafts,
)
from langchain_tablestore_memory.errors import (
    InvalidArgumentError,
    MessageNotFoundError,
    TablestoreMemoryError,
    WriteError,
)
from langchain_tablestore_memory.excerpts import opening_of, preview_of, text_from, texts_of
from langchain_tablestore_memory.forks import fill
from langchain_tablestore_memory.history_entries import EntryReader, HistoryEntry, HistoryHit, HistoryPage
from langchain_tablestore_memory.history_pages import read_page
from langchain_tablestore_memory.session_summary import EXCERPTED, SessionSummary
from langchain_tablestore_memory.windows import Window, without_orphans

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import tablestore

_TAIL = 3
"""Messages to read of a conversation to which an object adds without having read it before."""

_GENERATED_ID = "lc_run-"
"""How the ids begin that LangChain gives to the message of one model run (`langchain_core.messages.LC_ID_PREFIX`)."""


class TablestoreChatMessageHistory(BaseChatMessageHistory):
    """The messages of one conversation, kept in Tablestore.

    Sync and native async in one class. The constructor does no I/O, so it may be called on an event loop; tables are
    made when they are first missed. Each call that adds messages writes them, and the conversation's entry in the
    session list, in one request.

    Setup:
        ```bash
        pip install langchain-tablestore-memory
        ```

    Instantiate:
        ```python
        from langchain_tablestore_memory import TablestoreChatMessageHistory, connect

        connection = connect("local:./data")
        history = TablestoreChatMessageHistory("session-1", user_id="u1", connection=connection, window=20)
        ```

    Add and read:
        ```python
        history.add_messages([HumanMessage("Hello"), AIMessage("Hi! How can I help?")])
        history.messages
        await history.aget_messages()
        ```

    In a chain:
        ```python
        chain = RunnableWithMessageHistory(
            prompt | model,
            lambda user_id, session_id: TablestoreChatMessageHistory(
                session_id, user_id=user_id, connection=connection, window=20
            ),
            input_messages_key="question",
            history_messages_key="history",
            history_factory_config=[...],
        )
        ```

    Page, change, fork:
        ```python
        page = history.page(limit=20)
        older = history.page(limit=20, cursor=page.older)
        history.edit(page.entries[0].id, HumanMessage("Hello there"))
        other = history.fork(page.entries[0].id)
        ```

    The first read of `messages` is kept until this object writes: within one turn a chain sees one state, also while
    others add to the conversation. `refresh` lets go of it; `page`, `entries` and `get` always read anew. So turns that
    run at the same time need an object each, as in the chain above; making one costs nothing.

    A message whose id the conversation holds already is replaced in place. Ids that were not read are looked up first,
    which costs a request. Only those that LangChain makes anew for each run of a model are not, where a call adds
    nothing besides but messages without ids: that is what a chain does.

    Args:
        session_id: The conversation. Any text of at most 1024 bytes.
        user_id: Whose it is. Users never see each other's conversations, also where their session ids are the same.
        connection: What `connect` returns, an SDK client, or the default connection.
        session_table: The table that lists the sessions.
        message_table: The table of the messages.
        window: `messages` gives at most so many of the latest messages; all by default.
        max_tokens: `messages` gives at most as many of the latest messages as fit in so many tokens.
        token_counter: Counts the tokens of a list of messages; LangChain's approximation by default.
        ttl: Seconds (or a `timedelta`) after which messages vanish, at least one day; None for never. It belongs to
            the message table, so all who use the table give the same.
        isolate_users: False for the layout of tablestore-for-agent-memory, which finds messages by the bare session id
            whoever the user is: to continue conversations that it wrote for named users.
        artifact_types: Dataclasses, pydantic models and enums of yours that occur in messages, such as in the
            artifacts of tools.

    Raises:
        InvalidArgumentError: An id is empty or too long, or a number is out of range.
    """

    def __init__(
        self,
        session_id: str,
        *,
        user_id: str = DEFAULT_USER,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        session_table: str = "session",
        message_table: str = "message",
        window: int | None = None,
        max_tokens: int | None = None,
        token_counter: Callable[[list[BaseMessage]], int] | None = None,
        ttl: int | timedelta | None = None,
        isolate_users: bool = True,
        artifact_types: Collection[type] = (),
    ) -> None:
        self._conversation = conversation_of(user_id, session_id, isolated=isolate_users)
        self._connection = Connection.of(connection)
        self._store = MessageStore(self._connection, table_name=message_table, ttl=ttl)
        self._registry = SessionRegistry(self._connection, session_table=session_table, message_table=message_table)
        self._window = Window(window, max_tokens, token_counter)
        self._reader = EntryReader(check_types(artifact_types))
        self._summary = SessionSummary(
            self._registry,
            self._store,
            self._reader,
            user_id=user_id,
            session_id=session_id,
            conversation=self._conversation,
        )
        self._isolated = isolate_users
        self._session_id = session_id
        self._user_id = user_id
        self._tail: Tail | None = None
        self._places = Places()
        self._snapshot: Sequence[BaseMessage] | None = None

    def __repr__(self) -> str:
        return f"TablestoreChatMessageHistory({self._session_id!r}, user_id={self._user_id!r}, {self._connection!r})"

    @property
    def session_id(self) -> str:
        """The conversation."""
        return self._session_id

    @property
    def user_id(self) -> str:
        """Whose conversation it is."""
        return self._user_id

    @property
    def conversation(self) -> str:
        """What the message table calls it, in the column that tablestore-for-agent-memory calls ``session_id``."""
        return self._conversation

    # Reading

    @property
    def messages(self) -> list[BaseMessage]:
        """The messages in the window, oldest first. Read once, until this object writes or `refresh` is called."""
        if self._snapshot is None:
            self._snapshot = self._connection.run(self._read_window())
        return list(self._snapshot)

    @messages.setter
    def messages(self, _: list[BaseMessage]) -> None:
        raise InvalidArgumentError("messages cannot be assigned. Use add_messages(), edit(), delete() or clear().")

    async def aget_messages(self) -> list[BaseMessage]:
        """The messages in the window, oldest first. Read once, until this object writes or `refresh` is called."""
        if self._snapshot is None:
            self._snapshot = await self._connection.arun(self._read_window())
        return list(self._snapshot)

    def refresh(self) -> None:
        """Let go of what was read, so that the next read of `messages` sees what others have written."""
        self._snapshot = None
        self._tail = None
        self._places.forget()

    def _page(
        self, limit: int = 20, *, cursor: str | None = None, metadata_filter: MetadataFilter = None
    ) -> Program[HistoryPage]:
        """Read some consecutive messages: the latest ones, or those that a cursor leads to.

        Args:
            limit: Messages on a page.
            cursor: `older` or `newer` of another page. A front end may keep it: it is opaque, and refused for any
                other user or conversation.
            metadata_filter: Which metadata; see `langchain_tablestore_memory.Filters`.

        Raises:
            CursorError: The cursor is malformed or was given out for another user or conversation.
            StoredDataError: A row cannot be turned back into a message.
        """
        return read_page(
            self._store,
            self._conversation,
            self._reader,
            limit=check_count(limit, "limit"),
            cursor=cursor,
            metadata_filter=metadata_filter,
        )

    page, apage = operation(_page)

    def _entries(
        self, *, order: Order = Order.ASC, metadata_filter: MetadataFilter = None, limit: int | None = None
    ) -> MappedPages[Message, HistoryEntry]:
        """Iterate over the whole conversation, reading pages as they are needed.

        Args:
            order: Oldest first by default.
            metadata_filter: Which metadata; see `langchain_tablestore_memory.Filters`.
            limit: How many at the most.
        """
        limit = check_optional_count(limit, "limit")
        if not isinstance(order, Order):
            raise InvalidArgumentError(f"order is a {type(order).__name__}. Give Order.ASC or Order.DESC.")
        pages = self._store.list_from(
            self._conversation, None, order=order, metadata_filter=metadata_filter, limit=limit
        )
        return MappedPages(pages, self._reader.entry)

    entries, aentries = listing(_entries)

    def _get(self, message_id: str) -> Program[HistoryEntry | None]:
        """Read one message by its id; None if there is none."""
        row = yield from self._store._get(self._conversation, message_id)  # noqa: SLF001 - a program of ours
        return None if row is None else self._reader.entry(row)

    get, aget = operation(_get)

    def _search(
        self,
        text: str,
        *,
        scope: Literal["session", "user"] = "session",
        limit: int = 10,
        cursor: str | None = None,
    ) -> Program[Page[HistoryHit]]:
        """Find messages by words, best first.

        Asks the search index of the message table, which the first search makes. On the service it is a few seconds
        behind the table.

        Args:
            text: The words; one of them is enough, more are better.
            scope: Where: in this conversation, or in all conversations of this user that the session list holds.
            limit: Messages on the page, 1 to 100.
            cursor: `Page.cursor` of the page before.

        Raises:
            InvalidArgumentError: The text is empty or too long, or the scope or the limit is none that can be.
            CursorError: The cursor is malformed or was given out for another user, conversation or text.
            StoredDataError: A row cannot be turned back into a message.

        Example:
            ```python
            for hit in history.search("flight to Hangzhou", scope="user").items:
                print(hit.session_id, hit.message.text, hit.score)
            ```
        """
        if scope not in {"session", "user"}:
            raise InvalidArgumentError(f"scope is {scope!r}. Give 'session' or 'user'.")
        if scope == "user" and not self._isolated and self._user_id != DEFAULT_USER:
            raise InvalidArgumentError(
                "scope='user' needs isolate_users=True: without it, messages do not say whose they are."
            )
        theirs = (
            filters.Filters.eq("session_id", self._conversation)
            if scope == "session"
            else of_user(self._user_id, field="session_id")
        )
        wanted = filters.Filters.text_match("content", text) & theirs
        searches = RecordSearches(self._connection, message_index(self._store.schema, None, None), self._reader.hit)
        if scope == "user" and self._user_id == DEFAULT_USER:
            return self._listed_hits(searches, wanted, limit, cursor)
        return searches.page(wanted, limit=limit, token=cursor)

    def _listed_hits(
        self, searches: RecordSearches[HistoryHit], wanted: filters.Filter, limit: int, cursor: str | None
    ) -> Program[Page[HistoryHit]]:
        """Hits in conversations that the session list holds for this user.

        Bare names do not say whose conversation it is: other tools give them to those of all users.
        """
        hits: list[HistoryHit] = []
        while True:
            page = yield from searches.page(wanted, limit=limit - len(hits), token=cursor)
            listed = yield from self._registry.table.listed(self._user_id, {hit.session_id for hit in page.items})
            hits += [hit for hit in page.items if hit.session_id in listed]
            cursor = page.cursor
            if cursor is None or len(hits) == limit:
                return Page(hits, cursor)

    search, asearch = operation(_search)

    # Writing

    def _add_messages(
        self,
        messages: Sequence[BaseMessage],
        *,
        metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        create_times: Sequence[int | datetime] | None = None,
    ) -> Program[None]:
        """Add messages at the end, in order. One whose id is known already is replaced where it is.

        The messages and the conversation's entry in the session list go out in one request (up to 199 messages and
        4 MB). An object that has not read before looks first where the conversation ends.

        Args:
            messages: What to add.
            metadata: What to keep with each message: one mapping for all, or one for each.
            create_times: The messages' places, in microseconds or as aware datetimes, for the import of old
                conversations; by default the present time, and later than everything that was read. Messages of
                equal times keep their order: each goes to the next free microsecond.

        Raises:
            InvalidArgumentError: A message or its metadata cannot be stored; nothing is written.
            SchemaMismatchError: The message table has another time to live than was asked for.
            WriteError: Some messages are not known to be stored; it names them. Adding the same messages again is
                harmless where they have ids.
        """
        messages = check_messages(messages)
        drafts = make_drafts(self._conversation, messages, metadata, create_times, types=self._reader.types)
        if not drafts:
            return
        yield from self._store.verify_ttl()
        tail = self._tail
        if tail is None:
            tail = yield from self._read_tail()
            # Only now, when it was just read, is it certain that none of the ids is there.
            certain = tail.empty and not self._places.unsettled
            known = {} if certain else (yield from self._known_times(tail, messages))
        else:
            known = yield from self._known_times(tail, messages)
        end = self._places.end(tail)
        new = self._places.assign(drafts, known, tail)
        opening = opening_of(messages, untitled=tail.untitled, empty=tail.empty)
        rows = [
            *self._store.writes(list(drafts.values())),
            self._summary.activity(new_messages=len(new), opening=opening, preview=text_from(end, drafts.values())),
        ]
        self._snapshot = None
        try:
            in_doubt = yield from self._summary.write(rows)
        except BaseException as error:
            # Also where the caller was cancelled or interrupted.
            self._tail = None
            self._places.unsettled.update({message.message_id: message.create_time or 0 for message in drafts.values()})
            self._summary.miscounted = True
            if isinstance(error, WriteError) and error.stored:
                # The error matters more than the count, which is set right with the next messages at the latest.
                with contextlib.suppress(TablestoreMemoryError):
                    yield from self._summary.recount()
            raise
        tail.known.update({message.message_id: message.create_time or 0 for message in drafts.values()})
        # Whether those that were sent before were counted then is not known either.
        resent = [message_id for message_id in drafts if self._places.unsettled.pop(message_id, None) is not None]
        tail.empty = False
        if texts_of(messages, HumanMessage):
            tail.untitled = False
        if resent or self._summary.miscounted:
            yield from self._summary.following(rows, self._summary.renew())
        elif in_doubt or tail.foreign:
            yield from self._summary.following(rows, self._summary.recount())

    add_messages, aadd_messages = operation(_add_messages)

    def _edit(
        self, message_id: str, message: BaseMessage, *, metadata: Mapping[str, Any] | None = None
    ) -> Program[None]:
        """Replace a message where it is.

        Args:
            message_id: The message to replace; `HistoryEntry.id` keeps it.
            message: What to put in its place.
            metadata: What to keep with it; unchanged where None.

        Raises:
            MessageNotFoundError: There is no such message.
            InvalidArgumentError: The message cannot be stored; nothing is written.
        """
        text, body = message_codec.encode(message, types=self._reader.types)
        if metadata is not None:
            check_metadata(metadata)
        stored = yield from self._find(message_id)
        stored.content, stored.body = text, body
        stored.metadata = stored.metadata if metadata is None else dict(metadata)
        self._changing()
        yield from self._store._put([stored])  # noqa: SLF001 - a program of ours
        yield from self._changed()

    edit, aedit = operation(_edit)

    def _delete(self, *message_ids: str) -> Program[None]:
        """Delete messages by their ids; those that are not there are passed over."""
        for message_id in message_ids:
            check_id(message_id, "message_id")
        self._changing()
        yield Together(
            [self._store._delete(self._conversation, message_id) for message_id in message_ids]  # noqa: SLF001
        )
        yield from self._changed()

    delete, adelete = operation(_delete)

    def _clear(self) -> Program[None]:
        """Delete all messages.

        The conversation stays in the session list, with the name that it was given; `SessionRegistry.delete` removes it
        from there too.
        Interrupted, it can be called again.
        """
        self._changing()
        yield from self._store._delete_conversation(self._conversation)  # noqa: SLF001 - a program of ours
        yield from self._changed()

    clear, aclear = operation(_clear)

    def _fork(
        self, message_id: str | None = None, *, session_id: str | None = None, title: str | None = None
    ) -> Program[TablestoreChatMessageHistory]:
        """Copy the conversation up to a message, this one included, into a new one, to go on differently.

        Args:
            message_id: The last message to copy; all by default.
            session_id: The id of the new conversation; a new UUID by default.
            title: Its title.

        Returns:
            The new conversation, of the same user.

        Raises:
            MessageNotFoundError: There is no such message.
            InvalidArgumentError: A session of the new id exists.
            WriteError: It could not be written, and what was written of it is deleted again. Where that failed too, it
                says in which session it is.
        """
        yield from self._store.verify_ttl()
        last = None if message_id is None else (yield from self._find(message_id))
        other = self._sibling(str(uuid.uuid4()) if session_id is None else session_id)
        taken = (yield from self._registry._get(other.session_id, self._user_id)) is not None  # noqa: SLF001
        # Another tool may have written messages and no session.
        if taken or (yield from collect(self._store.list_from(other.conversation, None, limit=1))):
            raise InvalidArgumentError(f"Session {other.session_id!r} exists. Choose another id, or none.")
        copied = yield from collect(self._store.list_from(self._conversation, None, order=Order.ASC))
        if last is not None:
            copied = [m for m in copied if (m.create_time, m.message_id) <= (last.create_time, last.message_id)]
        for message in copied:
            message.session_id = other.conversation
        session = other._summary.activity(  # noqa: SLF001 - of this class
            new_messages=sum(SOURCE not in message.metadata for message in copied),
            opening=opening_of(self._reader.readable(copied[:EXCERPTED])),
            preview=preview_of(self._reader.readable(copied[-EXCERPTED:])),
            title=title,
        )
        yield from fill([*self._store.writes(copied), session], other._summary)  # noqa: SLF001 - of this class
        return other

    fork, afork = operation(_fork)

    # Below here: how it is done

    def _read_window(self) -> Program[Sequence[BaseMessage]]:
        rows: list[Message] = []
        pages = self._store.list_from(
            self._conversation, None, limit=self._window.count, page_size=self._window.page_size
        )
        budget = self._window.budget()
        decoded: list[BaseMessage] = []
        full = False
        while not (pages.finished or full):
            for row in (yield from pages.fetch()):
                message = self._reader.message(row)
                full = not budget.admits(message)
                if full:
                    break
                rows.append(row)
                decoded.append(message)
        complete = pages.position is None and not full
        decoded.reverse()
        self._tail = Tail.of(rows, decoded, complete=complete)
        return decoded if complete else without_orphans(decoded)

    def _read_tail(self) -> Program[Tail]:
        """Where the conversation ends."""
        rows = yield from collect(self._store.list_from(self._conversation, None, limit=_TAIL))
        self._tail = tail = Tail.of(rows, self._reader.readable(rows), complete=len(rows) < _TAIL)
        return tail

    def _known_times(self, tail: Tail, messages: Sequence[BaseMessage]) -> Program[dict[str, int]]:
        """The times of those messages that the conversation holds already, by id."""
        ids = dict.fromkeys(message.id for message in messages if message.id)
        places = {**self._places.unsettled, **tail.known}
        known = {message_id: places[message_id] for message_id in ids if message_id in places}
        unsure = [message_id for message_id in ids if message_id not in known]
        if any(not message_id.startswith(_GENERATED_ID) for message_id in unsure):
            known.update((yield from self._store.table.latest_times(self._conversation, unsure)))
        return known

    def _find(self, message_id: str) -> Program[Message]:
        row = yield from self._store._get(self._conversation, message_id)  # noqa: SLF001 - a program of ours
        if row is None:
            raise MessageNotFoundError(f"There is no message {message_id!r} in this conversation.")
        return row

    def _changing(self) -> None:
        """Prepare for anything but adding: until it is done, neither what was read nor the count can be relied on."""
        self.refresh()
        self._summary.miscounted = True

    def _changed(self) -> Program[None]:
        """Bring the session list up to date after anything but adding, which does so by itself."""
        self._changing()
        yield from self._summary.renew()

    def _sibling(self, session_id: str) -> TablestoreChatMessageHistory:
        return TablestoreChatMessageHistory(
            session_id,
            user_id=self._user_id,
            connection=self._connection,
            session_table=self._registry.table_name,
            message_table=self._store.table_name,
            window=self._window.count,
            max_tokens=self._window.max_tokens,
            token_counter=self._window.token_counter,
            ttl=None if self._store.schema.time_to_live == -1 else self._store.schema.time_to_live,
            isolate_users=self._isolated,
            artifact_types=self._reader.types,
        )
