"""Threads that are pruned, copied, or rid of runs go on as if nothing had happened; deleted ones begin afresh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory.langgraph import TablestoreSaver

from .graphs import Deltas, Rare, Running, agent, asking, fanning_out, nested, resume, steps

THREAD: Any = {"configurable": {"thread_id": "t1"}}
COPY: Any = {"configurable": {"thread_id": "t2"}}

MAKES: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "log": (lambda saver: steps("a", "b").compile(checkpointer=saver), [{"log": [n]} for n in range(4)]),
    "deltas": (
        lambda saver: steps("a", "b", state=Deltas).compile(checkpointer=saver),
        [{"log": [n]} for n in range(4)],
    ),
    "rare snapshots": (
        lambda saver: steps("a", "b", state=Rare).compile(checkpointer=saver),
        [{"log": [n]} for n in range(4)],
    ),
    "interrupts": (
        lambda saver: asking().compile(checkpointer=saver),
        [{"log": [0]}, resume(1), resume(2), {"log": [3]}],
    ),
    "subgraphs": (
        lambda saver: nested().compile(checkpointer=saver),
        [{"log": [0]}, resume(1), {"log": [2]}, resume(3)],
    ),
    "fan-out": (lambda saver: fanning_out(5).compile(checkpointer=saver), [{"numbers": [n]} for n in range(4)]),
    "agent": (agent, [{"messages": [HumanMessage(f"city {n}", id=f"h{n}")]} for n in range(4)]),
}


QUICK = {"deltas", "interrupts", "subgraphs"}

each_graph = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in MAKES]
)


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def plain(result: Any) -> Any:
    """A result without the ids of tool messages, which are made at random, and of interrupts."""
    if "messages" in result:
        return [(message.type, message.text) for message in result["messages"]]
    return {key: value for key, value in result.items() if not key.startswith("__")}


async def undisturbed(make: Callable[[Any], Any], inputs: list[Any], mode: str) -> list[Any]:
    from langgraph.checkpoint.memory import InMemorySaver

    graph = Running(make(InMemorySaver()), mode)
    return [plain(await graph.invoke(each, THREAD)) for each in inputs]


@pytest.fixture(params=["hot", "cold"])
def next_saver(request: pytest.FixtureRequest, connection: Any) -> Callable[[], TablestoreSaver]:
    """The saver for the next run: always the same one, or one that knows nothing."""
    hot = TablestoreSaver(connection)
    return lambda: hot if request.param == "hot" else TablestoreSaver(connection)


@each_graph
async def test_pruned_before_each_run(saver, next_saver, mode, name):
    make, inputs = MAKES[name]
    results = []
    for each in inputs:
        graph = Running(make(next_saver()), mode)
        results.append(plain(await graph.invoke(each, THREAD)))
        before = await graph.get_state(THREAD)
        await saver.prune(["t1"])
        after = await Running(make(next_saver()), mode).get_state(THREAD)
        assert (plain(after.values), after.next, after.tasks) == (plain(before.values), before.next, before.tasks)
    assert results == await undisturbed(make, inputs, mode)


@each_graph
async def test_copied_before_each_run(saver, next_saver, mode, name):
    """Each run goes on in a copy, and in the thread."""
    make, inputs = MAKES[name]
    results = []
    for each in inputs:
        await saver.delete_thread("t2")
        await saver.copy_thread("t1", "t2")
        graph = Running(make(next_saver()), mode)
        copied = plain(await graph.invoke(each, COPY))
        results.append(plain(await graph.invoke(each, THREAD)))
        assert copied == results[-1]
    assert results == await undisturbed(make, inputs, mode)


@each_graph
async def test_deleted_in_between(saver, next_saver, mode, name):
    make, inputs = MAKES[name]
    for each in inputs[:2]:
        await Running(make(next_saver()), mode).invoke(each, THREAD)
    await saver.delete_thread("t1")
    assert (await Running(make(next_saver()), mode).get_state(THREAD)).values in ({}, {"log": []}, {"messages": []})
    results = [plain(await Running(make(next_saver()), mode).invoke(each, THREAD)) for each in inputs]
    assert results == await undisturbed(make, inputs, mode)


@pytest.mark.parametrize("name", ["log", "fan-out", "agent"])
async def test_rid_of_its_last_run(saver, next_saver, mode, name):
    """What the last run did is undone."""
    make, inputs = MAKES[name]
    for number, each in enumerate(inputs[:3]):
        config = {**THREAD, "metadata": {"run_id": f"run-{number}"}}
        await Running(make(next_saver()), mode).invoke(each, config)
    await saver.delete_for_runs(["run-1", "run-2"])
    result = plain(await Running(make(next_saver()), mode).invoke(inputs[3], THREAD))
    expected = await undisturbed(make, [inputs[0], inputs[3]], mode)
    assert result == expected[-1]
