"""QwenTokenCounter: offline, near to what Qwen counts, and in the windows of histories."""

from __future__ import annotations

import json
import pickle
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import dashscope
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages

from langchain_tablestore_memory import (
    ConfigurationError,
    InvalidArgumentError,
    QwenTokenCounter,
    TablestoreChatMessageHistory,
    connect,
)

AROUND = 5
CALL = {"name": "weather", "args": {"city": "北京"}, "id": "call_1"}


@pytest.fixture(scope="module")
def count():
    return QwenTokenCounter()


@pytest.fixture(scope="module")
def sdk_tokenizer():
    return dashscope.get_tokenizer("qwen-max")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("Hello, world!", 4),
        ("你好，世界", 3),
        ("12345", 5),
        ("The quick brown fox jumps over the lazy dog.", 10),
    ],
)
def test_texts(text, tokens, count):
    assert count.count_text(text) == tokens
    assert count([HumanMessage(text)]) == tokens + AROUND


@pytest.mark.parametrize("text", ["我喜欢喝龙井茶。" * 50, "def f(x):\n    return x + 1\n" * 20, "🍵 tea " * 30])
def test_texts_count_as_with_the_sdk(text, count, sdk_tokenizer):
    assert count.count_text(text) == len(sdk_tokenizer.encode(text))


def test_what_looks_like_a_special_token_is_text(count):
    assert count.count_text("<|im_start|>") > 1


def test_what_is_no_unicode_can_be_counted(count):
    assert count.count_text("a\ud800b") >= 1


def test_several_messages(count):
    messages = [SystemMessage("Be brief."), HumanMessage("Hello, world!"), AIMessage("你好，世界")]
    assert count(messages) == sum(count([message]) for message in messages)
    assert count([]) == 0


def test_tool_calls_and_their_results(count):
    without = count([AIMessage("Let me see.")])
    once = count([AIMessage("Let me see.", tool_calls=[CALL])])
    twice = count([AIMessage("Let me see.", tool_calls=[CALL, CALL | {"id": "call_2"}])])
    assert without < once < twice
    assert twice - once == once - without
    assert count([ToolMessage("Sunny", tool_call_id="call_1")]) == count.count_text("Sunny") + AROUND


def test_invalid_tool_calls(count):
    broken = {"name": "weather", "args": '{"city": ', "id": "1", "error": "cut off"}
    assert count([AIMessage("", invalid_tool_calls=[broken])]) > AROUND


def test_content_in_blocks(count):
    blocks = [{"type": "text", "text": "Hello, world!"}, "你好，世界"]
    assert count([HumanMessage(blocks)]) == 7 + AROUND


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}},
        {"type": "image", "base64": "A" * 100_000, "mime_type": "image/png"},
        {"type": "audio", "url": "https://example.com/a.mp3"},
        {"type": "video", "url": "https://example.com/a.mp4"},
        {"type": "file", "base64": "A" * 100_000, "mime_type": "application/pdf"},
    ],
)
def test_media_count_as_much_as_is_said(block, count):
    messages = [HumanMessage([{"type": "text", "text": "Hello, world!"}, block, block])]
    assert count(messages) == 4 + 2 * 1280 + AROUND
    assert QwenTokenCounter(tokens_per_media=100)(messages) == 4 + 200 + AROUND


def test_reasoning_is_text_too(count):
    assert count([AIMessage([{"type": "reasoning", "reasoning": "Hello, world!"}])]) == 4 + AROUND


def test_other_blocks_count_as_they_are_sent(count):
    block = {"type": "server_tool_result", "output": "Hello, world!"}
    assert count([AIMessage([block])]) == count.count_text(json.dumps(block)) + AROUND


def test_calls_that_are_said_twice_count_once(count):
    block = {"type": "tool_use", "name": "weather", "input": {"city": "北京"}, "id": "call_1"}
    assert count([AIMessage([block], tool_calls=[CALL])]) == count([AIMessage("", tool_calls=[CALL])])


@pytest.mark.parametrize(
    ("messages", "kind"), [(["text"], "str"), ([("human", "text")], "tuple"), ([None], "NoneType")]
)
def test_what_is_no_message(messages, kind, count):
    with pytest.raises(InvalidArgumentError, match=rf"A {kind} was given for a message\. Give LangChain messages\."):
        count(messages)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "5"])
def test_what_is_no_number(number):
    with pytest.raises(InvalidArgumentError, match="tokens_per_media is"):
        QwenTokenCounter(tokens_per_media=number)


def test_what_is_no_text(count):
    with pytest.raises(InvalidArgumentError, match="The text is a bytes"):
        count.count_text(b"text")


def test_it_can_be_pickled():
    counter = pickle.loads(pickle.dumps(QwenTokenCounter(tokens_per_media=7)))
    assert repr(counter) == "QwenTokenCounter(tokens_per_media=7)"
    assert counter.count_text("Hello, world!") == 4


def test_in_threads(count):
    texts = [f"text number {number}" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(count.count_text, texts)) == [count.count_text(text) for text in texts]


def test_without_a_network_and_without_a_key(monkeypatch):
    def refuse(*_):
        raise AssertionError("It wants a network.")

    monkeypatch.setattr(socket, "socket", refuse)
    assert QwenTokenCounter().count_text("Hello, world!") == 4


def test_without_the_sdk(monkeypatch):
    from langchain_tablestore_memory.dashscope import tokens

    monkeypatch.setitem(sys.modules, "dashscope", None)
    tokens._tokenizer.cache_clear()
    with pytest.raises(ConfigurationError, match=r'pip install "langchain-tablestore-memory\[dashscope\]"'):
        QwenTokenCounter()


def test_with_an_old_sdk(monkeypatch):
    from langchain_tablestore_memory import DashScopeEmbeddings

    monkeypatch.delattr(dashscope, "AsyncClient")
    with pytest.raises(ConfigurationError, match="The DashScope SDK is older than version 2"):
        DashScopeEmbeddings(api_key="sk-any")


# Where it is used


async def test_in_the_window_of_a_history(count):
    with connect("local::memory:") as connection:
        history = TablestoreChatMessageHistory(
            "s1", user_id="u1", connection=connection, max_tokens=40, token_counter=count
        )
        history.add_messages([HumanMessage(f"我喜欢喝茶 {number}") for number in range(10)])
        kept = [message.text for message in history.messages]
        assert kept == [message.text for message in await history.aget_messages()]
    each = count([HumanMessage("我喜欢喝茶 9")])
    assert kept == [f"我喜欢喝茶 {number}" for number in range(10 - 40 // each, 10)]


def test_in_trim_messages(count):
    messages = [HumanMessage(f"我喜欢喝茶 {number}") for number in range(10)]
    kept = trim_messages(messages, max_tokens=40, token_counter=count)
    assert kept == messages[-(40 // count(messages[:1])) :]
