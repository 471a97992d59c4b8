"""The order of messages, and what an id that is known already means."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import (
    InvalidArgumentError,
    Message,
    MessageStore,
    TablestoreChatMessageHistory,
    drafts,
    microseconds_timestamp,
)

from .support import unique


def humans(texts):
    return [HumanMessage(text) for text in texts]


@pytest.fixture
def clock(monkeypatch):
    """A clock that shows what the test says, in microseconds, and stands still."""

    class Clock:
        now = 1_000_000

    monkeypatch.setattr(drafts, "microseconds_timestamp", lambda: Clock.now)
    return Clock


def test_a_batch_keeps_its_order(chats):
    chat = chats()
    texts = [str(number) for number in range(50)]
    chat.add_messages(humans(texts))
    assert [message.content for message in chats.again(chat).messages] == texts


@pytest.mark.slow
def test_a_thousand_messages_in_one_call_keep_their_order(chats):
    chat = chats()
    texts = [f"message {number}" for number in range(1000)]
    chat.add_messages(humans(texts))
    assert [message.content for message in chats.again(chat).messages] == texts
    assert chat.texts == texts
    assert chats.session(chat).message_count == 1000


def test_one_at_a_time_and_by_the_methods_of_the_base_class(local_chats):
    chat = local_chats()
    for number in range(20):
        chat.add_messages(humans([str(number)]))
    chat.history.add_message(AIMessage("a"))
    chat.history.add_user_message("b")
    chat.history.add_ai_message("c")
    assert chat.texts == [*map(str, range(20)), "a", "b", "c"]


def test_times_strictly_increase(local_chats):
    chat = local_chats()
    for _ in range(3):
        chat.add_messages(humans("abc"))
    times = [entry.create_time for entry in chat.entries()]
    assert times == sorted(set(times))


def test_a_clock_that_stands_still_or_goes_back_keeps_the_order(local_chats, clock):
    chat = local_chats()
    texts = []
    for now in (5_000, 5_000, 4_000, -3, 0, 4_999, 6_000):
        clock.now = now
        texts += [f"{now} {len(texts)} a", f"{now} {len(texts)} b"]
        chat.add_messages(humans(texts[-2:]))
    assert chat.texts == texts


def test_a_new_object_whose_clock_is_behind_adds_at_the_end(local_chats, clock):
    chat = local_chats()
    chat.add_messages(humans(["one", "two"]))
    clock.now = 10
    other = local_chats.again(chat)
    other.add_messages(humans(["three", "four"]))
    third = local_chats.again(chat)
    assert [message.content for message in third.messages] == ["one", "two", "three", "four"]
    third.add_messages(humans(["five"]))
    assert chat.texts == ["one", "two", "three", "four", "five"]


def test_ages_do_not_matter_to_clocks_before_the_epoch(local_chats, clock):
    chat = local_chats()
    clock.now = -5
    chat.add_messages(humans(["a", "b"]))
    clock.now = -10
    chat.add_messages(humans(["c"]))
    assert chat.texts == ["a", "b", "c"]
    assert [entry.create_time for entry in chat.entries()] == [-5, -4, -3]


def test_old_conversations_are_imported_with_their_times(chats):
    chat = chats()
    times = [-(2**62), -1, 0, 1, datetime(2020, 1, 1, tzinfo=UTC)]
    chat.add_messages(humans("abcde"), create_times=times)
    assert [entry.create_time for entry in chat.entries()] == [-(2**62), -1, 0, 1, 1_577_836_800_000_000]
    assert chat.texts == list("abcde")
    chat.add_messages(humans("f"))
    assert chat.texts == list("abcdef")


def test_imports_go_to_their_places(local_chats):
    chat = local_chats()
    chat.add_messages(humans("ca"), create_times=[30, 10])
    assert chat.texts == ["a", "c"]
    chat.add_messages(humans("b"), create_times=[20])
    assert chat.texts == ["a", "b", "c"]
    assert [message.content for message in chat.messages] == ["a", "b", "c"]
    local_chats.again(chat).add_messages(humans("0"), create_times=[-1])
    chat.add_messages(humans("z"))
    assert chat.texts == ["0", "a", "b", "c", "z"]


def test_some_times_given_and_some_not(local_chats):
    chat = local_chats()
    chat.add_messages(humans("abc"), create_times=[5, None, 6])
    assert chat.texts == ["a", "c", "b"]


@settings(max_examples=25, deadline=None)
@given(times=st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_messages_imported_with_equal_times_keep_their_order(embedded, times):
    history = TablestoreChatMessageHistory(unique("s"), connection=embedded)
    history.add_messages(humans([str(number) for number in range(len(times))]), create_times=times)
    wanted = [number for number, _ in sorted(enumerate(times), key=lambda pair: pair[1])]
    assert [int(message.content) for message in history.messages] == wanted


def test_after_the_latest_time_there_is_nothing_follows(local_chats):
    chat = local_chats()
    chat.add_messages(humans("a"), create_times=[2**63 - 1])
    assert chat.texts == ["a"]
    with pytest.raises(InvalidArgumentError, match="latest time"):
        chat.add_messages(humans("b"))
    assert chat.texts == ["a"]


# The same id


def test_the_same_id_overwrites_in_place(chats):
    chat = chats()
    chat.add_messages([HumanMessage("one", id="1"), AIMessage("two", id="2"), HumanMessage("three", id="3")])
    before = chat.get("2")
    chat.add_messages([AIMessage("TWO", id="2")], metadata={"edited": True})
    assert chats.again(chat).messages == [
        HumanMessage("one", id="1"),
        AIMessage("TWO", id="2"),
        HumanMessage("three", id="3"),
    ]
    after = chat.get("2")
    assert (after.create_time, after.metadata) == (before.create_time, {"edited": True})
    assert chats.session(chat).message_count == 3


@pytest.mark.parametrize("window", [None, 1, 2])
@pytest.mark.parametrize("read_first", [False, True])
def test_the_same_id_by_another_object(chats, window, read_first):
    chat = chats()
    chat.add_messages([HumanMessage(str(number), id=f"m{number}") for number in range(6)])
    other = chats.again(chat, window=window)
    if read_first:
        assert other.messages
    other.add_messages([HumanMessage("new", id="m1"), HumanMessage("last", id="m6")])
    assert chat.texts == ["0", "new", "2", "3", "4", "5", "last"]
    assert chats.session(chat).message_count == 7


def test_an_id_that_another_object_added_meanwhile(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage("first", id="m1")])
    reader = local_chats.again(chat)
    assert len(reader.messages) == 1
    chat.add_messages([HumanMessage("second", id="m2"), HumanMessage("third", id="m3")])
    reader.add_messages([HumanMessage("SECOND", id="m2"), HumanMessage("fourth", id="m4")])
    assert chat.texts == ["first", "SECOND", "third", "fourth"]
    assert local_chats.session(chat).message_count == 4


def test_an_id_that_another_object_deleted_meanwhile(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage(name, id=name) for name in "abc"])
    reader = local_chats.again(chat)
    assert len(reader.messages) == 3
    chat.delete("b")
    reader.add_messages([HumanMessage("B", id="b")])
    assert sorted(chat.texts) == ["B", "a", "c"]
    assert reader.get("b").message == HumanMessage("B", id="b")


@pytest.mark.parametrize("again", ["lc_run-1", "uuid-1", "lc-own"])
def test_a_whole_conversation_stored_again_by_an_object_that_has_read_nothing(local_chats, again):
    """As agents do that store their whole state after each step."""
    chat = local_chats()
    state = [HumanMessage("q1", id="u1"), AIMessage("a1", id=f"{again}a"), HumanMessage("q2", id="u2")]
    chat.add_messages(state)
    state.append(AIMessage("a2", id=f"{again}b"))
    local_chats.again(chat).add_messages(state)
    local_chats.again(chat, window=1).add_messages(state)
    assert chat.messages == state
    assert local_chats.session(chat).message_count == 4


def test_the_id_that_was_given_to_a_message_is_found_by_other_objects(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage(str(number)) for number in range(6)])
    first = chat.entries()[0].id
    local_chats.again(chat).add_messages([HumanMessage("first", id=first)])
    assert chat.texts == ["first", *"12345"]


@pytest.mark.slow
def test_many_known_ids_among_more_than_one_page_of_others(embedded):
    conversation = unique("s")
    store = MessageStore(embedded)
    store.put([Message(conversation, f"{number:04}", number, "old") for number in range(5_200)])
    changed = [5, 1_000, 2_000, 3_000, 4_990, 5_050, 5_100, 5_150, 5_199, 5_300]
    history = TablestoreChatMessageHistory(conversation, connection=embedded)
    history.add_messages([HumanMessage("new", id=f"{number:04}") for number in changed])
    assert store.count(conversation) == 5_201
    assert [history.get(f"{number:04}").create_time for number in changed[:-1]] == changed[:-1]
    assert all(history.get(f"{number:04}").message.text == "new" for number in changed)


def test_the_same_id_twice_in_one_call_keeps_the_later_one(chats):
    chat = chats()
    chat.add_messages(
        [HumanMessage("old", id="x"), HumanMessage("between"), HumanMessage("new", id="x")],
        metadata=[{"n": 1}, {"n": 2}, {"n": 3}],
    )
    assert chat.messages == [HumanMessage("new", id="x"), HumanMessage("between")]
    assert [entry.metadata for entry in chat.entries()] == [{"n": 3}, {"n": 2}]
    assert chats.session(chat).message_count == 2


def test_the_same_id_under_another_class(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage("a", id="x")])
    chat.add_messages([AIMessage("b", id="x")])
    assert chat.messages == [AIMessage("b", id="x")]


def test_ids_that_langchain_makes(local_chats):
    """A model's message added twice, as an agent does that stores its whole state after each step."""
    chat = local_chats()
    turn = [HumanMessage("q", id="client-1"), AIMessage("a", id="lc_run-019a-0")]
    chat.add_messages(turn)
    chat.add_messages([*turn, HumanMessage("q2", id="client-2")])
    assert chat.messages == [*turn, HumanMessage("q2", id="client-2")]


def test_messages_without_ids_are_kept_apart(chats):
    chat = chats()
    same = HumanMessage("same")
    chat.add_messages([same, same])
    chat.add_messages([same])
    assert chat.messages == [HumanMessage("same")] * 3
    ids = [entry.id for entry in chat.entries()]
    assert len(set(ids)) == 3
    assert all(chat.get(message_id).message == same for message_id in ids)


def test_the_id_given_to_a_message_without_one_leads_to_it(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage("a"), HumanMessage("b")])
    entry = chat.entries()[0]
    chat.add_messages([HumanMessage("A", id=entry.id)])
    assert chat.texts == ["A", "b"]


def test_ids_are_of_one_conversation(local_chats):
    first, second = local_chats(), local_chats()
    for chat in (first, second):
        chat.add_messages([HumanMessage(chat.session_id, id="m")])
    assert first.messages == [HumanMessage(first.session_id, id="m")]
    assert second.messages == [HumanMessage(second.session_id, id="m")]


def test_nothing_to_add(local_chats):
    chat = local_chats()
    chat.add_messages([])
    chat.add_messages(iter(()))
    assert chat.messages == []
    assert local_chats.session(chat) is None


def test_messages_from_an_iterator(local_chats):
    chat = local_chats()
    chat.add_messages(HumanMessage(text) for text in "ab")
    assert chat.texts == ["a", "b"]


# What is kept with each message


def test_metadata_time_and_id_of_each_message(chats):
    chat = chats()
    before = microseconds_timestamp()
    wanted = [
        {"来源": "网页", "n": 1, "nested": {"a": [1, None, (2,)]}},
        {},
        {"ratio": 0.5, "flag": True, "none": None},
    ]
    chat.add_messages([HumanMessage("a", id="1"), AIMessage("b"), HumanMessage("c", id="3")], metadata=wanted)
    after = microseconds_timestamp()
    entries = chat.entries()
    assert [entry.metadata for entry in entries] == wanted
    assert [entry.id for entry in entries][::2] == ["1", "3"]
    assert all(before <= entry.create_time <= after + 3 for entry in entries)
    assert chat.page().entries == entries
    assert [chat.get(entry.id) for entry in entries] == entries


def test_one_mapping_for_all_messages(local_chats):
    chat = local_chats()
    given = {"turn": 1}
    chat.add_messages(humans("ab"), metadata=given)
    assert [entry.metadata for entry in chat.entries()] == [{"turn": 1}] * 2
    assert given == {"turn": 1}


@pytest.mark.parametrize(
    "key",
    ["content", "session_id", "create_time", "message_id", "lc_message", "lc_metadata", "lc_content_1", "", "a b"],
)
def test_metadata_may_be_called_anything(local_chats, key):
    chat = local_chats()
    chat.add_messages([HumanMessage("text", id="m")], metadata={key: "value"})
    (entry,) = local_chats.again(chat).entries()
    assert (entry.message, entry.metadata) == (HumanMessage("text", id="m"), {key: "value"})


def test_get_of_what_is_not_there(chats):
    chat = chats()
    assert chat.get("nobody") is None
    chat.add_messages(humans("a"))
    assert chat.get("nobody") is None


_counter = itertools.count()


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.lists(st.sampled_from([None, "a", "b", "c", "d"]), max_size=4)),
        max_size=8,
    )
)
def test_several_objects_keep_one_list(embedded, steps):
    """Whatever is added by whom, read before or not: what an ordered dict would hold."""
    session = unique("s")
    objects = [TablestoreChatMessageHistory(session, connection=embedded, window=window) for window in (None, 2, 3)]
    model = {}
    for number, reads, ids in steps:
        messages = [HumanMessage(f"text {next(_counter)}", id=message_id) for message_id in ids]
        if reads:
            objects[number].refresh()
            assert objects[number].messages == list(model.values())[-(number + 1) if number else 0 :]
        for message in messages:
            model[message.id or object()] = message
        objects[number].add_messages(messages)
    assert [entry.message for entry in objects[0].entries()] == list(model.values())
