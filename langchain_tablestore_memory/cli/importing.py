"""``tablestore-memory import``: what `export` wrote, put back. What is broken is told, the rest is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langchain_tablestore_memory.chat_history import TablestoreChatMessageHistory
from langchain_tablestore_memory.cli.chat.remembering import open_memory
from langchain_tablestore_memory.cli.exporting import Counts
from langchain_tablestore_memory.cli.lines import (
    BrokenLineError,
    Header,
    MemoryLine,
    MessageLine,
    SessionLine,
    decode_line,
)
from langchain_tablestore_memory.core.conversations import conversation_of
from langchain_tablestore_memory.core.knowledge import KnowledgeStore
from langchain_tablestore_memory.core.memories import FIELDS, encode_memory
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.records import Message
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.errors import EmbeddingError, InvalidArgumentError
from langchain_tablestore_memory.excerpts import opening_of, preview_of

if TYPE_CHECKING:
    from langchain_tablestore_memory.cli.chat.models import Recall
    from langchain_tablestore_memory.connection import Connection

_BATCH = 500
_EXCERPTED = 20
"""Messages at either end of a conversation in which its title and its preview are looked for."""

SessionKey = tuple[str, str]


@dataclass(slots=True)
class Import:
    """An import.

    Sessions that exist are kept, and get what the file holds besides; a message whose id a conversation holds already
    is replaced. So importing a file again is harmless.

    Attributes:
        connection: Where to.
        recall: How memories are embedded.
        complain: Told of each line that is broken: its number, from 1, and why.
    """

    connection: Connection
    recall: Recall
    complain: Callable[[int, str], None]
    counts: Counts = field(default_factory=Counts, init=False)
    broken: int = field(default=0, init=False)
    _messages: list[Message] = field(default_factory=list, init=False)
    _memories: list[MemoryLine] = field(default_factory=list, init=False)
    _existed: dict[SessionKey, bool] = field(default_factory=dict, init=False)
    _registry: SessionRegistry = field(init=False)
    _store: MessageStore = field(init=False)
    _knowledge: KnowledgeStore | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._registry = SessionRegistry(self.connection)
        self._store = MessageStore(self.connection)

    def run(self, lines: Iterable[bytes]) -> None:
        """Read lines and store what they hold.

        Raises:
            ServiceError: The service cannot be reached, or refused. Importing again is harmless.
            EmbeddingError: The model that embeds memories failed. The same.
        """
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = decode_line(line)
                self._take(record)
            except (BrokenLineError, InvalidArgumentError) as error:
                self.broken += 1
                self.complain(number, str(error))
            else:
                self.counts.add(record)
        self._put_messages()
        self._put_memories()
        for user_id, session_id in self._existed:
            self._summarize(user_id, session_id)

    def _take(self, record: Header | SessionLine | MessageLine | MemoryLine) -> None:
        if isinstance(record, SessionLine):
            self._put_session(record)
        elif isinstance(record, MessageLine):
            self._take_message(record)
        elif isinstance(record, MemoryLine):
            self._memories.append(record)
            if len(self._memories) >= _BATCH:
                self._put_memories()

    # Sessions

    def _put_session(self, line: SessionLine) -> None:
        user_id, session_id = key = line.user_id, line.session_id
        known = self._registry.get(session_id, user_id)
        self._existed.setdefault(key, known is not None)
        if known is None:
            self._registry.create(user_id, session_id, title=line.title, metadata=line.metadata)
            self._registry.update(session_id, user_id, update_time=line.update_time)
            return
        # One that this import made, because the line of its session came late, has no time of its own.
        time = max(known.update_time, line.update_time) if self._existed[key] else line.update_time
        self._registry.update(session_id, user_id, metadata=line.metadata, update_time=time)
        if line.title is not None:
            self._registry.rename(session_id, line.title, user_id)

    def _summarize(self, user_id: str, session_id: str) -> None:
        """Bring the opening, the preview and the count of a session up to date."""
        history = TablestoreChatMessageHistory(session_id, user_id=user_id, connection=self.connection)
        first = [entry.message for entry in history.entries(limit=_EXCERPTED)]
        latest = history.page(limit=_EXCERPTED).messages
        self.connection.run(
            self._registry.summarize(user_id, session_id, opening=opening_of(first), preview=preview_of(latest))
        )

    # Messages

    def _take_message(self, line: MessageLine) -> None:
        message = Message(
            conversation_of(line.user_id, line.session_id),
            line.message_id,
            line.create_time,
            line.content,
            line.metadata,
            body=line.body,
        )
        # Refused here, it is told by its line, and the others of its batch are kept.
        self._store.writes([message])
        key = (line.user_id, line.session_id)
        if key not in self._existed:
            existed = self._registry.get(line.session_id, line.user_id) is not None
            if not existed:
                self._registry.create(line.user_id, line.session_id)
                self._registry.update(line.session_id, line.user_id, update_time=line.create_time)
            self._existed[key] = existed
        if self._existed[key]:
            self._put_in_place(message)
        else:
            self._messages.append(message)
            if len(self._messages) >= _BATCH:
                self._put_messages()

    def _put_in_place(self, message: Message) -> None:
        """Store a message of a conversation that exists, where one of its id is if there is one."""
        known = self._store.get(message.session_id, message.message_id)
        if known is not None:
            message.create_time = known.create_time
        self._store.put([message])

    def _put_messages(self) -> None:
        self._store.put(self._messages)
        self._messages = []

    # Memories

    def _put_memories(self) -> None:
        if not self._memories:
            return
        if self._knowledge is None:
            _, self.recall = open_memory(self.connection, self.recall)
            self._knowledge = KnowledgeStore(
                self.connection,
                self.recall.dimension,
                enable_multi_tenant=True,
                table_name="memory",
                filterable=FIELDS,
            )
        vectors: list[list[float] | None] = [None] * len(self._memories)
        model = self.recall.embeddings
        if model is not None:
            try:
                vectors = [*model.embed_documents([line.memory.text for line in self._memories])]
            except Exception as error:
                raise EmbeddingError(f"The embedding model failed: {error!r}.", failed=()) from error
        self._knowledge.put_documents(
            [
                encode_memory(line.memory, line.user_id, embedding=vector)
                for line, vector in zip(self._memories, vectors, strict=True)
            ]
        )
        self._memories = []
