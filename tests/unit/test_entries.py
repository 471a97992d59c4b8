"""Entries of a list that look as before are not serialized again; any change of one is noticed."""

from __future__ import annotations

import datetime as dt
import enum
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langchain_tablestore_memory.langgraph.checkpoints.entries import Entries
from langchain_tablestore_memory.langgraph.checkpoints.values import digest

SERDE = JsonPlusSerializer()


class Counted:
    """A serializer that counts."""

    def __init__(self):
        self.times = 0

    def __call__(self, entry):
        self.times += 1
        return SERDE.dumps_typed(entry)


def again(messages, change=None):
    """Serialize a list, change something in it, and serialize it again; returns how often, and whether it is right."""
    first = Entries(messages, SERDE.dumps_typed, None)
    if change is not None:
        change(messages)
    dump = Counted()
    second = Entries(messages, dump, first.seen)
    times = dump.times
    parts = [SERDE.dumps_typed(each) for each in messages]
    assert list(second) == parts
    assert second.seen.digests == [digest(part) for part in parts]
    assert second.seen.sizes == [len(data) for _, data in parts]
    return times


def chat():
    return [
        SystemMessage("Be kind.", id="s"),
        HumanMessage([{"type": "text", "text": "Hello"}, {"type": "image", "url": "x"}], id="h"),
        AIMessage(
            "",
            id="a",
            tool_calls=[{"name": "search", "args": {"q": "tea", "n": 1}, "id": "c1"}],
            response_metadata={"model": "qwen", "scores": [1, 0.5, None]},
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        ),
        ToolMessage("found", tool_call_id="c1", id="t", artifact={"pages": [1, 2]}),
        AIMessageChunk("part", id="p"),
        AIMessage("done", id="d"),
    ]


def test_what_did_not_change_is_not_serialized_again():
    assert again(chat()) == 0


def test_what_is_new_is_serialized():
    assert again(chat(), lambda messages: messages.append(HumanMessage("more"))) == 1


def test_equal_messages_count_as_the_same():
    def renew(messages):
        messages[:] = chat()

    assert again(chat(), renew) == 0


CHANGES = {
    "a text": lambda m: setattr(m[0], "content", "Be brief."),
    "an id": lambda m: setattr(m[0], "id", None),
    "a text within a content block": lambda m: m[1].content[0].update(text="Bye"),
    "another content block": lambda m: m[1].content.append({"type": "text", "text": "Bye"}),
    "an argument of a tool call": lambda m: m[2].tool_calls[0]["args"].update(q="coffee"),
    "its type": lambda m: m[2].tool_calls[0]["args"].update(n=True),
    "a number for a truth value": lambda m: m[2].tool_calls[0]["args"].update(n=1.0),
    "deep in metadata": lambda m: m[2].response_metadata["scores"].__setitem__(1, 0.25),
    "a sign": lambda m: m[2].response_metadata["scores"].__setitem__(1, -0.0),
    "the order of metadata": lambda m: m[2].response_metadata.update(model=m[2].response_metadata.pop("model")),
    "an artifact": lambda m: m[3].artifact["pages"].append(3),
    "what was empty": lambda m: m[5].additional_kwargs.update(refusal="no"),
    "a list that was empty": lambda m: m[5].tool_calls.append({"name": "x", "args": {}, "id": "c2"}),
    "another class": lambda m: m.__setitem__(0, HumanMessage("Be kind.", id="s")),
    "a field of the caller's": lambda m: setattr(m[5], "note", "mine"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_noticed(change):
    assert again(chat(), CHANGES[change]) == 1


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize("artifact", [Colour.RED, uuid.UUID(int=1), {"when": dt.date(2026, 1, 1)}])
def test_a_message_that_holds_other_objects_is_serialized_each_time(artifact):
    messages = chat()
    messages[3] = ToolMessage("found", tool_call_id="c1", artifact=artifact)
    assert again(messages) == 1


def test_a_field_that_was_there_from_the_beginning_is_told_each_time():
    message = AIMessage("done", id="d", note="mine")
    assert again([message]) == 1


def test_other_objects_are_serialized_each_time():
    assert again([{"a": 1}, "text", 5, None]) == 4


def test_lists_that_shrink_and_move():
    assert again(chat(), lambda messages: messages.pop(0)) == 5
    assert again(chat(), lambda messages: messages.pop()) == 0


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, -0.0, 1.0]) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(values, values)
def test_any_change_of_metadata(before, after):
    def change(messages):
        messages[0].additional_kwargs["x"] = after

    again([AIMessage("a", additional_kwargs={"x": before})], change)
