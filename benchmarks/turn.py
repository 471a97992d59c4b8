"""A chat turn over HTTP, against tablestore-for-agent-memory.

A turn reads the last 20 messages, adds two, and brings the session up to date. The peer's `MemoryStore` does it with
one read, two puts and a session update; a `TablestoreChatMessageHistory` with one read and one batch.

Both use the same kind of SDK client, with the same options, and talk to the same server: `tablestore-memory serve` in
a process of its own, which adds 5 ms to every request, about what the service answers in from the same region. Each
has its own tables and fills them with the same texts. They take turns, ten chat turns each. What goes out is counted
where the SDK hands a request to its connection pool.

Both store the same: an id, a role and a text per message. What is done on top differs, to the peer's advantage: it
returns plain records, where ours returns LangChain messages, and keeps the session's message count and preview.
"""

from __future__ import annotations

import statistics
import uuid

import tablestore
from langchain_core.messages import AIMessage, HumanMessage
from tablestore_for_agent_memory.base.base_memory_store import Message, Session  # type: ignore[import-untyped]
from tablestore_for_agent_memory.memory.memory_store import MemoryStore  # type: ignore[import-untyped]

from benchmarks.conversation import answer, question
from benchmarks.harness import Comparison, describe, faster, milliseconds, take_turns, timed
from benchmarks.serving import Traffic, connect_to, server
from langchain_tablestore_memory import Connection, TablestoreChatMessageHistory

_LATENCY = 5
"""Milliseconds that the server adds to every request."""

_WINDOW = 20
_BLOCK = 10
"""Chat turns that one side does before it is the other's turn."""


def run(*, quick: bool) -> list[Comparison]:
    rounds = 3 if quick else 20
    print(f"Turn over HTTP: last {_WINDOW} messages read, two added, session updated; {_LATENCY} ms per request added")
    with server(latency=_LATENCY) as url, connect_to(url) as our_connection, connect_to(url) as peer_connection:
        our_traffic, peer_traffic = Traffic(our_connection.client), Traffic(peer_connection.client)
        ours, peer = _Ours(our_connection), _Peer(peer_connection.client)
        for _ in range(_WINDOW // 2):  # make the tables, fill the window, open the sockets
            ours()
            peer()
        our_traffic.reset()
        peer_traffic.reset()
        our_times, peer_times = take_turns(lambda: timed(ours), lambda: timed(peer), rounds=rounds, block=_BLOCK)
    describe("ours", our_times, milliseconds)
    describe("tablestore-for-agent-memory", peer_times, milliseconds)
    return [
        faster(
            "turn over HTTP: requests",
            our_traffic.requests / len(our_times),
            peer_traffic.requests / len(peer_times),
            show="{:g}".format,
            at_least=2.0,
        ),
        faster(
            "turn over HTTP: time",
            statistics.median(our_times),
            statistics.median(peer_times),
            show=milliseconds,
            at_least=1.8,
        ),
        # Other work on the machine lengthens what is computed and not what is waited for: it brings the two closer.
        faster("  of the fastest turns", min(our_times), min(peer_times), show=milliseconds),
    ]


class _Ours:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session_id = str(uuid.uuid4())
        self._number = 0

    def __call__(self) -> None:
        self._number += 1
        history = TablestoreChatMessageHistory(
            self._session_id,
            user_id="u1",
            connection=self._connection,
            session_table="our_session",
            message_table="our_message",
            window=_WINDOW,
        )
        messages = history.messages
        history.add_messages([HumanMessage(question(self._number)), AIMessage(answer(self._number))])
        assert len(messages) == min(_WINDOW, 2 * (self._number - 1))


class _Peer:
    def __init__(self, client: tablestore.OTSClient) -> None:
        self._store = MemoryStore(client, session_table_name="peer_session", message_table_name="peer_message")
        self._store.init_table()
        self._session_id = str(uuid.uuid4())
        self._number = 0

    def __call__(self) -> None:
        self._number += 1
        messages = list(self._store.list_messages(self._session_id, max_count=_WINDOW))
        self._put("user", question(self._number))
        self._put("assistant", answer(self._number))
        self._store.update_session(Session("u1", self._session_id))
        assert len(messages) == min(_WINDOW, 2 * (self._number - 1))

    def _put(self, role: str, text: str) -> None:
        self._store.put_message(Message(self._session_id, str(uuid.uuid4()), content=text, metadata={"role": role}))
