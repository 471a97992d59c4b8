"""A saver for graphs that compares: each call goes to LangGraph's saver in memory and to one of ours as well."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from random import Random
from typing import Any

from core.support import Face
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from typing_extensions import override

from langchain_tablestore_memory import Connection
from langchain_tablestore_memory.langgraph import TablestoreSaver

from .support import ModelSaver, told


class Mirror(BaseCheckpointSaver[str]):
    """Two savers of ours on one table, as two processes have them, beside the model. Each call goes to one of the two.

    Now and then one of the two is replaced with a new one, and what is written is written twice, as after an answer that
    was lost. All ids come from the graph, so both sides have the same, and whatever is read is compared as it is.

    Args:
        connection: Where the table is.
        mode: Whether the graph is called ``sync`` or ``async``.
        seed: Of the choice.

    Attributes:
        model: LangGraph's saver.
        differences: What was read and is not what the model says. A graph may go on after one.
    """

    def __init__(self, connection: Connection, mode: str, seed: int) -> None:
        super().__init__()
        self.model = ModelSaver()
        self.differences: list[str] = []
        self._connection = connection
        self._mode = mode
        self._random = Random(seed)
        self._savers = [self._another(), self._another()]
        self._lock = threading.RLock()
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Future[Any]] = set()

    @override
    def get_next_version(self, current: str | None, channel: None) -> str:
        return TablestoreSaver(self._connection).get_next_version(current, None)

    @override
    def put(self, *args: Any) -> Any:
        return self._now(self._put(*copy.deepcopy(args[1:3]), args[0], args[3]))

    @override
    async def aput(self, *args: Any) -> Any:
        return await self._in_turn(self._put(*copy.deepcopy(args[1:3]), args[0], args[3]))

    @override
    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        self._now(self._write("put_writes", config, copy.deepcopy(list(writes)), task_id, task_path))

    @override
    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        await self._in_turn(self._write("put_writes", config, copy.deepcopy(list(writes)), task_id, task_path))

    @override
    def get_tuple(self, config: Any) -> Any:
        return self._now(self._read("get_tuple", config))

    @override
    async def aget_tuple(self, config: Any) -> Any:
        return await self._in_turn(self._read("get_tuple", config))

    @override
    def list(self, config: Any, **options: Any) -> Iterator[CheckpointTuple]:
        yield from self._now(self._read("list", config, **options))

    @override
    async def alist(self, config: Any, **options: Any) -> AsyncIterator[CheckpointTuple]:
        for found in await self._in_turn(self._read("list", config, **options)):
            yield found

    @override
    def get_delta_channel_history(self, **options: Any) -> Any:
        return self._now(self._read("get_delta_channel_history", **options))

    @override
    async def aget_delta_channel_history(self, **options: Any) -> Any:
        return await self._in_turn(self._read("get_delta_channel_history", **options))

    async def settled(self) -> None:
        """Wait for what a graph that failed has left under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def remove(self, method: str, *args: Any) -> None:
        """Delete or copy."""
        await self._write(method, *args)

    def _another(self) -> Face:
        return Face(TablestoreSaver(self._connection), self._mode)

    def _one(self) -> Face:
        number = self._random.randrange(2)
        if self._random.random() < 0.1:
            self._savers[number] = self._another()
        return self._savers[number]

    def _now(self, program: Coroutine[Any, Any, Any]) -> Any:
        # Those of the mode sync never wait for anything.
        with self._lock:
            try:
                program.send(None)
            except StopIteration as stop:
                return stop.value
        raise AssertionError("A sync call waits for something.")

    async def _in_turn(self, program: Coroutine[Any, Any, Any]) -> Any:
        async def in_turn() -> Any:
            async with self._turn:
                return await program

        # A graph that fails cancels what it is storing. Then both sides still have to have the same.
        task = asyncio.ensure_future(in_turn())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _put(self, checkpoint: Any, metadata: Any, config: Any, new_versions: Any) -> Any:
        stored = await self._write("put", config, checkpoint, metadata, new_versions)
        await self._read("get_tuple", stored)
        return stored

    async def _write(self, method: str, *args: Any) -> Any:
        getattr(self.model, method)(*args)
        if self._random.random() < 0.05:
            await getattr(self._one(), method)(*args)
        return await getattr(self._one(), method)(*args)

    async def _read(self, method: str, *args: Any, **options: Any) -> Any:
        expected = getattr(self.model, method)(*args, **options)
        found = await getattr(self._one(), method)(*args, **options)
        if _comparable(found) != _comparable(expected):
            difference = f"{method} {args} {options}: {_comparable(found)} is not {_comparable(expected)}"
            self.differences.append(difference)
            raise AssertionError(difference)
        return found


def _comparable(answer: Any) -> Any:
    if answer is None or isinstance(answer, CheckpointTuple):
        return told(answer)
    return repr(sorted(answer.items())) if isinstance(answer, dict) else [told(each) for each in answer]
