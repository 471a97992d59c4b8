"""Items that expire, by a clock that is set: when they are gone, what lets them last, and who removes them."""

from __future__ import annotations

import pytest
from core.support import MODES
from langgraph.store.base import GetOp, PutOp, SearchOp

from .support import keys_of, topic_index

NS = ("cache",)
MINUTE = 60.001
"""Seconds. A little more: no two items of a store are put at the same microsecond."""


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def open_lasting(open_store, clock):
    def make(**options):
        return open_store(**{"clock": clock, "ttl": {"refresh_on_read": False}} | options)

    return make


@pytest.fixture
def lasting(open_lasting):
    return open_lasting()


@pytest.fixture
def indexed(open_lasting):
    return open_lasting(index=topic_index())


def test_it_says_that_it_can(lasting):
    assert lasting.target.supports_ttl is True
    assert lasting.target.ttl_config["refresh_on_read"] is False


async def test_minutes(lasting, clock):
    await lasting.put(NS, "k", {"n": 1}, ttl=2)
    await lasting.put(NS, "half", {"n": 2}, ttl=0.5)
    await lasting.put(NS, "for ever", {"n": 3})
    clock.pass_seconds(29.9)
    assert sorted(keys_of(await lasting.search(NS))) == ["for ever", "half", "k"]
    clock.pass_seconds(0.2)
    assert await lasting.get(NS, "half") is None
    clock.pass_seconds(89.8)
    assert (await lasting.get(NS, "k")).value == {"n": 1}
    clock.pass_seconds(0.2)
    assert await lasting.get(NS, "k") is None
    assert keys_of(await lasting.search(NS)) == ["for ever"]
    clock.pass_seconds(10**8)
    assert await lasting.get(NS, "for ever") is not None


async def test_without_a_configuration(open_store, clock):
    """A put's own time counts all the same, and reads let items last, as LangGraph says."""
    store = open_store(clock=clock)
    await store.put(NS, "k", {}, ttl=1)
    clock.pass_seconds(40)
    assert await store.get(NS, "k") is not None
    clock.pass_seconds(40)
    assert await store.get(NS, "k") is not None
    clock.pass_seconds(60)
    assert await store.get(NS, "k") is None


async def test_a_default(open_lasting, clock):
    store = open_lasting(ttl={"default_ttl": 1, "refresh_on_read": False})
    await store.put(NS, "default", {})
    await store.put(NS, "longer", {}, ttl=2)
    await store.put(NS, "for ever", {}, ttl=None)
    await store.batch([PutOp(NS, "of a batch", {})])
    clock.pass_seconds(MINUTE)
    # `put` asks the configuration, an operation says what it wants; so do LangGraph's own stores.
    assert sorted(keys_of(await store.search(NS))) == ["for ever", "longer", "of a batch"]
    clock.pass_seconds(MINUTE)
    assert sorted(keys_of(await store.search(NS))) == ["for ever", "of a batch"]


async def test_nothing_of_it_is_seen(indexed, clock):
    """Wherever it could be: by key, in a search with and without a query, in the list of namespaces."""
    await indexed.put(("a", "gone"), "k", {"text": "tea"}, ttl=1)
    await indexed.put(("a", "there"), "k", {"text": "bread"})
    clock.pass_seconds(MINUTE)
    got, found, near = await indexed.batch(
        [GetOp(("a", "gone"), "k"), SearchOp(("a",)), SearchOp(("a",), query="tea", limit=1)]
    )
    assert got is None
    assert [item.namespace for item in found] == [("a", "there")]
    assert [item.namespace for item in near] == [("a", "there")]
    assert await indexed.list_namespaces() == [("a", "there")]
    assert await indexed.list_namespaces(max_depth=1) == [("a",)]
    assert await indexed.list_namespaces(prefix=("a", "gone")) == []


async def test_expired_items_take_no_place_in_pages(indexed, clock):
    await indexed.batch(
        [PutOp(NS, f"{n:02}", {"text": "tea " * (n + 1) + "bread " * 30}, ttl=1 if n % 3 else None) for n in range(30)]
    )
    clock.pass_seconds(MINUTE)
    kept = [f"{n:02}" for n in range(0, 30, 3)]
    assert keys_of(await indexed.search(NS, limit=4, offset=3)) == kept[3:7]
    assert keys_of(await indexed.search(NS, limit=4, offset=3, query="tea")) == kept[::-1][3:7]
    assert len(await indexed.search(NS, limit=100, query="tea")) == 10


async def test_a_put_counts_anew(lasting, clock):
    await lasting.put(NS, "k", {"n": 1}, ttl=1)
    clock.pass_seconds(50)
    await lasting.put(NS, "k", {"n": 2}, ttl=1)
    clock.pass_seconds(50)
    assert (await lasting.get(NS, "k")).value == {"n": 2}
    await lasting.put(NS, "k", {"n": 3})
    clock.pass_seconds(10**6)
    assert (await lasting.get(NS, "k")).value == {"n": 3}


async def test_put_after_it_expired(lasting, clock):
    """It is a new item: not the old one, from when that was made."""
    await lasting.put(NS, "k", {"n": 1}, ttl=1)
    before = await lasting.get(NS, "k")
    await lasting.put(NS, "other", {})
    clock.pass_seconds(MINUTE)
    await lasting.put(NS, "k", {"n": 2})
    after = await lasting.get(NS, "k")
    assert (after.value, after.created_at) == ({"n": 2}, after.updated_at)
    assert after.created_at > before.created_at
    assert keys_of(await lasting.search(NS)) == ["other", "k"]


# Reading lets items last


@pytest.mark.parametrize("how", ["get", "search", "query", "batch of gets", "batch of searches"])
async def test_reading_lets_it_last(open_lasting, clock, how):
    store = open_lasting(ttl={}, index=topic_index())
    value = {"text": "tea"}
    await store.put(NS, "k", value, ttl=1)
    await store.put(NS, "unread", {"text": "bread"}, ttl=1)
    reads = {
        "get": lambda: store.get(NS, "k"),
        "search": lambda: store.search(NS, limit=1),
        "query": lambda: store.search(NS, query="tea", limit=1),
        "batch of gets": lambda: store.batch([GetOp(NS, "k"), GetOp(NS, "absent")]),
        "batch of searches": lambda: store.batch([SearchOp(NS, limit=1), SearchOp(NS, query="tea", limit=1)]),
    }
    for _ in range(3):
        clock.pass_seconds(50)
        assert await reads[how]()
    assert await store.get(NS, "unread", refresh_ttl=False) is None
    item = await store.get(NS, "k", refresh_ttl=False)
    # It was not changed.
    assert (item.value, item.updated_at) == (value, item.created_at)
    clock.pass_seconds(MINUTE)
    assert await store.get(NS, "k") is None


@pytest.mark.parametrize("how", ["get", "search", "query", "batch"])
async def test_reading_that_does_not(open_lasting, clock, how):
    for configured, asked in (({"refresh_on_read": False}, None), ({"refresh_on_read": True}, False)):
        store = open_lasting(ttl=configured, index=topic_index(), table_name=f"store_{asked}")
        await store.put(NS, "k", {"text": "tea"}, ttl=1)
        clock.pass_seconds(50)
        options = {} if asked is None else {"refresh_ttl": asked}
        match how:
            case "get":
                assert await store.get(NS, "k", **options)
            case "search":
                assert await store.search(NS, **options)
            case "query":
                assert await store.search(NS, query="tea", **options)
            case "batch":
                await store.batch([GetOp(NS, "k", refresh_ttl=False), SearchOp(NS, refresh_ttl=False)])
        clock.pass_seconds(11)
        assert await store.get(NS, "k") is None


async def test_a_call_that_asks_for_it(lasting, clock):
    await lasting.put(NS, "k", {}, ttl=1)
    clock.pass_seconds(50)
    await lasting.get(NS, "k", refresh_ttl=True)
    clock.pass_seconds(50)
    assert await lasting.search(NS, refresh_ttl=True)
    clock.pass_seconds(50)
    assert await lasting.get(NS, "k")


async def test_what_has_expired_is_not_brought_back_by_reading(open_lasting, clock):
    store = open_lasting(ttl={})
    await store.put(NS, "k", {}, ttl=1)
    clock.pass_seconds(MINUTE)
    assert await store.get(NS, "k") is None
    assert await store.search(NS) == []
    clock.pass_seconds(-1)
    assert await store.get(NS, "k") is not None


async def test_nothing_is_written_for_items_that_last(open_lasting, engine):
    store = open_lasting(ttl={})
    await store.put(NS, "k", {})
    engine.calls.clear()
    await store.get(NS, "k")
    await store.search(NS)
    assert engine.writes == []


async def test_only_what_was_returned_lasts(open_lasting, clock):
    store = open_lasting(ttl={})
    await store.batch([PutOp(NS, f"k{n}", {"n": n}, ttl=1) for n in range(6)])
    clock.pass_seconds(50)
    assert keys_of(await store.search(NS, filter={"n": {"$gte": 1}}, limit=2, offset=1)) == ["k2", "k3"]
    clock.pass_seconds(11)
    assert keys_of(await store.search(NS, refresh_ttl=False)) == ["k2", "k3"]


# Expired items that are not omitted


async def test_expired_items_on_request(open_lasting, clock):
    """LangGraph's default: an expired item may be returned until it is swept."""
    store = open_lasting(ttl={"omit_expired": False, "refresh_on_read": False})
    await store.put(NS, "k", {}, ttl=1)
    clock.pass_seconds(MINUTE)
    assert await store.get(NS, "k") is not None
    assert keys_of(await store.search(NS)) == ["k"]
    assert await store.list_namespaces() == [NS]
    assert await store.sweep_ttl() == 1
    assert await store.get(NS, "k") is None


# Sweeping


async def test_swept(indexed, clock, engine):
    ops = [PutOp((label,), f"k{n}", {"text": f"tea {n}"}, ttl=n % 3 or None) for label in "ab" for n in range(9)]
    await indexed.batch(ops)
    assert await indexed.sweep_ttl() == 0
    clock.pass_seconds(MINUTE)
    assert await indexed.sweep_ttl() == 6
    assert await indexed.sweep_ttl() == 0
    clock.pass_seconds(MINUTE)
    assert await indexed.sweep_ttl() == 6
    clock.pass_seconds(-(10**6))
    # Gone, not hidden.
    for options in ({}, {"query": "tea"}):
        found = await indexed.search((), limit=100, **options)
        assert sorted((item.namespace[0], item.key) for item in found) == [
            (label, f"k{n}") for label in "ab" for n in (0, 3, 6)
        ]


async def test_swept_with_all_that_belongs_to_it(open_lasting, clock, engine):
    """Of an item of several vectors nothing is left in the table."""
    store = open_lasting(index=topic_index(fields=["texts[*]"]))
    await store.put(NS, "k", {"texts": ["tea", "bread", "rice"], "large": "x" * 100_000}, ttl=1)
    clock.pass_seconds(MINUTE)
    assert await store.sweep_ttl() == 1
    assert rows_of(engine, "store") == []


async def test_many_are_swept(lasting, clock):
    await lasting.batch([PutOp(NS, f"k{n}", {}, ttl=1) for n in range(250)])
    clock.pass_seconds(MINUTE)
    assert await lasting.sweep_ttl() == 250
    assert await lasting.list_namespaces() == []


async def test_nothing_to_sweep(lasting):
    """Also where there is no table."""
    assert await lasting.sweep_ttl() == 0


async def test_an_item_that_was_put_anew_meanwhile_is_not_swept(lasting, clock, engine, open_lasting):
    """Between being found and being removed, it is somebody else's."""
    await lasting.put(NS, "k", {"n": 1}, ttl=1)
    clock.pass_seconds(MINUTE)
    other = open_lasting(connection=engine.connection("sync"))

    def before(api):
        if api in {"BatchWriteRow", "DeleteRow"}:
            engine.before = None
            other.target.put(NS, "k", {"n": 2})

    engine.before = before
    assert await lasting.sweep_ttl() == 0
    assert engine.before is None
    assert (await lasting.get(NS, "k")).value == {"n": 2}


def rows_of(engine, table):
    from tablestore import INF_MAX, INF_MIN, Direction

    from langchain_tablestore_memory.local import ots_client

    names = ("namespace", "key", "part")
    _, _, rows, _ = ots_client(engine).get_range(
        table, Direction.FORWARD, [(name, INF_MIN) for name in names], [(name, INF_MAX) for name in names]
    )
    return [tuple(value for _, value in row.primary_key) for row in rows]
