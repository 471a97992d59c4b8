"""One call of a public method, as something that can be run sync or async, again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph.store.base import Item

from langchain_tablestore_memory import (
    HistoryEntry,
    HistoryHit,
    HistoryPage,
    KnowledgeStore,
    MemoryStore,
    Message,
    MessageStore,
    Page,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
    TablestoreRetriever,
    TablestoreVectorStore,
)
from langchain_tablestore_memory.langgraph import TablestoreSaver, TablestoreStore

from .worlds import World


def knowing(store: Any) -> Any:
    """An object that has looked up its tables before."""
    store.setup()
    return store


SUBJECTS: dict[type, Callable[[World], Any]] = {
    TablestoreChatMessageHistory: lambda world: world.history(),
    SessionRegistry: lambda world: world.registry,
    MemoryStore: lambda world: world.store,
    MessageStore: lambda world: MessageStore(world.connection),
    KnowledgeStore: lambda world: knowing(world.knowledge()),
    TablestoreVectorStore: lambda world: knowing(world.vectors()),
    TablestoreRetriever: lambda world: knowing(world.vectors()).as_retriever(search_type="hybrid", k=3),
    TablestoreStore: lambda world: knowing(world.items()),
    TablestoreSaver: lambda world: world.saver(),
}

DOCUMENT_OWNERS = {KnowledgeStore, TablestoreVectorStore, TablestoreRetriever}
"""Classes whose operations need documents, and no conversations."""

STORE_OWNERS = {TablestoreStore}
"""Classes whose operations need items of a LangGraph store alone."""


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
        furnished: Whether the world holds tables, and conversations or documents, before.
        adds: Ids of messages or documents that are there afterwards and were not before.
        calls: What errors call such a message or document.
        repeated: What calling it again may raise after a call that failed half way.
        large: Whether it takes so long that not all tests try it.
    """

    owner: type
    method: str
    args: Callable[[], tuple[Any, ...]] = tuple
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    subject: Callable[[World], Any] | None = None
    furnished: bool = True
    adds: tuple[str, ...] = ()
    calls: str = "message {!r}"
    repeated: tuple[type[Exception], ...] = ()
    large: bool = False

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.method}{f' ({self.note})' if self.note else ''}"

    def named(self, ids: Iterable[str]) -> set[str]:
        """What errors call messages or documents."""
        return {self.calls.format(row_id) for row_id in ids}

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
        case HistoryHit():
            return [told(result.entry), result.session_id, result.score]
        case Session():
            record = result
            return [record.user_id, record.session_id, record.metadata, record.title, record.message_count]
        case Message():
            return [result.session_id, result.message_id, result.content, result.metadata]
        case TablestoreChatMessageHistory():
            return result.conversation
        case Item():
            return [result.namespace, result.key, result.value, getattr(result, "score", None)]
    return result
