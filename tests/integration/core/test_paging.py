"""Pages and their tokens: complete, opaque, and worth nothing elsewhere."""

from __future__ import annotations

import base64
import json

import pytest

from langchain_tablestore_memory import CursorError, InvalidArgumentError, Message, Order, Session


@pytest.fixture
async def filled(store):
    for number in range(23):
        # Times that are shared, to show that the id decides where a page begins.
        await store.put_session(Session("u1", f"s{number:02}", number // 4, {"n": number}))
        await store.put_message(Message("c1", f"m{number:02}", number // 4, metadata={"n": number}))
    await store.put_session(Session("u2", "s00", 3))
    await store.put_message(Message("c2", "m00", 3))
    return store


async def pages_of(page, size, **arguments):
    """All pages, by following their tokens."""
    pages, token = [], None
    while True:
        found = await page(page_size=size, next_token=token, **arguments)
        assert found.hits is found.items
        assert found.next_token == found.cursor
        assert len(found.items) <= size
        pages.append(found.items)
        token = found.next_token
        if token is None:
            return pages


LISTINGS = [
    ("list_recent_sessions", {"user_id": "u1"}),
    ("list_recent_sessions", {"user_id": "u1", "inclusive_start_update_time": 4, "inclusive_end_update_time": 1}),
    ("list_recent_sessions", {"user_id": "u1", "metadata_filter": {"n": {"$nin": [1, 2, 17]}}}),
    ("list_messages", {"session_id": "c1"}),
    ("list_messages", {"session_id": "c1", "order": Order.ASC}),
    ("list_messages", {"session_id": "c1", "order": Order.DESC, "inclusive_start_create_time": 4}),
    (
        "list_messages",
        {"session_id": "c1", "order": Order.ASC, "inclusive_start_create_time": 1, "inclusive_end_create_time": 4},
    ),
    ("list_messages", {"session_id": "c1", "metadata_filter": {"n": {"$gt": 5}}}),
]


@pytest.mark.parametrize(("name", "arguments"), LISTINGS)
@pytest.mark.parametrize("size", [1, 4, 5, 23, 100])
async def test_all_pages_together_are_the_list(filled, name, arguments, size):
    expected = await getattr(filled, name)(**arguments)
    pages = await pages_of(getattr(filled, f"{name}_paginated"), size, **arguments)
    assert [item for page in pages for item in page] == expected
    assert all(len(page) == size for page in pages[:-1])


@pytest.mark.parametrize("batch_size", [1, 3, 5000])
async def test_batch_size_of_a_page(filled, batch_size):
    expected = await filled.list_messages("c1")
    pages = await pages_of(filled.list_messages_paginated, 4, session_id="c1", batch_size=batch_size)
    assert [item for page in pages for item in page] == expected
    expected = await filled.list_recent_sessions("u1")
    pages = await pages_of(filled.list_recent_sessions_paginated, 4, user_id="u1", batch_size=batch_size)
    assert [item for page in pages for item in page] == expected


async def test_a_page_holds_100_by_default(store):
    for number in range(101):
        await store.put_session(Session("u1", f"s{number}", number))
        await store.put_message(Message("c1", f"m{number}", number))
    sessions = await store.list_recent_sessions_paginated("u1")
    messages = await store.list_messages_paginated("c1")
    assert (len(sessions.hits), len(messages.hits)) == (100, 100)
    assert len((await store.list_recent_sessions_paginated("u1", 100, sessions.next_token)).hits) == 1
    assert len((await store.list_messages_paginated("c1", 100, messages.next_token)).hits) == 1


async def test_no_token_where_nothing_is_left(store):
    for number in range(3):
        await store.put_message(Message("c1", f"m{number}", number))
    assert (await store.list_messages_paginated("c1", 4)).next_token is None
    assert (await store.list_messages_paginated("c9", 4)).hits == []
    # A page that is just full may be followed by an empty one, never by a token that leads to nothing for ever.
    assert sum(len(page) for page in await pages_of(store.list_messages_paginated, 3, session_id="c1")) == 3


async def test_rows_added_meanwhile_shift_no_page(filled):
    first = await filled.list_messages_paginated("c1", 10)
    await filled.put_message(Message("c1", "later", 99))
    second = await filled.list_messages_paginated("c1", 100, first.next_token)
    assert [m.message_id for m in first.hits + second.hits] == [f"m{number:02}" for number in reversed(range(23))]


async def test_the_row_at_which_a_page_begins_may_be_gone(filled):
    first = await filled.list_messages_paginated("c1", 10)
    await filled.delete_message("c1", "m12")
    second = await filled.list_messages_paginated("c1", 100, first.next_token)
    assert second.hits[0].message_id == "m11"


async def test_tokens_can_stand_in_a_url(filled):
    token = (await filled.list_messages_paginated("c1", 1)).next_token
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()


async def test_tokens_are_refused_for_others(filled, open_store, engine):
    sessions = (await filled.list_recent_sessions_paginated("u1", 2)).next_token
    messages = (await filled.list_messages_paginated("c1", 2)).next_token
    ascending = (await filled.list_messages_paginated("c1", 2, order=Order.ASC)).next_token
    engine.taken()
    other_tables = open_store(session_table_name="other", message_table_name="others")
    refused = [
        filled.list_recent_sessions_paginated("u2", 2, sessions),
        filled.list_recent_sessions_paginated("u1", 2, messages),
        filled.list_messages_paginated("c1", 2, sessions),
        filled.list_messages_paginated("c2", 2, messages),
        filled.list_messages_paginated("c1", 2, messages, order=Order.ASC),
        filled.list_messages_paginated("c1", 2, ascending),
        other_tables.list_messages_paginated("c1", 2, messages),
        other_tables.list_recent_sessions_paginated("u1", 2, sessions),
    ]
    for call in refused:
        with pytest.raises(CursorError, match="belongs to another"):
            await call
    assert engine.calls == []


@pytest.mark.parametrize("token", ["", "x", "not a token", "====", "会话", "A" * 40, "\x00", "AAAAAAAAAAAAW10"])
async def test_malformed_tokens_are_refused(filled, engine, token):
    engine.taken()
    for call in (filled.list_recent_sessions_paginated("u1", 2, token), filled.list_messages_paginated("c1", 2, token)):
        with pytest.raises(CursorError):
            await call
    assert engine.calls == []


@pytest.mark.parametrize("token", [1, b"abc", ["a"], True])
async def test_tokens_of_a_wrong_type_are_refused(filled, token):
    with pytest.raises(CursorError, match=type(token).__name__):
        await filled.list_messages_paginated("c1", 2, token)


async def test_every_changed_character_of_a_token_is_noticed(filled):
    token = (await filled.list_messages_paginated("c1", 2)).next_token
    for position, character in enumerate(token[:-1]):
        changed = token[:position] + ("A" if character != "A" else "B") + token[position + 1 :]
        with pytest.raises(CursorError):
            await filled.list_messages_paginated("c1", 2, changed)


async def test_a_token_of_the_peer_is_refused(filled):
    """It is a primary key in base64; here it would name whose rows are read."""
    key = [["user_id", "u2"], ["update_time", 3], ["session_id", "s00"]]
    token = base64.b64encode(json.dumps(key).encode()).decode()
    with pytest.raises(CursorError):
        await filled.list_recent_sessions_paginated("u1", 2, token)


async def test_a_token_beyond_the_times_asked_for_gives_no_row_outside_of_them(filled):
    token = (await filled.list_recent_sessions_paginated("u1", 18)).next_token  # before it: times 5 to 1
    with pytest.raises(InvalidArgumentError):
        await filled.list_recent_sessions_paginated("u1", 2, token, inclusive_end_update_time=4)
    token = (await filled.list_messages_paginated("c1", 18)).next_token
    with pytest.raises(InvalidArgumentError):
        await filled.list_messages_paginated("c1", 2, token, inclusive_end_create_time=4, order=Order.DESC)
    token = (await filled.list_messages_paginated("c1", 2)).next_token
    with pytest.raises(InvalidArgumentError):
        await filled.list_messages_paginated("c1", 2, token, inclusive_start_create_time=3, order=Order.DESC)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "2", None])
async def test_page_sizes_that_are_none(filled, engine, size):
    engine.taken()
    for call in (filled.list_recent_sessions_paginated("u1", size), filled.list_messages_paginated("c1", size)):
        with pytest.raises(InvalidArgumentError, match="page_size"):
            await call
    assert engine.calls == []
