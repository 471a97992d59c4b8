"""The window, its pinned first read, pages both ways, and filters."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, FunctionMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_tablestore_memory import CursorError, FilterError, Filters, Order, TablestoreChatMessageHistory

from .support import unique


def humans(count):
    return [HumanMessage(str(number), id=f"m{number}") for number in range(count)]


def calls(*ids):
    return [{"name": "f", "args": {}, "id": call_id, "type": "tool_call"} for call_id in ids]


def result(call_id, text="result"):
    return ToolMessage(text, tool_call_id=call_id)


# The window


@pytest.mark.parametrize("window", [1, 2, 3, 7, 8, 100])
def test_a_window_gives_the_latest_messages(chats, window):
    chat = chats(window=window)
    messages = humans(7)
    chat.add_messages(messages)
    assert chat.messages == messages[-window:]
    assert len(chat.entries()) == 7


def test_a_window_of_an_empty_conversation(chats):
    assert chats(window=3).messages == []
    assert chats(max_tokens=100).messages == []


TRANSCRIPTS = {
    "one call": [HumanMessage("q"), AIMessage("", tool_calls=calls("a")), result("a"), AIMessage("done")],
    "parallel calls": [
        HumanMessage("q"),
        AIMessage("", tool_calls=calls("a", "b", "c")),
        result("a"),
        result("b"),
        result("c"),
        AIMessage("done"),
    ],
    "calls one after the other": [
        HumanMessage("q"),
        AIMessage("", tool_calls=calls("a")),
        result("a"),
        AIMessage("", tool_calls=calls("b")),
        result("b"),
        AIMessage("done"),
        HumanMessage("q2"),
    ],
    "chunks": [
        HumanMessage("q"),
        AIMessageChunk(
            "",
            tool_call_chunks=[{"name": "f", "args": "{}", "id": "a", "index": 0, "type": "tool_call_chunk"}],
            chunk_position="last",
        ),
        result("a"),
        AIMessageChunk("done"),
    ],
    "calls in additional_kwargs": [
        HumanMessage("q"),
        AIMessage("", additional_kwargs={"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]}),
        result("a"),
        AIMessage("done"),
    ],
    "invalid call": [
        HumanMessage("q"),
        AIMessage(
            "",
            invalid_tool_calls=[{"name": "f", "args": "{", "id": "a", "error": None, "type": "invalid_tool_call"}],
        ),
        result("a", "wrong arguments"),
        AIMessage("done"),
    ],
    "calls without ids": [HumanMessage("q"), AIMessage("", tool_calls=calls("")), result(""), AIMessage("done")],
    "function": [
        HumanMessage("q"),
        AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
        FunctionMessage("r", name="f"),
        AIMessage("done"),
    ],
    "ends with results": [HumanMessage("q"), AIMessage("", tool_calls=calls("a", "b")), result("a"), result("b")],
    "ids used again": [
        AIMessage("", tool_calls=calls("a")),
        result("a", "first"),
        HumanMessage("q"),
        AIMessage("", tool_calls=calls("a")),
        result("a", "second"),
        AIMessage("done"),
    ],
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
@pytest.mark.parametrize("by", ["count", "tokens"])
def test_a_window_never_starts_on_an_orphaned_tool_message(local_chats, name, by):
    transcript = TRANSCRIPTS[name]
    chat = local_chats()
    chat.add_messages(transcript)
    for size in range(1, len(transcript) + 2):
        options = {"window": size} if by == "count" else {"max_tokens": size, "token_counter": len}
        found = local_chats.again(chat, **options).messages
        kept = transcript[-size:]
        if size >= len(transcript):
            assert found == transcript
            continue
        # What follows the results of calls that were cut off stays, in order and whole.
        while kept and isinstance(kept[0], ToolMessage | FunctionMessage):
            kept = kept[1:]
        assert found == kept


def test_results_of_cut_off_calls_are_left_out_wherever_they_are(local_chats):
    """A human who speaks between the results of parallel calls."""
    chat = local_chats()
    transcript = [AIMessage("", tool_calls=calls("a", "b")), result("a"), HumanMessage("hurry"), result("b")]
    chat.add_messages(transcript)
    assert local_chats.again(chat, window=2).messages == [HumanMessage("hurry")]
    assert local_chats.again(chat, window=4).messages == transcript


def test_complete_histories_are_not_trimmed(chats):
    transcript = [result("nobody called"), FunctionMessage("r", name="f"), HumanMessage("Hi")]
    chat = chats()
    chat.add_messages(transcript)
    for options in ({}, {"window": 3}, {"window": 4}, {"max_tokens": 10_000}, {"window": 9, "max_tokens": 10_000}):
        assert chats.again(chat, **options).messages == transcript, options


def words(messages):
    return sum(len(str(message.text).split()) for message in messages)


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 6, 9, 10, 14, 15, 100])
def test_a_token_budget_is_kept(chats, budget):
    messages = [HumanMessage(" ".join(["w"] * count)) for count in (5, 4, 3, 2, 1)]
    chat = chats(max_tokens=budget, token_counter=words)
    chat.add_messages(messages)
    found = chat.messages
    assert words(found) <= budget
    assert found == messages[len(messages) - len(found) :]
    # One more would have been too much.
    assert len(found) == 5 or words(messages[-len(found) - 1 :]) > budget


def test_a_message_that_is_larger_than_the_budget_ends_the_window(local_chats):
    chat = local_chats(max_tokens=3, token_counter=words)
    chat.add_messages([HumanMessage("a"), HumanMessage("far too many words"), HumanMessage("b"), HumanMessage("c d")])
    assert [message.content for message in chat.messages] == ["b", "c d"]
    chat.add_messages([HumanMessage("again too many words")])
    assert chat.messages == []


def test_the_budget_by_langchains_approximation(local_chats):
    from langchain_core.messages.utils import count_tokens_approximately

    chat = local_chats(max_tokens=300)
    messages = [HumanMessage("word " * 20, id=str(number)) for number in range(60)]
    chat.add_messages(messages)
    found = local_chats.again(chat, max_tokens=300).messages
    assert found == messages[-len(found) :]
    assert count_tokens_approximately(found) <= 300 < count_tokens_approximately(messages[-len(found) - 1 :])


def test_count_and_tokens_together(local_chats):
    chat = local_chats()
    messages = humans(30)
    chat.add_messages(messages)
    assert local_chats.again(chat, window=4, max_tokens=10, token_counter=len).messages == messages[-4:]
    assert local_chats.again(chat, window=10, max_tokens=4, token_counter=len).messages == messages[-4:]
    assert local_chats.again(chat, window=25, max_tokens=23, token_counter=len).messages == messages[-23:]


def test_a_budget_over_several_pages(chats):
    chat = chats()
    messages = humans(120)
    chat.add_messages(messages)
    assert chats.again(chat, max_tokens=101, token_counter=len).messages == messages[-101:]
    assert chats.again(chat, max_tokens=1000, token_counter=len).messages == messages


def test_what_the_counter_raises_reaches_the_caller(local_chats):
    class CountError(Exception):
        pass

    def counter(_):
        raise CountError

    chat = local_chats(max_tokens=5, token_counter=counter)
    chat.add_messages(humans(1))
    with pytest.raises(CountError):
        _ = chat.messages


# The pinned first read


def test_the_first_read_is_kept_until_this_object_writes(chats):
    chat = chats()
    chat.add_messages([HumanMessage("old")])
    mine, other = chats.again(chat), chats.again(chat)
    assert [message.content for message in mine.messages] == ["old"]
    other.add_messages([HumanMessage("other")])
    assert [message.content for message in mine.messages] == ["old"]
    assert [entry.message.content for entry in mine.page().entries] == ["old", "other"]
    mine.add_messages([HumanMessage("mine")])
    assert [message.content for message in mine.messages] == ["old", "other", "mine"]
    assert [message.content for message in other.messages] == ["old", "other", "mine"]


@pytest.mark.parametrize("change", ["edit", "delete", "clear", "refresh"])
def test_what_ends_the_pinned_read(local_chats, change):
    chat = local_chats()
    chat.add_messages([HumanMessage("a", id="a"), HumanMessage("b", id="b")])
    assert len(chat.messages) == 2
    local_chats.again(chat).add_messages([HumanMessage("c", id="c")])
    arguments = {"edit": ("a", HumanMessage("A", id="a")), "delete": ("a",), "clear": (), "refresh": ()}[change]
    getattr(chat, change)(*arguments)
    wanted = {"edit": ["A", "b", "c"], "delete": ["b", "c"], "clear": [], "refresh": ["a", "b", "c"]}[change]
    assert [message.content for message in chat.messages] == wanted


def test_the_sync_and_the_async_read_share_one_state(embedded):
    import asyncio

    history = TablestoreChatMessageHistory(unique("s"), connection=embedded)
    history.add_messages(humans(2))

    async def read():
        first = await history.aget_messages()
        await TablestoreChatMessageHistory(history.session_id, connection=embedded).aadd_messages([HumanMessage("x")])
        return first

    assert asyncio.run(read()) == humans(2)
    assert history.messages == humans(2)


# Pages


def test_pages_from_the_end_to_the_beginning_and_back(chats):
    chat = chats()
    messages = humans(10)
    chat.add_messages(messages)
    page = chat.page(limit=4)
    assert page.messages == messages[6:]
    assert page.newer is None
    page = chat.page(limit=4, cursor=page.older)
    assert page.messages == messages[2:6]
    page = chat.page(limit=4, cursor=page.older)
    assert page.messages == messages[:2]
    assert page.older is None
    page = chat.page(limit=4, cursor=page.newer)
    assert page.messages == messages[2:6]
    page = chat.page(limit=10, cursor=page.newer)
    assert page.messages == messages[6:]
    assert page.newer is None
    assert chat.page(limit=100, cursor=page.older).messages == messages[:6]


def test_pages_of_an_empty_conversation(chats):
    page = chats().page()
    assert (page.entries, page.messages, page.older, page.newer) == ([], [], None, None)


@pytest.mark.parametrize("count", [5, 10])
def test_the_last_page_is_known_to_be_the_last(local_chats, count):
    chat = local_chats()
    chat.add_messages(humans(count))
    page = chat.page(limit=5)
    assert (page.older is None) == (count == 5)


def test_messages_that_come_meanwhile_neither_shift_nor_repeat_a_page(chats):
    chat = chats()
    messages = humans(6)
    chat.add_messages(messages)
    page = chat.page(limit=2)
    chat.add_messages([HumanMessage("new", id="new")])
    older = chat.page(limit=2, cursor=page.older)
    assert older.messages == messages[2:4]
    newer = chat.page(limit=9, cursor=older.newer)
    assert newer.messages == [*messages[4:], HumanMessage("new", id="new")]


def test_a_page_at_a_deleted_message(local_chats):
    chat = local_chats()
    messages = humans(9)
    chat.add_messages(messages)
    page = chat.page(limit=3)
    chat.delete("m6")
    middle = chat.page(limit=3, cursor=page.older)
    assert middle.messages == messages[3:6]
    chat.delete("m5", "m4")
    assert chat.page(limit=3, cursor=middle.newer).messages == messages[7:]
    assert chat.page(limit=3, cursor=middle.older).messages == messages[:3]


def test_a_page_of_which_everything_was_deleted_leads_back(chats):
    chat = chats()
    messages = humans(9)
    chat.add_messages(messages)
    last = chat.page(limit=3)
    middle = chat.page(limit=3, cursor=last.older)
    first = chat.page(limit=3, cursor=middle.older)
    chat.delete("m0", "m1", "m2", "m6", "m7", "m8")
    nothing = chat.page(limit=3, cursor=middle.newer)
    assert (nothing.entries, nothing.newer) == ([], None)
    assert chat.page(limit=2, cursor=nothing.older).messages == messages[4:6]
    nothing = chat.page(limit=3, cursor=middle.older)
    assert (nothing.entries, nothing.older) == ([], None)
    page = chat.page(limit=2, cursor=nothing.newer)
    assert page.messages == messages[3:5]
    assert chat.page(limit=2, cursor=page.newer).messages == messages[5:6]
    chat.add_messages([HumanMessage("new", id="new")])
    assert [message.id for message in chat.page(limit=9, cursor=first.newer).messages] == ["m3", "m4", "m5", "new"]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_pages_of_any_size_in_any_direction_hold_the_whole_history(embedded, data):
    history = TablestoreChatMessageHistory(unique("s"), connection=embedded)
    messages = humans(data.draw(st.integers(0, 25), "messages"))
    # Equal times: the id decides, and pages have to follow it.
    times = data.draw(st.none() | st.just([number // 3 * 100 for number in range(len(messages))]), "times")
    history.add_messages(messages, create_times=times)
    messages = [entry.message for entry in history.entries()]
    position = len(messages)
    page = history.page(limit=data.draw(st.integers(1, 30), "limit"))
    position -= len(page.entries)
    for _ in range(data.draw(st.integers(0, 12), "moves")):
        assert page.messages == messages[position : position + len(page.entries)]
        assert (page.older is None) == (position == 0)
        assert (page.newer is None) == (position + len(page.entries) == len(messages))
        ways = [way for way in ("older", "newer") if getattr(page, way) is not None]
        if not ways:
            break
        way = data.draw(st.sampled_from(ways), "way")
        limit = data.draw(st.integers(1, 30), "limit")
        end = position + len(page.entries)
        page = history.page(limit=limit, cursor=getattr(page, way))
        position = max(0, position - limit) if way == "older" else end
        assert len(page.entries) == min(limit, len(messages) - end if way == "newer" else len(page.entries))


def test_cursors_are_refused_elsewhere(chats):
    chat = chats()
    chat.add_messages(humans(5))
    cursor = chat.page(limit=2).older
    elsewhere = [
        chats(chat.session_id),  # another user
        chats(user_id=chat.user_id),  # another session
        chats.again(chat, message_table="message_other"),
        chats(chat.session_id, user_id="default"),
        chats(chat.session_id, user_id=chat.user_id, isolate_users=False),
    ]
    for other in elsewhere:
        with pytest.raises(CursorError, match="another user, conversation or listing"):
            other.page(cursor=cursor)
    assert chats.again(chat).page(cursor=cursor).messages == humans(5)[:3]


def test_cursors_of_other_listings_are_refused(local_chats):
    chat = local_chats()
    chat.add_messages(humans(5))
    local_chats(user_id=chat.user_id).add_messages(humans(1))
    sessions = local_chats.call(local_chats.registry, "list", chat.user_id, limit=1)
    assert sessions.cursor is not None
    with pytest.raises(CursorError):
        chat.page(cursor=sessions.cursor)
    with pytest.raises(CursorError):
        local_chats.call(local_chats.registry, "list", chat.user_id, cursor=chat.page(limit=1).older)


@pytest.mark.parametrize("cursor", ["", "x", "===", "é", "not a cursor", "AAAA" * 10, 5, b"abc", ["x"], True])
def test_what_is_no_cursor_is_refused(local_chats, cursor):
    chat = local_chats()
    chat.add_messages(humans(2))
    with pytest.raises(CursorError):
        chat.page(cursor=cursor)


def test_cursors_that_were_changed_are_refused(local_chats):
    chat = local_chats()
    chat.add_messages(humans(5))
    cursor = chat.page(limit=2).older
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    changed = [
        base64.urlsafe_b64encode(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]).decode().rstrip("=")
        for position in range(len(raw))
    ]
    for wrong in [*changed, cursor[:-1], cursor[1:], cursor + "AAAA", cursor.swapcase()]:
        with pytest.raises(CursorError):
            chat.page(cursor=wrong)


# Entries and filters


def test_entries_in_both_orders_and_limited(chats):
    chat = chats()
    messages = humans(7)
    chat.add_messages(messages)
    assert [entry.message for entry in chat.entries()] == messages
    assert [entry.message for entry in chat.entries(order=Order.DESC)] == messages[::-1]
    assert [entry.message for entry in chat.entries(limit=3)] == messages[:3]
    assert [entry.message for entry in chat.entries(order=Order.DESC, limit=3)] == messages[:3:-1]


@pytest.mark.slow
def test_entries_beyond_one_request(local_chats):
    chat = local_chats()
    messages = [HumanMessage("x" * 40_000, id=f"{number:03}") for number in range(150)]
    chat.add_messages(messages)
    assert [entry.message for entry in chat.entries()] == messages
    assert chat.messages == messages


@pytest.fixture(scope="module")
def tagged(chats):
    chat = chats()
    metadata = [
        {"来源": "网页", "n": 0},
        {"来源": "电话", "n": 1, "deep": {"city": "杭州", "tags": ["a", "b"]}},
        {"n": 2, "deep": {"city": "上海"}, "flag": True},
        {"来源": "网页", "n": 3, "flag": False, "ratio": 0.5},
        {"n": "four", "none": None, "tags": ["x", "y"]},
    ]
    chat.add_messages(humans(5), metadata=metadata)
    return chat


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"来源": "网页"}, [0, 3]),
        ({"来源": {"$ne": "网页"}}, [1, 2, 4]),
        ({"来源": {"$exists": False}}, [2, 4]),
        (Filters.eq("来源", "电话"), [1]),
        ({"n": {"$gte": 1}}, [1, 2, 3]),
        ({"n": {"$in": [0, "four"]}}, [0, 4]),
        ({"flag": False}, [3]),
        ({"ratio": {"$lt": 1}}, [3]),
        ({"$or": [{"n": 0}, {"n": 4}, {"n": "four"}]}, [0, 4]),
        ({"$and": [{"来源": "网页"}, {"n": {"$gt": 0}}]}, [3]),
        (Filters.logical_not([Filters.eq("来源", "网页")]), [1, 2, 4]),
        ({"n": 99}, []),
        ({"deep": {"$exists": True}}, [1, 2]),
        ({"none": {"$exists": True}}, [4]),
        ({"none": None}, [4]),
        ({"tags": {"$contains": "y"}}, [4]),
        ({}, [0, 1, 2, 3, 4]),
        (None, [0, 1, 2, 3, 4]),
    ],
    ids=str,
)
def test_filters_on_metadata(tagged, wanted, found):
    assert [entry.id for entry in tagged.entries(metadata_filter=wanted)] == [f"m{number}" for number in found]
    assert [entry.id for entry in tagged.page(metadata_filter=wanted).entries] == [f"m{number}" for number in found]
    latest = tagged.entries(metadata_filter=wanted, order=Order.DESC, limit=1)
    assert [entry.id for entry in latest] == [f"m{number}" for number in found[-1:]]


def test_pages_of_rare_matches(chats):
    chat = chats()
    chat.add_messages(humans(250), metadata=[{"k": int(number % 50 == 7)} for number in range(250)])
    wanted = ["m7", "m57", "m107", "m157", "m207"]
    page = chat.page(limit=2, metadata_filter={"k": 1})
    found = [entry.id for entry in page.entries]
    while page.older is not None:
        page = chat.page(limit=2, metadata_filter={"k": 1}, cursor=page.older)
        found = [entry.id for entry in page.entries] + found
    assert found == wanted
    found = [entry.id for entry in page.entries]
    while page.newer is not None:
        page = chat.page(limit=2, metadata_filter={"k": 1}, cursor=page.newer)
        found += [entry.id for entry in page.entries]
    assert found == wanted


@pytest.mark.parametrize("wrong", [{"n": {"$foo": 1}}, {"$foo": []}, "n = 1", 5, [("n", 1)], {5: 1}])
def test_wrong_filters_are_refused(local_chats, wrong):
    chat = local_chats()
    with pytest.raises(FilterError):
        chat.page(metadata_filter=wrong)
    with pytest.raises(FilterError):
        chat.entries(metadata_filter=wrong)


def test_a_conversation_that_begins_with_a_system_message(local_chats):
    chat = local_chats(window=2)
    chat.add_messages([SystemMessage("Be kind."), *humans(3)])
    assert chat.messages == humans(3)[1:]
