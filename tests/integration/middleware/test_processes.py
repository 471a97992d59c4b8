"""Several processes on one thread, one after the other and at once: each has a middleware of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_tablestore_memory import Connection
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.service import Response, error_body, response_headers
from langchain_tablestore_memory.middleware import TranscriptMiddleware, recording

from .support import Runs, ScriptedModel, calling, ids


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@pytest.fixture
def saver():
    return InMemorySaver()


@pytest.fixture
def process(engine, mode, saver):
    """Makes an agent as another process has it: with a connection and a middleware of its own."""

    def make(model=None, tools=(), middleware=(), **options):
        recording = TranscriptMiddleware(engine.connection(mode))
        return create_agent(
            model or ScriptedModel(),
            list(tools),
            middleware=[recording, *middleware],
            **{"checkpointer": saver} | options,
        )

    return make


# One after the other


async def test_a_long_thread_goes_on_elsewhere(process, run: Runs, engine):
    agent = process()
    for n in range(40):
        await run(agent, f"{n}")
    before = ids(await run.entries())
    other = process()
    engine.taken()
    await run(other, "elsewhere")
    calls = [api for api in engine.taken() if api != "DescribeTable"]
    # The session and the latest messages; those whose ids are not among them, if any; and the two writes.
    assert calls[:2] == ["GetRow", "GetRange"]
    assert calls[-2:] == ["BatchWriteRow"] * 2
    assert set(calls[2:-2]) <= {"GetRange"}
    assert len(calls) <= 6
    after = ids(await run.entries())
    assert after[:80] == before
    assert len(after) == len(set(after)) == 82
    assert (await run.session()).message_count == 82


async def test_in_turns(process, run: Runs, engine):
    """A process that comes back sees that others went on meanwhile, and what they recorded."""
    first, second = process(), process()
    for n in range(6):
        await run([first, second, second][n % 3], f"{n}")
    assert await run.texts() == [text for n in range(6) for text in (f"{n}", f"re: {n}")]
    assert (await run.session()).message_count == 12


async def test_a_message_that_another_process_failed_to_answer(process, run: Runs):
    """The client sends it again, by its id, and another process gets it, which knows the thread from before."""
    first = process()
    await run(first, "one")
    with pytest.raises(RuntimeError):
        await run(process(ScriptedModel(script=[RuntimeError("no model")])), [HumanMessage("two", id="m2")])
    await run(first, [HumanMessage("two", id="m2")])
    assert await run.texts() == ["one", "re: one", "two", "re: two"]
    assert (await run.session()).message_count == 4


async def test_one_message_sent_to_two_processes_at_once(process, run: Runs, engine):
    first, second = process(checkpointer=InMemorySaver()), process(checkpointer=InMemorySaver())
    await run(first, "one")
    await run(second, [*(await run.state(first)), HumanMessage("two", id="m2")])
    await run(first, [HumanMessage("two", id="m2")])
    texts = await run.texts()
    assert texts[:3] == ["one", "re: one", "two"]
    assert sorted(texts[3:]) == ["re: two"] * 2
    assert (await run.session()).message_count == 5


async def test_many_messages_sent_to_two_processes(process, run: Runs, monkeypatch):
    """More than go into one request: each request of the second process meets messages of the first."""
    monkeypatch.setattr(recording, "_AT_ONCE", 2)
    first, second = process(checkpointer=None), process(checkpointer=None)
    state = (await run(first, "one"))["messages"]
    texts = [f"{n}" for n in range(5)]
    given = [*state, *(HumanMessage(text, id=text) for text in texts)]
    await run(second, given)
    await run(first, given)
    assert await run.texts() == ["one", "re: one", *texts, "re: 4", "re: 4"]
    assert (await run.session()).message_count == 9


async def test_answers_of_humans_elsewhere(process, run: Runs, saver):
    """What the model wants to call is there while somebody decides, and is not recorded again by who goes on."""
    model = ScriptedModel(script=[calling(("weather", {"city": "Suzhou"})), AIMessage("Done")])

    def agent():
        return process(model, [weather], [HumanInTheLoopMiddleware({"weather": True})])

    await run(agent(), "Weather?")
    assert [entry.message.type for entry in await run.entries()] == ["human", "ai"]
    refused = {"decisions": [{"type": "reject", "message": "not now"}]}
    other = agent()
    await run(other, Command(resume=refused))
    entries = await run.entries()
    assert [entry.message for entry in entries] == await run.state(other)
    assert [entry.message.type for entry in entries] == ["human", "ai", "tool", "ai"]
    assert "not now" in entries[2].message.text


async def test_an_answer_that_was_changed_before_another_process_goes_on(process, run: Runs):
    model = ScriptedModel(script=[calling(("weather", {"city": "Suzhou"})), AIMessage("Done")])
    first = process(model, [weather], interrupt_before=["tools"])
    await run(first, "Weather?")
    answer = (await run.state(first))[-1]
    calls = [{**call, "args": {"city": "Hangzhou"}} for call in answer.tool_calls]
    config = {"configurable": {"thread_id": "t1"}}
    # The middleware is not there when the state is updated from outside.
    first.update_state(config, {"messages": [answer.model_copy(update={"tool_calls": calls})]})
    await run(process(model, [weather]), None)
    entries = await run.entries()
    assert entries[1].message.tool_calls[0]["args"] == {"city": "Hangzhou"}
    assert [entry.message.text for entry in entries] == ["Weather?", "", "sunny in Hangzhou", "Done"]


# At once


@pytest.mark.parametrize("apart", [True, False], ids=["two processes", "one process"])
async def test_two_agents_at_once(process, run: Runs, mode, apart):
    """Each has a state of its own, as runs do that begin before the others end; the thread is one."""

    class Slow(ScriptedModel):
        async def _agenerate(self, messages, *_, **__):
            await asyncio.sleep(0.001)
            return self._generate(messages)

    def agent():
        # Without a checkpointer: the state is the caller's.
        return process(Slow(script=[calling(("weather", {"city": "x"}))]), [weather], checkpointer=None)

    agents = [agent(), agent()] if apart else [agent()] * 2

    async def talk(agent, name):
        messages = []
        for n in range(8):
            given = [*messages, HumanMessage(f"{name}{n}", id=str(uuid.uuid4()))]
            messages = (await run(agent, given))["messages"]
        return messages

    if mode == "async":
        states = await asyncio.gather(*(talk(agent, name) for agent, name in zip(agents, "ab", strict=True)))
    else:
        states = [None, None]

        def work(position):
            states[position] = asyncio.run(talk(agents[position], "ab"[position]))

        threads = [threading.Thread(target=work, args=(position,)) for position in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    entries = await run.entries()
    recorded = ids(entries)
    assert len(recorded) == len(set(recorded))
    said = {message.id: message for state in states for message in state}
    assert {entry.id: entry.message for entry in entries} == said
    for state in states:
        # Each conversation in its order.
        mine = set(ids(state))
        assert [each for each in recorded if each in mine] == ids(state)
    assert (await run.session()).message_count == len(said)


# Where answers and runs are lost


class LostAnswers:
    """Carries out a request, and says that it failed.

    Attributes:
        left: How many requests still fail.
        then: What happens before the caller hears of it.
    """

    def __init__(self, engine):
        self.engine = engine
        self.left = 0
        self.then = lambda: None
        self.handle = engine.handle
        engine.handle = self

    def __call__(self, path, headers, body):
        response = self.handle(path, headers, body)
        if path.endswith("/BatchWriteRow") and self.left:
            self.left -= 1
            self.then()
            error = RequestError(503, "OTSServerUnavailable", "Lost.")
            body = error_body(error)
            return Response(error.status, error.code, response_headers(body), body)
        return response


async def test_a_lost_answer(process, run: Runs, engine):
    agent = process()
    await run(agent, "one")
    lost = LostAnswers(engine)
    lost.left = 1
    await run(agent, "two")
    lost.left = 2
    await run(agent, "three")
    assert await run.texts() == ["one", "re: one", "two", "re: two", "three", "re: three"]
    assert (await run.session()).message_count == 6


async def test_a_lost_answer_before_which_others_write(process, run: Runs, engine):
    """Who then finds another write than its own cannot know whether the session has counted its messages."""
    agent = process()
    await run(agent, "one")
    other = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(engine.connection("sync"))])
    lost = LostAnswers(engine)
    lost.left = 1
    config = {"configurable": {"thread_id": "t1", "user_id": "u1"}}
    lost.then = lambda: other.invoke({"messages": [HumanMessage("theirs")]}, config)
    await run(agent, "two")
    assert await run.texts() == ["one", "re: one", "two", "theirs", "re: theirs", "re: two"]
    assert (await run.session()).message_count == 6


async def test_two_that_begin_a_thread_at_once(process, run: Runs, engine):
    """Who comes second does not rename it."""
    other = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(engine.connection("sync"))])
    config = {"configurable": {"thread_id": "t1", "user_id": "u1"}}
    begun = False

    def before(api):
        nonlocal begun
        if api == "BatchWriteRow" and not begun:
            begun = True
            other.invoke({"messages": [HumanMessage("theirs")]}, config)

    # The tables are there.
    await run(process(), "elsewhere", thread="t0")
    engine.before = before
    await run(process(), "mine")
    assert sorted(await run.texts()) == ["mine", "re: mine", "re: theirs", "theirs"]
    session = await run.session()
    assert (session.title, session.message_count) == ("theirs", 4)


async def test_answers_that_are_lost_for_good(process, run: Runs, engine):
    agent = process()
    await run(agent, "one")
    lost = LostAnswers(engine)
    lost.left = 3
    with pytest.raises(Exception, match="may not be stored"):
        await run(agent, "two")
    await run(agent, None)
    assert await run.texts() == ["one", "re: one", "two", "re: two"]
    assert (await run.session()).message_count == 4


async def test_a_cancelled_run(engine, saver):
    connection: Connection = engine.connection("async")
    run = Runs(connection, "async")
    started = asyncio.Event()

    class Endless(ScriptedModel):
        async def _agenerate(self, messages, *_, **__):
            started.set()
            await asyncio.sleep(3600)

    recording = TranscriptMiddleware(connection)
    agent = create_agent(Endless(), middleware=[recording], checkpointer=saver)
    task = asyncio.create_task(run(agent, "one"))
    await started.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert await run.texts() == ["one"]
    await run(create_agent(ScriptedModel(), middleware=[recording], checkpointer=saver), None)
    assert await run.texts() == ["one", "re: one"]
    assert (await run.session()).message_count == 2
