"""Messages as text and JSON: every message of langchain-core returns equal, or is refused by name."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import langchain_core.messages
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from pydantic import BaseModel, Field, PrivateAttr

from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError
from langchain_tablestore_memory.message_codec import decode, encode

# Machines that run tests are busy: how long an example takes says nothing.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def assert_same(returned, message):
    assert type(returned) is type(message)
    assert returned == message
    assert repr(returned) == repr(message)
    assert list(vars(returned)) == list(vars(message))


def round_trip(message, **options):
    text, body = encode(message, **options)
    return decode(text, body, **options)


class Report(BaseModel):
    title: str


CALL = {"name": "search", "args": {"q": "天气", "n": [1, None]}, "id": "c1", "type": "tool_call"}
USAGE = {
    "input_tokens": 10,
    "output_tokens": 20,
    "total_tokens": 30,
    "input_token_details": {"cache_read": 5},
    "output_token_details": {"reasoning": 3},
}
BLOCKS = [
    {"type": "text", "text": "What is "},
    "this?",
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    {"type": "non_standard", "value": {"deep": [{"x": None}]}},
]

MESSAGES = [
    HumanMessage("Hello"),
    HumanMessage(""),
    HumanMessage("你好 \x00\u2028 😀", id="h-1", name="anna"),
    HumanMessage(BLOCKS),
    HumanMessage([]),
    HumanMessage([""]),
    HumanMessage(content_blocks=[{"type": "text", "text": "x"}]),
    HumanMessage("x", additional_kwargs={"a": {"$py:tuple": [1]}}, response_metadata={"b": (1, b"2")}),
    HumanMessage("x", extra=1, example=True, **{"$class": "y", "$py:x": 2}),
    HumanMessage("x", id=""),
    AIMessage("Hi"),
    AIMessage("", tool_calls=[CALL]),
    AIMessage("x", tool_calls=[{"name": "f", "args": {}, "id": None}], usage_metadata=USAGE, id="run--1"),
    AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "c", "error": "bad"}]),
    AIMessage(
        "", additional_kwargs={"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}, "type": "function"}]}
    ),
    AIMessage(
        "", additional_kwargs={"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{a"}, "type": "function"}]}
    ),
    AIMessage(BLOCKS[2:], response_metadata={"output_version": "v1", "logprobs": [-math.inf], "at": dt.datetime(2024, 1, 1)}),
    AIMessage(content_blocks=[{"type": "reasoning", "reasoning": "hm"}, {"type": "tool_call", **CALL}]),
    ToolMessage("4", tool_call_id="c1"),
    ToolMessage("boom", tool_call_id="c1", status="error", name="calc"),
    ToolMessage([{"type": "text", "text": "x"}], tool_call_id="c1"),
    *(
        ToolMessage("x", tool_call_id="c1", artifact=artifact)
        for artifact in (
            0,
            "",
            [],
            False,
            {"stdout": "x", "n": None},
            b"\x00\xff",
            {1, 2},
            dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
            [Document("page", metadata={"source": "a.pdf", "page": 1}, id="d")],
            {"nested": (Document("x"), np.float32(0.5), 2**70)},
            HumanMessage("inside", id="x"),
        )
    ),
    SystemMessage("Be kind.", id="s"),
    FunctionMessage("42", name="calc"),
    ChatMessage("x", role="narrator", name="n"),
    RemoveMessage("m-1"),
    BaseMessage("x", type="custom"),
    BaseMessage("x", type="human"),
    BaseMessageChunk("x", type="anything"),
    HumanMessageChunk("x"),
    SystemMessageChunk("x"),
    AIMessageChunk("x", id="run-1"),
    AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": '{"a": 1}', "id": "c", "index": 0}]),
    AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": '{"a": ', "id": "c", "index": 0}]),
    AIMessageChunk("x", chunk_position="last", usage_metadata=USAGE),
    AIMessageChunk("a", tool_call_chunks=[{"name": "f", "args": "{", "id": "c", "index": 0}])
    + AIMessageChunk("b", tool_call_chunks=[{"name": None, "args": "}", "id": None, "index": 0}], chunk_position="last"),
    FunctionMessageChunk("x", name="f"),
    ToolMessageChunk("x", tool_call_id="c", artifact=[b"x"]),
    ChatMessageChunk("x", role="r"),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_every_message_returns_equal(message):
    before = repr(message)
    assert_same(round_trip(message), message)
    assert repr(message) == before


def test_all_classes_of_langchain_core_are_tried():
    classes = {
        cls
        for name in langchain_core.messages.__all__
        if isinstance(cls := getattr(langchain_core.messages, name), type) and issubclass(cls, BaseMessage)
    }
    assert {type(message) for message in MESSAGES} == classes


def test_arrays_return_equal():
    message = ToolMessage("x", tool_call_id="c", artifact=np.arange(6.0).reshape(2, 3))
    returned = round_trip(message)
    assert returned.artifact.dtype == message.artifact.dtype
    assert np.array_equal(returned.artifact, message.artifact)


def blocks_of(message):
    """The content blocks, less the random ids that langchain-core gives them anew each time."""
    return [{key: value for key, value in block.items() if key != "id"} for block in message.content_blocks]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_a_returned_message_behaves_like_the_stored_one(message):
    returned = round_trip(message)
    assert returned.text == message.text
    assert blocks_of(returned) == blocks_of(message)
    assert dumpd(returned) == dumpd(message)
    assert returned.model_copy(deep=True) == message
    returned.additional_kwargs["added"] = 1
    returned.name = "renamed"
    returned.undeclared = 2
    assert round_trip(returned) == returned
    assert "added" not in round_trip(message).additional_kwargs


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=5), json_values, max_size=3)
ids = st.none() | st.text(max_size=5)
contents = st.text(max_size=5) | st.lists(st.text(max_size=5) | objects, max_size=3)
calls = st.lists(st.fixed_dictionaries({"name": st.text(max_size=5), "args": objects, "id": ids}), max_size=2)
common = {
    "content": contents,
    "id": ids,
    "name": ids,
    "additional_kwargs": objects.filter(lambda kwargs: "tool_calls" not in kwargs),
    "response_metadata": objects,
}
messages = st.one_of(
    st.builds(HumanMessage, **common),
    st.builds(SystemMessage, **common),
    st.builds(ChatMessage, role=st.text(max_size=5), **common),
    st.builds(AIMessage, tool_calls=calls, **common),
    st.builds(ToolMessage, tool_call_id=st.text(max_size=5), artifact=json_values, **common),
)


@unhurried
@given(messages)
def test_any_message_returns_equal(message):
    assert_same(round_trip(message), message)


# --- The stored form ----------------------------------------------------------------------------------------


def test_text_is_what_people_read():
    assert encode(HumanMessage("Hello")).text == "Hello"
    assert encode(HumanMessage(BLOCKS)).text == "What is this?"
    assert encode(HumanMessage([])).text == ""


def test_the_body_holds_only_what_is_not_default():
    assert encode(HumanMessage("Hello")).body == '{"type":"human"}'
    assert json.loads(encode(AIMessage("Hello", id="a", tool_calls=[CALL])).body) == {
        "type": "ai",
        "id": "a",
        "tool_calls": [CALL],
    }
    assert "Hello" not in encode(AIMessage("Hello", id="a")).body


def test_text_that_another_tool_edited_counts():
    _, body = encode(AIMessage("old", id="a"))
    assert decode("new", body) == AIMessage("new", id="a")
    assert decode(None, body) == AIMessage("", id="a")


@pytest.mark.parametrize(
    ("role", "cls"),
    [
        (None, HumanMessage),
        ("user", HumanMessage),
        ("Human", HumanMessage),
        ("用户", HumanMessage),
        ("assistant", AIMessage),
        ("ASSISTANT", AIMessage),
        ("ai", AIMessage),
        ("model", AIMessage),
        ("大模型", AIMessage),
        ("system", SystemMessage),
        ("tool", HumanMessage),
        ("anything", HumanMessage),
        ("", HumanMessage),
    ],
)
def test_rows_of_other_tools_are_text_messages(role, cls):
    assert_same(decode("hi", None, role=role, message_id="m1"), cls("hi", id="m1"))


def test_a_row_of_another_tool_may_have_no_text():
    assert_same(decode(None, None), HumanMessage(""))


def test_fields_of_a_newer_langchain_core_are_kept_as_extra_ones():
    returned = decode("x", '{"type":"human","mood":"calm"}')
    assert returned == HumanMessage("x", mood="calm")
    assert round_trip(returned) == returned


# --- Classes of users ---------------------------------------------------------------------------------------


class Plain(HumanMessage):
    """Adds behaviour, no fields."""


class Rated(AIMessage):
    rating: int = 0
    tags: list[str] = Field(default_factory=lambda: ["new"])
    _seen: bool = PrivateAttr(default=False)


class Renamed(HumanMessage):
    type: Any = "renamed"


def test_a_subclass_that_adds_no_fields_is_stored_as_its_core_class():
    returned = round_trip(Plain("x", id="1"))
    assert_same(returned, HumanMessage("x", id="1"))


def test_a_subclass_that_would_lose_something_is_refused_by_name():
    with pytest.raises(
        InvalidArgumentError, match=r"the Rated would lose \['rating', 'tags', '_seen'\] .* artifact_types=\[Rated\]"
    ):
        encode(Rated("x"))
    with pytest.raises(InvalidArgumentError, match=r"the Renamed would lose \['type'\]"):
        encode(Renamed("x"))


@pytest.mark.parametrize("message", [Plain("x"), Rated("x"), Rated("x", rating=5, tags=[], id="1"), Renamed("x")])
def test_an_allowed_subclass_returns_as_itself(message):
    types = [Plain, Rated, Renamed, Report]
    assert_same(round_trip(message, types=types), message)


def test_private_attributes_return():
    message = Rated("x")
    message._seen = True
    assert round_trip(message, types=[Rated])._seen is True


def test_objects_in_artifacts_need_their_class():
    message = ToolMessage("x", tool_call_id="c", artifact=[Report(title="t")])
    with pytest.raises(
        InvalidArgumentError, match=r"ToolMessage\['artifact'\]\[0\] is of type .*Report.*types=\[Report\]"
    ):
        encode(message)
    assert_same(round_trip(message, types=[Report]), message)


# --- What is refused ----------------------------------------------------------------------------------------


def changed(message, **fields):
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("hi", "a message of langchain-core is needed, not str"),
        (("human", "hi"), "a message of langchain-core is needed, not tuple"),
        (changed(HumanMessage("x"), content=None), "the HumanMessage's field 'content' is of type NoneType"),
        (changed(HumanMessage("x"), id=5), "the HumanMessage's field 'id' is of type int"),
        (changed(AIMessage("x"), tool_calls=None), "the AIMessage's field 'tool_calls' is of type NoneType"),
        (HumanMessage.model_construct(), "the HumanMessage has no 'content'"),
        (HumanMessage("x", additional_kwargs={"f": print}), r"HumanMessage\['additional_kwargs'\]\['f'\] is of type"),
        (HumanMessage("x", more=object()), r"HumanMessage\['\$extra'\]\['more'\] is of type builtins.object"),
        (ToolMessage("x", tool_call_id="c", artifact=np.array([print])), r"\['artifact'\] is a numpy value"),
        (changed(HumanMessage("x"), id="\ud800"), r"HumanMessage\['id'\] has a lone surrogate"),
        (
            changed(HumanMessage("x"), content=[{"text": "\ud800"}]),
            r"HumanMessage\['content'\]\[0\]\['text'\] has a lone surrogate",
        ),
        (
            changed(HumanMessage("x"), content="secret \ud800"),
            "the HumanMessage's content has a lone surrogate at position 7",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(message, error):
    with pytest.raises(InvalidArgumentError, match=error) as caught:
        encode(message)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "its body is not valid JSON"),
        ("{", "its body is not valid JSON"),
        ("[]", "its body is no JSON object"),
        ("null", "its body is no JSON object"),
        ("{}", "has no message of its type. Update langchain-core"),
        ('{"type":"newer"}', "has no message of its type. Update langchain-core"),
        ('{"type":["human"]}', "has no message of its type"),
        ('{"type":"human","$class":"Runnable"}', "Pass the class in `artifact_types`"),
        ('{"type":"human","$class":["HumanMessage"]}', "Pass the class in `artifact_types`"),
        ('{"type":"tool"}', "its field 'tool_call_id' is missing"),
        ('{"type":"human","content":5}', "its field 'content' is of type int"),
        ('{"type":"ai","tool_calls":{}}', "its field 'tool_calls' is of type dict"),
        ('{"type":"human","$extra":5}', "its extra fields are no JSON object"),
        ('{"type":"human","$private":[]}', "its private attributes are no JSON object"),
        ('{"type":"human","id":{"$py:new":1}}', "a tagged value of an unknown kind"),
        (
            '{"type":"tool","tool_call_id":"c","artifact":{"$py:object":["Report",{}]}}',
            "Pass the class in `artifact_types`",
        ),
    ],
)
def test_a_damaged_body_is_one_clear_error(body, reason):
    with pytest.raises(StoredDataError, match="message 'm1' cannot be decoded: ") as caught:
        decode("secret", body, message_id="m1")
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
