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

from langchain_core.messages import AIMessage, HumanMessage
from tablestore import INF_MAX, INF_MIN, Direction, OTSClient

from langchain_tablestore_memory import (
    Connection,
    MemoryStore,
    Message,
    MetaType,
    RetryPolicy,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
    connect,
)
from langchain_tablestore_memory.local import Tablestore, ots_client

from .wire import Faults, FaultyBackend

IMPATIENT = RetryPolicy(attempts=3, connect_attempts=3, first_delay=0.0002, max_delay=0.0005)

INDEX_META = {"model": MetaType.STRING}
LONG_AGO = 1_000_000


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

    def contents(self) -> Contents:
        """What is stored, read without this package and without faults."""
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


@dataclass(frozen=True)
class Contents:
    """Everything in a Tablestore, in a form in which two that tell the same compare equal.

    Times differ from run to run, so they only show in orders: that of messages within a conversation, and that of
    sessions from the most recently active on.

    Attributes:
        sessions: Columns by user and session, the most recently active first within each user.
        messages: Ids and columns of messages by conversation, in order.
        faults: What is wrong with it in itself.
    """

    sessions: dict[str, list[tuple[str, dict[str, Any]]]]
    messages: dict[str, list[tuple[str, dict[str, Any]]]]
    faults: tuple[str, ...]

    def ids(self, conversation: str) -> list[str]:
        return [message_id for message_id, _ in self.messages.get(conversation, [])]

    def message_versions(self) -> set[tuple[str, str, str]]:
        return {
            (conversation, message_id, repr(sorted(columns.items())))
            for conversation, found in self.messages.items()
            for message_id, columns in found
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
    recent = {
        user: [(session, columns) for _, session, columns in sorted(found, key=lambda each: each[:2], reverse=True)]
        for user, found in sessions.items()
    }
    return Contents(recent, messages, tuple(sorted(faults)))


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
