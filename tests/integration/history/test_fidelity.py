"""Every message returns equal to what was stored, and of the same class."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
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

from langchain_tablestore_memory import InvalidArgumentError, StoredDataError

from .support import exact

PNG = "data:image/png;base64,iVBORw0KGgo="
CALL = {"name": "weather", "args": {"city": "杭州", "days": [1, 2]}, "id": "call_1", "type": "tool_call"}


def tool(artifact):
    return ToolMessage("ok", tool_call_id="call_1", artifact=artifact)


MESSAGES = {
    "human": HumanMessage("Hello"),
    "human, everything set": HumanMessage(
        "Hi",
        id="h1",
        name="李雷",
        additional_kwargs={"nested": {"a": [1, 2.5, None, True, {"b": "汉字"}]}, "empty": {}},
        response_metadata={"source": "web"},
    ),
    "human, example": HumanMessage("Hi", example=True),
    "ai": AIMessage("Hello!"),
    "ai, tool calls": AIMessage(
        "", tool_calls=[CALL, {**CALL, "id": "call_2"}], id="lc_run-019", additional_kwargs={"refusal": None}
    ),
    "ai, tool call without id": AIMessage("", tool_calls=[{**CALL, "id": None}]),
    "ai, invalid tool calls": AIMessage(
        "",
        invalid_tool_calls=[
            {"name": "weather", "args": '{"city": ', "id": "c", "error": "no JSON", "type": "invalid_tool_call"}
        ],
    ),
    "ai, usage": AIMessage(
        "Hi",
        usage_metadata={
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_token_details": {"cache_read": 3},
            "output_token_details": {"reasoning": 1},
        },
        response_metadata={"model_name": "qwen-plus", "finish_reason": "stop", "logprobs": None, "score": 0.1},
    ),
    "ai, ChatTongyi": AIMessage(
        "",
        additional_kwargs={
            "tool_calls": [{"index": 0, "id": "call_9", "type": "function", "function": {"name": "f", "arguments": ""}}]
        },
    ),
    "tool": ToolMessage("sunny", tool_call_id="call_1", name="weather"),
    "tool, error": ToolMessage("boom", tool_call_id="call_1", status="error"),
    "tool, blocks": ToolMessage([{"type": "text", "text": "a"}, "b"], tool_call_id="call_1"),
    "tool, JSON": tool({"rows": [[1, "a"], [2, None]], "ok": True, "ratio": 1.0}),
    "tool, empty": tool({}),
    "tool, bytes": tool(b"\x00\xff\x89PNG"),
    "tool, set": tool({"cities": {"杭州", "上海"}, "frozen": frozenset({1, 2}), "pair": (1, (2,))}),
    "tool, time": tool(
        [
            dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC),
            dt.datetime(2026, 1, 1),
            dt.date(2026, 2, 3),
            dt.timedelta(days=-1, microseconds=5),
        ]
    ),
    "tool, numbers": tool([2**70, -0.5, 1e300, Decimal("1.10"), 1 + 2j, UUID(int=5), True, 1, 1.0]),
    "tool, documents": tool([Document("text", metadata={"source": "a.pdf", "page": 3}, id="d1"), Document("汉字")]),
    "tool, message": tool(AIMessage("inner", tool_calls=[CALL])),
    "tool, numpy": tool(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "tool, numpy inside": tool({"vector": np.array([1, 2], dtype=np.int64), "scalar": np.float32(0.5)}),
    "tool, keys that are no text": tool({1: "a", (1, 2): "b", None: "c"}),
    "tool, looks like a tag": tool({"$py:tuple": [1, 2], "$class": "x"}),
    "system": SystemMessage("You are helpful."),
    "function": FunctionMessage("42", name="answer", id="f1"),
    "chat": ChatMessage("Hello", role="moderator"),
    "chat, role of another class": ChatMessage("Hello", role="user"),
    "remove": RemoveMessage(id="gone"),
    "ai chunk": AIMessageChunk(
        "par",
        id="lc_run-1",
        tool_call_chunks=[
            {"name": "weather", "args": '{"city": "杭州"}', "id": "call_1", "index": 0, "type": "tool_call_chunk"},
            {"name": "weather", "args": '{"ci', "id": "call_2", "index": 1, "type": "tool_call_chunk"},
        ],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        chunk_position="last",
    ),
    "human chunk": HumanMessageChunk("par"),
    "system chunk": SystemMessageChunk("par"),
    "tool chunk": ToolMessageChunk("par", tool_call_id="call_1", artifact=(1, b"x"), status="error"),
    "function chunk": FunctionMessageChunk("par", name="f"),
    "chat chunk": ChatMessageChunk("par", role="narrator"),
    "content, blocks": HumanMessage(
        [
            {"type": "text", "text": "What is this? 这是什么？"},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            "and a plain text",
        ]
    ),
    "content, standard blocks": AIMessage(
        content_blocks=[
            {"type": "reasoning", "reasoning": "Let me think"},
            {"type": "text", "text": "An answer", "annotations": []},
            {"type": "image", "url": "https://example.com/a.png", "mime_type": "image/png"},
        ]
    ),
    "content, bytes in a block": HumanMessage([{"type": "file", "data": b"\x00\x01"}]),
    "content, empty text": AIMessage(""),
    "content, no blocks": HumanMessage([]),
    "content, one empty text": HumanMessage([""]),
    "content, only spaces": HumanMessage(" \n\t "),
    "text, emoji": HumanMessage("👩‍👩‍👧‍👦 🇨🇳 e\u0301 \ufeff\u200b"),
    "text, NUL": HumanMessage("a\x00b\x01\x7f\u2028\r\n", name="n\x00"),
    "text, beyond the basic plane": HumanMessage("𠀀𝒳\U0010ffff"),
    "text, looks like JSON": HumanMessage('{"type": "ai", "content": "no"}'),
    "id, odd": HumanMessage("Hi", id="消息/1 \x00'\"%:"),
    "id, empty": HumanMessage("Hi", id=""),
    "id, longest": HumanMessage("Hi", id="汉" * 341 + "x"),
    "extra fields": HumanMessage("Hi", custom={"a": (1, 2)}, other=None),
}


def test_all_message_types_return_equal(chats):
    chat = chats()
    chat.add_messages(list(MESSAGES.values()))
    for found in (chats.again(chat).messages, [entry.message for entry in chat.entries()]):
        wrong = [name for name, message in zip(MESSAGES, found, strict=True) if not exact(message, MESSAGES[name])]
        assert not wrong
        assert len(found) == len(MESSAGES)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_returns_equal(local_chats, name):
    chat = local_chats()
    chat.add_messages([MESSAGES[name]])
    (found,) = local_chats.again(chat).messages
    assert exact(found, MESSAGES[name])
    if "numpy" not in name:
        assert found == MESSAGES[name]
        # What is read can be used like any other: copied, dumped, added to.
        assert found.model_copy(deep=True) == found
    (entry,) = chat.entries()
    assert exact(chat.get(entry.id).message, MESSAGES[name])


def test_storing_changes_nothing_in_the_callers_messages(local_chats):
    message = AIMessage("", tool_calls=[CALL], additional_kwargs={"a": [1]})
    before = message.model_copy(deep=True)
    local_chats().add_messages([message])
    assert message == before
    assert message.id is None


def test_messages_read_are_the_callers_own(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage("Hi")])
    chat.messages.append(AIMessage("not stored"))
    assert chat.messages == [HumanMessage("Hi")]


def test_chunks_that_were_read_can_be_added_up(local_chats):
    chat = local_chats()
    chat.add_messages([AIMessageChunk("Hel", id="a"), AIMessageChunk("lo")])
    first, second = chat.messages
    assert (first + second).content == "Hello"


# The SDK's async client hands aiohttp the body as bytes, which aiohttp remarks on from 1 MB on.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize(
    "text", ["x" * 3_000_000, "汉字" * 500_000, "👩‍👩‍👧‍👦" * 120_000], ids=["ascii", "Chinese", "emoji"]
)
def test_long_texts_return_equal(chats, text):
    chat = chats()
    chat.add_messages([HumanMessage("before"), HumanMessage(text, id="long"), AIMessage("after")])
    assert chats.again(chat).messages == [HumanMessage("before"), HumanMessage(text, id="long"), AIMessage("after")]
    chat.edit("long", HumanMessage("short", id="long"))
    assert chat.get("long").message == HumanMessage("short", id="long")


def test_a_long_artifact_returns_equal(local_chats):
    chat = local_chats()
    message = ToolMessage("x" * 1_000_000, tool_call_id="c", artifact=["y" * 2_900_000])
    chat.add_messages([message])
    assert local_chats.again(chat).messages == [message]


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("x" * 4_194_304, id="big"),
        HumanMessage("汉" * 1_400_000, id="big"),
        ToolMessage("x" * 2_200_000, tool_call_id="c", artifact="y" * 2_200_000, id="big"),
    ],
    ids=["text", "Chinese", "text and artifact"],
)
def test_a_message_over_the_row_limit_is_refused_before_anything_is_written(chats, message):
    chat = chats()
    with pytest.raises(InvalidArgumentError, match=r"bytes"):
        chat.add_messages([HumanMessage("before"), message])
    assert chats.again(chat).messages == []
    assert chats.session(chat) is None


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Shape:
    color: Color
    size: float


class CustomMessage(HumanMessage):
    mood: str = "calm"


def test_classes_of_the_application_return_equal_where_they_are_allowed(local_chats):
    messages = [tool([Shape(Color.RED, 1.5)]), CustomMessage("Hi", mood="glad", id="m1")]
    allowed = (Color, Shape, CustomMessage)
    chat = local_chats(artifact_types=allowed)
    chat.add_messages(messages)
    read = local_chats.again(chat, artifact_types=allowed)
    assert read.messages == messages
    assert [type(message) for message in read.messages] == [ToolMessage, CustomMessage]
    assert read.fork().messages == messages
    with pytest.raises(StoredDataError, match=r"m1|Shape|class"):
        _ = local_chats.again(chat).messages


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (tool([Shape(Color.RED, 1.5)]), "Shape"),
        (tool(Color.RED), "Color"),
        (tool(object()), "object"),
        (tool(lambda: None), "function"),
        (CustomMessage("Hi"), "CustomMessage"),
        (HumanMessage("lone \ud800"), "surrogate"),
        (HumanMessage("Hi", additional_kwargs={"a": [{"b": "\udfff"}]}), "surrogate"),
        (HumanMessage("Hi", additional_kwargs={"a": [{"b": object()}]}), r"additional_kwargs.*a.*b|object"),
    ],
)
def test_what_cannot_be_kept_exactly_is_refused_by_name(local_chats, message, named):
    chat = local_chats()
    with pytest.raises(InvalidArgumentError, match=named):
        chat.add_messages([HumanMessage("before"), message])
    assert chat.messages == []
    assert local_chats.session(chat) is None
