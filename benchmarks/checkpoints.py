"""LangGraph's checkpoints, against SqliteSaver and AsyncSqliteSaver of langgraph-checkpoint-sqlite.

All three keep them in a file of this machine, with the write-ahead log and `PRAGMA synchronous = FULL`: what was
acknowledged survives a power failure. Ours is compared with SqliteSaver in its sync calls and with AsyncSqliteSaver in
its async ones. The calls are those of an agent, with the objects that LangGraph hands to a checkpointer; each side gets
the same ones, and they take turns.

Both have written enough before that their write-ahead logs have been filled once: while such a file grows, SQLite has
to wait longer for the disk, and ours, which writes less, grows for longer.

Small states are chats of a few messages. Of the states of 1 MB only a message and a counter are new in each step: once
beside documents that stay, once at the end of a long chat. Bytes stored are those of the files after 100 turns of a
graph that answers in a growing chat.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiosqlite
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointTuple, empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from benchmarks.conversation import answer, question
from benchmarks.harness import Comparison, describe, faster, microseconds, multiple, take_turns
from benchmarks.serving import Traffic
from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreSaver

_TURNS = 100
_LARGE = 1_000_000
"""Bytes of a large state."""

_CHAT = 8
"""Messages of a small state at the most."""

_LISTED = 20

_WARM = 800
"""Puts of a small state after which the write-ahead log has been filled once."""


def run(*, quick: bool) -> list[Comparison]:
    rounds = 3 if quick else 15
    print("Checkpoints on a file, synchronous=FULL")
    comparisons = _small(rounds)
    comparisons += _large("beside documents of 1 MB", _beside_documents, rounds)
    comparisons += _large("at the end of a chat of 1 MB", _long_chat, rounds)
    comparisons.append(_stored(10 if quick else _TURNS))
    return comparisons


# The sides

Times = list[float]


class _Step(NamedTuple):
    """What a step of a graph hands to a checkpointer.

    Attributes:
        checkpoint: The checkpoint.
        new_versions: The channels that are new with it.
        first: Whether it begins a thread.
    """

    checkpoint: Checkpoint
    new_versions: dict[str, str]
    first: bool


class _Side:
    """One checkpointer, doing the same calls as the others.

    Args:
        saver: The checkpointer.
        runner: Where async calls run; None for sync ones.
        steps: What it is handed, step by step.
    """

    def __init__(self, saver: BaseCheckpointSaver[str], runner: asyncio.Runner | None, steps: Iterator[_Step]) -> None:
        self._saver = saver
        self._runner = runner
        self._steps = steps
        self._number = 0
        self._config: RunnableConfig = {}

    def warm(self) -> None:
        """Write small states to other threads, until the write-ahead log does not grow any more."""
        other = _Side(self._saver, self._runner, _small_chats())
        for _ in range(_WARM):
            other.put()

    def put(self) -> float:
        step = next(self._steps)
        if step.first:
            self._config = {"configurable": {"thread_id": str(uuid.uuid4()), "checkpoint_ns": ""}}
        self._number += 1
        metadata: Any = {"source": "loop", "step": self._number, "parents": {}}
        duration, self._config = self._time("put", self._config, step.checkpoint, metadata, step.new_versions)
        return duration

    def put_writes(self) -> float:
        self.put()
        writes = [("messages", [AIMessage(answer(self._number), id=str(uuid.uuid4()))]), ("branch:to:tools", None)]
        return self._time("put_writes", self._config, writes, str(uuid.uuid4()), "~__pregel_pull, model")[0]

    def get_tuple(self) -> float:
        self.put()
        duration, found = self._time("get_tuple", self.latest)
        assert found.config["configurable"]["checkpoint_id"] == self._config["configurable"]["checkpoint_id"]
        return duration

    def list(self) -> float:
        for _ in range(2 * _LISTED):
            self.put()

        def listed() -> list[CheckpointTuple]:
            return list(self._saver.list(None, limit=_LISTED))

        async def alisted() -> list[CheckpointTuple]:
            return [each async for each in self._saver.alist(None, limit=_LISTED)]

        duration, found = self._measure(listed, alisted)
        assert len(found) == _LISTED
        return duration

    @property
    def latest(self) -> RunnableConfig:
        """Names the thread."""
        return {"configurable": {"thread_id": self._config["configurable"]["thread_id"], "checkpoint_ns": ""}}

    def _time(self, name: str, *arguments: Any) -> tuple[float, Any]:
        call, acall = getattr(self._saver, name), getattr(self._saver, f"a{name}")
        return self._measure(lambda: call(*arguments), lambda: acall(*arguments))

    def _measure(self, call: Callable[[], Any], acall: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
        if self._runner is not None:
            return self._runner.run(_timed(acall))
        start = time.perf_counter()
        result = call()
        return time.perf_counter() - start, result


async def _timed(acall: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = await acall()
    return time.perf_counter() - start, result


class _Pair(NamedTuple):
    ours: _Side
    peer: _Side
    peer_name: str
    how: str
    traffic: Traffic | None


@contextmanager
def _pairs(steps: Callable[[], Iterator[_Step]]) -> Iterator[list[_Pair]]:
    """Ours and SqliteSaver with sync calls, ours and AsyncSqliteSaver with async ones; each on a file of its own."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        path = Path(folder)
        sync_peer = _sqlite(path / "sync.sqlite3")
        async_peer = runner.run(_asqlite(path / "async.sqlite3"))
        with connect(f"local:{path / 'sync'}") as first, connect(f"local:{path / 'async'}") as second:
            ours, aours = TablestoreSaver(first), TablestoreSaver(second)
            yield [
                _Pair(
                    _Side(ours, None, steps()),
                    _Side(sync_peer, None, steps()),
                    "SqliteSaver",
                    "sync",
                    Traffic(first.client),
                ),
                _Pair(
                    _Side(aours, runner, steps()), _Side(async_peer, runner, steps()), "AsyncSqliteSaver", "async", None
                ),
            ]
            runner.run(second.aclose())
        sync_peer.conn.close()
        runner.run(async_peer.conn.close())


def _sqlite(path: Path) -> SqliteSaver:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return SqliteSaver(connection)


async def _asqlite(path: Path) -> AsyncSqliteSaver:
    connection = await aiosqlite.connect(path)
    await connection.execute("PRAGMA journal_mode = WAL")
    await connection.execute("PRAGMA synchronous = FULL")
    return AsyncSqliteSaver(connection)


# Small states


def _small(rounds: int) -> list[Comparison]:
    comparisons = []
    with _pairs(_small_chats) as pairs:
        for pair in pairs:
            pair.ours.warm()
            pair.peer.warm()
            for name, at_most, block in (
                ("put", 2.0, 20),
                ("put_writes", 2.0, 20),
                ("get_tuple", None, 20),
                ("list", None, 1),
            ):
                ours, peer = getattr(pair.ours, name), getattr(pair.peer, name)
                ours(), peer()
                times = take_turns(ours, peer, rounds=rounds, block=block)
                label = f"checkpoints, small: {'a' if pair.how == 'async' else ''}{name}"
                if name == "list":
                    label += f" of {_LISTED}"
                describe(f"ours: {label}", times[0], microseconds)
                describe(f"{pair.peer_name}: {label}", times[1], microseconds)
                medians = [statistics.median(each) for each in times]
                comparisons.append(multiple(label, *medians, show=microseconds, at_most=at_most))
            if pair.traffic is not None:
                pair.ours.put()
                pair.traffic.reset()
                pair.ours._time("get_tuple", pair.ours.latest)
                requests = pair.traffic.requests
                comparisons.append(
                    Comparison("checkpoints, small: get_tuple, requests", str(requests), "-", "-", "1", requests == 1)
                )
    return comparisons


def _small_chats() -> Iterator[_Step]:
    """Chats of a few messages, one after the other."""
    while True:
        state = _State()
        state.set("messages", [])
        for number in range(_CHAT):
            state.set("messages", [*state.values["messages"], _message(number)])
            state.set("step", number)
            yield state.step()


# Large states


def _large(label: str, steps: Callable[[], Iterator[_Step]], rounds: int) -> list[Comparison]:
    comparisons = []
    with _pairs(steps) as pairs:
        for pair in pairs:
            for side in (pair.ours, pair.peer):
                side.warm()
                side.put()
            times = take_turns(pair.ours.put, pair.peer.put, rounds=rounds, block=5)
            name = f"checkpoints, {label}: {'aput' if pair.how == 'async' else 'put'}"
            describe(f"ours: {name}", times[0], microseconds)
            describe(f"{pair.peer_name}: {name}", times[1], microseconds)
            medians = [statistics.median(each) for each in times]
            comparisons.append(faster(name, *medians, show=microseconds, at_least=5.0))
    return comparisons


def _beside_documents() -> Iterator[_Step]:
    """A chat beside documents that stay."""
    state = _State()
    chance = random.Random(0)
    texts = (" ".join(answer(chance.randrange(10_000)) for _ in range(1000))[:10_000] for _ in range(_LARGE // 10_000))
    state.set("documents", [{"id": str(number), "text": text} for number, text in enumerate(texts)])
    state.set("messages", [])
    for number in itertools.count():
        state.set("messages", [*state.values["messages"], _message(number)])
        state.set("step", number)
        yield state.step()


def _long_chat() -> Iterator[_Step]:
    """A chat whose messages make up the state."""
    state = _State()
    pair = len((question(0) + answer(1)).encode())
    messages: list[AnyMessage] = [_message(number) for number in range(2 * _LARGE // pair)]
    for number in itertools.count():
        messages = [*messages, _message(number)]
        state.set("messages", messages)
        state.set("step", number)
        yield state.step()


def _message(number: int) -> AnyMessage:
    kind = HumanMessage if number % 2 == 0 else AIMessage
    return kind(question(number) if number % 2 == 0 else answer(number), id=str(uuid.UUID(int=number)))


class _State:
    """The state of a thread, as LangGraph keeps it while a graph runs."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._versions: dict[str, str] = {}
        self._new: dict[str, str] = {}
        self._steps = 0

    def set(self, channel: str, value: Any) -> None:
        self.values[channel] = value
        self._versions[channel] = f"{self._steps + 1:032}.{random.random():018}"
        self._new[channel] = self._versions[channel]

    def step(self) -> _Step:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = dict(self.values)
        checkpoint["channel_versions"] = dict(self._versions)
        checkpoint["versions_seen"] = {"__input__": {}, "model": dict(self._versions)}
        self._steps += 1
        new, self._new = self._new, {}
        return _Step(checkpoint, new, self._steps == 1)


# Bytes stored


def _stored(turns: int) -> Comparison:
    """What a chat takes on disk, stored by a graph that runs."""
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with connect(f"local:{path / 'ours'}") as connection:
            _chat(TablestoreSaver(connection), turns)
        sizes.append(_size(path / "ours"))
        (path / "peer").mkdir()
        peer = _sqlite(path / "peer" / "checkpoints.sqlite3")
        _chat(peer, turns)
        peer.conn.close()
        sizes.append(_size(path / "peer"))
    return multiple(f"checkpoints: bytes after {turns} turns of a chat", *sizes, show="{:,.0f}".format, at_most=0.2)


def _chat(saver: BaseCheckpointSaver[str], turns: int) -> None:
    def model(state: MessagesState) -> dict[str, Any]:
        number = len(state["messages"])
        return {"messages": [AIMessage(answer(number), id=str(uuid.UUID(int=number)))]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_edge(START, "model")
    graph = builder.compile(checkpointer=saver)
    config: RunnableConfig = {"configurable": {"thread_id": "chat"}}
    for number in range(turns):
        message = HumanMessage(question(number), id=str(uuid.UUID(int=2**64 + number)))
        graph.invoke({"messages": [message]}, config)
    assert len(graph.get_state(config).values["messages"]) == 2 * turns


def _size(folder: Path) -> float:
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
