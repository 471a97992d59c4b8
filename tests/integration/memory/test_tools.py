"""Tools for agents: the model says what, the application says whose."""

from __future__ import annotations

import inspect
import json
import logging

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_tablestore_memory import ConfigurationError, EmbeddingError, InvalidArgumentError, OfflineChatModel

from .support import SpoiltEmbeddings, texts_of

LIKES = "The user likes Sichuan food"


def config(user_id, **more):
    return {"configurable": {"user_id": user_id, **more}}


@pytest.fixture
def call(mode):
    """Calls a tool the way an agent does in this mode."""

    async def call(tool, arguments, options=None):
        if mode == "async":
            return await tool.ainvoke(arguments, options)
        return tool.invoke(arguments, options)

    return call


@pytest.fixture
def tools(memory):
    """The tools by name, their user told by each call."""
    return {tool.name: tool for tool in memory.target.tools()}


async def test_the_model_sees_no_user(tools):
    assert list(tools) == ["remember", "recall", "forget"]
    for tool, parameters in zip(tools.values(), (["text"], ["query"], ["memory_id"]), strict=True):
        schema = convert_to_openai_tool(tool)["function"]
        assert list(schema["parameters"]["properties"]) == schema["parameters"]["required"] == parameters
        assert list(tool.tool_call_schema.model_fields) == parameters
        assert list(tool.args) == parameters
        told = json.dumps(schema)
        for word in ("user_id", "session", "thread", "config", "tenant"):
            assert word not in told
        assert schema["description"]
        assert all(each["description"] for each in schema["parameters"]["properties"].values())


async def test_in_turn(memory, tools, call):
    said = await call(tools["remember"], {"text": LIKES}, config("u1", thread_id="t1"))
    [told] = (await memory.list("u1")).items
    assert (told.text, told.session_id) == (LIKES, "t1")
    assert said == f"Remembered as {told.memory_id}."
    assert await call(tools["recall"], {"query": "food"}, config("u1")) == f"{told.memory_id}: {LIKES}"
    assert await call(tools["recall"], {"query": "food"}, config("u2")) == "Nothing is remembered about that."
    missing = f"There is no memory {told.memory_id}. Call recall for the ids."
    assert await call(tools["forget"], {"memory_id": told.memory_id}, config("u2")) == missing
    assert await call(tools["forget"], {"memory_id": told.memory_id}, config("u1")) == f"Forgot {told.memory_id}."
    assert await call(tools["forget"], {"memory_id": told.memory_id}, config("u1")) == missing
    assert await memory.count("u1") == 0


async def test_bound_to_a_user(memory, call):
    remember, recall, _ = memory.target.tools("u1", session_id="s1", k=2)
    for n in range(4):
        await call(remember, {"text": f"likes {n}\nand more"})
    assert {each.session_id for each in (await memory.list("u1")).items} == {"s1"}
    lines = (await call(recall, {"query": "likes"})).splitlines()
    assert len(lines) == 2
    assert all(" and more" in line for line in lines)
    # Whoever calls it.
    await call(remember, {"text": LIKES}, config("u2", thread_id="t2"))
    assert LIKES in texts_of(await memory.list("u1", session_id="s1"))
    assert await memory.count("u2") == 0


HOSTILE = [
    {"user_id": "victim"},
    {"config": {"configurable": {"user_id": "victim"}}},
    {"configurable": {"user_id": "victim"}},
    {"tenant_id": "victim", "session_id": "s9"},
    {"run_manager": None, "callbacks": [], "self": None},
    {"filter": {"tenant_id": "victim"}, "k": 1000},
    {"args": ["victim"], "kwargs": {"user_id": "victim"}},
]


@pytest.mark.parametrize("bound", [True, False], ids=["bound", "by configuration"])
@pytest.mark.parametrize("more", HOSTILE, ids=lambda more: next(iter(more)))
async def test_arguments_that_a_model_was_talked_into(memory, tools, call, bound, more):
    """Whatever stands in the conversation, no argument leads to somebody else's memory."""
    [secret] = await memory.remember("victim", "the secret is 42")
    tools = {tool.name: tool for tool in memory.target.tools("u1")} if bound else tools
    options = None if bound else config("u1")
    for tool, arguments in (
        ("remember", {"text": "planted"}),
        ("recall", {"query": "the secret is 42"}),
        ("forget", {"memory_id": secret.memory_id}),
    ):
        answer = await call(tools[tool], {**arguments, **more}, options)
        assert "42" not in answer
        as_call = {"type": "tool_call", "id": "c1", "name": tool, "args": {**arguments, **more}}
        answer = await call(tools[tool], as_call, options)
        assert isinstance(answer, ToolMessage)
        assert "42" not in answer.content
    assert (await memory.list("victim")).items == [secret]
    assert texts_of(await memory.list("u1")) == ["planted"]
    for user in ("victim' --", "planted"):
        assert await memory.count(user) == 0


@pytest.mark.parametrize(
    ("tool", "arguments", "answer"),
    [
        ("remember", {"text": "  "}, "The text|text|content is empty"),
        ("remember", {"text": "x" * 100_001}, "has 100001 characters"),
        ("recall", {"query": ""}, "query is empty"),
        ("forget", {"memory_id": ""}, "memory_id is empty"),
        ("forget", {"memory_id": "x" * 2000}, "memory_id takes 2000 bytes"),
    ],
)
async def test_arguments_that_cannot_be_are_answered(tools, call, engine, tool, arguments, answer):
    """The model reads what was wrong, and can do better. The agent goes on."""
    as_call = {"type": "tool_call", "id": "c1", "name": tool, "args": arguments}
    message = await call(tools[tool], as_call, config("u1"))
    assert message.status == "error"
    assert any(part in message.content for part in answer.split("|"))
    assert engine.writes == []


@pytest.mark.parametrize("options", [None, {}, {"configurable": {}}, config(None)])
async def test_nobody_said_whose(tools, call, engine, options):
    for tool, arguments in (("remember", {"text": "a"}), ("recall", {"query": "a"}), ("forget", {"memory_id": "a"})):
        with pytest.raises(ConfigurationError, match="Nobody said whose memories these are"):
            await call(tools[tool], arguments, options)
    assert engine.calls == []


@pytest.mark.parametrize("user", ["", 5, ["u1"], "x" * 2000])
async def test_a_user_that_cannot_be_is_the_applications_mistake(tools, call, engine, user):
    for tool, arguments in (("remember", {"text": "a"}), ("recall", {"query": "a"}), ("forget", {"memory_id": "a"})):
        with pytest.raises(InvalidArgumentError, match="user_id"):
            await call(tools[tool], arguments, config(user))
    with pytest.raises(InvalidArgumentError, match="thread_id is a list"):
        await call(tools["remember"], {"text": "a"}, config("u1", thread_id=["t1"]))
    assert engine.calls == []


async def test_a_thread_may_be_a_number(memory, tools, call):
    await call(tools["remember"], {"text": LIKES}, config("u1", thread_id=5))
    [told] = (await memory.list("u1")).items
    assert told.session_id == "5"


def test_settings_that_cannot_be(memory):
    for options, message in (
        ({"user_id": ""}, "user_id is empty"),
        ({"user_id": 5}, "user_id is a int"),
        ({"session_id": ""}, "session_id is empty"),
        ({"k": 0}, "k is 0"),
        ({"k": 1001}, "k is 1001"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            memory.target.tools(**options)


async def test_a_model_that_fails(open_memory, call):
    broken = SpoiltEmbeddings()
    memory = open_memory(broken, dimension=256)
    await memory.setup()

    def failing(_):
        raise ConnectionError("gone")

    broken.spoil = failing
    remember, recall, _ = memory.target.tools("u1")
    for tool, arguments in ((remember, {"text": "a"}), (recall, {"query": "a"})):
        with pytest.raises(EmbeddingError, match="gone"):
            await call(tool, arguments)


async def test_nothing_of_it_is_logged(tools, call, caplog):
    caplog.set_level(logging.DEBUG)
    await call(tools["remember"], {"text": "my secret"}, config("u1"))
    await call(tools["recall"], {"query": "secret question"}, config("u1"))
    assert "secret" not in caplog.text


async def test_an_agent(memory, mode):
    """A real agent of LangChain: the stand-in model calls the tools, the user comes from the configuration."""
    agent = create_agent(OfflineChatModel(), memory.target.tools())

    async def ask(text, options):
        given = {"messages": [HumanMessage(text)]}
        result = await agent.ainvoke(given, options) if mode == "async" else agent.invoke(given, options)
        return result["messages"]

    messages = await ask('Please call the tool remember with "I am allergic to peanuts"', config("u1", thread_id="t1"))
    assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    [told] = (await memory.list("u1")).items
    assert "peanuts" in told.text
    assert told.session_id == "t1"
    messages = await ask('Please call the tool recall with "peanuts"', config("u1", thread_id="t2"))
    assert any(isinstance(message, ToolMessage) and told.memory_id in message.text for message in messages)
    messages = await ask('Please call the tool recall with "peanuts"', config("u2", thread_id="t2"))
    assert not any(told.memory_id in message.text for message in messages)


def test_tools_have_twins(tools):
    for tool in tools.values():
        assert inspect.iscoroutinefunction(tool.coroutine)
        assert not inspect.iscoroutinefunction(tool.func)
