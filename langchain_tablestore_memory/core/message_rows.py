"""Messages as rows of the message table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory.core.checks import check_id, check_time
from langchain_tablestore_memory.core.columns import (
    COLUMN_PREFIX,
    METADATA_COLUMN,
    continuation_columns,
    decode_metadata,
    encode_metadata,
    is_metadata_column,
    join_text,
    split_text,
)
from langchain_tablestore_memory.core.ranges import KeyColumns, StoredRow
from langchain_tablestore_memory.core.records import Message, Order
from langchain_tablestore_memory.errors import InvalidArgumentError

CONTENT = "content"
BODY = "lc_message"
SOURCE = "message_source"
"""Metadata of a message that nobody said: what put it into the conversation, such as ``summarization``.

Such a message is not counted, and neither names a conversation nor is its preview.
"""

_KEY = ("session_id", "create_time", "message_id")
_RESERVED = frozenset({*_KEY, CONTENT})
_OWN_COLUMNS = frozenset(
    name for column in (CONTENT, BODY, METADATA_COLUMN) for name in (column, *continuation_columns(column))
)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of times, both ends included; None is open.

    Attributes:
        first: The earliest time, in microseconds.
        last: The latest time, in microseconds.
    """

    first: int | None = None
    last: int | None = None

    def key_bounds(self, order: Order) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Start and end of the range, as the two key columns after the partition key, in reading direction."""
        low = (INF_MIN if self.first is None else self.first, INF_MIN)
        high = (INF_MAX if self.last is None else self.last, INF_MAX)
        return (low, high) if order is Order.ASC else (high, low)

    @property
    def empty(self) -> bool:
        """Whether no time is in it."""
        return self.first is not None and self.last is not None and self.first > self.last


def message_columns(message: Message) -> list[tuple[str, Any]]:
    """The columns that hold a message."""
    columns = list(encode_metadata(message.metadata, reserved=_RESERVED))
    if message.content is not None:
        columns += split_text(CONTENT, message.content)
    if message.body is not None:
        columns += split_text(BODY, message.body)
    return columns


def decode_row(row: StoredRow) -> Message:
    """The message in a row, whoever wrote it."""
    return Message(
        row.key["session_id"],
        row.key["message_id"],
        row.key["create_time"],
        join_text(CONTENT, row.columns),
        decode_metadata(row.columns, reserved=_RESERVED),
        body=join_text(BODY, row.columns),
    )


def check_message(message: Any) -> None:
    """Check all that can be wrong with a message, before anything is written.

    Raises:
        InvalidArgumentError: It cannot be stored.
    """
    if not isinstance(message, Message):
        raise InvalidArgumentError(
            f"A {type(message).__name__} was given for a message. Give a Message(session_id=..., message_id=...)."
        )
    check_id(message.session_id, "session_id")
    check_id(message.message_id, "message_id")
    if message.create_time is not None:
        check_time(message.create_time, "create_time")
    if message.content is not None and not isinstance(message.content, str):
        raise InvalidArgumentError(
            f"The content of {message_name(message)} is a {type(message.content).__name__}. Give a str."
        )
    if not isinstance(message.metadata, Mapping):
        raise InvalidArgumentError(
            f"The metadata of {message_name(message)} is a {type(message.metadata).__name__}. Give a dict."
        )


def merged(stored: Message, changes: Message) -> Message:
    """A stored message with what is given of `changes`."""
    return Message(
        stored.session_id,
        stored.message_id,
        stored.create_time,
        stored.content if changes.content is None else changes.content,
        {**stored.metadata, **changes.metadata},
        body=stored.body if changes.body is None else changes.body,
    )


def is_own_column(name: str) -> bool:
    """Whether a column is one that this package writes for messages."""
    return name in _OWN_COLUMNS or not name.startswith(COLUMN_PREFIX)


def is_message_metadata(name: str) -> bool:
    """Whether metadata of this name can be a column of its own."""
    return is_metadata_column(name, reserved=_RESERVED)


def message_keys(conversation: Any, create_time: Any, message_id: Any) -> KeyColumns:
    """A key of the message table, or a bound of a range of keys."""
    return [("session_id", conversation), ("create_time", create_time), ("message_id", message_id)]


def message_key(message: Message) -> KeyColumns:
    """The key of a message's row."""
    return message_keys(message.session_id, message.create_time, message.message_id)


def message_name(message: Message) -> str:
    """What a message is called in errors."""
    return f"message {message.message_id!r}"
