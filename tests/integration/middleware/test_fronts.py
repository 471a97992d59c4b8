"""Over HTTP and on files, where requests are really waited for: the same, and nothing blocks an event loop."""

from __future__ import annotations

import asyncio
import time

import pytest
from blockbuster import BlockingError, blockbuster_ctx
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from langchain_tablestore_memory import LongTermMemory, TablestoreSaver, connect
from langchain_tablestore_memory.middleware import MemoryMiddleware, TranscriptMiddleware

from .support import Runs, ScriptedModel, calling


@tool
async def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@pytest.fixture(params=["http", "folder"])
def address(request, tmp_path, instance_name):
    """Where to connect."""
    if request.param == "folder":
        return {"endpoint": f"local:{tmp_path}/data", "durability": "normal"}
    url = request.getfixturevalue("server_url")
    return {
        "endpoint": url,
        "instance_name": instance_name,
        "access_key_id": "local",
        "access_key_secret": "local",
    }


def agent_on(connection, *, tools=()):
    model = ScriptedModel(script=[calling(("weather", {"city": "Suzhou"})), AIMessage("Sunny")] if tools else [])
    memory = LongTermMemory(connection=connection)
    return create_agent(
        model,
        list(tools),
        middleware=[TranscriptMiddleware(connection), MemoryMiddleware(memory)],
        checkpointer=TablestoreSaver(connection),
    )


async def check(run):
    assert await run.texts() == ["Weather?", "", "sunny in Suzhou", "Sunny", "Thanks", "re: Thanks"]
    [session] = await run.sessions()
    assert (session.title, session.message_count, session.preview) == ("Weather?", 6, "re: Thanks")


async def test_nothing_blocks_the_event_loop(address):
    with blockbuster_ctx():
        # Opening a folder is connect's business, and not async.
        connection = await asyncio.to_thread(connect, **address)
        run = Runs(connection, "async")
        agent = agent_on(connection, tools=[weather])
        await run(agent, "Weather?")
        assert await run.stream(agent, "Thanks", stream_mode="updates")
        await check(run)
        with pytest.raises(BlockingError):
            # Or else the above shows nothing.
            time.sleep(0.001)  # noqa: ASYNC251 - what must not be
        await connection.aclose()


def test_sync(address):
    @tool("weather")
    def sync_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    with connect(**address) as connection:
        run = Runs(connection, "sync")
        agent = agent_on(connection, tools=[sync_weather])

        async def talk():
            await run(agent, "Weather?")
            await run(agent, "Thanks")
            await check(run)

        asyncio.run(talk())


async def test_many_threads_at_once(address):
    """One middleware for all of them, as in a server."""
    connection = await asyncio.to_thread(connect, **address)
    run = Runs(connection, "async")
    agent = agent_on(connection)

    async def talk(number):
        for n in range(3):
            await run(agent, f"{number}: {n}", thread=f"t{number}", user=f"u{number % 3}")

    await asyncio.gather(*map(talk, range(9)))
    for number in range(9):
        texts = await run.texts(f"t{number}", f"u{number % 3}")
        assert texts == [text for n in range(3) for text in (f"{number}: {n}", f"re: {number}: {n}")]
    assert [len(await run.sessions(f"u{n}")) for n in range(3)] == [3, 3, 3]
    await connection.aclose()
