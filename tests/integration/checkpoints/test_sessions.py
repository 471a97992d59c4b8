"""A user's threads are sessions of the registry, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from core.support import Face
from memory.support import Clock

from langchain_tablestore_memory import (
    Connection,
    InvalidArgumentError,
    MemoryStore,
    Message,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
)

from .graphs import Running, asking, nested, resume, steps
from .support import Thread
from .test_ids import IDS

SHORT = [each for each in IDS if len(each.encode()) < 400]
"""A session's id and its user's fit into one key."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(connection: Connection, mode: str) -> Face:
    return Face(SessionRegistry(connection), mode)


@pytest.fixture
def listed(open_saver: Any, registry: Face, clock: Clock) -> Face:
    """A saver whose threads are listed."""
    return open_saver(sessions=registry.target, clock=clock)


def configured(thread_id: str, **configurable: Any) -> Any:
    return {"configurable": {"thread_id": thread_id, **configurable}}


async def listing(registry: Face, user_id: str) -> list[str]:
    return [session.session_id for session in await registry.iterate(user_id)]


async def put(saver: Face, thread: Thread, user_id: Any = None, **changes: Any) -> Any:
    step = thread.step(None, changes or {"n": 1})
    if user_id is not None:
        step.config["configurable"]["user_id"] = user_id
    await saver.put(*step.arguments)
    return step


async def test_the_latest_is_first(listed, registry, clock):
    for name in ("a", "b", "c", "a"):
        clock.pass_seconds(1)
        await put(listed, Thread(name), "u1")
    assert await listing(registry, "u1") == ["a", "c", "b"]
    first = (await registry.list("u1")).items[0]
    assert first.update_time == clock.now


async def test_users_see_their_own_threads(listed, registry):
    for user in ("u1", "u2", "u", "u1/x"):
        for number in range(3):
            await put(listed, Thread(f"{user}-{number}"), user)
    for user in ("u1", "u2", "u", "u1/x"):
        assert sorted(await listing(registry, user)) == [f"{user}-{number}" for number in range(3)]
    assert await listing(registry, "nobody") == []
    assert await listing(registry, "default") == []


async def test_users_of_any_characters(listed, registry):
    for user in SHORT:
        await put(listed, Thread(f"t{user}"), user)
    for user in SHORT:
        assert await listing(registry, user) == [f"t{user}"]


async def test_threads_of_any_characters(listed, registry):
    for thread_id in SHORT:
        await put(listed, Thread(thread_id), "u1")
    assert sorted(await listing(registry, "u1")) == sorted(SHORT)


async def test_a_user_and_a_thread_too_long_together(engine, listed):
    with pytest.raises(InvalidArgumentError, match="user_id and session_id together"):
        await put(listed, Thread("x" * 1000), "y" * 100)
    assert engine.calls == []


async def test_a_thread_without_a_user_is_not_listed(listed, registry):
    await put(listed, Thread())
    assert [await listing(registry, user) for user in ("u1", "default", "t1", "None")] == [[]] * 4


async def test_a_number_is_a_user(listed, registry):
    await put(listed, Thread(), 7)
    assert await listing(registry, "7") == ["t1"]


@pytest.mark.parametrize("user_id", [["u1"], 1.5, True, b"u1", "x" * 1025, "\ud800"])
async def test_users_that_cannot_be(engine, listed, user_id):
    with pytest.raises(InvalidArgumentError, match="user_id"):
        await put(listed, Thread(), user_id)
    assert engine.calls == []


async def test_it_takes_no_further_request(engine, saver, listed):
    costs = []
    for each, user in ((saver, None), (listed, "u1")):
        thread = Thread(f"t {user}")
        state = (await put(each, thread, user)).state
        engine.taken()
        for number in range(10):
            step = thread.step(state, {"n": number})
            if user:
                step.config["configurable"]["user_id"] = user
            await each.put(*step.arguments)
            await each.put_writes(step.state.config, [("n", 1)], "task")
            state = step.state
        costs.append(len(engine.taken()))
    assert costs[0] == costs[1] == 20


async def test_threads_of_graphs_with_subgraphs_are_listed_once(listed, registry, mode):
    graph = Running(nested().compile(checkpointer=listed.target), mode)
    config = configured("t1", user_id="u1")
    await graph.invoke({"log": ["in"]}, config)
    await graph.invoke(resume("fine"), config)
    assert await listing(registry, "u1") == ["t1"]


async def test_a_stopped_thread_is_listed(listed, registry, mode):
    graph = Running(asking().compile(checkpointer=listed.target), mode)
    await graph.invoke({"log": ["in"]}, configured("t1", user_id="u1"))
    assert await listing(registry, "u1") == ["t1"]


async def test_titles_and_metadata_stay(listed, registry):
    await registry.create("u1", "t1", title="Title", metadata={"model": "qwen-max"})
    await put(listed, Thread(), "u1")
    session = await registry.get("t1", "u1")
    assert (session.title, session.metadata) == ("Title", {"model": "qwen-max"})


async def test_the_messages_of_a_session_are_found_by_its_id(connection, mode, listed, registry):
    """The history of a session that a checkpoint brought into being is the one that everybody finds."""
    await put(listed, Thread(), "u1")
    history = Face(TablestoreChatMessageHistory("t1", user_id="u1", connection=connection), mode)
    from langchain_core.messages import HumanMessage

    await history.add_messages([HumanMessage("Hello", id="m1")])
    await put(listed, Thread(), "u1")
    session = await registry.get("t1", "u1")
    assert session.message_count == 1
    assert session.title == "Hello"
    assert await registry.recount("t1", "u1") == 1


async def test_a_session_before_its_checkpoints(connection, mode, listed, registry):
    from langchain_core.messages import HumanMessage

    history = Face(TablestoreChatMessageHistory("t1", user_id="u1", connection=connection), mode)
    await history.add_messages([HumanMessage("Hello", id="m1")])
    await put(listed, Thread(), "u1")
    session = await registry.get("t1", "u1")
    assert (session.title, session.message_count) == ("Hello", 1)
    await history.add_messages([HumanMessage("again", id="m2")])
    assert (await registry.get("t1", "u1")).message_count == 2


async def test_a_session_of_another_tool_keeps_its_messages(connection, mode, listed, registry):
    """Its messages are under its id alone. A checkpoint brings none, and does not say that they are elsewhere."""
    store = Face(MemoryStore(connection), mode)
    await store.put_session(Session("u1", "t1", 1_000_000, {"model": "qwen-max"}))
    for number in range(3):
        await store.put_message(Message("t1", f"m{number}", number, f"text {number}"))
    first = await put(listed, Thread(), "u1")
    second = Thread().step(first.state, {"n": 2})
    second.config["configurable"]["user_id"] = "u1"
    await listed.put(*second.arguments)
    assert await listing(registry, "u1") == ["t1"]
    assert await registry.recount("t1", "u1") == 3
    await registry.delete("t1", "u1")
    assert await store.list_messages("t1") == []


async def test_a_deleted_session_comes_back_with_the_thread(listed, registry):
    first = await put(listed, Thread(), "u1")
    await registry.delete("t1", "u1")
    second = Thread().step(first.state, {"n": 2})
    second.config["configurable"]["user_id"] = "u1"
    await listed.put(*second.arguments)
    assert await listing(registry, "u1") == ["t1"]
    found = await listed.get_tuple(Thread().config())
    assert found.checkpoint == second.checkpoint


async def test_a_thread_is_listed_from_its_user_s_first_step_on(saver, listed, registry):
    """It was begun by nobody, or by a saver that lists none."""
    state = (await put(saver, Thread())).state
    for number in range(2):
        step = Thread().step(state, {"n": number})
        step.config["configurable"]["user_id"] = "u1"
        await listed.put(*step.arguments)
        state = step.state
        assert await listing(registry, "u1") == ["t1"]


async def test_without_sessions_nothing_is_listed(saver, registry, mode):
    graph = Running(steps("a").compile(checkpointer=saver.target), mode)
    await graph.invoke({"log": []}, configured("t1", user_id="u1"))
    assert [await listing(registry, user) for user in ("u1", "default", "t1", "None")] == [[]] * 4
