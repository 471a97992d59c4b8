"""Messages through MemoryStore and MessageStore: every call, sync and async."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from langchain_tablestore_memory import (
    Filters,
    InvalidArgumentError,
    MemoryStore,
    Message,
    MessageStore,
    Order,
    RetryPolicy,
    TimeRange,
    microseconds_timestamp,
)

from .support import MODES, Face, metadata_with_types

SCALARS = {"raw": bytearray(b"\xe6\x98\x86"), "real": 1.5, "text": "王帆", "whole": 673673892, "yes": True}


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


async def put(store, conversation, *times):
    for time in times:
        await store.put_message(Message(conversation, f"m{time}", time, f"text {time}", {"n": time}))


def times(found):
    return [message.create_time for message in found]


async def test_put_and_get(store):
    message = Message("会话", "消息 1", 204946059, "最大朋友文章", dict(SCALARS))
    assert await store.put_message(message) is None
    for create_time in (None, 204946059):
        read = await store.get_message("会话", "消息 1", create_time)
        assert read == message
        assert metadata_with_types(read.metadata) == metadata_with_types(SCALARS)


async def test_get_with_the_time_is_one_request_and_without_it_two(store, engine):
    await put(store, "s1", 1)
    await store.get_message("s1", "m1")
    engine.taken()
    await store.get_message(session_id="s1", message_id="m1", create_time=1)
    assert engine.taken() == ["GetRow"]
    await store.get_message(session_id="s1", message_id="m1")
    assert engine.taken() == ["GetRange", "GetRow"]


async def test_get_of_a_message_that_does_not_exist_is_none(store):
    assert await store.get_message("s1", "m1") is None
    await put(store, "s1", 1)
    assert await store.get_message("s2", "m1") is None
    assert await store.get_message("s1", "m2") is None
    assert await store.get_message("s1", "m1", 2) is None


async def test_a_message_without_a_time_is_of_now(store):
    message = Message("s1", "m1")
    before = microseconds_timestamp()
    await store.put_message(message)
    assert before <= message.create_time <= microseconds_timestamp()
    assert await store.get_message("s1", "m1") == message


async def test_put_replaces_the_whole_message(store):
    await store.put_message(Message("s1", "m1", 1, "long", {"a": 1, "页": 2}))
    await store.put_message(Message("s1", "m1", 1, None, {"b": 1}))
    assert await store.list_messages("s1") == [Message("s1", "m1", 1, None, {"b": 1})]


@pytest.mark.parametrize("content", [None, "", " ", "text", "行\n" * 1000, "\x00", "🙂"])
@pytest.mark.parametrize("create_time", [0, -1, 1, 2**63 - 1, -(2**63)])
async def test_any_content_at_any_time(store, content, create_time):
    message = Message("s1", "m1", create_time, content)
    await store.put_message(message)
    assert await store.get_message("s1", "m1") == message
    assert await store.get_message("s1", "m1", create_time) == message
    assert await store.list_messages("s1") == [message]
    await store.delete_message("s1", "m1", create_time)
    assert await store.list_messages("s1") == []


async def test_text_of_several_megabytes(store):
    text = "文" * 750_000
    await store.put_message(Message("s1", "m1", 1, text))
    assert (await store.get_message("s1", "m1")).content == text
    await store.update_message(Message("s1", "m1", 1, "short"))
    assert (await store.get_message("s1", "m1")).content == "short"


async def test_update_sets_what_is_given_and_leaves_the_rest(store):
    await store.put_message(Message("s1", "m1", 5, "old", {"a": 1, "页": [2]}))
    changed = Message("s1", "m1", 5, "update to: 123")
    await store.update_message(changed)
    assert await store.get_message("s1", "m1") == Message("s1", "m1", 5, "update to: 123", {"a": 1, "页": [2]})
    await store.update_message(Message("s1", "m1", 5, None, {"a": 2, "b": 3}))
    expected = Message("s1", "m1", 5, "update to: 123", {"a": 2, "b": 3, "页": [2]})
    assert await store.get_message("s1", "m1") == expected
    await store.update_message(Message("s1", "m1", 5, ""))
    assert (await store.get_message("s1", "m1")).content == ""
    await store.update_message(Message("s1", "m1", 5))
    assert (await store.get_message("s1", "m1")).metadata == expected.metadata


async def test_update_looks_up_the_time(store):
    await put(store, "s1", 0)
    changes = Message("s1", "m0", content="new")
    await store.update_message(changes)
    assert changes.create_time == 0
    assert await store.list_messages("s1") == [Message("s1", "m0", 0, "new", {"n": 0})]


async def test_update_makes_a_message_that_does_not_exist(store):
    await store.update_message(Message("s1", "m1", 1, "one", {"a": 1}))
    await store.update_message(Message("s1", "m2", 2, None, {"a": [1]}))
    await store.update_message(Message("s1", "m3", 3))
    undated = Message("s1", "m4")
    await store.update_message(undated)
    assert await store.list_messages("s1", order=Order.ASC) == [
        Message("s1", "m1", 1, "one", {"a": 1}),
        Message("s1", "m2", 2, None, {"a": [1]}),
        Message("s1", "m3", 3),
        undated,
    ]


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "theirs",
    [
        Message("s1", "m1", 1, "their text"),
        Message("s1", "m1", 1, None, {"their": 1}),
        Message("s1", "m1", 1, "their text", {"它": [1]}),
    ],
    ids=repr,
)
async def test_what_others_change_meanwhile_is_kept(store, engine, exists, theirs):
    """Metadata that shares one column has to be read before it can be written."""
    if exists:
        await store.put_message(Message("s1", "m1", 1, "text", {"a": 1, "页": 1}))
    other = MemoryStore(engine.connection("sync"))
    other.init_table()

    def come_between(api):
        if api == "BatchWriteRow":
            engine.before = None
            other.update_message(theirs)

    engine.before = come_between
    await store.update_message(Message("s1", "m1", 1, None, {"页": [2]}))
    assert engine.before is None
    before = {"a": 1} if exists else {}
    content = theirs.content or ("text" if exists else None)
    expected = Message("s1", "m1", 1, content, dict(sorted({**before, **theirs.metadata, "页": [2]}.items())))
    assert await store.get_message("s1", "m1") == expected


@pytest.mark.parametrize("value", [lambda n: n, lambda n: [n]], ids=["columns", "one shared column"])
def test_updates_at_once_are_all_kept(engine, value):
    connection = engine.connection("sync")
    connection.retry = RetryPolicy()
    messages = MessageStore(connection)
    messages.put([Message("s1", "m1", 1)])

    def update(number):
        for turn in range(3):
            messages.update(Message("s1", "m1", 1, None, {f"k{number}_{turn}": value(number)}))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(update, range(12)))
    assert messages.get("s1", "m1").metadata == {
        f"k{number}_{turn}": value(number) for number in range(12) for turn in range(3)
    }


async def test_an_update_of_nothing_writes_nothing(store, engine):
    await store.put_message(Message("s1", "m1", 1, "text", {"a": 1, "页": 1}))
    engine.taken()
    await store.update_message(Message("s1", "m1", 1))
    await store.update_message(Message("s1", "m1", 1, "text", {"页": 1}))
    assert engine.writes == []
    await store.update_message(Message("s1", "m1", 1, None, {"页": True}))
    assert (await store.get_message("s1", "m1")).metadata["页"] is True


async def test_updates_in_a_table_with_a_time_to_live(connection, mode):
    """Such a table takes whole rows only."""
    messages = Face(MessageStore(connection, ttl=86_400), mode)
    await messages.put([Message("s1", "m1", 1, "text", {"a": 1, "页": 1})])
    await messages.update(Message("s1", "m1", 1, None, {"b": 2}))
    await messages.update(Message("s1", "m1", content="new"))
    await messages.update(Message("s1", "m1", 1, None, {"页": [2]}))
    await messages.update(Message("s1", "m2", 2, "made"))
    assert await messages.list("s1") == [
        Message("s1", "m2", 2, "made"),
        Message("s1", "m1", 1, "new", {"a": 1, "b": 2, "页": [2]}),
    ]


async def test_delete(store):
    await put(store, "s1", 1, 2, 3)
    assert await store.delete_message(session_id="s1", message_id="m1") is None
    await store.delete_message(session_id="s1", message_id="m2", create_time=2)
    await store.delete_message(session_id="s1", message_id="m2", create_time=2)  # not there: fine
    await store.delete_message(session_id="s1", message_id="m3", create_time=4)
    assert times(await store.list_messages("s1")) == [3]
    await store.delete_message("s1", "m9")
    await store.delete_message("s9", "m3")
    assert times(await store.list_messages("s1")) == [3]


async def test_delete_of_a_conversation_keeps_to_it(store):
    await put(store, "s1", 1, 2)
    await put(store, "s10", 1)
    await put(store, "s", 1)
    await store.delete_messages(session_id="s1")
    assert [message.session_id for message in await store.list_all_messages()] == ["s", "s10"]
    await store.delete_all_messages()
    assert await store.list_all_messages() == []


async def test_delete_tells_how_many(messages):
    await messages.put([Message("s1", f"m{number}", number) for number in range(5)])
    await messages.put([Message("s2", "m1", 1)])
    assert await messages.count("s1") == 5
    assert await messages.delete_conversation("s1") == 5
    assert await messages.count("s1") == 0
    assert await messages.delete_all() == 1


async def test_list_is_newest_first(store):
    await put(store, "s1", 5, -3, 0, 9)
    await put(store, "s2", 7)
    assert times(await store.list_messages("s1")) == [9, 5, 0, -3]
    assert times(await store.list_messages("s1", order=Order.DESC)) == [9, 5, 0, -3]
    assert times(await store.list_messages("s1", order=Order.ASC)) == [-3, 0, 5, 9]
    assert times(await store.list_messages("s1", max_count=3)) == [9, 5, 0]
    assert await store.list_messages("s3") == []


@pytest.mark.parametrize("name", ["list_messages", "get_messages"])
async def test_both_names_of_the_list(store, name):
    await put(store, "s1", 1, 2, 3)
    found = await getattr(store, name)(
        session_id="s1",
        inclusive_start_create_time=3,
        inclusive_end_create_time=1,
        order=Order.DESC,
        metadata_filter=Filters.not_eq("n", 2),
        max_count=2,
        batch_size=1,
    )
    assert times(found) == [3, 1]


@pytest.mark.parametrize("name", ["list_all_messages", "get_all_messages"])
async def test_both_names_of_the_list_of_everything(store, name):
    await put(store, "b", 2, 1)
    await put(store, "a", 3)
    assert [(m.session_id, m.create_time) for m in await getattr(store, name)()] == [("a", 3), ("b", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("start", "end", "order", "expected"),
    [
        (0, 5, Order.ASC, [0, 5]),
        (5, 0, Order.DESC, [5, 0]),
        (1, None, Order.ASC, [5, 9]),
        (4, None, Order.DESC, [0, -3]),
        (None, 0, Order.ASC, [-3, 0]),
        (None, 1, Order.DESC, [9, 5]),
        (0, 0, Order.ASC, [0]),
        (0, 0, Order.DESC, [0]),
        (-3, -1, Order.ASC, [-3]),
        (6, 8, Order.ASC, []),
        (-(2**63), 2**63 - 1, Order.ASC, [-3, 0, 5, 9]),
        (2**63 - 1, -(2**63), Order.DESC, [9, 5, 0, -3]),
        (None, None, None, [9, 5, 0, -3]),
    ],
)
async def test_list_between_times_that_are_included(store, start, end, order, expected):
    await put(store, "s1", 5, -3, 0, 9)
    bounds = {"inclusive_start_create_time": start, "inclusive_end_create_time": end}
    assert times(await store.list_messages("s1", **bounds, order=order)) == expected
    assert times((await store.list_messages_paginated("s1", **bounds, order=order)).hits) == expected


@pytest.mark.parametrize("bound", ["inclusive_start_create_time", "inclusive_end_create_time"])
@pytest.mark.parametrize("name", ["list_messages", "get_messages", "list_messages_paginated"])
async def test_a_bound_needs_an_order(store, engine, name, bound):
    with pytest.raises(ValueError, match="order is required"):
        await getattr(store, name)("s1", **{bound: 0})
    assert engine.calls == []


async def test_times_as_datetimes(store):
    await put(store, "s1", 1, 2_000_000)
    found = await store.list_messages(
        "s1", inclusive_start_create_time=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), order=Order.ASC
    )
    assert times(found) == [2_000_000]


async def test_messages_of_the_same_time_go_by_id(store):
    for message_id in ("b", "c", "a"):
        await store.put_message(Message("s1", message_id, 7))
    assert [m.message_id for m in await store.list_messages("s1", order=Order.ASC, batch_size=1)] == ["a", "b", "c"]
    assert [m.message_id for m in await store.list_messages("s1", batch_size=1)] == ["c", "b", "a"]


@pytest.mark.parametrize("batch_size", [1, 3, 5000])
@pytest.mark.parametrize("max_count", [None, 1, 7, 100])
async def test_batch_size_changes_nothing_but_the_requests(store, batch_size, max_count):
    await put(store, "s1", *range(7))
    listed = await store.list_messages("s1", batch_size=batch_size, max_count=max_count)
    assert times(listed) == [6, 5, 4, 3, 2, 1, 0][:max_count]
    odd = await store.list_messages(
        "s1", batch_size=batch_size, max_count=max_count, metadata_filter=Filters.In("n", [1, 3, 5])
    )
    assert times(odd) == [5, 3, 1][:max_count]


async def test_iterators_ask_for_nothing_before_they_are_read(store, engine, mode):
    await put(store, "s1", *range(10))
    engine.taken()
    calls = [
        ("list_messages", ("s1",)),
        ("list_all_messages", ()),
        ("list_sessions", ("u1",)),
        ("list_all_sessions", ()),
        ("list_recent_sessions", ("u1",)),
    ]
    for name, arguments in calls:
        if mode == "sync":
            assert iter(getattr(store.target, name)(*arguments))
        else:
            assert aiter(getattr(store.target, f"a{name}")(*arguments))
    assert engine.calls == []


async def test_iterators_read_on_only_as_far_as_they_are_read(store, engine, mode):
    await put(store, "s1", *range(10))
    engine.taken()
    if mode == "sync":
        iterator = store.target.list_messages("s1", batch_size=4)
        assert [next(iterator).create_time for _ in range(5)] == [9, 8, 7, 6, 5]
    else:
        stream = store.target.alist_messages("s1", batch_size=4)
        assert [(await anext(stream)).create_time for _ in range(5)] == [9, 8, 7, 6, 5]
    assert engine.taken() == ["GetRange"] * 2


async def test_max_count_reads_no_more_rows_than_needed(store, engine):
    await put(store, "s1", *range(10))
    engine.taken()
    await store.list_messages("s1", max_count=3)
    assert engine.taken() == ["GetRange"]


async def test_put_of_many_keeps_their_order(messages):
    batch = [Message("s1", f"m{9 - number}", content=str(number)) for number in range(10)]
    await messages.put(batch)
    assert [m.content for m in await messages.list("s1", order=Order.ASC)] == [str(number) for number in range(10)]
    assert len({message.create_time for message in batch}) == 10


async def test_put_of_many_goes_out_in_one_request(messages, engine):
    await messages.setup()
    engine.taken()
    await messages.put([Message("s1", f"m{number}", number) for number in range(200)])
    assert engine.taken() == ["BatchWriteRow"]


async def test_put_of_none_does_nothing(messages, engine):
    await messages.put([])
    assert engine.writes == []


async def test_put_takes_any_iterable(messages):
    await messages.put(Message("s1", f"m{number}", number) for number in range(3))
    assert times(await messages.list("s1")) == [2, 1, 0]


async def test_of_two_messages_with_one_key_in_one_call_the_later_one_is_kept(messages):
    await messages.put([Message("s1", "m1", 1, "a"), Message("s1", "m2", 2, "b"), Message("s1", "m1", 1, "c")])
    assert [m.content for m in await messages.list("s1")] == ["b", "c"]


async def test_message_store_lists_as_memory_store_does(messages):
    await messages.put([Message("s1", f"m{time}", time, None, {"n": time}) for time in range(6)])
    assert times(await messages.list("s1", times=TimeRange(1, 4), order=Order.ASC)) == [1, 2, 3, 4]
    assert times(await messages.list("s1", times=TimeRange(first=4))) == [5, 4]
    assert times(await messages.list("s1", times=TimeRange(last=1))) == [1, 0]
    assert times(await messages.list("s1", metadata_filter={"n": {"$gt": 2}}, limit=2, page_size=1)) == [5, 4]
    assert times(await messages.list_all()) == [0, 1, 2, 3, 4, 5]
    assert (await messages.get("s1", "m3")).create_time == 3
    await messages.update(Message("s1", "m3", content="new"))
    assert (await messages.get("s1", "m3", 3)).content == "new"
    await messages.delete("s1", "m3")
    assert await messages.count("s1") == 5


async def test_what_a_framework_keeps_beside_the_text(messages):
    stored = Message("s1", "m1", 1, "text", {"a": 1}, body='{"type": "ai"}')
    await messages.put([stored])
    assert await messages.get("s1", "m1") == stored
    await messages.update(Message("s1", "m1", 1, body="{}"))
    assert await messages.get("s1", "m1") == Message("s1", "m1", 1, "text", {"a": 1}, body="{}")


async def test_a_message_over_the_row_limit_is_refused_by_name(store, engine):
    with pytest.raises(InvalidArgumentError, match=r"'m1'.*bytes"):
        await store.put_message(Message("s1", "m1", 1, "x" * 2_200_000, {"a": "y" * 2_000_000}))
    assert engine.calls == []


async def test_a_conversation_of_users_is_found_by_its_bare_session_id(store):
    """What the class says of itself: messages carry no user."""
    await put(store, "s1", 1)
    assert times(await store.list_messages("s1")) == [1]
