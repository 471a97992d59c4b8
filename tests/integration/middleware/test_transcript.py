"""TranscriptMiddleware: what is said in an agent's thread is there once, in order, whatever becomes of the state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, PIIMiddleware, hook_config
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from pydantic import BaseModel

from langchain_tablestore_memory import (
    ConfigurationError,
    InvalidArgumentError,
    Message,
    MessageStore,
    SchemaMismatchError,
    SessionRegistry,
    TablestoreSaver,
    WriteError,
)
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.middleware import TranscriptMiddleware

from .support import Runs, ScriptedModel, calling, ids


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool(return_direct=True)
def report(city: str) -> str:
    """A report that is the answer."""
    return f"report of {city}"


@pytest.fixture
def make(connection):
    """Makes an agent that records, on a saver of its own unless one is given."""

    def make(model=None, tools=(), middleware=(), saver=None, **options):
        recording = TranscriptMiddleware(connection)
        return create_agent(
            model or ScriptedModel(),
            list(tools),
            middleware=[recording, *middleware],
            checkpointer=saver or InMemorySaver(),
            **options,
        )

    return make


# What is recorded, and by how many requests


async def test_a_turn_is_two_writes(make, run: Runs, engine):
    agent = make()
    await run(agent, "first")
    engine.taken()
    await run(agent, "second")
    assert engine.taken() == ["BatchWriteRow"] * 2
    assert await run.texts() == ["first", "re: first", "second", "re: second"]
    assert [entry.message for entry in await run.entries()] == await run.state(agent)


async def test_the_first_turn_looks_first(make, run: Runs, engine):
    await run(make(), "an earlier thread", thread="t0")
    engine.taken()
    await run(make(), "first")
    assert engine.taken() == ["GetRow", "GetRange", "BatchWriteRow", "BatchWriteRow"]


async def test_the_session(make, run: Runs):
    agent = make()
    await run(agent, "What about Hangzhou?")
    await run(agent, "And tea?")
    await run(agent, "Another thread", thread="t2")
    latest, first = await run.sessions()
    assert (first.session_id, first.title, first.preview, first.message_count) == (
        "t1",
        "What about Hangzhou?",
        "re: And tea?",
        4,
    )
    assert (latest.session_id, latest.message_count) == ("t2", 2)


async def test_tools_in_parallel(make, run: Runs, engine):
    answer = calling(("weather", {"city": "Hangzhou"}), ("weather", {"city": "Suzhou"}), text="I look it up")
    agent = make(ScriptedModel(script=[AIMessage("Hello"), answer, AIMessage("Sunny in both")]), [weather])
    await run(agent, "Hi")
    engine.taken()
    await run(agent, "Weather?")
    # The question, the calls, their results, the answer.
    assert engine.taken() == ["BatchWriteRow"] * 4
    entries = await run.entries()
    assert [entry.message for entry in entries] == await run.state(agent)
    assert [entry.message.type for entry in entries[2:]] == ["human", "ai", "tool", "tool", "ai"]
    assert [call["id"] for call in entries[3].message.tool_calls] == [
        entry.message.tool_call_id for entry in entries[4:6]
    ]
    assert (await run.session()).message_count == 7


async def test_a_result_that_is_the_answer(make, run: Runs):
    agent = make(ScriptedModel(script=[calling(("report", {"city": "Suzhou"}))]), [report])
    await run(agent, "Report!")
    assert await run.texts() == ["Report!", "", "report of Suzhou"]
    assert (await run.session()).preview == "report of Suzhou"


async def test_a_structured_answer(make, run: Runs, engine):
    class City(BaseModel):
        """A city."""

        name: str

    model = ScriptedModel(script=[calling(("City", {"name": "Suzhou"}))])
    agent = make(model, response_format=ToolStrategy(City))
    assert (await run(agent, "Which city?"))["structured_response"] == City(name="Suzhou")
    assert [entry.message for entry in await run.entries()] == await run.state(agent)
    assert engine.writes == ["BatchWriteRow"] * 2


async def test_several_messages_at_once(make, run: Runs):
    given = [SystemMessage("Be brief"), HumanMessage("one"), AIMessage("two"), HumanMessage("three")]
    agent = make()
    await run(agent, given)
    assert await run.texts() == ["Be brief", "one", "two", "three", "re: three"]
    assert (await run.session()).title == "one"


async def test_an_import_of_many(make, run: Runs):
    given = [HumanMessage(f"{n}") for n in range(200)]
    agent = make()
    await run(agent, given)
    assert await run.texts() == [*(f"{n}" for n in range(200)), "re: 199"]
    assert (await run.session()).message_count == 201


async def test_streaming(make, run: Runs):
    agent = make(ScriptedModel(script=[calling(("weather", {"city": "Suzhou"})), AIMessage("Sunny")]), [weather])
    assert await run.stream(agent, "Weather?", stream_mode=["updates", "messages"])
    entries = await run.entries()
    assert [entry.message for entry in entries] == await run.state(agent)
    assert [entry.message.type for entry in entries] == ["human", "ai", "tool", "ai"]


async def test_without_a_checkpointer(connection, run: Runs, engine):
    """Who keeps the messages gives all of them each time, and the thread by its id."""
    agent = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(connection)])
    messages = (await run(agent, "first"))["messages"]
    engine.taken()
    await run(agent, [*messages, HumanMessage("second")])
    assert engine.taken() == ["BatchWriteRow"] * 2
    assert await run.texts() == ["first", "re: first", "second", "re: second"]


async def test_beside_a_checkpointer_that_lists_its_threads(connection, run: Runs):
    """Both keep the session's row."""
    saver = TablestoreSaver(connection, sessions=SessionRegistry(connection))
    agent = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(connection)], checkpointer=saver)
    await run(agent, "one")
    await run(agent, "two")
    [session] = await run.sessions()
    assert (session.title, session.message_count, session.preview) == ("one", 4, "re: two")


# Where runs stop


async def test_a_model_that_fails(make, run: Runs):
    model = ScriptedModel(script=[RuntimeError("no model"), RuntimeError("still none"), AIMessage("Hello")])
    agent = make(model)
    with pytest.raises(RuntimeError, match="no model"):
        await run(agent, "Hi")
    assert await run.texts() == ["Hi"]
    with pytest.raises(RuntimeError, match="still none"):
        await run(agent, None)
    await run(agent, None)
    assert await run.texts() == ["Hi", "Hello"]
    assert (await run.session()).message_count == 2


async def test_an_interrupt_before_tools(make, run: Runs):
    saver, model = InMemorySaver(), ScriptedModel(script=[calling(("weather", {"city": "Suzhou"})), AIMessage("Sunny")])
    await run(make(model, [weather], saver=saver, interrupt_before=["tools"]), "Weather?")
    assert [entry.message.type for entry in await run.entries()] == ["human", "ai"]
    # In another process.
    agent = make(model, [weather], saver=saver, interrupt_before=["tools"])
    await run(agent, None)
    assert [entry.message for entry in await run.entries()] == await run.state(agent)
    assert [entry.message.type for entry in await run.entries()] == ["human", "ai", "tool", "ai"]


class Gate(AgentMiddleware):
    """Answers in place of the model."""

    @hook_config(can_jump_to=["end"])
    def before_model(self, state, runtime):
        return {"messages": [AIMessage("No.")], "jump_to": "end"}

    @hook_config(can_jump_to=["end"])
    async def abefore_model(self, state, runtime):
        return self.before_model(state, runtime)


async def test_a_model_that_is_not_asked(make, run: Runs):
    agent = make(middleware=[Gate()])
    await run(agent, "May I?")
    assert await run.texts() == ["May I?", "No."]


async def test_an_error_of_the_store_ends_the_run(make, run: Runs, engine):
    model = ScriptedModel()
    agent = make(model)
    await run(agent, "first")
    engine.fail_at("BatchWriteRow", 1, RequestError(400, "OTSParameterInvalid", "No."))
    with pytest.raises(WriteError):
        await run(agent, "second")
    assert len(model.given) == 1
    engine.before = None
    await run(agent, None)
    assert await run.texts() == ["first", "re: first", "second", "re: second"]
    assert (await run.session()).message_count == 4


# What others do to the state


class Trimming(AgentMiddleware):
    """Keeps the last message only, and clears what tools gave."""

    def before_model(self, state, runtime):
        kept = [each.model_copy(update={"content": "[cleared]"}) for each in state["messages"] if each.type == "tool"]
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *kept, *state["messages"][-1:]]}

    async def abefore_model(self, state, runtime):
        return self.before_model(state, runtime)


@pytest.mark.parametrize("first", [True, False], ids=["recorded first", "trimmed first"])
async def test_what_is_trimmed_stays(connection, run: Runs, first):
    recording = TranscriptMiddleware(connection)
    agent = create_agent(
        ScriptedModel(),
        middleware=[recording, Trimming()] if first else [Trimming(), recording],
        checkpointer=InMemorySaver(),
    )
    await run(agent, [HumanMessage("one"), AIMessage("two"), HumanMessage("three")])
    await run(agent, "four")
    assert await run.texts() == ["one", "two", "three", "re: three", "four", "re: four"]
    assert len(await run.state(agent)) == 2


async def test_what_is_removed_stays(make, run: Runs):
    agent = make()
    state = await run(agent, "one")
    await run(agent, [*(RemoveMessage(each.id) for each in state["messages"]), HumanMessage("two")])
    assert await run.texts() == ["one", "re: one", "two", "re: two"]


async def test_tool_results_that_are_cleared_later_stay(make, run: Runs):
    class Clearing(AgentMiddleware):
        def before_agent(self, state, runtime):
            old = [each for each in state["messages"] if each.type == "tool"]
            return {"messages": [each.model_copy(update={"content": "[cleared]"}) for each in old]}

        async def abefore_agent(self, state, runtime):
            return self.before_agent(state, runtime)

    model = ScriptedModel(script=[calling(("weather", {"city": "Suzhou"})), AIMessage("Sunny")])
    agent = make(model, [weather], middleware=[Clearing()])
    await run(agent, "Weather?")
    await run(agent, "Thanks")
    assert [each.text for each in await run.state(agent)][2] == "[cleared]"
    assert (await run.texts())[2] == "sunny in Suzhou"


async def test_an_answer_that_is_changed_before_anything_follows(make, run: Runs, engine):
    """As middleware does that lets a human edit calls of tools."""

    class Editing(AgentMiddleware):
        def after_model(self, state, runtime):
            [*_, answer] = state["messages"]
            calls = [{**call, "args": {"city": "Hangzhou"}} for call in answer.tool_calls]
            return {"messages": [answer.model_copy(update={"tool_calls": calls})]} if calls else None

        async def aafter_model(self, state, runtime):
            return self.after_model(state, runtime)

    model = ScriptedModel(script=[calling(("weather", {"city": "Suzhou"})), AIMessage("Sunny")])
    agent = make(model, [weather], middleware=[Editing()])
    await run(agent, "Weather?")
    entries = await run.entries()
    assert entries[1].message.tool_calls[0]["args"] == {"city": "Hangzhou"}
    assert [entry.message for entry in entries] == await run.state(agent)
    assert (await run.session()).message_count == 4


async def test_personal_data_that_is_taken_out(make, run: Runs, engine):
    model = ScriptedModel(script=[AIMessage("You are ada@example.com, as you say.")])
    agent = make(model, middleware=[PIIMiddleware("email", apply_to_output=True)])
    await run(agent, "I am ada@example.com, who are you?")
    # The question and the answer, each as it was and as it became.
    assert engine.writes == ["BatchWriteRow"] * 4
    assert not [text for text in await run.texts() if "ada@example.com" in text]
    session = await run.session()
    assert "ada@example.com" not in f"{session.title} {session.preview}"
    assert session.message_count == 2


async def test_messages_of_other_middleware(make, run: Runs):
    """One that is put between older messages is recorded when it is seen."""

    class Patching(AgentMiddleware):
        def before_agent(self, state, runtime):
            [*before, last] = state["messages"]
            return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *before, HumanMessage("by the way"), last]}

        async def abefore_agent(self, state, runtime):
            return self.before_agent(state, runtime)

    agent = make(middleware=[Patching()])
    await run(agent, "one")
    await run(agent, "two")
    assert sorted(await run.texts()) == sorted(str(each.text) for each in await run.state(agent))
    assert len(ids(await run.entries())) == 6


async def test_an_agent_inside_of_a_graph(make, run: Runs, connection):
    """The messages of both are one conversation, and each is there once, though both record."""
    inner = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(connection)])
    recording = TranscriptMiddleware(connection)

    graph = StateGraph(MessagesState)
    graph.add_node("agent", inner)
    graph.add_node("again", create_agent(ScriptedModel(), middleware=[recording]))
    graph.add_edge(START, "agent")
    graph.add_edge("agent", "again")
    agent = graph.compile(checkpointer=InMemorySaver())
    await run(agent, "Hi")
    assert await run.texts() == ["Hi", "re: Hi", "re: re: Hi"]
    assert [entry.message for entry in await run.entries()] == await run.state(agent)


async def test_a_node_of_a_graph_that_does_not_record(run: Runs, connection):
    """What it says is recorded with what the agent is given next, also where both spoke at once."""
    graph = StateGraph(MessagesState)
    graph.add_node("agent", create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(connection)]))
    graph.add_node("node", lambda state: {"messages": [AIMessage(f"node: {state['messages'][-1].text}")]})
    graph.add_edge(START, "node")
    graph.add_edge(START, "agent")
    agent = graph.compile(checkpointer=InMemorySaver())
    await run(agent, "one")
    await run(agent, "two")
    await run(agent, "three")
    texts = await run.texts()
    assert len(texts) == len(set(texts))
    # The node's last answer is given to no model yet.
    assert sorted(texts) == sorted(str(each.text) for each in await run.state(agent) if each.text != "node: three")


# Deleting


async def test_what_is_deleted_stays_deleted(make, run: Runs):
    saver = InMemorySaver()
    state = await run(make(saver=saver), "one")
    await run(make(saver=saver), "two")
    await run.all(run.history(), "delete", state["messages"][0].id)
    await run(make(saver=saver), "three")
    assert await run.texts() == ["re: one", "two", "re: two", "three", "re: three"]
    assert (await run.session()).message_count == 5


async def test_a_session_that_is_deleted_begins_anew(make, run: Runs, connection):
    agent = make()
    await run(agent, "one")
    await run.all(SessionRegistry(connection), "delete", "t1", "u1")
    await run(agent, "two")
    await run(agent, "three")
    assert await run.texts() == ["two", "re: two", "three", "re: three"]
    session = await run.session()
    assert (session.title, session.message_count) == ("two", 4)


# Other branches


async def test_a_thread_that_goes_on_from_an_earlier_point(make, run: Runs):
    """The transcript is what was said, one after the other, also where the state went back."""
    saver = InMemorySaver()
    agent = make(saver=saver)
    await run(agent, "one")
    config = {"configurable": {"thread_id": "t1", "user_id": "u1"}}
    earlier = agent.get_state(config).config["configurable"]["checkpoint_id"]
    await run(agent, "two")
    for going_on in (agent, make(saver=saver)):
        back = {"configurable": {**config["configurable"], "checkpoint_id": earlier}}
        await run.with_config(going_on, "instead", back)
    assert await run.texts() == ["one", "re: one", "two", "re: two", *["instead", "re: instead"] * 2]
    assert (await run.session()).message_count == 8


async def test_a_copied_thread_is_another_conversation(make, run: Runs):
    agent = make()
    state = await run(agent, "one")
    await run(agent, [*state["messages"], HumanMessage("two")], thread="t2")
    assert await run.texts() == ["one", "re: one"]
    assert await run.texts("t2") == ["one", "re: one", "two", "re: two"]


# Options


@dataclass
class Forecast:
    degrees: int


@tool(response_format="content_and_artifact")
def forecast(city: str) -> tuple[str, Forecast]:
    """The weather of tomorrow."""
    return f"warm in {city}", Forecast(25)


async def test_artifacts_of_tools(connection, run: Runs):
    def agent(**options):
        model = ScriptedModel(script=[calling(("forecast", {"city": "Suzhou"})), AIMessage("Warm")])
        recording = TranscriptMiddleware(connection, **options)
        return create_agent(model, [forecast], middleware=[recording]), model

    recorded, _ = agent(artifact_types=[Forecast])
    await run(recorded, "Tomorrow?")
    [_, _, result, _] = await run.entries(artifact_types=[Forecast])
    assert result.message.artifact == Forecast(25)
    refused, model = agent()
    with pytest.raises(InvalidArgumentError, match="Forecast"):
        await run(refused, "Tomorrow?", thread="t2")
    assert len(model.given) == 1


async def test_messages_that_vanish(connection, run: Runs):
    """A table whose messages have a lifetime takes no updates; what a message becomes is recorded all the same."""
    recording = TranscriptMiddleware(connection, ttl=timedelta(days=2), message_table="fleeting")
    pii = PIIMiddleware("email")
    agent = create_agent(ScriptedModel(), middleware=[recording, pii], checkpointer=InMemorySaver())
    await run(agent, "I am ada@example.com")
    [asked, _] = await run.entries(message_table="fleeting", ttl=timedelta(days=2))
    assert "ada@example.com" not in asked.message.text
    other = TranscriptMiddleware(connection, ttl=timedelta(days=3), message_table="fleeting")
    model = ScriptedModel()
    # What is known of a table is kept per connection and lifetime.
    with pytest.raises(SchemaMismatchError):
        await run(create_agent(model, middleware=[other], checkpointer=InMemorySaver()), "Hi", thread="t2")
    assert not model.given


async def test_the_layout_of_other_tools(connection, run: Runs):
    """A conversation that another tool wrote, under the bare session id, goes on."""
    store = MessageStore(connection)
    await run.all(store, "put", [Message("t1", "m1", content="long ago", metadata={"role": "user"})])
    recording = TranscriptMiddleware(connection, isolate_users=False)
    agent = create_agent(ScriptedModel(), middleware=[recording], checkpointer=InMemorySaver())
    await run(agent, "Hi")
    entries = await run.entries(isolate_users=False)
    assert [entry.message.text for entry in entries] == ["long ago", "Hi", "re: Hi"]
    assert (await run.session()).message_count == 3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ttl": 1}, InvalidArgumentError),
        ({"artifact_types": ["Forecast"]}, InvalidArgumentError),
        ({"connection": 7}, ConfigurationError),
    ],
    ids=["ttl", "types", "connection"],
)
def test_wrong_arguments(connection, options, error):
    with pytest.raises(error):
        TranscriptMiddleware(**{"connection": connection} | options)
