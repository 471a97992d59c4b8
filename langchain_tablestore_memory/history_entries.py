"""What a history gives: messages with what is kept about them, made of the rows of the message table."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_tablestore_memory import message_codec
from langchain_tablestore_memory.core.conversations import session_in
from langchain_tablestore_memory.core.message_rows import decode_row
from langchain_tablestore_memory.core.ranges import StoredRow
from langchain_tablestore_memory.core.records import Message
from langchain_tablestore_memory.errors import StoredDataError

_ROLE_KEYS = ("role", "type", "message_type", "messageType", "meta_消息分类")
"""Metadata in which other tools keep who wrote a message."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A message of a conversation with what is kept about it.

    Attributes:
        message: The message.
        id: Its id in the conversation: that of the message, or one that was given to it when it was stored.
        create_time: Its place, in microseconds since 1970-01-01 UTC.
        metadata: What the application keeps with it.
    """

    message: BaseMessage
    id: str
    create_time: int
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some consecutive messages of a conversation, oldest first.

    Attributes:
        entries: The messages with what is kept about them.
        older: The cursor of the page before; None at the beginning of the conversation.
        newer: The cursor of the page after; None at its end, as it was when the page was read.
    """

    entries: list[HistoryEntry]
    older: str | None = None
    newer: str | None = None

    @property
    def messages(self) -> list[BaseMessage]:
        """The messages alone."""
        return [entry.message for entry in self.entries]


@dataclass(frozen=True, slots=True)
class HistoryHit:
    """A message that a search found.

    Attributes:
        entry: The message with what is kept about it.
        session_id: The session that it belongs to.
        score: How well it fits, higher is better.
    """

    entry: HistoryEntry
    session_id: str
    score: float

    @property
    def message(self) -> BaseMessage:
        """The message alone."""
        return self.entry.message


@dataclass(frozen=True, slots=True)
class EntryReader:
    """Turns rows into messages.

    Attributes:
        types: Classes of the caller's that occur in messages.
    """

    types: Collection[type]

    def message(self, row: Message) -> BaseMessage:
        """The message in a row, whoever wrote it.

        Raises:
            StoredDataError: It was damaged, or needs a class that is not among `types`.
        """
        role = _role(row) if row.body is None else None
        return message_codec.decode(row.content, row.body, role=role, message_id=row.message_id, types=self.types)

    def entry(self, row: Message) -> HistoryEntry:
        """The message in a row with what is kept about it."""
        return HistoryEntry(self.message(row), row.message_id, row.create_time or 0, row.metadata)

    def hit(self, row: StoredRow, score: float | None) -> HistoryHit:
        """What a search found."""
        message = decode_row(row)
        return HistoryHit(self.entry(message), session_in(message.session_id), score or 0.0)

    def readable(self, rows: Sequence[Message]) -> list[BaseMessage]:
        """The messages in rows, for an excerpt: a damaged one is no reason to refuse what is done to others."""
        messages = []
        for row in rows:
            with contextlib.suppress(StoredDataError):
                messages.append(self.message(row))
        return messages


def _role(row: Message) -> str | None:
    values = (row.metadata.get(key) for key in _ROLE_KEYS)
    return next((value for value in values if isinstance(value, str)), None)
