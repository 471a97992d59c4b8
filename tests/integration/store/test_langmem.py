"""langmem keeps memories in a store: its own tools, unchanged, on LangGraph's store and on this one."""

from __future__ import annotations

import json
import re
import warnings

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage

from .scripted import ScriptedModel, calling
from .support import topic_index

NAMESPACE = ("memories", "{user_id}")


@pytest.fixture
def langmem():
    with warnings.catch_warnings():
        # It imports names of LangGraph from where they were before version 1.
        warnings.filterwarnings("ignore", message="Importing .* from langgraph.* is deprecated")
        return pytest.importorskip("langmem", reason="langmem is not installed (extra test)")


@pytest.fixture
def tools(langmem):
    """The tools as an agent gets them: the user is told by each call, the store by the agent."""
    return [langmem.create_manage_memory_tool(NAMESPACE), langmem.create_search_memory_tool(NAMESPACE)]


@pytest.fixture
def call(mode):
    async def call(tool, arguments):
        return await tool.ainvoke(arguments) if mode == "async" else tool.invoke(arguments)

    return call


@pytest.fixture
def indexed(open_any):
    return open_any(topic_index(fields=["content"]))


async def test_in_turn(langmem, indexed, call):
    manage = langmem.create_manage_memory_tool(("memories", "u1"), store=indexed.target)
    search = langmem.create_search_memory_tool(("memories", "u1"), store=indexed.target)
    for text in ("The user drinks tea", "The user bakes bread"):
        assert "created memory" in await call(manage, {"content": text})
    found = json.loads(await call(search, {"query": "tea"}))
    assert [each["value"]["content"] for each in found] == ["The user drinks tea", "The user bakes bread"]
    assert found[0]["namespace"] == ["memories", "u1"]
    assert found[0]["score"] > found[1]["score"]
    tea = found[0]["key"]
    await call(manage, {"content": "The user drinks coffee", "action": "update", "id": tea})
    [best] = json.loads(await call(search, {"query": "coffee", "limit": 1}))
    assert (best["key"], best["value"]["content"]) == (tea, "The user drinks coffee")
    [second] = json.loads(await call(search, {"query": "coffee", "limit": 1, "offset": 1}))
    assert second["value"]["content"] == "The user bakes bread"
    await call(manage, {"action": "delete", "id": tea})
    assert [each["key"] for each in json.loads(await call(search, {"query": "coffee"}))] == [second["key"]]


async def test_an_agent(indexed, tools, mode):
    """Who it is about comes from the configuration; what another told it is not found."""

    def update(messages):
        [memory_id] = re.findall(r"[0-9a-f-]{36}", messages[-1].text)
        return calling("manage_memory", action="update", id=memory_id, content="Likes green tea")

    model = ScriptedModel(
        script=[
            calling("manage_memory", content="Likes tea"),
            update,
            "Noted.",
            calling("search_memory", query="tea"),
            "Tea.",
            calling("search_memory", query="tea"),
            "No idea.",
        ]
    )
    agent = create_agent(model, tools, store=indexed.target)

    async def ask(text, user):
        given = {"messages": [HumanMessage(text)]}, {"configurable": {"user_id": user}}
        result = await agent.ainvoke(*given) if mode == "async" else agent.invoke(*given)
        return [message for message in result["messages"] if isinstance(message, ToolMessage)]

    assert [message.status for message in await ask("I like tea", "u1")] == ["success"] * 2
    [answer] = await ask("What do I drink?", "u1")
    [found] = json.loads(answer.text)
    assert found["value"] == {"content": "Likes green tea"}
    [answer] = await ask("What do I drink?", "u2")
    assert json.loads(answer.text) == []
    assert await indexed.list_namespaces() == [("memories", "u1")]
