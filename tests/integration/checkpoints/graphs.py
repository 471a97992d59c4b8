"""Graphs and agents that the tests run, and a face for both of their modes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypedDict

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.channels import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import override


class Log(TypedDict):
    """What has happened, and a count."""

    log: Annotated[list[Any], operator.add]
    n: NotRequired[int]


def steps(*names: str, state: type = Log) -> StateGraph:
    """A graph of nodes in a row, each of which says that it ran."""
    graph = StateGraph(state)
    graph.add_sequence([(name, _saying(name)) for name in names])
    graph.add_edge(START, names[0])
    graph.add_edge(names[-1], END)
    return graph


def _saying(name: str) -> Callable[[Any], Any]:
    return lambda state: {"log": [name], "n": state.get("n", 0) + 1}


def asking() -> StateGraph:
    """A graph that asks twice in one node, and then goes on."""

    def ask(_state: Log) -> Any:
        return {"log": [f"first {interrupt('first?')}", f"second {interrupt({'what': 'second?'})}"]}

    graph = StateGraph(Log)
    graph.add_sequence([("begin", _saying("begin")), ("ask", ask), ("end", _saying("end"))])
    graph.add_edge(START, "begin")
    return graph


class Sum(TypedDict):
    """Numbers that branches give."""

    numbers: Annotated[list[int], operator.add]
    total: NotRequired[int]


def fanning_out(width: int) -> StateGraph:
    """A graph that sends to as many tasks of one node, and adds up what they give."""
    graph = StateGraph(Sum)
    graph.add_node("begin", lambda _state: {})
    graph.add_node("branch", lambda given: {"numbers": [given["number"]]})
    graph.add_node("add", lambda state: {"total": sum(state["numbers"])})
    graph.add_edge(START, "begin")
    graph.add_conditional_edges(
        "begin", lambda _state: [Send("branch", {"number": n}) for n in range(width)], ["branch"]
    )
    graph.add_edge("branch", "add")
    return graph


def _extended(state: list[Any], writes: list[Any]) -> list[Any]:
    return [*state, *(entry for write in writes for entry in write)]


class Deltas(TypedDict):
    """A log of which checkpoints hold the changes."""

    log: Annotated[list[Any], DeltaChannel(_extended, snapshot_frequency=3)]
    n: NotRequired[int]


class Rare(TypedDict):
    """A log of which hardly any checkpoint holds all."""

    log: Annotated[list[Any], DeltaChannel(_extended, snapshot_frequency=1000)]
    n: NotRequired[int]


def nested() -> StateGraph:
    """A graph in a graph in a graph; the innermost asks."""

    def ask(_state: Log) -> Any:
        return {"log": [f"answer {interrupt('well?')}"]}

    innermost = StateGraph(Log)
    innermost.add_sequence([("before", _saying("before")), ("ask", ask)])
    innermost.add_edge(START, "before")
    middle = StateGraph(Log)
    middle.add_sequence([("enter", _saying("enter")), ("innermost", innermost.compile())])
    middle.add_edge(START, "enter")
    outer = StateGraph(Log)
    outer.add_sequence([("begin", _saying("begin")), ("middle", middle.compile()), ("end", _saying("end"))])
    outer.add_edge(START, "begin")
    return outer


class ScriptedModel(BaseChatModel):
    """Answers from the number of messages that it is given: first a call of a tool, and after its result a text."""

    @property
    @override
    def _llm_type(self) -> str:
        return "scripted"

    @override
    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            answer = AIMessage(f"It is {last.text}.", id=f"ai-{len(messages)}")
        else:
            call = {"name": "weather", "args": {"city": last.text}, "id": f"call-{len(messages)}"}
            answer = AIMessage("", tool_calls=[call], id=f"ai-{len(messages)}")
        return ChatResult(generations=[ChatGeneration(message=answer)])

    @override
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def agent(saver: Any, **options: Any) -> Any:
    """An agent that calls a tool in each turn."""
    return create_agent(ScriptedModel(), [weather], checkpointer=saver, **options)


class Running:
    """Calls the sync methods of a graph or their async twins."""

    def __init__(self, graph: Any, mode: str) -> None:
        self.graph = graph
        self.mode = mode

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.mode == "sync":
                result = getattr(self.graph, name)(*args, **kwargs)
                return list(result) if hasattr(result, "__next__") else result
            result = getattr(self.graph, f"a{name}")(*args, **kwargs)
            return [each async for each in result] if hasattr(result, "__aiter__") else await result

        return call


def resume(answer: Any) -> Command[Any]:
    """The answer to an interrupt."""
    return Command(resume=answer)
