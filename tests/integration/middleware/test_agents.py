"""Agents of many kinds: the transcript is what the state holds, whoever made it."""

from __future__ import annotations

from typing import Annotated

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    ToolCallLimitMiddleware,
    after_model,
    before_model,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command, Send
from pydantic import BaseModel

from langchain_tablestore_memory import InvalidArgumentError
from langchain_tablestore_memory.drafts import make_drafts
from langchain_tablestore_memory.middleware import TranscriptMiddleware, recording

from .support import Runs, ScriptedModel, calling, ids

CONFIG = {"configurable": {"thread_id": "t1", "user_id": "u1"}}


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def both(city: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command:
    """A result, and something else."""
    said = [ToolMessage(f"found {city}", tool_call_id=tool_call_id), HumanMessage(f"more about {city}")]
    return Command(update={"messages": said})


class City(BaseModel):
    """A city."""

    name: str


@pytest.fixture
def make(connection):
    """Makes an agent that records, with other middleware before or after."""

    def make(script=(), tools=(), after=(), before=(), model=None, **options):
        return create_agent(
            model or ScriptedModel(script=list(script)),
            list(tools),
            middleware=[*before, TranscriptMiddleware(connection), *after],
            **{"checkpointer": InMemorySaver()} | options,
        )

    return make


async def is_recorded(run: Runs, agent) -> None:
    """The transcript is the state, message by message, and the session counts it."""
    state = await run.state(agent)
    assert [entry.message for entry in await run.entries()] == state
    assert (await run.session()).message_count == len(state)


async def test_tools_that_give_commands(make, run: Runs):
    agent = make([calling(("both", {"city": "Suzhou"}), ("both", {"city": "Wuxi"})), AIMessage("Done")], [both])
    await run(agent, "go")
    await is_recorded(run, agent)
    assert len(await run.texts()) == 7


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    "decision",
    [
        {"type": "approve"},
        {"type": "edit", "edited_action": {"name": "weather", "args": {"city": "Hangzhou"}}},
        {"type": "reject", "message": "No"},
        {"type": "respond", "message": "It rains"},
    ],
    ids=lambda decision: decision["type"],
)
async def test_decisions_of_humans(make, run: Runs, place, decision):
    asking = HumanInTheLoopMiddleware({"weather": {"allowed_decisions": ["approve", "edit", "reject", "respond"]}})
    script = [calling(("weather", {"city": "Suzhou"}), ("weather", {"city": "Wuxi"})), AIMessage("Done")]
    agent = make(script, [weather], **{place: [asking]})
    await run(agent, "Weather?")
    await run(agent, Command(resume={"decisions": [decision, {"type": "approve"}]}))
    await is_recorded(run, agent)
    assert len(await run.texts()) == 5


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    "middleware",
    [
        lambda: ModelRetryMiddleware(max_retries=1, initial_delay=0),
        lambda: ModelFallbackMiddleware(ScriptedModel(script=[AIMessage("It works")])),
    ],
    ids=["retry", "fallback"],
)
async def test_models_that_fail_at_first(make, run: Runs, place, middleware):
    agent = make([RuntimeError("no model"), AIMessage("It works")], **{place: [middleware()]})
    await run(agent, "Hi")
    await is_recorded(run, agent)
    assert await run.texts() == ["Hi", "It works"]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (lambda: ToolCallLimitMiddleware(run_limit=1, exit_behavior="end"), 6),
        (lambda: ToolCallLimitMiddleware(run_limit=1, exit_behavior="continue"), 6),
        (lambda: ModelCallLimitMiddleware(run_limit=1, exit_behavior="end"), 4),
        (lambda: ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=1)]), 6),
    ],
    ids=["tools, end", "tools, continue", "models", "cleared results"],
)
async def test_limits(make, run: Runs, place, limit, said):
    script = [calling(("weather", {"city": "Suzhou"})), calling(("weather", {"city": "Wuxi"})), AIMessage("Done")]
    agent = make(script, [weather], **{place: [limit()]})
    await run(agent, "Weather?")
    await is_recorded(run, agent)
    assert len(await run.texts()) == said


@pytest.mark.parametrize(
    "wrong", [calling(("City", {"town": "Suzhou"})), calling(("City", {"name": "a"}), ("City", {"name": "b"}))]
)
async def test_structured_answers_that_are_wrong_at_first(make, run: Runs, wrong):
    agent = make([wrong, calling(("City", {"name": "Suzhou"}))], [weather], response_format=ToolStrategy(City))
    assert (await run(agent, "Which city?"))["structured_response"] == City(name="Suzhou")
    await is_recorded(run, agent)


async def test_results_of_tools_that_are_trimmed_before_the_model_sees_them(make, run: Runs):
    """As those trim that keep so many messages; summaries are not made of results alone, but cut off what is beside."""

    @before_model
    def trimming(state, runtime):
        first, *later = state["messages"]
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), first, *later[-2:]]}

    calls = [("weather", {"city": "Suzhou"}), ("both", {"city": "Wuxi"}), ("weather", {"city": "Hangzhou"})]
    agent = make([calling(*calls), AIMessage("Done")], [weather, both], after=[trimming])
    await run(agent, "Weather?")
    results = ["sunny in Suzhou", "found Wuxi", "more about Wuxi", "sunny in Hangzhou"]
    assert await run.texts() == ["Weather?", "", *results, "Done"]
    assert len(await run.state(agent)) == 4


@pytest.mark.parametrize("place", ["before", "after"])
async def test_an_answer_that_is_changed_before_others_add_to_it(make, run: Runs, place):
    """Personal data is taken out of an answer that the model is to improve."""

    @after_model(can_jump_to=["model"])
    def reflecting(state, runtime):
        return {"messages": [HumanMessage("Shorter!")], "jump_to": "model"} if len(state["messages"]) == 2 else None

    redacting = PIIMiddleware("email", apply_to_output=True)
    script = [AIMessage("Write to ada@example.com"), AIMessage("ada@example.com")]
    agent = make(script, **{place: [reflecting, redacting]})
    await run(agent, "Where to?")
    await is_recorded(run, agent)
    assert await run.texts() == ["Where to?", "Write to [REDACTED_EMAIL]", "Shorter!", "[REDACTED_EMAIL]"]


async def test_a_call_that_is_changed_before_its_tool_says_more(make, run: Runs):
    """Somebody changes it while the agent waits, and another process goes on."""
    saver = InMemorySaver()
    script = [calling(("both", {"city": "Suzhou"})), AIMessage("Done")]
    agent = make(script, [both], checkpointer=saver, interrupt_before=["tools"])
    await run(agent, "go")
    answer = (await run.state(agent))[-1]
    calls = [{**call, "args": {"city": "Wuxi"}} for call in answer.tool_calls]
    agent.update_state(CONFIG, {"messages": [answer.model_copy(update={"tool_calls": calls})]})
    other = make(script[1:], [both], checkpointer=saver)
    await run(other, None)
    await is_recorded(run, other)
    assert await run.texts() == ["go", "", "found Wuxi", "more about Wuxi", "Done"]


async def test_a_number_that_json_has_no_room_for(make, run: Runs):
    @tool
    def square(number: int) -> str:
        """The square of a number."""
        return str(number**2)

    # A checkpointer would refuse it.
    agent = make([calling(("square", {"number": 2**70})), AIMessage("Done")], [square], checkpointer=None)
    state = await run(agent, "2 to the 70th, squared?")
    assert [entry.message for entry in await run.entries()] == state["messages"]


# Streams


async def test_streams_of_tokens(make, run: Runs):
    agent = make(model=GenericFakeChatModel(messages=iter([AIMessage("Hello to you"), AIMessage("And again")])))
    await run.stream(agent, "Hi", stream_mode="messages")
    await run.stream(agent, "Hi again", stream_mode="messages")
    await is_recorded(run, agent)
    assert await run.texts() == ["Hi", "Hello to you", "Hi again", "And again"]


async def test_a_stream_that_nobody_reads_to_its_end(make, run: Runs, mode):
    agent = make(model=GenericFakeChatModel(messages=iter([AIMessage("Hello to you"), AIMessage("Hello again")])))
    given = {"messages": [HumanMessage("Hi")]}
    if mode == "async":
        async for _ in agent.astream(given, CONFIG, stream_mode="messages"):
            break
    else:
        for _ in agent.stream(given, CONFIG, stream_mode="messages"):
            break
    await run(agent, None)
    await is_recorded(run, agent)


@pytest.mark.parametrize("mode", ["async"])
async def test_events(make, run: Runs):
    agent = make([calling(("weather", {"city": "Suzhou"})), AIMessage("Sunny")], [weather])
    given = {"messages": [HumanMessage("Weather?")]}
    assert [event async for event in agent.astream_events(given, CONFIG, version="v2")]
    await is_recorded(run, agent)


# Several agents


async def test_agents_that_are_tools(make, run: Runs, connection):
    """Each records what it is asked and what it answers in the thread of the agent that asks, both at once."""
    other = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(connection)])

    @tool
    def ask(question: str) -> str:
        """Ask the other agent."""
        return other.invoke({"messages": [HumanMessage(question)]})["messages"][-1].text

    @tool("ask")
    async def aask(question: str) -> str:
        """Ask the other agent."""
        return (await other.ainvoke({"messages": [HumanMessage(question)]}))["messages"][-1].text

    agent = make(
        [calling(("ask", {"question": "a"}), ("ask", {"question": "b"})), AIMessage("Done")],
        [aask if run.mode == "async" else ask],
    )
    await run(agent, "one")
    await run(agent, "two")
    entries = await run.entries()
    assert sorted(str(entry.message.text) for entry in entries) == sorted(
        ["one", "", "a", "b", *["re: a", "re: b"] * 2, "Done", "two", "re: two"]
    )
    state = ids(await run.state(agent))
    assert [each for each in ids(entries) if each in state] == state
    assert (await run.session()).message_count == len(entries)


async def test_agents_side_by_side_in_one_graph(connection, run: Runs):
    graph = StateGraph(MessagesState)
    for name in ("a", "b"):
        model = ScriptedModel(otherwise=lambda given, name=name: AIMessage(f"{name}: {len(given)}"))
        graph.add_node(name, create_agent(model, middleware=[TranscriptMiddleware(connection)]))
        graph.add_edge(START, name)
    agent = graph.compile(checkpointer=InMemorySaver())
    for n in range(3):
        await run(agent, f"question {n}")
    entries = await run.entries()
    # Of two that answer at once, either may be recorded first.
    assert len(ids(entries)) == len(set(ids(entries)))
    assert {entry.id: entry.message for entry in entries} == {each.id: each for each in await run.state(agent)}
    assert [entry.message.text for entry in entries[::3]] == ["question 0", "question 1", "question 2"]
    assert (await run.session()).message_count == 9


async def test_an_agent_that_runs_several_times_at_once(connection, run: Runs):
    """What all its runs are given is there once."""
    agent = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(connection)])
    graph = StateGraph(MessagesState)
    graph.add_node("agent", agent)
    parts = [f"part {n}" for n in range(4)]
    graph.add_conditional_edges(
        START,
        lambda state: [Send("agent", {"messages": [*state["messages"], HumanMessage(part)]}) for part in parts],
        ["agent"],
    )
    mapping = graph.compile(checkpointer=InMemorySaver())
    for question in ("one", "two"):
        await run(mapping, question)
    texts = await run.texts()
    assert sorted(texts) == sorted(["one", "two", *[*parts, *(f"re: {part}" for part in parts)] * 2])
    assert {entry.id: entry.message for entry in await run.entries()} == {
        each.id: each for each in await run.state(mapping)
    }
    assert (await run.session()).message_count == len(texts)


@pytest.mark.parametrize("mode", ["sync"])
async def test_a_message_that_two_runs_at_once_take_to_be_new(connection, run: Runs, monkeypatch):
    """The second one is about to write it when the first one does."""
    agent = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(connection)])
    await run(agent, "one")
    given = {"messages": [HumanMessage("two", id="two")]}
    others = iter([lambda: agent.invoke(given, CONFIG)])

    def making(*args, **options):
        for other in others:
            other()
        return make_drafts(*args, **options)

    monkeypatch.setattr(recording, "make_drafts", making)
    await run.with_config(agent, given, CONFIG)
    assert await run.texts() == ["one", "re: one", "two", "re: two", "re: two"]
    assert (await run.session()).message_count == 5


# What is done to the state from outside


async def test_messages_that_are_put_into_the_state(make, run: Runs):
    agent = make()
    await run(agent, "one")
    agent.update_state(CONFIG, {"messages": [HumanMessage("aside"), AIMessage("indeed")]})
    await run(agent, "two")
    await is_recorded(run, agent)
    assert await run.texts() == ["one", "re: one", "aside", "indeed", "two", "re: two"]


async def test_messages_that_are_taken_out_of_the_state(make, run: Runs):
    agent = make()
    await run(agent, "one")
    agent.update_state(CONFIG, {"messages": [RemoveMessage(each.id) for each in await run.state(agent)]})
    await run(agent, "two")
    assert len(await run.state(agent)) == 2
    assert await run.texts() == ["one", "re: one", "two", "re: two"]


async def test_one_id_in_two_threads(make, run: Runs):
    agent = make()
    await run(agent, [HumanMessage("one", id="m1")])
    await run(agent, [HumanMessage("another", id="m1")], thread="t2")
    assert await run.texts() == ["one", "re: one"]
    assert await run.texts("t2") == ["another", "re: another"]


# What cannot be stored


async def test_a_message_that_is_too_long(make, run: Runs, engine):
    """It is named, and nothing of what came with it is written; the thread goes on without it."""
    agent = make()
    # What is larger than one cell is stored all the same.
    await run(agent, "x" * 2_500_000)
    engine.taken()
    given = [*(HumanMessage(f"{n}") for n in range(160)), HumanMessage("x" * 5_000_000, id="long")]
    with pytest.raises(InvalidArgumentError, match=r"The message 'long' .* RemoveMessage\('long'\)"):
        await run(agent, given)
    assert engine.writes == []
    # It is in the thread's state.
    with pytest.raises(InvalidArgumentError):
        await run(agent, "two")
    await run(agent, [RemoveMessage("long"), HumanMessage("three")])
    await is_recorded(run, agent)
    assert len(await run.texts()) == 2 + 160 + 3


async def test_an_artifact_that_cannot_be_stored(make, run: Runs):
    @tool(response_format="content_and_artifact")
    def measure(city: str) -> tuple[str, range]:
        """Measure something."""
        return f"measured {city}", range(3)

    model = ScriptedModel(script=[calling(("measure", {"city": "Suzhou"})), AIMessage("Done")])
    agent = make(tools=[measure], model=model, checkpointer=None)
    with pytest.raises(InvalidArgumentError, match="artifact"):
        await run(agent, "Measure!")
    assert len(model.given) == 1
    assert [entry.message.type for entry in await run.entries()] == ["human", "ai"]
