"""Real graphs and agents on the saver, each held against the same on LangGraph's saver in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.support import Face
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite

from langchain_tablestore_memory import Connection
from langchain_tablestore_memory.langgraph import TablestoreSaver

from .graphs import Deltas, Rare, Running, agent, asking, fanning_out, nested, resume, steps

DURABILITIES = ["sync", "async", "exit"]
THREAD: Any = {"configurable": {"thread_id": "t1"}}

Act = Callable[[Running], Any]


@pytest.fixture
def same(connection: Connection, mode: str) -> Any:
    """Runs something on a graph with either saver, and holds what it did against each other. Returns it."""

    async def same(make: Callable[[Any], Any], act: Callable[[Running], Any], *threads: Any) -> Any:
        done = []
        for saver in (InMemorySaver(), TablestoreSaver(connection)):
            made = make(saver)
            graph = Running(made if isinstance(made, CompiledStateGraph) else made.compile(checkpointer=saver), mode)
            result = await act(graph)
            histories = [
                [await told(graph, state) for state in await graph.get_state_history(config)]
                for config in threads or (THREAD,)
            ]
            done.append((result, histories))
        assert done[1] == done[0]
        return done[1][0]

    return same


async def told(graph: Running, state: Any) -> Any:
    """A state without what differs from run to run: ids and times."""
    # A state is read alone as it is read in a list.
    assert (await graph.get_state(state.config)).values == state.values
    metadata = {key: value for key, value in state.metadata.items() if key not in {"parents", "run_id"}}
    tasks = [(task.name, task.error, [i.value for i in task.interrupts], plain(task.result)) for task in state.tasks]
    return plain(state.values), state.next, metadata, tasks, state.parent_config is not None


def plain(values: Any) -> Any:
    """Values without the ids of tool messages, which are made at random."""
    messages = (values or {}).get("messages", [])
    named = [message.model_dump(exclude={"id"} if message.type == "tool" else None) for message in messages]
    return {**values, "messages": named} if messages else values


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_thread_goes_on(same, durability):
    async def act(graph):
        first = await graph.invoke({"log": ["in"]}, THREAD, durability=durability)
        return first, await graph.invoke({"log": ["again"]}, THREAD, durability=durability)

    _, second = await same(lambda _: steps("a", "b", "c"), act)
    assert second == {"log": ["in", "a", "b", "c", "again", "a", "b", "c"], "n": 6}


@pytest.mark.parametrize("stream_mode", ["values", "updates", "tasks"])
async def test_streaming(same, stream_mode):
    async def act(graph):
        parts = await graph.stream({"log": ["in"]}, THREAD, stream_mode=stream_mode)
        return [{key: part[key] for key in part if key != "id"} for part in parts]

    assert await same(lambda _: steps("a", "b"), act)


async def test_a_stream_of_checkpoints_names_what_is_stored(connection, mode):
    graph = Running(steps("a", "b").compile(checkpointer=TablestoreSaver(connection)), mode)
    parts = await graph.stream({"log": ["in"]}, THREAD, stream_mode="checkpoints")
    stored = await graph.get_state_history(THREAD)
    assert [part["config"]["configurable"]["checkpoint_id"] for part in parts] == [
        state.config["configurable"]["checkpoint_id"] for state in stored
    ][::-1]


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_interrupts_are_answered_one_after_the_other(same, durability):
    async def act(graph):
        seen = []
        for given in ({"log": ["in"]}, resume("yes"), resume({"deep": ["no"]})):
            result = await graph.invoke(given, THREAD, durability=durability)
            seen.append((result["log"], [each.value for each in result.get("__interrupt__", ())]))
            seen.append((await graph.get_state(THREAD)).next)
        return seen

    seen = await same(lambda _: asking(), act)
    assert [each[1] for each in seen[::2]] == [["first?"], [{"what": "second?"}], []]
    assert seen[-2][0] == ["in", "begin", "first yes", "second {'deep': ['no']}", "end"]


async def test_static_interrupts_and_updates_between(same):
    async def act(graph):
        await graph.invoke({"log": ["in"]}, THREAD, interrupt_before=["b"])
        await graph.update_state(THREAD, {"log": ["by hand"], "n": 10})
        return await graph.invoke(None, THREAD)

    assert await same(lambda _: steps("a", "b"), act) == {"log": ["in", "a", "by hand", "b"], "n": 11}


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_subgraphs_have_namespaces_of_their_own(same, saver, durability):
    async def act(graph):
        await graph.invoke({"log": ["in"]}, THREAD, durability=durability)
        state = await graph.get_state(THREAD)
        assert [task.name for task in state.tasks] == ["middle"]
        return await graph.invoke(resume("fine"), THREAD, durability=durability)

    result = await same(lambda _: nested(), act)
    assert result["log"][-3:] == ["before", "answer fine", "end"]
    whole = {"configurable": {"thread_id": "t1"}}
    namespaces = {each.config["configurable"]["checkpoint_ns"] for each in await saver.list(whole)}
    assert sorted(namespace.count("|") + bool(namespace) for namespace in namespaces) == [0, 1, 2]


async def test_the_state_of_subgraphs_is_read_with_the_graph_s(same):
    async def act(graph):
        await graph.invoke({"log": ["in"]}, THREAD)
        state = await graph.get_state(THREAD, subgraphs=True)
        values = []
        while state:
            values.append((state.values, state.next))
            state = next((task.state for task in state.tasks if task.state), None)
        return values

    assert [following for _, following in await same(lambda _: nested(), act)] == [
        ("middle",),
        ("innermost",),
        ("ask",),
    ]


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_thread_forks_from_each_of_its_checkpoints(same, durability):
    async def act(graph):
        await graph.invoke({"log": ["in"]}, THREAD, durability=durability)
        await graph.invoke({"log": ["more"]}, THREAD, durability=durability)
        results = []
        for state in await graph.get_state_history(THREAD):
            results.append(await graph.invoke(None, state.config, durability=durability))
            if state.next:
                forked = await graph.update_state(state.config, {"log": ["forked"], "n": 100})
                results.append(await graph.invoke(None, forked, durability=durability))
        return results

    assert len(await same(lambda _: steps("a", "b"), act)) >= 2


async def test_a_checkpoint_is_copied(same):
    """LangGraph tells the saver that nothing is new in a copy, and that it follows the parent of what it is a copy of."""

    async def act(graph):
        await graph.invoke({"log": ["in"]}, THREAD)
        seen = []
        for state in await graph.get_state_history(THREAD):
            copied = await graph.update_state(state.config, None, as_node="__copy__")
            again = await graph.get_state(copied)
            assert (again.values, again.next) == (state.values, state.next)
            seen.append(await graph.invoke(None, copied))
        return seen

    await same(lambda _: steps("a", "b"), act)


async def test_several_updates_at_once(same):
    async def act(graph):
        await graph.invoke({"log": ["in"]}, THREAD)
        if graph.mode == "sync":
            graph.graph.bulk_update_state(THREAD, [[({"log": ["x"]}, "a", None)], [({"log": ["y"]}, "b", None)]])
        else:
            await graph.graph.abulk_update_state(THREAD, [[({"log": ["x"]}, "a", None)], [({"log": ["y"]}, "b", None)]])
        return (await graph.get_state(THREAD)).values

    assert (await same(lambda _: steps("a", "b"), act))["log"] == ["in", "a", "b", "x", "y"]


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_hundred_tasks_in_one_step(same, durability):
    result = await same(
        lambda _: fanning_out(100), lambda graph: graph.invoke({"numbers": []}, THREAD, durability=durability)
    )
    assert result == {"numbers": list(range(100)), "total": 4950}


async def test_tasks_that_succeeded_are_not_run_again(connection, mode):
    """Of tasks in one step one fails: the writes of the others are pending, and are applied when it succeeds."""
    ran: list[int] = []
    broken = True

    def branch(given):
        ran.append(given["number"])
        if given["number"] == 7 and broken:
            raise RuntimeError("broken")
        return {"numbers": [given["number"]]}

    graph = fanning_out(20)
    graph.nodes["branch"].runnable.func = branch
    graph.nodes["branch"].runnable.afunc = None
    running = Running(graph.compile(checkpointer=TablestoreSaver(connection)), mode)
    with pytest.raises(RuntimeError, match="broken"):
        await running.invoke({"numbers": []}, THREAD, durability="sync")
    state = await running.get_state(THREAD)
    assert "RuntimeError('broken')" in [task.error for task in state.tasks]
    first, broken = list(ran), False
    running = Running(graph.compile(checkpointer=TablestoreSaver(connection)), mode)
    assert (await running.invoke(None, THREAD))["total"] == 190
    done = {task.name for task in state.tasks if task.result}
    assert done <= {"branch"}
    assert len(ran) - len(first) == len([task for task in state.tasks if task.name == "branch" and not task.result])


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("state", [Deltas, Rare])
async def test_delta_channels(same, state, durability):
    async def act(graph):
        for turn in range(4):
            await graph.invoke({"log": [f"in {turn}"]}, THREAD, durability=durability)
        states = await graph.get_state_history(THREAD)
        forked = await graph.update_state(states[3].config, {"log": ["forked"]})
        await graph.invoke(None, forked, durability=durability)
        await graph.update_state(THREAD, {"log": Overwrite(["new"])})
        return await graph.invoke({"log": ["last"]}, THREAD, durability=durability)

    result = await same(lambda _: steps("a", "b", state=state), act)
    assert result["log"] == ["new", "last", "a", "b"]


async def test_a_log_becomes_one_of_deltas(connection, mode):
    saver = TablestoreSaver(connection)
    await Running(steps("a", "b").compile(checkpointer=saver), mode).invoke({"log": ["in"]}, THREAD)
    graph = Running(steps("a", "b", state=Deltas).compile(checkpointer=saver), mode)
    assert (await graph.invoke({"log": ["in"]}, THREAD))["log"] == ["in", "a", "b"] * 2


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_an_agent_talks_in_turns(same, durability):
    async def act(graph):
        for turn, city in enumerate(["Hangzhou", "杭州", "東京"]):
            said = HumanMessage(city, id=f"h{turn}")
            result = await graph.invoke({"messages": [said]}, THREAD, durability=durability)
        return [(message.type, message.text, message.id) for message in result["messages"] if message.type != "tool"]

    said = await same(agent, act)
    assert [text for kind, text, _ in said if kind == "ai" and text] == [
        f"It is sunny in {city}." for city in ("Hangzhou", "杭州", "東京")
    ]


async def test_an_agent_stops_before_its_tools_and_goes_on(same):
    async def act(graph):
        await graph.invoke({"messages": [HumanMessage("Rome", id="h")]}, THREAD)
        assert (await graph.get_state(THREAD)).next == ("tools",)
        return (await graph.invoke(None, THREAD))["messages"][-1].text

    assert await same(lambda saver: agent(saver, interrupt_before=["tools"]), act) == "It is sunny in Rome."


async def test_threads_know_nothing_of_each_other(same):
    threads = [{"configurable": {"thread_id": name}} for name in ("t", "t1", "t1/x", "t ")]

    async def act(graph):
        for number, thread in enumerate(threads):
            await graph.invoke({"log": [number]}, thread)
        return [(await graph.get_state(thread)).values for thread in threads]

    assert await same(lambda _: steps("a"), act, *threads) == [{"log": [n, "a"], "n": 1} for n in range(4)]


async def test_a_new_saver_reads_what_another_wrote(connection, mode):
    for number in range(5):
        graph = Running(steps("a", "b").compile(checkpointer=TablestoreSaver(connection)), mode)
        result = await graph.invoke({"log": [{"text": "x" * 3000, "number": number}]}, THREAD)
        assert result["n"] == 2 * (number + 1)
        assert len(result["log"]) == 3 * (number + 1)


@pytest.mark.parametrize("gone", ["deleted", "dropped"])
async def test_a_checkpoint_that_another_saver_deleted_is_gone_on_from(connection, mode, gone):
    """LangGraph begins the thread afresh, and nothing is taken for stored that was when the checkpoint was."""
    saver, other = TablestoreSaver(connection), Face(TablestoreSaver(connection), mode)
    graph = Running(steps("a", "b").compile(checkpointer=saver), mode)
    log = ["x" * 900] * 30
    await graph.invoke({"log": log}, THREAD)
    last = (await graph.get_state(THREAD)).config
    if gone == "deleted":
        await other.delete_thread("t1")
    else:
        await other.drop()
        await other.setup()
    await graph.update_state(last, {"log": log}, as_node="b")
    assert (await graph.get_state(THREAD)).values == {"log": log}
    assert (await other.get_tuple(THREAD)).checkpoint["channel_values"]["log"] == log
