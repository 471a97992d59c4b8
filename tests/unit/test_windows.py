"""Windows: what they admit, and which results of tool calls they leave out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    ToolMessageChunk,
)

from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.windows import Window, without_orphans


def ai(*ids):
    return AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": i, "type": "tool_call"} for i in ids])


def result(call_id):
    return ToolMessage("r", tool_call_id=call_id)


HI = HumanMessage("Hi")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [HI],
        [HI, AIMessage("Hello")],
        [ai("a"), result("a")],
        [ai("a", "b"), result("b"), result("a"), AIMessage("done")],
        [ai("a"), HI, result("a")],
        [ai(""), result("")],
        [ai(None), result("")],
        [SystemMessage("s"), HI, ai("a"), result("a"), ai("a"), result("a")],
        [HI, FunctionMessage("r", name="f")],
        [AIMessage("", additional_kwargs={"tool_calls": [{"id": "a"}]}), result("a")],
        [AIMessage("", additional_kwargs={"tool_calls": "odd"}), HI],
        [AIMessage("", additional_kwargs={"tool_calls": 5}), HI],
        [AIMessage("", additional_kwargs={"tool_calls": [None, "odd", {"id": None}]}), HI],
        [ChatMessage("", role="tool"), HI],
    ],
    ids=str,
)
def test_what_is_whole_stays_whole(messages):
    assert without_orphans(messages) == messages


@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        ([result("a")], []),
        ([result("a"), HI], [HI]),
        ([result("a"), result("b"), AIMessage("done")], [AIMessage("done")]),
        ([HI, result("a")], [HI]),
        ([result("a"), ai("a"), result("a")], [ai("a"), result("a")]),
        ([ai("a"), result("b"), result("a")], [ai("a"), result("a")]),
        ([ToolMessageChunk("r", tool_call_id="a"), HI], [HI]),
        ([FunctionMessage("r", name="f"), HI], [HI]),
        ([result("a"), FunctionMessage("r", name="f"), HI], [HI]),
        ([result(""), HI], [HI]),
    ],
    ids=str,
)
def test_results_of_calls_that_are_not_there_are_left_out(messages, kept):
    assert without_orphans(messages) == kept


def test_chunks_make_calls_too():
    chunk = AIMessageChunk(
        "", tool_call_chunks=[{"name": "f", "args": "{}", "id": "a", "index": 0, "type": "tool_call_chunk"}]
    )
    assert without_orphans([chunk, result("a")]) == [chunk, result("a")]


def test_the_messages_given_are_not_changed():
    messages = [result("a"), HI]
    without_orphans(messages)
    assert messages == [result("a"), HI]


call_ids = st.sampled_from(["a", "b", "c"])
transcripts = st.lists(
    st.one_of(
        st.just(HI),
        st.lists(call_ids, max_size=3).map(lambda ids: ai(*ids)),
        call_ids.map(result),
        st.just(FunctionMessage("r", name="f")),
    ),
    max_size=12,
)


@given(transcripts)
def test_whatever_is_cut_off(transcript):
    kept = without_orphans(transcript)
    # In order, nothing but results is left out, and every result has its call before it.
    left = iter(transcript)
    assert all(any(message is other for other in left) for message in kept)
    others = [m for m in transcript if not isinstance(m, ToolMessage | FunctionMessage)]
    assert [m for m in kept if not isinstance(m, ToolMessage | FunctionMessage)] == others
    called = set()
    for message in kept:
        if isinstance(message, AIMessage):
            called.update(call["id"] for call in message.tool_calls)
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in called
    assert not kept or not isinstance(kept[0], ToolMessage | FunctionMessage)
    assert without_orphans(kept) == kept


def test_a_budget_counts_from_the_first_message_asked_about():
    budget = Window(max_tokens=10, token_counter=lambda messages: sum(len(m.content) for m in messages)).budget()
    assert [budget.admits(HumanMessage("x" * size)) for size in (4, 6, 1)] == [True, True, False]


def test_no_budget_admits_everything():
    def counter(_):
        raise AssertionError

    budget = Window(count=1, token_counter=counter).budget()
    assert all(budget.admits(HI) for _ in range(100))


def test_budgets_do_not_share_what_is_left():
    window = Window(max_tokens=1, token_counter=len)
    assert window.budget().admits(HI)
    assert window.budget().admits(HI)


def test_langchains_approximation_is_the_default():
    from langchain_core.messages.utils import count_tokens_approximately

    size = count_tokens_approximately([HI])
    assert Window(max_tokens=size).budget().admits(HI)
    assert not Window(max_tokens=size - 1).budget().admits(HI)


@pytest.mark.parametrize(
    ("window", "size"),
    [
        (Window(), None),
        (Window(count=20), None),
        (Window(max_tokens=100), 10),
        (Window(max_tokens=10_000), 20),
        (Window(count=5, max_tokens=10_000), 5),
    ],
    ids=str,
)
def test_pages_suit_the_window(window, size):
    assert window.page_size == size


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": 0},
        {"count": -5},
        {"count": 1.0},
        {"count": "1"},
        {"count": True},
        {"max_tokens": 0},
        {"max_tokens": 0.5},
        {"max_tokens": False},
        {"token_counter": "gpt-4"},
        {"token_counter": 5},
    ],
    ids=str,
)
def test_wrong_windows(arguments):
    with pytest.raises(InvalidArgumentError):
        Window(**arguments)
