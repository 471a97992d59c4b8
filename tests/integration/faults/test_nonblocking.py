"""No async operation blocks its event loop, with any front."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import pytest
from blockbuster import BlockingError, blockbuster_ctx

from langchain_tablestore_memory import Connection, SessionRegistry, TablestoreChatMessageHistory, connect
from langchain_tablestore_memory.core.programs import Sleep
from langchain_tablestore_memory.local import Server

from .operations import each_operation
from .worlds import World, opened

KEYS = {"instance_name": "local", "access_key_id": "local", "access_key_secret": "local"}


@each_operation
@pytest.mark.parametrize("front", ["folder", "http"])
def test_operations(operation, front, beginning, undisturbed):
    async def run(connection: Connection, subject: Any):
        with blockbuster_ctx():
            result = await operation.arun(subject)
            await connection.aclose()
        assert result == undisturbed(operation).result

    with opened(beginning(operation)) as world, ExitStack() as stack:
        if front == "folder":
            connection = connect(f"local:{world.service.folder}", durability="normal")
        else:
            connection = connect(stack.enter_context(Server(world.service, port=0)).url, **KEYS)
        stack.enter_context(connection)
        asyncio.run(run(connection, operation.of(World(world.service, connection))))
        assert world.contents() == undisturbed(operation).after


def test_blocking_is_noticed():
    """The tests above would notice."""

    async def run():
        with blockbuster_ctx():
            connect("local::memory:").run(pause())

    def pause():
        yield Sleep(0.001)

    with pytest.raises(BlockingError):
        asyncio.run(run())


async def test_objects_are_made_without_blocking(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with blockbuster_ctx():
        connection = connect()
        history = TablestoreChatMessageHistory("s1", connection=connection)
        assert await history.aget_messages() == []
        assert (await SessionRegistry(connection).alist()).items == []
        await connection.aclose()


PROGRAM = """
import asyncio, os, sys

from blockbuster import blockbuster_ctx
from langchain_core.messages import AIMessage, HumanMessage
from langchain_tablestore_memory import SessionRegistry, TablestoreChatMessageHistory, connect

imported = []


class Watch:
    def find_spec(self, name, path=None, target=None):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        imported.append(name)


async def main(endpoint, **keys):
    connection = connect(endpoint or None, **keys)
    with blockbuster_ctx():
        sys.meta_path.insert(0, Watch())
        history = TablestoreChatMessageHistory("s1", connection=connection, window=10)
        await history.aadd_messages([HumanMessage("Hello"), AIMessage("Hi")])
        assert len(await history.aget_messages()) == 2
        [session] = (await SessionRegistry(connection).alist(metadata_filter={"a": {"$exists": False}})).items
        await history.aclear()
        await connection.aclose()


asyncio.run(main(sys.argv[1], **dict(each.split("=") for each in sys.argv[2:])))
print([name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names], flush=True)
# The hooks above stay in place while the interpreter takes itself down, which not every build survives.
os._exit(0)
"""


@pytest.mark.parametrize(
    "front", ["default folder", *(pytest.param(front, marks=pytest.mark.slow) for front in ("memory", "http"))]
)
def test_nothing_is_imported_while_a_loop_waits(front, bare):
    """In a new process, where everything that is put off until it is needed is needed."""
    with opened(bare) as world, Server(world.service, port=0) as server:
        arguments = {
            "default folder": [""],
            "memory": ["local::memory:"],
            "http": [server.url, *(f"{name}={value}" for name, value in KEYS.items())],
        }[front]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=100, check=False
        )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
