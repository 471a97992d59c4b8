"""The contract of a store: search without a query. Which items, in which order, page by page."""

from __future__ import annotations

import pytest
from core.support import MODES
from langgraph.store.base import PutOp, SearchOp

from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import LABELS, keys_of

NS = ("docs",)


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


async def test_in_order_of_creation(any_store):
    for key in ("c", "a", "b"):
        await any_store.put(NS, key, {})
    assert keys_of(await any_store.search(NS)) == ["c", "a", "b"]
    await any_store.put(NS, "a", {"changed": True})
    assert keys_of(await any_store.search(NS)) == ["c", "a", "b"]
    await any_store.delete(NS, "c")
    await any_store.put(NS, "c", {})
    assert keys_of(await any_store.search(NS)) == ["a", "b", "c"]


async def test_in_order_of_a_batch(any_store):
    keys = [f"k{n * 37 % 100:02}" for n in range(100)]
    await any_store.batch([PutOp(NS, key, {}) for key in keys])
    assert keys_of(await any_store.search(NS, limit=1000)) == keys


async def test_pages(any_store):
    keys = [f"k{n}" for n in range(25)]
    await any_store.batch([PutOp(NS, key, {"n": n, "even": n % 2 == 0}) for n, key in enumerate(keys)])
    assert keys_of(await any_store.search(NS)) == keys[:10]
    for limit in (1, 7, 10, 25, 100):
        paged = []
        for offset in range(0, 30, limit):
            page = keys_of(await any_store.search(NS, limit=limit, offset=offset))
            assert page == keys[offset : offset + limit]
            paged += page
        assert paged == keys
    assert await any_store.search(NS, limit=0) == []
    assert await any_store.search(NS, offset=25) == []
    # Pages of what matches, not of what was looked at.
    assert keys_of(await any_store.search(NS, filter={"even": True}, limit=3, offset=2)) == ["k4", "k6", "k8"]
    assert keys_of(await any_store.search(NS, filter={"n": {"$gte": 20}}, limit=3)) == ["k20", "k21", "k22"]


async def test_namespaces_below_a_prefix(any_store):
    namespaces = [("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("ab", "b"), ("b", "a"), ("a b",), ("A",), ("á",)]
    for namespace in namespaces:
        await any_store.put(namespace, "k", {})

    async def found(*prefix):
        return {item.namespace for item in await any_store.search(prefix, limit=100)}

    assert await found() == set(namespaces)
    assert await found("a") == {("a",), ("a", "b"), ("a", "b", "c")}
    assert await found("a", "b") == {("a", "b"), ("a", "b", "c")}
    assert await found("ab") == {("ab",), ("ab", "b")}
    assert await found("b") == {("b", "a")}
    assert await found("a", "b", "c", "d") == set()
    assert await found("c") == set()


async def test_labels_that_look_like_patterns(any_store):
    namespaces = [(label, other) for label in LABELS for other in ("x", "%")]
    await any_store.batch([PutOp(namespace, "k", {}) for namespace in namespaces])
    for label in LABELS:
        found = await any_store.search((label,), limit=100)
        assert sorted(item.namespace for item in found) == sorted([(label, "x"), (label, "%")])


async def test_namespaces_come_in_their_order(store):
    """Known difference: in `InMemoryStore`, in the order in which they were first touched.

    That of the tuples does not depend on who asked for what before, so that pages fit together in all processes.
    """
    namespaces = [("b",), ("a", "z"), ("a",), ("ab",), ("a", "b", "c"), ("用",), ("a b",), ("a!",), ("\x01",)]
    for namespace in namespaces:
        await store.batch([PutOp(namespace, "2", {}), PutOp(namespace, "1", {})])
    ordered = [(namespace, key) for namespace in sorted(namespaces) for key in "21"]
    assert [(item.namespace, item.key) for item in await store.search((), limit=100)] == ordered
    paged = []
    for offset in range(0, 20, 3):
        paged += [(item.namespace, item.key) for item in await store.search((), limit=3, offset=offset)]
    assert paged == ordered


@pytest.mark.parametrize("query", ["anything", ""])
async def test_a_query_without_an_index_is_none(any_store, query):
    """As `InMemoryStore` does it."""
    for key in ("c", "a", "b"):
        await any_store.put(NS, key, {"text": key}, index=["text"])
    found = await any_store.search(NS, query=query, filter={"text": {"$ne": "a"}})
    assert [(item.key, item.score) for item in found] == [("c", None), ("b", None)]


async def test_several_searches_at_once(any_store):
    await any_store.batch([PutOp((label,), f"k{n}", {"n": n}) for label in "ab" for n in range(5)])
    results = await any_store.batch(
        [
            SearchOp(("b",), {"n": {"$gt": 2}}),
            SearchOp(("a",), limit=2, offset=1),
            SearchOp(("c",)),
            SearchOp(("b",), {"n": {"$gt": 2}}),
            SearchOp((), {"n": 0}),
        ]
    )
    assert [[(item.namespace[0], item.key) for item in found] for found in results] == [
        [("b", "k3"), ("b", "k4")],
        [("a", "k1"), ("a", "k2")],
        [],
        [("b", "k3"), ("b", "k4")],
        [("a", "k0"), ("b", "k0")],
    ]


async def test_many_items(any_store):
    """More than one answer of the service holds, most of which a filter leaves out."""
    text = "x" * 15_000
    keys = [f"k{n * 7919 % 500:04}" for n in range(500)]
    for start in range(0, 500, 200):
        ops = [PutOp(NS, key, {"n": n, "text": text}) for n, key in enumerate(keys[start : start + 200], start)]
        await any_store.batch(ops)
    assert keys_of(await any_store.search(NS, limit=2000)) == keys
    assert keys_of(await any_store.search(NS, limit=5, offset=400)) == keys[400:405]
    assert keys_of(await any_store.search(NS, filter={"n": {"$gte": 490}})) == keys[490:]


async def test_an_item_that_is_made_anew_while_it_is_read(store, engine):
    """It moves to the end, behind what was read, and is there once all the same, as it is now."""
    other = TablestoreStore(engine.connection("sync"))
    await store.batch([PutOp(NS, f"k{n:03}", {"n": n}) for n in range(201)])
    reads = 0

    def before(api):
        nonlocal reads
        reads += api == "GetRange"
        if reads == 2:
            engine.before = None
            other.delete(NS, "k000")
            other.put(NS, "k000", {"n": 0, "anew": True})

    engine.before = before
    [found] = await store.search(NS, filter={"n": 0})
    assert engine.before is None
    assert (found.key, found.value) == ("k000", {"n": 0, "anew": True})
