"""The `MemoryStore` of tablestore-for-agent-memory, driven against the engine as its users drive it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from tablestore_for_agent_memory.base.base_memory_store import Message, Session
from tablestore_for_agent_memory.base.common import MetaType, Order
from tablestore_for_agent_memory.base.filter import Filters
from tablestore_for_agent_memory.memory.async_memory_store import AsyncMemoryStore
from tablestore_for_agent_memory.memory.memory_store import MemoryStore

META = {
    "meta_string": MetaType.STRING,
    "meta_long": MetaType.INTEGER,
    "meta_double": MetaType.DOUBLE,
    "meta_boolean": MetaType.BOOLEAN,
    "meta_bytes": MetaType.BINARY,
}


@pytest.fixture(autouse=True)
def no_naps(monkeypatch):
    """`init_table` sleeps a second for the service's sake."""
    nap = SimpleNamespace(sleep=lambda seconds: None)
    monkeypatch.setattr("tablestore_for_agent_memory.memory.memory_store.time", nap)


@pytest.fixture
def store(client):
    found = MemoryStore(client, session_secondary_index_meta=dict(META))
    found.init_table()
    return found


def metadata(number):
    return {
        "meta_string": str(number % 10),
        "meta_long": number,
        "meta_double": number / 100,
        "meta_boolean": number % 2 == 0,
        "meta_bytes": bytearray(b"China"),
    }


def session(number, user="1"):
    return Session(user, f"s{number:03}", update_time=number, metadata=metadata(number))


def message(number, session_id="s", **extra):
    fields = {"content": f"text {number}", "metadata": metadata(number)} | extra
    return Message(session_id, f"m{number:03}", create_time=number, **fields)


class TestTables:
    def test_setup_is_repeatable(self, store, client):
        store.init_table()
        assert set(client.list_table()) == {
            "session",
            "session_secondary_index",
            "message",
            "message_secondary_index",
        }

    def test_creating_again_warns(self, store, caplog):
        with caplog.at_level(logging.WARNING):
            store.init_table()
        assert "already exists" in caplog.text

    def test_two_stores_side_by_side(self, store, client):
        other = MemoryStore(
            client,
            session_table_name="other_session",
            session_secondary_index_name="other_session_index",
            message_table_name="other_message",
            message_secondary_index_name="other_message_index",
        )
        other.init_table()
        other.put_session(session(1))
        assert store.get_session("1", "s001") is None
        assert other.get_session("1", "s001") == session(1)


class TestSessions:
    def test_round_trip(self, store):
        store.put_session(session(5))
        found = store.get_session("1", "s005")
        assert found == session(5)
        assert list(found.metadata) == sorted(META)
        assert isinstance(found.metadata["meta_bytes"], bytearray)
        assert store.get_session("1", "none") is None
        assert store.get_session("2", "s005") is None

    def test_put_replaces_and_update_merges(self, store):
        store.put_session(session(5))
        store.update_session(Session("1", "s005", update_time=6, metadata={"meta_string": "updated"}))
        expected = metadata(5) | {"meta_string": "updated"}
        assert store.get_session("1", "s005") == Session("1", "s005", 6, expected)
        store.put_session(Session("1", "s005", 7, {"other": 1}))
        assert store.get_session("1", "s005") == Session("1", "s005", 7, {"other": 1})

    def test_update_creates(self, store):
        store.update_session(session(1))
        assert store.get_session("1", "s001") == session(1)

    def test_delete(self, store):
        store.put_session(session(1))
        store.delete_session("1", "s001")
        store.delete_session("1", "s001")
        assert store.get_session("1", "s001") is None

    def test_lists(self, store):
        for number in range(30):
            store.put_session(session(number, user=str(number % 3)))
        assert [found.session_id for found in store.list_sessions("1")] == [f"s{n:03}" for n in range(1, 30, 3)]
        assert len(list(store.list_all_sessions())) == 30
        assert len(list(store.list_sessions("1", max_count=4))) == 4
        assert len(list(store.list_sessions("1", batch_size=3))) == 10
        found = store.list_sessions("1", metadata_filter=Filters.gt("meta_long", 10))
        assert [s.update_time for s in found] == [13, 16, 19, 22, 25, 28]

    def test_delete_of_many(self, store):
        for number in range(250):
            store.put_session(session(number, user="big" if number % 5 else "small"))
        store.delete_sessions("big")
        assert list(store.list_sessions("big")) == []
        assert list(store.list_recent_sessions("big")) == []
        assert len(list(store.list_sessions("small"))) == 50
        store.delete_all_sessions()
        assert list(store.list_all_sessions()) == []


class TestRecentSessions:
    @pytest.fixture
    def filled(self, store):
        for number in range(40):
            store.put_session(session(number))
        store.put_session(session(99, user="2"))
        return store

    def test_newest_first(self, filled):
        found = list(filled.list_recent_sessions("1"))
        assert [s.update_time for s in found] == list(range(39, -1, -1))
        assert found[0] == session(39)

    def test_after_an_update_it_moves_up(self, filled):
        filled.update_session(Session("1", "s003", update_time=1000))
        found = list(filled.list_recent_sessions("1", max_count=2))
        assert [(s.session_id, s.update_time) for s in found] == [("s003", 1000), ("s039", 39)]
        assert found[0].metadata == metadata(3)
        assert len(list(filled.list_recent_sessions("1"))) == 40

    def test_after_a_delete_it_is_gone(self, filled):
        filled.delete_session("1", "s039")
        assert next(filled.list_recent_sessions("1")).session_id == "s038"

    @pytest.mark.parametrize("count", [1, 5, 40, 100])
    @pytest.mark.parametrize("batch", [None, 1, 3])
    def test_counts(self, filled, count, batch):
        found = list(filled.list_recent_sessions("1", max_count=count, batch_size=batch))
        assert [s.update_time for s in found] == list(range(39, -1, -1))[:count]

    def test_time_bounds(self, filled):
        found = filled.list_recent_sessions("1", inclusive_start_update_time=20, inclusive_end_update_time=10)
        assert [s.update_time for s in found] == list(range(20, 9, -1))

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (Filters.eq("meta_boolean", True), [n for n in range(39, -1, -1) if n % 2 == 0]),
            (Filters.not_eq("meta_string", "3"), [n for n in range(39, -1, -1) if n % 10 != 3]),
            (Filters.gte("meta_double", 0.35), [39, 38, 37, 36, 35]),
            (Filters.lt("meta_long", 2), [1, 0]),
            (
                Filters.logical_and([Filters.gt("meta_double", 0.3), Filters.eq("meta_boolean", True)]),
                [38, 36, 34, 32],
            ),
            (Filters.logical_or([Filters.lte("meta_long", 1), Filters.eq("meta_long", 7)]), [7, 1, 0]),
            (Filters.logical_not([Filters.gt("meta_long", 2)]), [2, 1, 0]),
        ],
        ids=["eq", "not-eq", "gte", "lt", "and", "or", "not"],
    )
    def test_filters(self, filled, wanted, expected):
        assert [s.update_time for s in filled.list_recent_sessions("1", metadata_filter=wanted)] == expected
        # The store stops at an empty page, so the page must be wide enough to hold a match.
        found = filled.list_recent_sessions("1", metadata_filter=wanted, max_count=2, batch_size=50)
        assert [s.update_time for s in found] == expected[:2]

    @pytest.mark.parametrize("size", [7, 40, 100])
    def test_pages(self, filled, size):
        token, found, pages = None, [], 0
        while pages == 0 or token is not None:
            page = filled.list_recent_sessions_paginated("1", page_size=size, next_token=token)
            found += page.hits
            token = page.next_token
            pages += 1
            assert pages < 20
        assert [s.update_time for s in found] == list(range(39, -1, -1))

    def test_filtered_pages(self, filled):
        token, found = None, []
        while True:
            page = filled.list_recent_sessions_paginated(
                "1", page_size=3, next_token=token, metadata_filter=Filters.eq("meta_boolean", True)
            )
            found += page.hits
            token = page.next_token
            if token is None:
                break
        assert [s.update_time for s in found] == list(range(38, -1, -2))


class TestMessages:
    def test_round_trip(self, store):
        store.put_message(message(5))
        assert store.get_message("s", "m005") == message(5)
        assert store.get_message("s", "m005", create_time=5) == message(5)
        assert store.get_message("s", "m005", create_time=6) is None
        assert store.get_message("s", "no") is None

    def test_without_time_or_content(self, store):
        given = Message("s", "m")
        store.put_message(given)
        assert given.create_time > 10**15
        assert store.get_message("s", "m") == Message("s", "m", given.create_time, None, {})

    def test_update(self, store):
        store.put_message(message(5))
        store.update_message(Message("s", "m005", content="new"))
        assert store.get_message("s", "m005") == message(5, content="new")
        store.update_message(Message("s", "m005", create_time=5, metadata={"meta_long": -1}))
        assert store.get_message("s", "m005").metadata["meta_long"] == -1

    def test_delete(self, store):
        store.put_message(message(5))
        store.delete_message("s", "m005")
        store.delete_message("s", "m005", create_time=5)
        store.delete_message("s", "none")
        assert store.get_message("s", "m005") is None

    @pytest.fixture
    def filled(self, store):
        for number in range(30):
            store.put_message(message(number, session_id="s" if number % 3 else "z"))
        return store

    def test_lists(self, filled):
        times = [number for number in range(30) if number % 3]
        assert [m.create_time for m in filled.list_messages("s")] == times[::-1]
        assert [m.create_time for m in filled.list_messages("s", order=Order.ASC)] == times
        assert [m.create_time for m in filled.list_messages("s", max_count=3)] == times[:-4:-1]
        assert len(list(filled.list_all_messages())) == 30

    def test_time_bounds(self, filled):
        up = filled.list_messages("s", inclusive_start_create_time=10, inclusive_end_create_time=20, order=Order.ASC)
        assert [m.create_time for m in up] == [10, 11, 13, 14, 16, 17, 19, 20]
        down = filled.list_messages("s", inclusive_start_create_time=20, inclusive_end_create_time=10, order=Order.DESC)
        assert [m.create_time for m in down] == [20, 19, 17, 16, 14, 13, 11, 10]

    def test_filters(self, filled):
        wanted = Filters.logical_and([Filters.eq("meta_boolean", True), Filters.gt("meta_long", 10)])
        found = filled.list_messages("s", metadata_filter=wanted)
        assert [m.create_time for m in found] == [28, 26, 22, 20, 16, 14]
        assert len(list(filled.list_messages("s", metadata_filter=wanted, max_count=3))) == 3

    @pytest.mark.parametrize("order", [Order.ASC, Order.DESC])
    def test_pages(self, filled, order):
        token, found = None, []
        while True:
            page = filled.list_messages_paginated("s", page_size=6, next_token=token, order=order)
            found += page.hits
            token = page.next_token
            if token is None:
                break
        times = [number for number in range(30) if number % 3]
        assert [m.create_time for m in found] == (times if order == Order.ASC else times[::-1])

    def test_delete_of_many(self, filled):
        filled.delete_messages("s")
        assert list(filled.list_messages("s")) == []
        assert len(list(filled.list_all_messages())) == 10
        filled.delete_all_messages()
        assert list(filled.list_all_messages()) == []

    def test_delete_of_a_session_with_its_messages(self, filled):
        filled.put_session(Session("1", "s"))
        filled.delete_session_and_messages("1", "s")
        assert filled.get_session("1", "s") is None
        assert list(filled.list_messages("s")) == []
        assert len(list(filled.list_messages("z"))) == 10


async def test_async_store(async_client, monkeypatch):
    async def no_nap(seconds):
        return None

    nap = SimpleNamespace(sleep=no_nap)
    monkeypatch.setattr("tablestore_for_agent_memory.memory.async_memory_store.asyncio", nap)
    store = AsyncMemoryStore(async_client, session_secondary_index_meta=dict(META))
    await store.init_table()
    for number in range(10):
        await store.put_session(session(number))
        await store.put_message(message(number))
    assert await store.get_session("1", "s003") == session(3)
    recent = [s.update_time async for s in await store.list_recent_sessions("1", max_count=3)]
    assert recent == [9, 8, 7]
    assert await store.get_message("s", "m003") == message(3)
    found = [m.create_time async for m in await store.list_messages("s", order=Order.ASC)]
    assert found == list(range(10))
    await store.delete_messages("s")
    assert [m async for m in await store.list_messages("s")] == []
