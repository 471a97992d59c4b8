"""Small worlds to break: an embedded Tablestore with some conversations in it, and everything that it holds."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, HumanMessage
from tablestore import (
    INF_MAX,
    INF_MIN,
    ColumnReturnType,
    ColumnsToGet,
    Direction,
    ExistsQuery,
    MatchAllQuery,
    OTSClient,
    Query,
    SearchQuery,
)

from langchain_tablestore_memory import (
    Connection,
    Document,
    KnowledgeStore,
    MemoryStore,
    Message,
    MetaType,
    RetryPolicy,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
    TablestoreVectorStore,
    connect,
)
from langchain_tablestore_memory.langgraph import TablestoreSaver, TablestoreStore
from langchain_tablestore_memory.local import Tablestore, ots_client

from .stored_checkpoints import TABLE as CHECKPOINT_TABLE
from .stored_checkpoints import Checkpoints, read_checkpoints
from .stored_items import TABLE, Items, Vectors, read_items
from .wire import Faults, FaultyBackend

IMPATIENT = RetryPolicy(attempts=3, connect_attempts=3, first_delay=0.0002, max_delay=0.0005)

INDEX_META = {"model": MetaType.STRING}
LONG_AGO = 1_000_000
FILTERABLE = {"year": int, "tags": list[str]}
TENANTS = ("t1", "t2")


class LetterCounts(Embeddings):
    """How often two letters are in a text, and a little more, so that no vector is zero."""

    def embed_query(self, text: str) -> list[float]:
        return [text.count("a") + 0.5, text.count("e") + 0.5]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)


class World:
    """An embedded Tablestore, a connection to it on which faults can be had, and the objects that use it."""

    def __init__(self, service: Tablestore, connection: Connection | None = None) -> None:
        self.service = service
        self.faults = Faults()
        self.connection = connection or Connection(FaultyBackend(service, self.faults), retry=IMPATIENT)

    def history(self, session_id: str = "s1", user_id: str = "u1", **options: Any) -> TablestoreChatMessageHistory:
        return TablestoreChatMessageHistory(session_id, user_id=user_id, connection=self.connection, **options)

    @cached_property
    def registry(self) -> SessionRegistry:
        return SessionRegistry(self.connection, metadata_columns=INDEX_META)

    @cached_property
    def store(self) -> MemoryStore:
        return MemoryStore(self.connection, session_secondary_index_meta=INDEX_META)

    def knowledge(self) -> KnowledgeStore:
        return KnowledgeStore(self.connection, 2, filterable=FILTERABLE)

    def shared_knowledge(self) -> KnowledgeStore:
        """Documents of several tenants."""
        return KnowledgeStore(self.connection, 2, enable_multi_tenant=True, table_name="shared", filterable=FILTERABLE)

    def vectors(self, **options: Any) -> TablestoreVectorStore:
        return TablestoreVectorStore(LetterCounts(), connection=self.connection, filterable=FILTERABLE, **options)

    def items(self, **options: Any) -> TablestoreStore:
        """A store of LangGraph's."""
        index: Any = {"dims": 2, "embed": LetterCounts(), "fields": ["text", "more[*]"]}
        return TablestoreStore(self.connection, index=index, filterable={"year": int}, **options)

    def saver(self, **options: Any) -> TablestoreSaver:
        """A checkpointer of LangGraph's."""
        return TablestoreSaver(self.connection, **options)

    def contents(self) -> Contents:
        """What is stored, read without faults, and but for checkpoints without this package."""
        return read_contents(ots_client(self.service))


# Worlds are many and short-lived: they need no disk.
_FOLDER = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)


@contextmanager
def opened(folder: Path) -> Iterator[World]:
    """A world that begins with a copy of what is in a folder and leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="world-", dir=_FOLDER) as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        with Tablestore(Path(copy), durability="normal") as service:
            yield World(service)


def prepare(folder: Path) -> None:
    """Make an instance without tables."""
    with Tablestore(folder) as service:
        ots_client(service).list_table()


def furnish(folder: Path) -> None:
    """Make the tables, and some conversations of several users in them."""
    with connect(f"local:{folder}") as connection:
        SessionRegistry(connection, metadata_columns=INDEX_META).setup()
        for user, session, texts in (
            ("u1", "s1", ["one", "two", "three", "four"]),
            ("u1", "s2", ["elsewhere"]),
            ("u2", "s1", ["private", "secret"]),
        ):
            history = TablestoreChatMessageHistory(session, user_id=user, connection=connection)
            kinds = [HumanMessage, AIMessage] * 2
            said = [kind(text, id=f"m{n}") for n, (kind, text) in enumerate(zip(kinds, texts, strict=False), 1)]
            history.add_messages(said, metadata={"language": "en"})
        store = MemoryStore(connection)
        store.put_session(Session("p1", "plain", LONG_AGO, {"model": "qwen-plus", "nested": {"a": [1]}}))
        store.put_session(Session("p1", "plain2", LONG_AGO + 1, {"model": "qwen-max"}))
        for n in (1, 2, 3):
            store.put_message(Message("plain", f"p{n}", n, f"text {n}", {"n": n}))


def stock(folder: Path) -> None:
    """Make two tables of documents: one of nobody in particular, one of two tenants."""
    with connect(f"local:{folder}") as connection:
        world = World(Tablestore(None), connection)
        texts = ("green tea", "black tea", "a bean", "bread", "leave a dream")
        for number, text in enumerate(texts, 1):
            vector = LetterCounts().embed_query(text)
            metadata = {"year": 2000 + number, "tags": ["x", text[0]], "nested": {"n": number}}
            world.knowledge().put_document(Document(f"d{number}", text=text, embedding=vector, metadata=metadata))
            world.shared_knowledge().put_documents(
                Document(f"d{number}", tenant, text, vector, {"year": 2000 + number, "owner": tenant})
                for tenant in TENANTS
            )
        world.service.close()


@dataclass(frozen=True)
class Contents:
    """Everything in a Tablestore, in a form in which two that tell the same compare equal.

    Times differ from run to run, so they only show in orders: that of messages within a conversation, and that of
    sessions from the most recently active on.

    Attributes:
        sessions: Columns by user and session, the most recently active first within each user.
        messages: Ids and columns of messages by conversation, in order.
        documents: Keys and columns of documents by table, in order.
        items: Keys and columns of the items of a store, in order.
        vectors: Their vectors, of the texts by which they are found.
        checkpoints: Checkpoints, and apart from them the writes of tasks, by thread and namespace, in order.
        rest: What else is in the table of checkpoints.
        indexes: Tables with the search indexes that they have.
        faults: What is wrong with it in itself.
    """

    sessions: dict[str, list[tuple[str, dict[str, Any]]]]
    messages: dict[str, list[tuple[str, dict[str, Any]]]]
    documents: dict[str, list[tuple[str, dict[str, Any]]]]
    items: Items
    vectors: Vectors
    checkpoints: Checkpoints
    rest: tuple[str, ...]
    indexes: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]

    def ids(self, conversation: str) -> list[str]:
        return [message_id for message_id, _ in self.messages.get(conversation, [])]

    def versions(self) -> set[tuple[str, Any, str]]:
        """Messages, documents, items and checkpoints: where they are, their ids, and all that they hold."""
        return {
            (place, row_id, repr(sorted(columns.items())))
            for rows in (self.messages, self.documents, {TABLE: self.items}, self.checkpoints)
            for place, found in rows.items()
            for row_id, columns in found
        }

    def miscounted(self) -> list[str]:
        """Sessions whose count of messages is not their number."""
        return [
            f"{user}/{session}: {columns['lc_message_count']} counted, {actual} stored"
            for user, found in self.sessions.items()
            for session, columns in found
            if "lc_message_count" in columns
            and columns["lc_message_count"] != (actual := len(self.messages.get(columns["lc_conversation"], [])))
        ]


def read_contents(client: OTSClient) -> Contents:
    faults: list[str] = []
    tables = set(client.list_table())
    sessions: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
    messages: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    if "session" in tables:
        entries = set()
        for key, columns in _rows(client, "session", ("user_id", "session_id")):
            time = columns.pop("update_time")
            sessions.setdefault(key[0], []).append((time, key[1], columns))
            entries.add((key[0], time, key[1]))
        _check_index(client, "session", ("user_id", "update_time", "session_id"), entries, faults)
    if "message" in tables:
        entries = set()
        for key, columns in _rows(client, "message", ("session_id", "create_time", "message_id")):
            messages.setdefault(key[0], []).append((key[2], columns))
            entries.add((key[0], key[2], key[1]))
        _check_index(client, "message", ("session_id", "message_id", "create_time"), entries, faults)
        times = [(conversation, time) for conversation, _, time in entries]
        faults += [f"two messages at {place}" for place in set(times) if times.count(place) > 1]
        held = [(conversation, message_id) for conversation, message_id, _ in entries]
        faults += [f"{place} is there twice" for place in set(held) if held.count(place) > 1]
    documents = {}
    for table in DOCUMENT_TABLES & tables:
        documents[table] = [
            (key[0], {**columns, "tenant_id": key[1]})
            for key, columns in _rows(client, table, ("document_id", "tenant_id"))
        ]
        for _, index in client.list_search_index(table):
            _check_search_index(client, table, index, documents[table], faults)
    items, vectors = read_items(client, faults) if TABLE in tables else ([], {})
    checkpoints, rest = read_checkpoints(client) if CHECKPOINT_TABLE in tables else ({}, ())
    with_rows = tables & {"session", "message", *DOCUMENT_TABLES, TABLE}
    indexes = tuple(sorted(pair for table in with_rows for pair in client.list_search_index(table)))
    recent = {
        user: [(session, columns) for _, session, columns in sorted(found, key=lambda each: each[:2], reverse=True)]
        for user, found in sessions.items()
    }
    return Contents(recent, messages, documents, items, vectors, checkpoints, rest, indexes, tuple(sorted(faults)))


DOCUMENT_TABLES = {"knowledge", "shared"}


def _check_search_index(
    client: OTSClient, table: str, index: str, rows: list[tuple[str, dict[str, Any]]], faults: list[str]
) -> None:
    """All rows are found with the columns that they have now, and each field where its column is."""
    columns = ColumnsToGet(return_type=ColumnReturnType.ALL)

    def found(query: Query) -> list[tuple[str, dict[str, Any]]]:
        hits, token = [], None
        while True:
            answer = client.search(table, index, SearchQuery(query, limit=100, next_token=token), columns)
            hits += [
                (key[0][1], {**{name: value for name, value, *_ in cells}, "tenant_id": key[1][1]})
                for key, cells in answer.rows
            ]
            token = answer.next_token
            if not token:
                return hits

    if found(MatchAllQuery()) != rows:
        faults.append(f"{index} and {table} differ")
    faults += [
        f"{index} and {table} differ in {field}"
        for field in ("text", "embedding", *FILTERABLE)
        if found(ExistsQuery(field)) != [row for row in rows if field in row[1]]
    ]


def _check_index(
    client: OTSClient, table: str, key: tuple[str, ...], entries: set[tuple[Any, ...]], faults: list[str]
) -> None:
    name = f"{table}_secondary_index"
    indexed = {tuple(entry) for entry, _ in _rows(client, name, key)}
    faults += [f"{name} and {table} differ in {entry}" for entry in indexed ^ entries]


def _rows(client: OTSClient, table: str, key: tuple[str, ...]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    start: Any = [(name, INF_MIN) for name in key]
    while start is not None:
        _, start, rows, _ = client.get_range(table, Direction.FORWARD, start, [(name, INF_MAX) for name in key])
        for row in rows:
            yield [value for _, value in row.primary_key], {column[0]: column[1] for column in row.attribute_columns}
