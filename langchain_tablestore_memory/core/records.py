"""What is stored: sessions and messages, as plain records."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from tablestore import Direction

from langchain_tablestore_memory.filters import Filter

T = TypeVar("T")

MetadataFilter = Filter | Mapping[str, Any] | None
"""Which metadata: a dict, or what is made with `langchain_tablestore_memory.Filters`; None for any."""

DEFAULT_USER = "default"
"""The user of conversations for which none is named."""


class Order(Enum):
    """The order of a listing: ascending (oldest first) or descending (newest first)."""

    ASC = Direction.FORWARD
    DESC = Direction.BACKWARD


def microseconds_timestamp() -> int:
    """The present time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


@dataclass(slots=True)
class Session:
    """A conversation of a user.

    Attributes:
        user_id: The user whose conversation it is.
        session_id: Its id, unique for this user.
        update_time: When it was last active, in microseconds since 1970-01-01 UTC.
        metadata: What the application wants to keep with it.
        title: The name given to it; where none was given, the beginning of its first message. Set by a
            `SessionRegistry` and read only.
        message_count: How many messages it holds, where that is kept (by `TablestoreChatMessageHistory`).
        preview: The beginning of its last message.

    Example:
        ```python
        Session(user_id="u1", session_id="s1", metadata={"model": "qwen-plus"})
        ```
    """

    user_id: str
    session_id: str
    update_time: int = field(default_factory=microseconds_timestamp)
    metadata: dict[str, Any] = field(default_factory=dict)
    title: str | None = field(default=None, kw_only=True)
    message_count: int | None = field(default=None, kw_only=True)
    preview: str | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        """What is not set is left out."""
        return _represent(self, optional=("title", "message_count", "preview"))


@dataclass(slots=True)
class Message:
    """A message of a conversation.

    Attributes:
        session_id: The conversation.
        message_id: Its id, unique in the conversation.
        create_time: Its place in the conversation, in microseconds since 1970-01-01 UTC. None before it is stored:
            it is then set to the time of writing. It does not change afterwards.
        content: Its text; None where it has none.
        metadata: What the application wants to keep with it.
        body: What a framework keeps besides the text, as text of its own making.

    Example:
        ```python
        Message(session_id="s1", message_id="m1", content="Hello", metadata={"source": "web"})
        ```
    """

    session_id: str
    message_id: str
    create_time: int | None = None
    content: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    body: str | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        """What is not set is left out."""
        return _represent(self, optional=("body",))


@dataclass(slots=True)
class Page(Generic[T]):
    """One page of a listing.

    Attributes:
        items: What is on the page.
        cursor: Where the next page begins, to be handed to the same call again; None on the last page. A front end
            may keep it: it is opaque, and refused for any other user, conversation or listing.
    """

    items: list[T]
    cursor: str | None = None

    @property
    def hits(self) -> list[T]:
        """`items`, by the name that tablestore-for-agent-memory uses."""
        return self.items

    @property
    def next_token(self) -> str | None:
        """`cursor`, by the name that tablestore-for-agent-memory uses."""
        return self.cursor


def _represent(record: Any, optional: tuple[str, ...]) -> str:
    shown = [
        f"{name}={value!r}"
        for name in record.__dataclass_fields__
        if (value := getattr(record, name)) is not None or name not in optional
    ]
    return f"{type(record).__name__}({', '.join(shown)})"
