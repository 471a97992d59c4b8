"""Bad input: one clear error, nothing written, and nothing logged of what the user wrote."""

from __future__ import annotations

import itertools
import logging
import math
from datetime import datetime, timedelta

import pytest
from faults.reporting import told_in_failures
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import InvalidArgumentError

SECRET = "secret of the user"

CONTENT = [
    ("", "content is empty"),
    (" \n\t\u3000", "content is empty"),
    (None, "content is a NoneType"),
    (5, "content is a int"),
    (b"bytes", "content is a bytes"),
    ({"text": SECRET}, "content is a dict"),
    ([SECRET, ""], r"content\[1\] is empty"),
    ([SECRET, None], r"content\[1\] is a NoneType"),
    ([SECRET, ("human", SECRET)], r"content\[1\] is a tuple"),
    ([[SECRET]], r"content\[0\] is a list"),
    (HumanMessage(""), "The text of content is empty"),
    ([SECRET, AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])], r"The text of content\[1\] is empty"),
    (HumanMessage([{"type": "image_url", "image_url": {"url": "https://x"}}]), "The text of content is empty"),
    ("x" * 100_001, "has 100001 characters. A memory takes 100000"),
    (f"{SECRET} \ud800", "lone surrogate"),
]

METADATA = [
    ("text", "metadata is a str"),
    ([("a", 1)], "metadata is a list"),
    ({"session_id": "s1"}, "metadata has 'session_id', which memories use themselves"),
    ({"role": "human", "created_at": 5, "fine": 1}, "metadata has 'created_at', 'role'"),
    ({"text_id": "x"}, "metadata has 'text_id'"),
    ({"deep": [{"object": object()}]}, "metadata"),
    ({"function": math.sin}, "metadata"),
    ({"surrogate": "\ud800"}, "metadata"),
]

TTL = [0, -1, -0.5, 1e-9, math.nan, -math.inf, True, "60", timedelta(0), timedelta(days=-1), datetime(2030, 1, 1)]

IDS = [None, 5, [5], [""], {"a": 1}, b"m1", ["x" * 1025], ["m1", None], "\ud800"]


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    yield
    assert "secret" not in caplog.text


@pytest.fixture
async def told(memory, engine):
    [told] = await memory.remember("u1", "known")
    engine.calls.clear()
    return told


async def refused(call, engine, message):
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        await call
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert engine.writes == []


async def test_content(memory, told, engine, embeddings):
    embeddings.asked.clear()
    for content, message in CONTENT:
        with told_in_failures(message):
            await refused(memory.remember("u1", content), engine, message)
    assert embeddings.asked == []


async def test_new_texts(memory, told, engine):
    for text in ("", "  ", 5, b"x", "x" * 100_001, "\ud800", HumanMessage("x")):
        with told_in_failures(type(text).__name__):
            await refused(memory.update("u1", told.memory_id, text=text), engine, "^text ")


async def test_metadata(memory, told, engine, embeddings):
    embeddings.asked.clear()
    for metadata, message in METADATA:
        with told_in_failures(message):
            await refused(memory.remember("u1", SECRET, metadata=metadata), engine, message)
            await refused(memory.remember("u1", ["known", SECRET], metadata=metadata), engine, message)
            await refused(memory.update("u1", told.memory_id, metadata=metadata), engine, message)
    assert embeddings.asked == []
    assert await memory.get("u1", told.memory_id) == [told]


async def test_lifetimes(memory, told, engine):
    for ttl in TTL:
        with told_in_failures(repr(ttl)):
            await refused(memory.remember("u1", SECRET, ttl=ttl), engine, "^ttl is .*Give ")


async def test_sessions(memory, told, engine):
    for session_id in ("", 5, b"s", "x" * 1025, "\ud800", ["s1"]):
        for call in (
            memory.remember("u1", SECRET, session_id=session_id),
            memory.recall("u1", SECRET, session_id=session_id),
            memory.list("u1", session_id=session_id),
            memory.count("u1", session_id=session_id),
            memory.forget("u1", session_id=session_id),
        ):
            with told_in_failures(repr(session_id)):
                await refused(call, engine, "session_id")


async def test_ids(memory, told, engine):
    for memory_ids in IDS:
        with told_in_failures(repr(memory_ids)):
            await refused(memory.get("u1", memory_ids), engine, "memory_id")
            await refused(memory.update("u1", memory_ids, text=SECRET), engine, "memory_id")
            if memory_ids is not None:
                await refused(memory.forget("u1", memory_ids), engine, "memory_id")


async def test_nothing_to_change(memory, told, engine):
    await refused(memory.update("u1", told.memory_id), engine, "Nothing is given to change")


async def test_times(memory, told, engine):
    for name, time in itertools.product(("since", "until"), ("now", 1.5, True, datetime(2026, 1, 1), 2**63)):
        for call in (
            memory.recall("u1", SECRET, **{name: time}),
            memory.list("u1", **{name: time}),
            memory.count("u1", **{name: time}),
            memory.forget("u1", **{name: time}),
        ):
            with told_in_failures(repr(time)):
                await refused(call, engine, name)


async def test_filters(memory, told, engine):
    for wanted in ("topic", 5, {"topic": {"$near": 1}}, {"$and": "x"}, {"year": {"$gt": [1]}}):
        for call in (
            memory.recall("u1", SECRET, filter=wanted),
            memory.list("u1", filter=wanted),
            memory.count("u1", filter=wanted),
            memory.forget("u1", filter=wanted),
        ):
            with told_in_failures(repr(wanted)):
                await refused(call, engine, ".")
    assert await memory.count("u1") == 1


async def test_a_row_that_is_too_large(words, engine):
    """The service's limits are known here: nothing is sent."""
    await words.remember("u1", "known")
    engine.calls.clear()
    await refused(words.remember("u1", [SECRET, "x"], metadata={"blob": "x" * 9_000_000}), engine, "bytes|MB|large")
    assert await words.count("u1") == 1
