"""Arguments that cannot be meant: one exception that says what was wrong, and nothing is asked or written."""

from __future__ import annotations

from datetime import datetime

import pytest
from tablestore_for_agent_memory.base.base_memory_store import Message as PeerMessage
from tablestore_for_agent_memory.base.base_memory_store import Session as PeerSession
from tablestore_for_agent_memory.base.common import Order as PeerOrder

from langchain_tablestore_memory import InvalidArgumentError, Message, Order, Session

# No str, empty, too long (bytes in UTF-8, not characters), no Unicode.
BAD_IDS = [None, "", 5, b"s1", ["s1"], "x" * 1025, "用" * 342, "\ud800"]
BAD_TIMES = ["1", 1.5, True, 2**63, -(2**63) - 1, datetime(2025, 1, 1), [1]]
BAD_COUNTS = [0, -1, 1.5, "1", True, [1]]
BAD_BATCHES = [*BAD_COUNTS, 5001]


async def refused(engine, call, *names):
    """Makes sure that a call is refused for one of these arguments, before anything is asked."""
    with pytest.raises(InvalidArgumentError) as caught:
        await call
    message = str(caught.value)
    assert any(name in message for name in names), message
    assert len(message) < 400
    assert engine.calls == []


@pytest.mark.parametrize("bad", BAD_IDS, ids=lambda bad: ascii(bad)[:20])
async def test_ids(store, registry, messages, engine, bad):
    for_user = [
        store.put_session(Session(bad, "s1", 1)),
        store.update_session(Session(bad, "s1", 1)),
        store.update_session(Session(bad, "s1", 1, {"页": 1})),
        store.get_session(bad, "s1"),
        store.delete_session(bad, "s1"),
        store.delete_session_and_messages(bad, "s1"),
        store.delete_sessions(bad),
        store.list_sessions(bad),
        store.list_recent_sessions(bad),
        store.list_recent_sessions_paginated(bad),
        registry.create(bad, "s1"),
        registry.get("s1", bad),
        registry.update("s1", bad, metadata={"a": 1}),
        registry.rename("s1", "title", bad),
        registry.touch("s1", bad),
        registry.recount("s1", bad),
        registry.delete("s1", bad),
        registry.delete("s1", bad, messages=False),
        registry.list(bad),
        registry.iterate(bad),
        registry.delete_user(bad),
    ]
    for_session = [
        store.put_session(Session("u1", bad, 1)),
        store.get_session("u1", bad),
        store.delete_session("u1", bad),
        store.delete_session_and_messages("u1", bad),
        store.put_message(Message(bad, "m1", 1)),
        store.update_message(Message(bad, "m1", 1)),
        store.update_message(Message(bad, "m1")),
        store.get_message(bad, "m1"),
        store.get_message(bad, "m1", 1),
        store.delete_message(bad, "m1"),
        store.delete_message(bad, "m1", 1),
        store.delete_messages(bad),
        store.list_messages(bad),
        store.list_messages_paginated(bad),
        messages.count(bad),
        messages.delete_conversation(bad),
        registry.get(bad, "u1"),
        registry.update(bad, "u1"),
        registry.rename(bad, "title", "u1"),
        registry.touch(bad, "u1"),
        registry.delete(bad, "u1"),
    ]
    if bad is not None:
        for_user.append(registry.delete_idle(1, user_id=bad))
        for_session.append(registry.create("u1", bad))
    for_message = [
        store.put_message(Message("s1", bad, 1)),
        store.update_message(Message("s1", bad, 1)),
        store.get_message("s1", bad),
        store.get_message("s1", bad, 1),
        store.delete_message("s1", bad),
        store.delete_message("s1", bad, 1),
    ]
    for call in for_user:
        await refused(engine, call, "user_id")
    for call in for_session:
        await refused(engine, call, "session_id")
    for call in for_message:
        await refused(engine, call, "message_id")


@pytest.mark.parametrize("bad", BAD_TIMES, ids=repr)
async def test_times(store, registry, engine, bad):
    calls = {
        "update_time": [
            store.put_session(Session("u1", "s1", bad)),
            store.update_session(Session("u1", "s1", bad)),
            store.update_session(Session("u1", "s1", bad, {"页": 1})),
            registry.touch("s1", "u1", bad),
            registry.update("s1", "u1", update_time=bad),
        ],
        "create_time": [
            store.put_message(Message("s1", "m1", bad)),
            store.update_message(Message("s1", "m1", bad)),
            store.get_message("s1", "m1", bad),
            store.delete_message("s1", "m1", bad),
        ],
        "inclusive_start": [
            store.list_messages("s1", bad, order=Order.ASC),
            store.list_messages_paginated("s1", inclusive_start_create_time=bad, order=Order.ASC),
            store.list_recent_sessions("u1", bad),
            store.list_recent_sessions_paginated("u1", inclusive_start_update_time=bad),
        ],
        "inclusive_end": [
            store.list_messages("s1", None, bad, order=Order.ASC),
            store.list_messages_paginated("s1", inclusive_end_create_time=bad, order=Order.ASC),
            store.list_recent_sessions("u1", None, bad),
            store.list_recent_sessions_paginated("u1", inclusive_end_update_time=bad),
        ],
        "since": [registry.list("u1", since=bad), registry.iterate("u1", since=bad)],
        "until": [registry.list("u1", until=bad), registry.iterate("u1", until=bad)],
        "before": [registry.delete_idle(bad)],
    }
    for name, each in calls.items():
        for call in each:
            await refused(engine, call, name)


async def test_times_the_wrong_way_round(store, registry, engine):
    await refused(engine, registry.list("u1", since=2, until=1), "since")
    await refused(engine, registry.iterate("u1", since=2, until=1), "since")
    await refused(engine, store.list_messages("s1", 2, 1, Order.ASC), "Swap")
    await refused(engine, store.list_messages("s1", 1, 2, Order.DESC), "Swap")
    await refused(engine, store.list_messages_paginated("s1", 100, None, 1, 2, Order.DESC), "Swap")
    await refused(engine, store.list_recent_sessions("u1", 1, 2), "inclusive_start_update_time")
    await refused(engine, store.list_recent_sessions_paginated("u1", 100, None, 1, 2), "inclusive_start_update_time")


@pytest.mark.parametrize("bad", BAD_COUNTS, ids=repr)
async def test_counts(store, registry, engine, bad):
    for call in [
        store.list_sessions("u1", max_count=bad),
        store.list_recent_sessions("u1", max_count=bad),
        store.list_messages("s1", max_count=bad),
    ]:
        await refused(engine, call, "max_count")
    await refused(engine, registry.iterate("u1", limit=bad), "limit")


@pytest.mark.parametrize("bad", BAD_BATCHES, ids=repr)
async def test_batch_sizes(store, engine, bad):
    for call in [
        store.list_sessions("u1", batch_size=bad),
        store.list_recent_sessions("u1", batch_size=bad),
        store.list_recent_sessions_paginated("u1", batch_size=bad),
        store.list_messages("s1", batch_size=bad),
        store.list_messages_paginated("s1", batch_size=bad),
    ]:
        await refused(engine, call, "batch_size")


@pytest.mark.parametrize("bad", ["asc", "ASC", 1, True, PeerOrder.ASC, Order, []], ids=repr)
async def test_orders(store, messages, engine, bad):
    """Also the peer's own: taken for ours it would silently be the wrong one."""
    for call in [
        store.list_messages("s1", order=bad),
        store.list_messages("s1", 1, 2, order=bad),
        store.list_messages_paginated("s1", order=bad),
        messages.list("s1", order=bad),
    ]:
        await refused(engine, call, "order")


RECORDS = [None, "m1", 5, {"session_id": "s1"}, [], PeerSession("u1", "s1"), PeerMessage("s1", "m1")]


@pytest.mark.parametrize("bad", RECORDS, ids=lambda bad: f"{type(bad).__module__}.{type(bad).__name__}")
async def test_records(store, messages, engine, bad):
    for call in (store.put_session(bad), store.update_session(bad), store.put_session(Message("s1", "m1"))):
        await refused(engine, call, "Session(")
    for call in (store.put_message(bad), store.update_message(bad), messages.put([bad]), messages.update(bad)):
        await refused(engine, call, "Message(")
    await refused(engine, store.update_session(Message("s1", "m1")), "Session(")


async def test_a_session_put_as_a_message(store, engine):
    """The slip of the seed notebook (4.1)."""
    for call in (store.put_message(Session("u1", "s1")), store.update_message(Session("u1", "s1"))):
        await refused(engine, call, "Message(")


@pytest.mark.parametrize("bad", [5, b"text", ["text"], {"type": "text"}, 1.5, True, "\ud800"], ids=ascii)
async def test_contents(store, engine, bad):
    for call in (store.put_message(Message("s1", "m1", 1, bad)), store.update_message(Message("s1", "m1", 1, bad))):
        await refused(engine, call, "content")


@pytest.mark.parametrize("bad", [5, None, Message("s1", "m1", 1), "ab"], ids=repr)
async def test_lists_of_messages(messages, engine, bad):
    await refused(engine, messages.put(bad), "message")


async def test_one_bad_message_of_many_leaves_the_others_unwritten_and_unchanged(messages, engine):
    good = Message("s1", "m1")
    await refused(engine, messages.put([good, Message("s1", "", 1)]), "message_id")
    assert good.create_time is None


@pytest.mark.parametrize("bad", ["", " ", None, 5, "x" * 201, "\ud800", b"x"], ids=ascii)
async def test_titles(registry, engine, bad):
    await refused(engine, registry.rename("s1", bad, "u1"), "title")
    if bad is not None:
        await refused(engine, registry.create("u1", "s1", title=bad), "title")


@pytest.mark.parametrize("bad", [5, "ab", [1], [("a", 1)], {1: 2}, {"a": object}], ids=repr)
async def test_metadata_of_the_registry(registry, engine, bad):
    await refused(engine, registry.create("u1", "s1", metadata=bad), "metadata")
    await registry.create("u1", "s1")
    engine.taken()
    with pytest.raises(InvalidArgumentError, match="metadata"):
        await registry.update("s1", "u1", metadata=bad)
    assert engine.writes == []


@pytest.mark.parametrize("bad", ["ab", 5, [1], None, b"a"], ids=repr)
async def test_keys_to_remove(registry, engine, bad):
    """A str would be its letters."""
    await registry.create("u1", "s1", metadata={"a": 1, "b": 2})
    engine.taken()
    with pytest.raises(InvalidArgumentError, match="remove"):
        await registry.update("s1", "u1", remove=bad)
    assert engine.writes == []


async def test_ids_that_are_too_long_together(registry, engine):
    """A conversation of a named user is stored under both ids."""
    await refused(engine, registry.create("u" * 600, "s" * 600), "together")
    await registry.create("default", "s" * 1024)


@pytest.mark.parametrize("bad", [1, "1d", 86_399, 1.5, True, -1], ids=repr)
def test_times_to_live(engine, bad):
    from langchain_tablestore_memory import MessageStore

    with pytest.raises(InvalidArgumentError, match="ttl"):
        MessageStore(engine.connection("sync"), ttl=bad)


@pytest.mark.parametrize("name", ["", "a b", "1st", "表", None, 5, "x" * 256], ids=ascii)
@pytest.mark.parametrize("argument", ["session_table_name", "message_table_name"])
def test_names_of_tables(engine, name, argument):
    from langchain_tablestore_memory import MemoryStore, TablestoreMemoryError

    with pytest.raises(TablestoreMemoryError, match=r"(?i)table"):
        MemoryStore(engine.connection("sync"), **{argument: name}).init_table()
