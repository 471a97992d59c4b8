"""Every operation of the public classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_tablestore_memory import (
    Filters,
    InvalidArgumentError,
    MemoryStore,
    Message,
    MessageStore,
    Order,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
)

from .checkpoint_operations import CHECKPOINT_OPERATIONS
from .document_operations import DOCUMENT_OPERATIONS
from .operation import Operation
from .store_operations import STORE_OPERATIONS
from .worlds import LONG_AGO, World


def spoken(*ids: str, text: str = "text of {}") -> list[BaseMessage]:
    """Messages in turn of a human and a model."""
    kinds = (HumanMessage, AIMessage)
    return [kinds[n % 2](text.format(message_id), id=message_id) for n, message_id in enumerate(ids)]


def after_reading(world: World) -> TablestoreChatMessageHistory:
    """A history in the middle of a turn."""
    history = world.history()
    assert len(history.messages) == 4
    return history


def searched(world: World) -> TablestoreChatMessageHistory:
    """A history of a table that was searched before."""
    world.store.init_search_index()
    history = world.history()
    history.search("one")
    return history


def with_search_indexes(world: World) -> MemoryStore:
    """A store of tables that were searched before."""
    world.store.init_search_index()
    return world.store


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
        of("search", lambda: ("two three",), kwargs={"limit": 1}, note="makes the index"),
        of("search", lambda: ("one private",), kwargs={"scope": "user"}, note="user", subject=searched),
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
        of("init_search_index"),
        of("search_sessions", lambda: ({"user_id": "p1"}, 1), note="makes the index"),
        of("search_sessions", lambda: ({"user_id": "p1"}, 1), subject=with_search_indexes),
        of("search_messages", lambda: (Filters.text_match("content", "text"),), subject=with_search_indexes),
        of("delete_tables", note="with search indexes", subject=with_search_indexes),
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


OPERATIONS = [
    *_history(),
    *_registry(),
    *_store(),
    *_message_store(),
    *DOCUMENT_OPERATIONS,
    *STORE_OPERATIONS,
    *CHECKPOINT_OPERATIONS,
]

# Tried each time: of each class some that read and some that write, with tables and without.
_QUICK = {
    "TablestoreChatMessageHistory.messages",
    "TablestoreChatMessageHistory.add_messages (turn)",
    "TablestoreChatMessageHistory.delete",
    "TablestoreChatMessageHistory.fork (all)",
    "SessionRegistry.create",
    "SessionRegistry.update",
    "SessionRegistry.list",
    "SessionRegistry.delete",
    "MemoryStore.init_table (no tables)",
    "MemoryStore.update_session (nested)",
    "MemoryStore.list_messages_paginated",
    "MemoryStore.search_sessions",
    "MessageStore.put",
    "MessageStore.delete_conversation",
    "KnowledgeStore.put_documents",
    "KnowledgeStore.delete_document",
    "KnowledgeStore.hybrid_search",
    "TablestoreVectorStore.add_texts",
    "TablestoreVectorStore.similarity_search",
    "TablestoreStore.put (fewer vectors)",
    "TablestoreStore.get (lets it last)",
    "TablestoreStore.search (meaning)",
    "TablestoreSaver.put (pieces)",
    "TablestoreSaver.put (session)",
    "TablestoreSaver.put_writes (special)",
    "TablestoreSaver.get_tuple",
    "TablestoreSaver.prune (delete)",
}


def _each(operations: list[Operation]) -> pytest.MarkDecorator:
    marks = {True: [], False: [pytest.mark.slow]}
    return pytest.mark.parametrize(
        "operation", [pytest.param(each, id=str(each), marks=marks[str(each) in _QUICK]) for each in operations]
    )


each_operation = _each([operation for operation in OPERATIONS if not operation.large])
each_operation_and_large_ones = _each(OPERATIONS)
