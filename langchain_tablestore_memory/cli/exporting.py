"""``tablestore-memory export``: conversations, messages and memories as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from langchain_tablestore_memory.cli.display import counted
from langchain_tablestore_memory.cli.lines import Header, MemoryLine, MessageLine, SessionLine, encode_line
from langchain_tablestore_memory.core.checks import check_id
from langchain_tablestore_memory.core.knowledge import KnowledgeStore
from langchain_tablestore_memory.core.memories import FIELDS, decode_memory
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.records import DEFAULT_USER, Order
from langchain_tablestore_memory.core.session_rows import (
    CONVERSATION,
    TITLE,
    conversation_in,
    decode_session,
)
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.errors import ConfigurationError
from langchain_tablestore_memory.long_term_memory import LongTermMemory

if TYPE_CHECKING:
    from langchain_tablestore_memory.cli.lines import Record
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.core.ranges import StoredRow

_MEMORIES_PER_PAGE = 1000


@dataclass(slots=True)
class Counts:
    """What was written or read.

    Attributes:
        sessions: Conversations.
        messages: Messages.
        memories: Memories.
    """

    sessions: int = 0
    messages: int = 0
    memories: int = 0

    def add(self, record: Record) -> None:
        """Count a record."""
        self.sessions += isinstance(record, SessionLine)
        self.messages += isinstance(record, MessageLine)
        self.memories += isinstance(record, MemoryLine)

    def __str__(self) -> str:
        parts = [counted(self.sessions, "conversation"), counted(self.messages, "message")]
        if self.memories:
            parts.append(counted(self.memories, "memory", "memories"))
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to export.

    Attributes:
        user_id: Whose; None for all users.
        session_id: Only this conversation.
        memories: Whether memories too.
    """

    user_id: str | None
    session_id: str | None = None
    memories: bool = False


def export(connection: Connection, selection: Selection, lines: TextIO) -> Counts:
    """Write what was selected.

    Raises:
        ConfigurationError: The conversation that was asked for does not exist.
        ServiceError: The service cannot be reached.
    """
    registry = SessionRegistry(connection)
    user_id, session_id = selection.user_id, selection.session_id
    if user_id is not None:
        check_id(user_id, "user_id")
        if session_id is not None and registry.get(session_id, user_id) is None:
            raise ConfigurationError(
                f"There is no conversation {session_id} of this user. `tablestore-memory sessions` lists them."
            )
    counts = Counts()
    lines.write(encode_line(Header()))
    for record in _records(connection, registry, selection):
        lines.write(encode_line(record))
        counts.add(record)
    return counts


def _records(connection: Connection, registry: SessionRegistry, selection: Selection) -> Iterator[Record]:
    store = MessageStore(connection)
    for row in _session_rows(connection, registry, selection):
        session = decode_session(row)
        yield SessionLine(
            session.user_id, session.session_id, session.update_time, row.columns.get(TITLE), session.metadata
        )
        if not _owns_messages(registry, row):
            continue
        for message in store.list(conversation_in(row), order=Order.ASC):
            yield MessageLine(
                session.user_id,
                session.session_id,
                message.message_id,
                message.create_time or 0,
                message.content,
                message.body,
                message.metadata,
            )
    if selection.memories:
        yield from _memories(connection, selection.user_id)


def _session_rows(connection: Connection, registry: SessionRegistry, selection: Selection) -> Iterator[StoredRow]:
    if selection.session_id is None:
        yield from connection.iterate(registry.table.scan(selection.user_id, lambda row: row))
        return
    assert selection.user_id is not None
    row = connection.run(registry.table.read(selection.session_id, selection.user_id))
    if row is not None:
        yield row


def _owns_messages(registry: SessionRegistry, row: StoredRow) -> bool:
    """Whether the messages under the bare session id, where another tool put them, are this user's.

    Where the user for whom nobody was named has a session of the same id, they are that user's.
    """
    if CONVERSATION in row.columns or row.key["user_id"] == DEFAULT_USER:
        return True
    return registry.get(row.key["session_id"], DEFAULT_USER) is None


def _memories(connection: Connection, user_id: str | None) -> Iterator[MemoryLine]:
    memory = LongTermMemory(connection=connection)
    if user_id is None:
        store = KnowledgeStore(connection, enable_multi_tenant=True, table_name="memory", filterable=FIELDS)
        for document in store.get_all_documents():
            yield MemoryLine(document.tenant_id, decode_memory(document))
        return
    memory.wait_until_searchable()
    cursor = None
    while True:
        page = memory.list(user_id, limit=_MEMORIES_PER_PAGE, cursor=cursor)
        yield from (MemoryLine(user_id, each) for each in page.items)
        cursor = page.cursor
        if cursor is None:
            return
