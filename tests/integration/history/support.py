"""Histories as the tests use them: one set of calls, carried out by the sync or by the async methods."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import numpy as np
from langchain_core.messages import BaseMessage

from langchain_tablestore_memory import Connection, Session, SessionRegistry, TablestoreChatMessageHistory
from langchain_tablestore_memory.local import Tablestore


class Caller:
    """Calls methods by the names of the sync ones: as they are, or their async twins on an event loop."""

    def __init__(self, runner: asyncio.Runner | None) -> None:
        self.runner = runner

    @property
    def asynchronous(self) -> bool:
        return self.runner is not None

    def __call__(self, owner: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if self.runner is None:
            result = getattr(owner, name)(*args, **kwargs)
            return list(result) if isinstance(result, Iterator) else result
        result = getattr(owner, f"a{name}")(*args, **kwargs)
        return self.runner.run(_all(result) if isinstance(result, AsyncIterator) else result)


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


class Chat:
    """A history whose methods are called by a `Caller`."""

    def __init__(self, history: TablestoreChatMessageHistory, call: Caller) -> None:
        self.history = history
        self.call = call

    @property
    def messages(self) -> list[BaseMessage]:
        if self.call.runner is None:
            return self.history.messages
        return self.call.runner.run(self.history.aget_messages())

    @property
    def texts(self) -> list[str]:
        """What the whole conversation says, read anew."""
        return [str(entry.message.text) for entry in self.entries()]

    def fork(self, *args: Any, **kwargs: Any) -> Chat:
        return Chat(self.call(self.history, "fork", *args, **kwargs), self.call)

    def __getattr__(self, name: str) -> Any:
        if isinstance(getattr(type(self.history), name), property) or name == "refresh":
            return getattr(self.history, name)

        def method(*args: Any, **kwargs: Any) -> Any:
            return self.call(self.history, name, *args, **kwargs)

        return method


class Chats:
    """Makes histories on one connection, for users and sessions that no other test knows."""

    def __init__(self, connection: Connection, call: Caller) -> None:
        self.connection = connection
        self.call = call
        self.registry = SessionRegistry(connection)

    def __call__(self, session_id: str | None = None, *, user_id: str | None = None, **options: Any) -> Chat:
        history = TablestoreChatMessageHistory(
            unique("s") if session_id is None else session_id,
            user_id=unique("u") if user_id is None else user_id,
            **{"connection": self.connection, **options},
        )
        return Chat(history, self.call)

    def again(self, chat: Chat, **options: Any) -> Chat:
        """Another object for the same conversation."""
        return self(chat.session_id, user_id=chat.user_id, **options)

    def session(self, chat: Chat) -> Session | None:
        """The conversation's entry in the session list."""
        return self.call(self.registry, "get", chat.session_id, chat.user_id)

    def sessions(self, user_id: str) -> list[Session]:
        """The sessions of a user, the most recently active first."""
        return self.call(self.registry, "list", user_id).items


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


class CountingTablestore(Tablestore):
    """An embedded Tablestore that knows what it was asked."""

    def __init__(self) -> None:
        super().__init__(None)
        self.requests: list[str] = []

    def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> Any:
        self.requests.append(path.rpartition("/")[2])
        return super().handle(path, headers, body)

    def taken(self) -> list[str]:
        """The requests since the last call of this."""
        requests, self.requests = self.requests, []
        return requests


def exact(found: Any, wanted: Any) -> bool:
    """Whether two values are equal and of the same types all the way down."""
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, BaseMessage):
        return exact(found.__dict__, wanted.__dict__) and found.__pydantic_extra__ == wanted.__pydantic_extra__
    if isinstance(wanted, Mapping):
        return list(found) == list(wanted) and all(exact(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(exact, found, wanted))
    if isinstance(wanted, np.ndarray):
        return found.dtype == wanted.dtype and np.array_equal(found, wanted)
    return bool(found == wanted)
