"""LangChain's agents with a store: tools and middleware reach it by the runtime, whoever calls."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.config import get_store
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from .scripted import ScriptedModel, calling
from .support import topic_index


@dataclass
class Context:
    user_id: str


def tools_of(mode):
    """Two tools, sync or async; what the model gives names no user."""
    if mode == "async":

        @tool
        async def note(text: str, runtime: ToolRuntime[Context]) -> str:
            """Note something."""
            await runtime.store.aput(("notes", runtime.context.user_id), text, {"text": text})
            return "Noted."

        @tool
        async def look_up(query: str, runtime: ToolRuntime[Context]) -> str:
            """Look something up."""
            found = await runtime.store.asearch(("notes", runtime.context.user_id), query=query, limit=1)
            return "; ".join(item.value["text"] for item in found)

    else:

        @tool
        def note(text: str, runtime: ToolRuntime[Context]) -> str:
            """Note something."""
            runtime.store.put(("notes", runtime.context.user_id), text, {"text": text})
            return "Noted."

        @tool
        def look_up(query: str, runtime: ToolRuntime[Context]) -> str:
            """Look something up."""
            found = runtime.store.search(("notes", runtime.context.user_id), query=query, limit=1)
            return "; ".join(item.value["text"] for item in found)

    return [note, look_up]


class Counting(AgentMiddleware):
    """Counts the calls of the model in the store."""

    def before_model(self, state, runtime: Runtime[Context]):
        item = runtime.store.get(("calls",), runtime.context.user_id)
        runtime.store.put(("calls",), runtime.context.user_id, {"n": 1 if item is None else item.value["n"] + 1})

    async def abefore_model(self, state, runtime: Runtime[Context]):
        item = await runtime.store.aget(("calls",), runtime.context.user_id)
        await runtime.store.aput(("calls",), runtime.context.user_id, {"n": 1 if item is None else item.value["n"] + 1})


async def test_an_agent(open_any, mode):
    store = open_any(topic_index())
    model = ScriptedModel(
        script=[
            calling("note", text="likes tea"),
            calling("note", text="bakes bread"),
            "Noted.",
            calling("look_up", query="tea"),
            "Tea.",
            calling("look_up", query="tea"),
            "No idea.",
        ]
    )
    agent = create_agent(model, tools_of(mode), middleware=[Counting()], store=store.target, context_schema=Context)

    async def ask(text, user):
        given = {"messages": [HumanMessage(text)]}
        context = Context(user)
        result = (
            await agent.ainvoke(given, context=context) if mode == "async" else agent.invoke(given, context=context)
        )
        return [message.text for message in result["messages"] if isinstance(message, ToolMessage)]

    assert await ask("I like tea and bake bread", "u1") == ["Noted.", "Noted."]
    assert await ask("What do I drink?", "u1") == ["likes tea"]
    assert await ask("What do I drink?", "u2") == [""]
    counted = await store.search(("calls",))
    assert {item.key: item.value["n"] for item in counted} == {"u1": 5, "u2": 2}


class State(TypedDict):
    told: list[str]


async def test_a_graph(any_store, mode):
    """`get_store` in a node, and the runtime's."""

    def sync_node(state: State, runtime: Runtime) -> State:
        get_store().put(("graph",), "k", {"n": 1})
        return {"told": [str(item.value) for item in runtime.store.search(("graph",))]}

    async def async_node(state: State, runtime: Runtime) -> State:
        await get_store().aput(("graph",), "k", {"n": 1})
        return {"told": [str(item.value) for item in await runtime.store.asearch(("graph",))]}

    graph = StateGraph(State)
    graph.add_node("node", async_node if mode == "async" else sync_node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    compiled = graph.compile(store=any_store.target)
    result = await compiled.ainvoke({"told": []}) if mode == "async" else compiled.invoke({"told": []})
    assert result == {"told": ["{'n': 1}"]}


async def test_a_function(any_store, mode):
    """LangGraph's functional API hands the store to who asks for it."""
    if mode == "async":

        @entrypoint(store=any_store.target)
        async def work(text: str, *, store) -> int:
            await store.aput(("f",), text, {})
            return len(await store.asearch(("f",)))

        assert [await work.ainvoke(text) for text in "ab"] == [1, 2]
        return

    @entrypoint(store=any_store.target)
    def work(text: str, *, store) -> int:
        store.put(("f",), text, {})
        return len(store.search(("f",)))

    assert [work.invoke(text) for text in "ab"] == [1, 2]


async def test_sync_calls_on_a_loop(open_store, mode):
    """Known difference of some stores: here sync calls on a running loop just work, though they block it."""
    store = open_store().target
    if mode == "async":
        pytest.skip("the connection has an async client alone")
    store.put(("a",), "k", {"n": 1})
    assert store.get(("a",), "k").value == {"n": 1}
