"""One saver for many: threads, event loops and processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory import Connection, connect
from langchain_tablestore_memory.langgraph import TablestoreSaver
from langchain_tablestore_memory.local import Server, Tablestore

from .graphs import agent, asking, fanning_out, resume, steps
from .support import Thread, place, told


@pytest.fixture(params=["memory", "folder", "http"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """A connection for sync and async calls."""
    if request.param == "http":
        keys = {"instance_name": "local", "access_key_id": "local", "access_key_secret": "local"}
        with Tablestore(None) as service, Server(service, port=0) as server, connect(server.url, **keys) as connection:
            yield connection
    else:
        with connect("local::memory:" if request.param == "memory" else f"local:{tmp_path}") as connection:
            yield connection


def config_of(name: Any) -> Any:
    return {"configurable": {"thread_id": str(name)}}


WORKERS = 6
TURNS = 3


def test_threads_and_loops_at_once(shared: Connection) -> None:
    """Half of them call sync, half async, each on a loop of its own, all with one saver."""
    saver = TablestoreSaver(shared)
    graph = steps("a", "b").compile(checkpointer=saver)

    def talk(number: int) -> Any:
        async def asynchronously() -> Any:
            for turn in range(TURNS):
                result = await graph.ainvoke({"log": [f"{number} {turn}"]}, config_of(number))
            # The connection's client of this loop.
            await asyncio.sleep(0)
            return result

        if number % 2:
            return asyncio.run(asynchronously())
        for turn in range(TURNS):
            result = graph.invoke({"log": [f"{number} {turn}"]}, config_of(number))
        return result

    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(talk, range(WORKERS)))
    for number, result in enumerate(results):
        expected = [entry for turn in range(TURNS) for entry in (f"{number} {turn}", "a", "b")]
        assert result == {"log": expected, "n": 2 * TURNS} == graph.get_state(config_of(number)).values
    assert len(list(saver.list(None))) == WORKERS * TURNS * 4


async def test_many_tasks_of_one_loop(shared: Connection) -> None:
    saver = TablestoreSaver(shared)
    graph = fanning_out(10).compile(checkpointer=saver)
    results = await asyncio.gather(*(graph.ainvoke({"numbers": [n]}, config_of(n)) for n in range(WORKERS)))
    assert [result["total"] for result in results] == [45 + n for n in range(WORKERS)]


async def test_two_that_go_on_from_one_checkpoint(shared: Connection) -> None:
    """Neither writes into what the other has: each branch is whole."""
    saver = TablestoreSaver(shared)
    thread = Thread()
    first = thread.step(None, {"log": ["x" * 1000] * 20})
    await saver.aput(*first.arguments)
    branches = [thread.step(first.state, {"log": ["x" * 1000] * 20 + [f"{n}" * 900] * (n + 1)}) for n in range(10)]
    await asyncio.gather(*(TablestoreSaver(shared).aput(*branch.arguments) for branch in branches))
    for branch in branches:
        found = await saver.aget_tuple(branch.state.config)
        assert found is not None
        assert found.checkpoint == branch.checkpoint


async def test_two_that_write_for_one_task(shared: Connection) -> None:
    """As where a run is resumed while it goes on elsewhere: for each number one of the writes is there, and none is lost."""
    saver = TablestoreSaver(shared)
    step = Thread().step(None, {"n": 1})
    await saver.aput(*step.arguments)
    offered = [[("log", f"{writer} {number}") for number in range(writer + 1)] for writer in range(8)]
    await asyncio.gather(*(TablestoreSaver(shared).aput_writes(step.state.config, each, "task") for each in offered))
    found = await saver.aget_tuple(step.state.config)
    assert found is not None
    values = [value for _, _, value in found.pending_writes or ()]
    assert [value.split()[1] for value in values] == [str(number) for number in range(8)]


async def test_a_checkpoint_that_is_stored_twice_at_once(shared: Connection) -> None:
    thread = Thread()
    first = thread.step(None, {"log": ["x" * 1000] * 20, "n": 0})
    await TablestoreSaver(shared).aput(*first.arguments)
    second = thread.step(first.state, {"log": ["x" * 1000] * 30})
    await asyncio.gather(*(TablestoreSaver(shared).aput(*second.arguments) for _ in range(5)))
    [found, _] = [each async for each in TablestoreSaver(shared).alist(thread.config())]
    assert found.checkpoint == second.checkpoint


async def test_readers_meet_whole_checkpoints_alone(shared: Connection) -> None:
    """While another writes, prunes and deletes."""
    writer, reader = TablestoreSaver(shared), TablestoreSaver(shared)
    thread, made = Thread(), {}
    done = asyncio.Event()

    async def write() -> None:
        state = None
        for number in range(40):
            before = state.values["log"] if state else []
            step = thread.step(state, {"log": [*before, f"{number}" * 2000], "n": number})
            made[step.checkpoint["id"]] = step.checkpoint
            await writer.aput(*step.arguments)
            await writer.aput_writes(step.state.config, [("log", number)], "task")
            state = step.state
            if number % 10 == 9:
                await TablestoreSaver(shared).aprune(["t1"])
        await TablestoreSaver(shared).adelete_thread("t1")
        done.set()

    async def read() -> int:
        seen = 0
        while not done.is_set():
            for found in [await reader.aget_tuple(thread.config()), *[each async for each in reader.alist(None)]]:
                if found is not None:
                    seen += 1
                    assert found.checkpoint == made[found.checkpoint["id"]]
            await asyncio.sleep(0)
        return seen

    _, seen = await asyncio.gather(write(), read())
    assert seen > 0
    assert await reader.aget_tuple(thread.config()) is None


async def test_nothing_blocks_the_loop(shared: Connection) -> None:
    saver = TablestoreSaver(shared)
    graphs = [steps("a").compile(checkpointer=saver), asking().compile(checkpointer=saver), agent(saver)]
    with blockbuster_ctx():
        await graphs[0].ainvoke({"log": ["x" * 100_000]}, config_of("t1"))
        await graphs[1].ainvoke({"log": []}, config_of("t2"))
        await graphs[1].ainvoke(resume("yes"), config_of("t2"))
        await graphs[2].ainvoke({"messages": [HumanMessage("Rome")]}, config_of("t3"))
        history = [state async for state in graphs[0].aget_state_history(config_of("t1"))]
        await graphs[0].aupdate_state(history[1].config, {"log": ["fork"]})
        assert len([each async for each in saver.alist(None, limit=3)]) == 3
        await saver.acopy_thread("t1", "t4")
        await saver.aprune(["t1"])
        await saver.adelete_for_runs(["absent"])
        await saver.adelete_thread("t4")


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[3])
from checkpoints.graphs import asking, resume
from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreSaver

with connect(f"local:{sys.argv[1]}") as connection:
    graph = asking().compile(checkpointer=TablestoreSaver(connection))
    given = {"log": ["in"]} if sys.argv[2] == "begin" else resume(sys.argv[2])
    result = graph.invoke(given, {"configurable": {"thread_id": "t1"}})
    print(result["log"], [each.value for each in result.get("__interrupt__", ())])
"""


@pytest.mark.slow
def test_a_thread_goes_on_in_other_processes(tmp_path: Path) -> None:
    said = []
    for given in ("begin", "yes", "no"):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), given, str(Path(__file__).parents[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.strip())
    assert said == [
        "['in', 'begin'] ['first?']",
        "['in', 'begin'] [{'what': 'second?'}]",
        "['in', 'begin', 'first yes', 'second no', 'end'] []",
    ]
    with connect(f"local:{tmp_path}") as connection:
        found = list(TablestoreSaver(connection).list(None))
        assert [told(each) for each in found] == [
            told(TablestoreSaver(connection).get_tuple(each.config)) for each in found
        ]
        assert {place(each.config)[0] for each in found} == {"t1"}
