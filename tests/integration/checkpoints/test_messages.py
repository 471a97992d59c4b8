"""Lists of messages, which are the same objects from step to step: whatever changes in them is stored, even in place."""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict, defaultdict
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_tablestore_memory.langgraph import TablestoreSaver

from .support import MeasuredTablestore, ModelSaver, State, Thread, told


class Remark(HumanMessage):
    """A kind of message of an application."""

    mood: str = "calm"


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


values = st.sampled_from([0, 1, True, False, 1.0, 0.0, -0.0, None, "", "1", "text", b"", b"1", 2**63])
nested = st.recursive(
    values,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.tuples(inner),
        st.dictionaries(st.sampled_from(["a", "b", "1"]), inner, max_size=2),
        st.just(OrderedDict(a=1)),
        st.just(OrderedDict()),
        st.just(defaultdict(list)),
        st.just({1, 2}),
        st.just(frozenset({1, 2})),
    ),
    max_leaves=4,
)
texts = st.sampled_from(["", "short", "long " * 40, "very long " * 400])


def message(kind: str, text: str, number: int) -> BaseMessage:
    """A message of a kind."""
    named: dict[str, Any] = {"id": f"m{number}"}
    match kind:
        case "ai":
            calls = [{"name": "f", "args": {"n": number}, "id": f"c{number}"}] if number % 2 else []
            return AIMessage(text, tool_calls=calls, **named)
        case "chunk":
            return AIMessageChunk(text, **named)
        case "tool":
            return ToolMessage(text, tool_call_id=f"c{number}", artifact={"n": [number]}, **named)
        case "blocks":
            return HumanMessage([{"type": "text", "text": text}, {"type": "image", "url": "u"}], **named)
        case "chat":
            return ChatMessage(text, role="critic", **named)
        case "remark":
            return Remark(content=text, mood="calm", **named)
        case "system":
            return SystemMessage(text, **named)
        case "remove":
            return RemoveMessage(id=f"m{number}")
    return HumanMessage(text, **named)


kinds = st.sampled_from(["human", "ai", "chunk", "tool", "blocks", "chat", "remark", "system", "remove"])
positions = st.integers(0, 10)
edits = st.one_of(
    st.tuples(st.just("add"), st.lists(st.tuples(kinds, texts), min_size=1, max_size=4)),
    st.tuples(st.just("add"), st.lists(st.tuples(kinds, texts), min_size=1, max_size=4)),
    st.tuples(st.just("text"), st.tuples(positions, texts)),
    st.tuples(st.just("name"), st.tuples(positions, st.sampled_from([None, "", "n"]))),
    st.tuples(st.just("keyword"), st.tuples(positions, st.sampled_from(["a", "b"]), nested)),
    st.tuples(st.just("keywords"), st.tuples(positions, st.sampled_from([{}, OrderedDict(), defaultdict(list)]))),
    st.tuples(st.just("response"), st.tuples(positions, nested)),
    st.tuples(st.just("deep"), st.tuples(positions, nested)),
    st.tuples(st.just("class"), st.tuples(positions, kinds)),
    st.tuples(st.just("copy"), positions),
    st.tuples(st.just("swap"), positions),
    st.tuples(st.just("drop"), positions),
    st.tuples(st.just("insert"), st.tuples(positions, kinds, texts)),
    st.tuples(st.just("other"), st.tuples(positions, nested)),
    st.tuples(st.just("nothing"), st.none()),
)


def edit(entries: list[Any], what: tuple[str, Any], numbers: count[int]) -> None:  # noqa: PLR0912 - one for each kind
    """Change a list of messages, or messages in it, in place."""
    kind, how = what
    if kind == "add":
        entries.extend(message(*each, next(numbers)) for each in how)
        return
    position = how[0] if isinstance(how, tuple) else how or 0
    if position >= len(entries):
        return
    entry = entries[position]
    if kind in {"text", "name", "keyword", "keywords", "response", "deep"} and not isinstance(entry, BaseMessage):
        return
    match kind:
        case "text":
            entry.content = how[1]
        case "name":
            entry.name = how[1]
        case "keyword":
            entry.additional_kwargs[how[1]] = how[2]
        case "keywords":
            entry.additional_kwargs = copy.copy(how[1])
        case "response":
            entry.response_metadata["r"] = how[1]
        case "deep":
            if isinstance(entry, AIMessage) and entry.tool_calls:
                entry.tool_calls[0]["args"]["deep"] = how[1]
            elif isinstance(entry.content, list) and entry.content:
                entry.content[0]["text"] = repr(how[1])
        case "class":
            entries[position] = message(how[1], "", position)
        case "copy":
            entries[position] = copy.deepcopy(entry)
        case "swap":
            entries[position], entries[0] = entries[0], entries[position]
        case "drop":
            del entries[position]
        case "insert":
            entries.insert(position, message(how[1], how[2], next(numbers)))
        case "other":
            entries[position] = how[1]


def check(mode: str, steps: list[Any], limits: bool) -> None:
    """Each step is what LangGraph's saver in memory has of it, and stays so."""
    numbers = count()
    with MeasuredTablestore() as engine, asyncio.Runner() as runner:
        connection = engine.connection(mode)
        saver, model, thread = TablestoreSaver(connection), ModelSaver(), Thread()
        entries: list[Any] = [message("human", "long " * 100, next(numbers)) for _ in range(12 if limits else 3)]
        state: State | None = None
        for changes in steps:
            for each in changes:
                edit(entries, each, numbers)
            # The list is another one each time, as reducers make it; what is in it is the same.
            step = thread.step(state, {"messages": list(entries)})
            model.put(*step.arguments)
            if mode == "sync":
                saver.put(*step.arguments)
            else:
                runner.run(saver.aput(*step.arguments))
            state = step.state
        another = TablestoreSaver(connection)
        for expected in model.list(None):
            found = another.get_tuple if mode == "sync" else lambda config: runner.run(another.aget_tuple(config))
            assert told(found(expected.config)) == told(expected)


SEQUENCES = st.lists(st.lists(edits, max_size=3), min_size=1, max_size=8)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)


@pytest.mark.parametrize("limits", [False, True], ids=["few", "many"])
@given(steps=SEQUENCES)
@QUICK
def test_the_same_messages(mode, limits, steps):
    check(mode, steps, limits)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("limits", [False, True], ids=["few", "many"])
@given(steps=SEQUENCES)
@settings(QUICK, max_examples=400)
def test_the_same_messages_for_long(mode, limits, steps):
    check(mode, steps, limits)


CHANGES = {
    "text": lambda entry: setattr(entry, "content", "changed"),
    "text to blocks": lambda entry: setattr(entry, "content", [{"type": "text", "text": "t"}]),
    "name": lambda entry: setattr(entry, "name", "n"),
    "id": lambda entry: setattr(entry, "id", "another"),
    "keyword": lambda entry: entry.additional_kwargs.update(a=1),
    "a type": lambda entry: entry.response_metadata.update(one=True),
    "another type": lambda entry: entry.response_metadata.update(one=1.0),
    "a sign": lambda entry: entry.response_metadata.update(zero=-0.0),
    "an order": lambda entry: entry.response_metadata.update(two=entry.response_metadata.pop("two")),
    "an argument": lambda entry: entry.tool_calls[0]["args"]["deep"].append(1),
    "a call": lambda entry: entry.tool_calls.append({"name": "g", "args": {}, "id": "c2", "type": "tool_call"}),
    "usage": lambda entry: setattr(entry, "usage_metadata", {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}),
    "an extra": lambda entry: setattr(entry, "extra", 1),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("place_", [0, 10, 19])
async def test_what_changes_in_place(saver, open_saver, name, place_):
    """The model shows that the change is told by what is stored."""
    model, thread = ModelSaver(), Thread()
    calls = [{"name": "f", "args": {"deep": [0]}, "id": "c1", "type": "tool_call"}]
    entries = [
        AIMessage(
            "text " * 100,
            id=f"m{number}",
            tool_calls=copy.deepcopy(calls),
            response_metadata={"one": 1, "two": 2, "zero": 0.0},
        )
        for number in range(20)
    ]
    first = thread.step(None, {"messages": list(entries)})
    model.put(*first.arguments)
    await saver.put(*first.arguments)
    CHANGES[name](entries[place_])
    second = thread.step(first.state, {"messages": list(entries)})
    model.put(*second.arguments)
    await saver.put(*second.arguments)
    for step in (first, second):
        found = await open_saver().get_tuple(step.state.config)
        assert told(found) == told(model.get_tuple(step.state.config))


@pytest.mark.parametrize("mode", ["async"], indirect=True)
@pytest.mark.parametrize("place_", [0, 10, 19])
async def test_what_changes_while_it_is_stored(saver, open_saver, place_):
    thread, states = Thread(), []
    entries = [AIMessage("text " * 100, id=f"m{number}") for number in range(20)]
    for length in (5, 12, 19, 20):
        step = thread.step(states[-1] if states else None, {"messages": entries[:length]})
        await saver.put(*step.arguments)
        states.append(step.state)
    # From an old one, of which the saver has to ask where the values are.
    forked = thread.step(states[0], {"messages": [*entries, AIMessage("last", id="last")]})
    storing = asyncio.create_task(saver.put(*forked.arguments))
    await asyncio.sleep(0)
    entries[place_].content = "late"
    await storing
    found = await open_saver().get_tuple(forked.state.config)
    said = [each.content for each in found.checkpoint["channel_values"]["messages"]]
    assert said == [*["text " * 100] * 20, "last"]
