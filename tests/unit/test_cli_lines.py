"""Lines of the export format: each record, and each value in its metadata, returns equal."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_tablestore_memory.cli.chat.knowledge import passages
from langchain_tablestore_memory.cli.lines import (
    Header,
    MemoryLine,
    MessageLine,
    SessionLine,
    decode_line,
    encode_line,
)
from langchain_tablestore_memory.core.memories import RESERVED, Memory
from langchain_tablestore_memory.message_codec import encode

quick = settings(deadline=None, max_examples=settings.default.max_examples // 2)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
times = st.integers(-(2**62), 2**62)
texts = st.text(st.characters(codec="utf-8"), max_size=50)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
metadata = st.dictionaries(texts.filter(lambda key: key not in RESERVED), values, max_size=3)


@quick
@given(ids, ids, times, st.none() | st.text("abc 名", min_size=1, max_size=20).filter(str.strip), metadata)
def test_a_session_returns_equal(user_id, session_id, time, title, kept):
    line = SessionLine(user_id, session_id, time, None if title is None else title.strip(), kept)
    assert decode_line(encode_line(line).encode()) == line


@quick
@given(ids, ids, ids, times, texts, metadata)
def test_a_message_returns_equal(user_id, session_id, message_id, time, text, kept):
    content, body = encode(AIMessage(text, id=message_id, additional_kwargs={"k": (1, b"x")}))
    for line in (
        MessageLine(user_id, session_id, message_id, time, content, body, kept),
        MessageLine(user_id, session_id, message_id, time, None, None, kept),
    ):
        assert decode_line(encode_line(line).encode()) == line


@quick
@given(ids, ids, texts.filter(str.strip), times, metadata, st.none() | times)
def test_a_memory_returns_equal(user_id, memory_id, text, time, kept, expires):
    memory = Memory(
        memory_id, text.strip(), session_id="s", created_at=time, updated_at=time, expires_at=expires, metadata=kept
    )
    line = MemoryLine(user_id, memory)
    assert decode_line(encode_line(line).encode()) == line


def test_a_line_is_one_line_of_json_that_can_be_read_by_others():
    line = encode_line(MessageLine("u1", "s1", "m1", 5, "one\ntwo\u2028三", None, {"a": 1}))
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    assert json.loads(line) == {
        "kind": "message",
        "user_id": "u1",
        "session_id": "s1",
        "message_id": "m1",
        "create_time": 5,
        "content": "one\ntwo\u2028三",
        "metadata": {"a": 1},
    }
    assert decode_line(encode_line(Header()).encode()) == Header()


@quick
@given(st.lists(st.text("ab. \n#。", max_size=2500), max_size=4).map("\n\n".join))
def test_passages_are_short_and_leave_nothing_out(text):
    found = list(passages(text))
    assert all(0 < len(passage) <= 1000 for passage in found)
    assert "".join("".join(found).split()) == "".join(text.split())
