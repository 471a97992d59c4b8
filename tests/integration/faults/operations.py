"""Every operation of the public classes, as something that can be run sync or async, again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_tablestore_memory import (
    HistoryEntry,
    HistoryPage,
    InvalidArgumentError,
    MemoryStore,
    Message,
    MessageStore,
    Order,
    Page,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
)

from .worlds import LONG_AGO, World

SUBJECTS: dict[type, Callable[[World], Any]] = {
    TablestoreChatMessageHistory: lambda world: world.history(),
    SessionRegistry: lambda world: world.registry,
    MemoryStore: lambda world: world.store,
    MessageStore: lambda world: MessageStore(world.connection),
}


@dataclass(frozen=True, eq=False)
class Operation:
    """One call of a public method.

    Attributes:
        owner: The class.
        method: The sync method; the async one has an "a" in front.
        args: Makes its positional arguments, anew for each call.
        kwargs: Its keyword arguments.
        note: What tells it from other calls of the method.
        subject: Makes the object.
        furnished: Whether the world holds tables and conversations before.
        adds: Ids of messages that are there afterwards and were not before.
        repeated: What calling it again may raise after a call that failed half way.
        large: Whether it takes long.
    """

    owner: type
    method: str
    args: Callable[[], tuple[Any, ...]] = tuple
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    subject: Callable[[World], Any] | None = None
    furnished: bool = True
    adds: tuple[str, ...] = ()
    repeated: tuple[type[Exception], ...] = ()
    large: bool = False

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.method}{f' ({self.note})' if self.note else ''}"

    def of(self, world: World) -> Any:
        """The object to call it on."""
        return (self.subject or SUBJECTS[self.owner])(world)

    def run(self, subject: Any) -> Any:
        """Call the sync method."""
        if self.method == "messages":
            return told(subject.messages)
        result = getattr(subject, self.method)(*self.args(), **self.kwargs)
        return told(list(result) if isinstance(result, Iterator) else result)

    async def arun(self, subject: Any) -> Any:
        """Call the async method."""
        method = getattr(subject, "aget_messages" if self.method == "messages" else f"a{self.method}")
        result = method(*self.args(), **self.kwargs)
        if isinstance(result, AsyncIterator):
            return told([item async for item in result])
        return told(await result)


def told(result: Any) -> Any:
    """A result without what differs from run to run: times, and cursors, which hold times."""
    match result:
        case list():
            return [told(item) for item in result]
        case Page():
            return [told(result.items), result.cursor is not None]
        case HistoryPage():
            return [told(result.entries), result.older is not None, result.newer is not None]
        case HistoryEntry():
            return [result.message, result.id, result.metadata]
        case Session():
            record = result
            return [record.user_id, record.session_id, record.metadata, record.title, record.message_count]
        case Message():
            return [result.session_id, result.message_id, result.content, result.metadata]
        case TablestoreChatMessageHistory():
            return result.conversation
    return result


def spoken(*ids: str, text: str = "text of {}") -> list[BaseMessage]:
    """Messages in turn of a human and a model."""
    kinds = (HumanMessage, AIMessage)
    return [kinds[n % 2](text.format(message_id), id=message_id) for n, message_id in enumerate(ids)]


def after_reading(world: World) -> TablestoreChatMessageHistory:
    """A history in the middle of a turn."""
    history = world.history()
    assert len(history.messages) == 4
    return history


def _history() -> list[Operation]:
    def of(method: str, args: Callable[[], tuple[Any, ...]] = tuple, **options: Any) -> Operation:
        return Operation(TablestoreChatMessageHistory, method, args, **options)

    many = [f"x{n}" for n in range(250)]
    generated = ["lc_run--1", "lc_run--2"]
    metadata = {"metadata": {"source": "web", "tags": ["a"]}}
    return [
        of("messages"),
        of("messages", note="window", subject=lambda world: world.history(window=3)),
        of("messages", note="no tables", furnished=False),
        of("page", kwargs={"limit": 2}),
        of("page", kwargs={"metadata_filter": {"language": "en"}}, note="filter"),
        of("entries"),
        of("entries", kwargs={"order": Order.DESC, "limit": 3}, note="newest first"),
        of("get", lambda: ("m2",)),
        of("add_messages", lambda: (spoken("m5", "m6"),), kwargs=metadata, adds=("m5", "m6")),
        of("add_messages", lambda: (spoken("m5", "m6"),), note="turn", subject=after_reading, adds=("m5", "m6")),
        of("add_messages", lambda: (spoken("m5", "m2", text="new {}"),), note="one known", adds=("m5",)),
        of("add_messages", lambda: (spoken(*generated),), note="ids of model runs", adds=tuple(generated)),
        of("add_messages", lambda: (spoken("a", "b"),), note="no tables", furnished=False, adds=("a", "b")),
        of(
            "add_messages",
            lambda: (spoken("a", "b"),),
            note="new session",
            subject=lambda world: world.history("fresh"),
            adds=("a", "b"),
        ),
        of(
            "add_messages",
            lambda: (spoken(*many),),
            note="two requests",
            subject=lambda world: world.history("fresh"),
            adds=tuple(many),
            large=True,
        ),
        of("edit", lambda: ("m2", AIMessage("changed"))),
        of("edit", lambda: ("m1", HumanMessage("changed")), kwargs=metadata, note="metadata"),
        of("delete", lambda: ("m2",)),
        of("delete", lambda: ("m2", "m4", "absent"), note="several"),
        of("clear"),
        of("fork", lambda: ("m2",), kwargs={"session_id": "f1", "title": "Fork"}, repeated=(InvalidArgumentError,)),
        of("fork", kwargs={"session_id": "f1"}, note="all", repeated=(InvalidArgumentError,)),
    ]


def _registry() -> list[Operation]:
    def of(method: str, args: Callable[[], tuple[Any, ...]] = tuple, **options: Any) -> Operation:
        return Operation(SessionRegistry, method, args, **options)

    return [
        of("setup"),
        of("setup", note="no tables", furnished=False),
        of("drop"),
        of("create", lambda: ("u1", "s3"), kwargs={"title": "New"}, repeated=(InvalidArgumentError,)),
        of("create", lambda: ("u1", "s3"), note="no tables", furnished=False, repeated=(InvalidArgumentError,)),
        of("get", lambda: ("s1", "u1")),
        of("update", lambda: ("s1", "u1"), kwargs={"metadata": {"model": "qwen-max"}}),
        of("update", lambda: ("plain", "p1"), kwargs={"metadata": {"nested": {"b": 2}}}, note="nested"),
        of("update", lambda: ("plain", "p1"), kwargs={"remove": ["nested", "model"]}, note="remove"),
        of("rename", lambda: ("s1", "Renamed", "u1")),
        of("touch", lambda: ("s1", "u1")),
        of("recount", lambda: ("s1", "u1")),
        of("delete", lambda: ("s1", "u1")),
        of("delete", lambda: ("s1", "u1"), kwargs={"messages": False}, note="messages stay"),
        of("list", lambda: ("u1",)),
        of("list", lambda: ("p1",), kwargs={"metadata_filter": {"nested": {"$exists": True}}}, note="filter"),
        of("list", lambda: ("p1",), kwargs={"full": True, "limit": 1}, note="full"),
        of("list", lambda: ("u1",), note="no tables", furnished=False),
        of("iterate", lambda: ("u1",)),
        of("delete_user", lambda: ("u1",)),
        of("delete_idle", lambda: (LONG_AGO + 10,)),
    ]


def _store() -> list[Operation]:
    def of(method: str, args: Callable[[], tuple[Any, ...]] = tuple, **options: Any) -> Operation:
        return Operation(MemoryStore, method, args, **options)

    return [
        of("init_table"),
        of("init_table", note="no tables", furnished=False),
        of("delete_tables"),
        of("put_session", lambda: (Session("p1", "new", 7, {"model": "qwen-plus"}),)),
        of("put_session", lambda: (Session("p1", "new", 7),), note="no tables", furnished=False),
        of("update_session", lambda: (Session("p1", "plain", 8, {"model": "qwen-max"}),)),
        of("update_session", lambda: (Session("p1", "plain", 8, {"nested": {"c": 3}}),), note="nested"),
        of("update_session", lambda: (Session("p1", "new", 8, {"nested": {"c": 3}}),), note="nested, absent"),
        of("get_session", lambda: ("p1", "plain")),
        of("delete_session", lambda: ("p1", "plain")),
        of("delete_session_and_messages", lambda: ("p1", "plain")),
        of("delete_sessions", lambda: ("p1",)),
        of("delete_all_sessions"),
        of("list_sessions", lambda: ("p1", {"nested": {"$exists": True}})),
        of("list_all_sessions"),
        of("list_recent_sessions", lambda: ("p1",)),
        of("list_recent_sessions_paginated", lambda: ("p1", 1)),
        of("put_message", lambda: (Message("plain", "p4", 4, "text 4", {"deep": [1]}),), adds=("p4",)),
        of(
            "put_message",
            lambda: (Message("plain", "p4", 4, "text 4"),),
            note="no tables",
            furnished=False,
            adds=("p4",),
        ),
        of("update_message", lambda: (Message("plain", "p2", 2, "changed"),)),
        of("update_message", lambda: (Message("plain", "p2", None, "changed", {"deep": [1]}),), note="located, nested"),
        of("get_message", lambda: ("plain", "p2", 2)),
        of("get_message", lambda: ("plain", "p2"), note="located"),
        of("delete_message", lambda: ("plain", "p2", 2)),
        of("delete_message", lambda: ("plain", "p2"), note="located"),
        of("delete_messages", lambda: ("plain",)),
        of("delete_all_messages"),
        of("list_messages", lambda: ("plain",), kwargs={"metadata_filter": {"n": {"$gte": 2}}}),
        of("list_all_messages"),
        of("list_messages_paginated", lambda: ("plain", 2)),
    ]


def _message_store() -> list[Operation]:
    def of(method: str, args: Callable[[], tuple[Any, ...]] = tuple, **options: Any) -> Operation:
        return Operation(MessageStore, method, args, **options)

    def three() -> list[Message]:
        return [Message("plain", f"p{n}", n, f"text {n}") for n in (3, 4, 5)]

    return [
        of("setup"),
        of("drop"),
        of("put", lambda: (three(),), adds=("p4", "p5")),
        of("update", lambda: (Message("plain", "p2", 2, "changed"),)),
        of("get", lambda: ("plain", "p2")),
        of("list", lambda: ("plain",)),
        of("list_all"),
        of("count", lambda: ("plain",)),
        of("delete", lambda: ("plain", "p2")),
        of("delete_conversation", lambda: ("plain",)),
        of("delete_all"),
    ]


OPERATIONS = [*_history(), *_registry(), *_store(), *_message_store()]

each_operation = pytest.mark.parametrize("operation", [each for each in OPERATIONS if not each.large], ids=str)
each_operation_and_large_ones = pytest.mark.parametrize(
    "operation",
    [pytest.param(each, id=str(each), marks=[pytest.mark.slow] if each.large else []) for each in OPERATIONS],
)
