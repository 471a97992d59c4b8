"""The service's search indexes are behind their tables: a query never returns what is no longer so."""

from __future__ import annotations

import pytest
from core.support import MODES, Face
from langgraph.store.base import PutOp
from memory.support import Clock

from langchain_tablestore_memory import Connection
from langchain_tablestore_memory.langgraph import TablestoreStore
from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client

from .support import keys_of, topic_index

DELAY = 0.15
NS = ("docs",)
SEARCH_TYPES = ("similarity", "full_text", "hybrid")

_QUICK = {("sync", "similarity"), ("async", "full_text"), ("sync", "hybrid")}

each_search_type = pytest.mark.parametrize(
    ("mode", "search_type"),
    [
        pytest.param(mode, search_type, marks=[] if (mode, search_type) in _QUICK else pytest.mark.slow)
        for mode in MODES
        for search_type in SEARCH_TYPES
    ],
)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lagging(mode, clock):
    """A store over an index that shows writes a moment later."""
    make = ots_client if mode == "sync" else async_ots_client
    with Tablestore(None, index_delay=DELAY) as service:
        store = TablestoreStore(
            Connection.of(make(service)),
            index=topic_index(fields=["text", "more[*]"]),
            filterable={"n": int},
            clock=clock,
            ttl={"refresh_on_read": False},
        )
        yield Face(store, mode)


async def scored(store, query, search_type, **options):
    found = await store.search(NS, query=query, search_type=search_type, **options)
    return [item.key for item in found if item.score is not None]


async def test_waiting(lagging):
    await lagging.put(NS, "k", {"text": "tea"})
    # What does not need the index is there at once.
    assert (await lagging.get(NS, "k")).value == {"text": "tea"}
    assert keys_of(await lagging.search(NS, filter={"text": "tea"})) == ["k"]
    assert await lagging.list_namespaces() == [NS]
    await lagging.wait_until_searchable()
    for search_type in SEARCH_TYPES:
        assert await scored(lagging, "tea", search_type) == ["k"]


@each_search_type
async def test_deleted(lagging, search_type):
    await lagging.batch(
        [PutOp(NS, "k", {"text": "tea", "more": ["tea", "tea bread"]}), PutOp(NS, "b", {"text": "bread"})]
    )
    await lagging.wait_until_searchable()
    await lagging.delete(NS, "k")
    assert "k" not in keys_of(await lagging.search(NS, query="tea", search_type=search_type))
    # It takes no place either.
    assert keys_of(await lagging.search(NS, query="tea bread", search_type=search_type, limit=1)) == ["b"]


@each_search_type
async def test_overwritten(lagging, search_type):
    """No score that it had for what it no longer says."""
    await lagging.put(NS, "k", {"text": "tea", "more": ["rice"]})
    await lagging.put(NS, "b", {"text": "bread tea rice"})
    await lagging.wait_until_searchable()
    await lagging.put(NS, "k", {"text": "coffee"})
    for query in ("tea", "rice"):
        found = await lagging.search(NS, query=query, search_type=search_type)
        assert found[0].key == "b"
        # It is there, as it is now, and without a score until the index knows it.
        assert {item.key: item.value["text"] for item in found[1:]} in ({}, {"k": "coffee"})
        assert [item.score for item in found[1:]] in ([], [None])
    await lagging.wait_until_searchable()
    assert await scored(lagging, "coffee", search_type, limit=1) == ["k"]


@each_search_type
async def test_put_anew(lagging, search_type):
    """It is found as it is now, or not yet."""
    await lagging.put(NS, "k", {"text": "tea", "n": 1})
    await lagging.wait_until_searchable()
    await lagging.put(NS, "k", {"text": "tea", "n": 2})
    found = await lagging.search(NS, query="tea", search_type=search_type)
    assert [item.value for item in found] in ([], [{"text": "tea", "n": 2}])
    # The index still says that n is 1.
    assert await lagging.search(NS, query="tea", search_type=search_type, filter={"n": 1}) == []
    await lagging.wait_until_searchable()
    [found] = await lagging.search(NS, query="tea", search_type=search_type, filter={"n": 2})
    assert found.value == {"text": "tea", "n": 2}


@each_search_type
async def test_many_that_no_longer_count(lagging, search_type):
    """However many are nearer and gone: what is there is found, and pages are full."""
    await lagging.batch([PutOp(NS, f"gone {n}", {"text": "tea bread"}) for n in range(150)])
    await lagging.batch([PutOp(NS, f"k{n}", {"text": "tea " * n + "bread rice " * 9}) for n in range(1, 4)])
    await lagging.wait_until_searchable()
    await lagging.batch([PutOp(NS, f"gone {n}", None) for n in range(150)])
    found = await lagging.search(NS, query="tea bread", search_type=search_type, limit=3)
    assert sorted(keys_of(found)) == ["k1", "k2", "k3"]


@each_search_type
async def test_expired(lagging, clock, search_type):
    await lagging.put(NS, "k", {"text": "tea"}, ttl=1)
    await lagging.put(NS, "b", {"text": "bread tea"})
    await lagging.wait_until_searchable()
    clock.pass_seconds(60)
    assert keys_of(await lagging.search(NS, query="tea", search_type=search_type)) == ["b"]


async def test_no_longer_indexed(lagging):
    await lagging.put(NS, "k", {"text": "tea"})
    await lagging.wait_until_searchable()
    await lagging.put(NS, "k", {"text": "tea"}, index=False)
    for search_type in SEARCH_TYPES:
        assert [(item.key, item.score) for item in await lagging.search(NS, query="tea", search_type=search_type)] in (
            [("k", None)],
            [],
        )


async def test_swept_at_once(lagging, clock):
    """The global index that tells what has expired is behind as well. What it says of before counts for nothing."""
    await lagging.put(NS, "k", {"n": 1}, ttl=1)
    await lagging.wait_until_searchable()
    clock.pass_seconds(60)
    await lagging.put(NS, "k", {"n": 2})
    assert await lagging.sweep_ttl() == 0
    assert (await lagging.get(NS, "k")).value == {"n": 2}


async def test_waiting_for_nothing(lagging):
    """Also where there is no table yet."""
    await lagging.wait_until_searchable()
    assert await lagging.search(NS, query="tea") == []
