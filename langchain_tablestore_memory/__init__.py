"""Chat history, conversation lists and memory for LangChain, kept in Alibaba Cloud Tablestore.

```python
from langchain_tablestore_memory import SessionRegistry, TablestoreChatMessageHistory, connect

connection = connect("local:./data")  # or the service: connect("https://...", instance_name=..., ...)
history = TablestoreChatMessageHistory("session-1", user_id="u1", connection=connection)
history.add_user_message("Hello")
SessionRegistry(connection).list("u1").items
```

Names are imported when they are first touched, so that importing the package stays quick.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from langchain_tablestore_memory import _sdk as _sdk

if TYPE_CHECKING:
    from langchain_tablestore_memory.chat_history import TablestoreChatMessageHistory
    from langchain_tablestore_memory.connection import Connection, connect
    from langchain_tablestore_memory.core.columns import MetaType
    from langchain_tablestore_memory.core.documents import Document, DocumentHit
    from langchain_tablestore_memory.core.hybrid import HybridSettings
    from langchain_tablestore_memory.core.knowledge import KnowledgeStore
    from langchain_tablestore_memory.core.memories import Memory
    from langchain_tablestore_memory.core.memory_store import MemoryStore
    from langchain_tablestore_memory.core.message_rows import TimeRange
    from langchain_tablestore_memory.core.messages import MessageStore
    from langchain_tablestore_memory.core.programs import RetryPolicy
    from langchain_tablestore_memory.core.records import (
        Message,
        Order,
        Page,
        Session,
        microseconds_timestamp,
    )
    from langchain_tablestore_memory.core.sessions import SessionRegistry
    from langchain_tablestore_memory.dashscope import DashScopeEmbeddings, DashScopeRerank, QwenTokenCounter
    from langchain_tablestore_memory.errors import (
        AuthenticationError,
        ConfigurationError,
        CursorError,
        EmbeddingError,
        FilterError,
        InvalidArgumentError,
        MemoryNotFoundError,
        MessageNotFoundError,
        PermissionDeniedError,
        SchemaMismatchError,
        ServiceError,
        SessionNotFoundError,
        StoredDataError,
        TablestoreMemoryError,
        UnavailableError,
        WriteError,
    )
    from langchain_tablestore_memory.filters import Filters
    from langchain_tablestore_memory.history_entries import HistoryEntry, HistoryHit, HistoryPage
    from langchain_tablestore_memory.langgraph import TablestoreSaver, TablestoreStore
    from langchain_tablestore_memory.long_term_memory import LongTermMemory, MemoryPage
    from langchain_tablestore_memory.middleware import MemoryMiddleware, TranscriptMiddleware
    from langchain_tablestore_memory.offline import OfflineChatModel
    from langchain_tablestore_memory.offline_embeddings import OfflineEmbeddings
    from langchain_tablestore_memory.retrievers import TablestoreRetriever
    from langchain_tablestore_memory.vectorstores import TablestoreVectorStore

__version__ = "0.1.0"

_MODULES = {
    "chat_history": ("TablestoreChatMessageHistory",),
    "connection": ("Connection", "connect"),
    "core.columns": ("MetaType",),
    "core.documents": ("Document", "DocumentHit"),
    "core.hybrid": ("HybridSettings",),
    "core.knowledge": ("KnowledgeStore",),
    "core.memories": ("Memory",),
    "core.memory_store": ("MemoryStore",),
    "core.message_rows": ("TimeRange",),
    "core.messages": ("MessageStore",),
    "core.programs": ("RetryPolicy",),
    "core.records": ("Message", "Order", "Page", "Session", "microseconds_timestamp"),
    "core.sessions": ("SessionRegistry",),
    "dashscope": ("DashScopeEmbeddings", "DashScopeRerank", "QwenTokenCounter"),
    "errors": (
        "AuthenticationError",
        "ConfigurationError",
        "CursorError",
        "EmbeddingError",
        "FilterError",
        "InvalidArgumentError",
        "MemoryNotFoundError",
        "MessageNotFoundError",
        "PermissionDeniedError",
        "SchemaMismatchError",
        "ServiceError",
        "SessionNotFoundError",
        "StoredDataError",
        "TablestoreMemoryError",
        "UnavailableError",
        "WriteError",
    ),
    "filters": ("Filters",),
    "long_term_memory": ("LongTermMemory", "MemoryPage"),
    "history_entries": ("HistoryEntry", "HistoryHit", "HistoryPage"),
    "langgraph": ("TablestoreSaver", "TablestoreStore"),
    "middleware": ("MemoryMiddleware", "TranscriptMiddleware"),
    "offline": ("OfflineChatModel",),
    "offline_embeddings": ("OfflineEmbeddings",),
    "retrievers": ("TablestoreRetriever",),
    "vectorstores": ("TablestoreVectorStore",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

_NEEDED_BY = {"langgraph": "langgraph", "middleware": "langchain"}
"""Modules that need a package of an extra."""

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "Connection",
    "CursorError",
    "DashScopeEmbeddings",
    "DashScopeRerank",
    "Document",
    "DocumentHit",
    "EmbeddingError",
    "FilterError",
    "Filters",
    "HistoryEntry",
    "HistoryHit",
    "HistoryPage",
    "HybridSettings",
    "InvalidArgumentError",
    "KnowledgeStore",
    "LongTermMemory",
    "Memory",
    "MemoryMiddleware",
    "MemoryNotFoundError",
    "MemoryPage",
    "MemoryStore",
    "Message",
    "MessageNotFoundError",
    "MessageStore",
    "MetaType",
    "OfflineChatModel",
    "OfflineEmbeddings",
    "Order",
    "Page",
    "PermissionDeniedError",
    "QwenTokenCounter",
    "RetryPolicy",
    "SchemaMismatchError",
    "ServiceError",
    "Session",
    "SessionNotFoundError",
    "SessionRegistry",
    "StoredDataError",
    "TablestoreChatMessageHistory",
    "TablestoreMemoryError",
    "TablestoreRetriever",
    "TablestoreSaver",
    "TablestoreStore",
    "TablestoreVectorStore",
    "TimeRange",
    "TranscriptMiddleware",
    "UnavailableError",
    "WriteError",
    "connect",
    "microseconds_timestamp",
]

if not TYPE_CHECKING:
    # `import *`, help() and inspect.getmembers() touch whatever is listed, and end where a name cannot be touched.
    _lacking = {module for module, package in _NEEDED_BY.items() if importlib.util.find_spec(package) is None}
    __all__ = [name for name in __all__ if _HOMES.get(name) not in _lacking]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
