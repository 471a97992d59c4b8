"""Puts that are cut off: what they leave behind counts for nothing, and can be removed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from langgraph.store.base import PutOp
from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory import InvalidArgumentError, TablestoreMemoryError, WriteError
from langchain_tablestore_memory.local import ots_client
from langchain_tablestore_memory.local.errors import RequestError

from .support import keys_of, topic_index

NS = ("docs",)
MANY = 67
"""So many items with three vectors are not written by one request."""


@pytest.fixture
async def store(open_store, clock):
    store = open_store(index=topic_index(fields=["texts[*]"]), clock=clock)
    await store.batch([put(n, "old", ["tea", "bread", "tea bread"]) for n in range(MANY)])
    return store


def put(number, version, texts):
    return PutOp(NS, f"k{number:03}", {"version": version, "texts": texts})


def rows_in(engine):
    key = ("namespace", "key", "part")
    start, end = ([(column, bound) for column in key] for bound in (INF_MIN, INF_MAX))
    _, _, rows, _ = ots_client(engine).get_range("store", "FORWARD", start, end, ["part"], max_version=1)
    return len(rows)


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_cut_off(store, engine, clock, number):
    """Wherever it ends: each item is as it was before or as it is after, and so is what it is found by."""
    engine.fail_at("BatchWriteRow", number, RequestError(400, "OTSParameterInvalid", "Refused."))
    with pytest.raises(WriteError) as caught:
        await store.batch([put(n, "new", ["coffee", "rice", "coffee rice"]) for n in range(MANY)])
    engine.before = None
    items = await store.search(NS, limit=1000)
    # The error names each item, and knows what has become of it.
    for item in items:
        told = caught.value.stored if item.value["version"] == "new" else caught.value.failed
        assert f"item {item.key!r} of {NS!r}" in told
    assert keys_of(items) == [f"k{n:03}" for n in range(MANY)]
    versions = {item.key: item.value["version"] for item in items}
    for query, version in (("tea", "old"), ("bread", "old"), ("rice", "new")):
        found = await store.search(NS, query=query, limit=500)
        near = {item.key for item in found if item.score is not None and item.score > 0.9}
        assert near <= {key for key, each in versions.items() if each == version}

    # Once more, and nothing of it is left.
    clock.pass_seconds(10)
    await store.batch([put(n, "newest", ["coffee", "rice"]) for n in range(MANY)])
    assert await store.remove_unfinished() == 0
    clock.pass_seconds(3600)
    left = rows_in(engine) - 2 * MANY
    assert await store.remove_unfinished() == left
    assert rows_in(engine) == 2 * MANY
    assert {item.score > 0.9 for item in await store.search(NS, query="rice", limit=500)} == {True}


async def test_nothing_of_what_counts(store, engine, clock):
    clock.pass_seconds(10**6)
    assert await store.remove_unfinished(older_than=timedelta(minutes=2)) == 0
    assert rows_in(engine) == 3 * MANY


async def test_of_items_that_are_gone(store, engine, clock):
    engine.fail_at("BatchWriteRow", 2)
    with pytest.raises(TablestoreMemoryError):
        await store.batch([PutOp(NS, f"k{n:03}", None) for n in range(MANY)])
    engine.before = None
    clock.pass_seconds(3601)
    left = rows_in(engine) - 3 * len(await store.search(NS, limit=1000))
    assert await store.remove_unfinished() == left
    await store.batch([PutOp(NS, f"k{n:03}", None) for n in range(MANY)])
    assert rows_in(engine) == 0


async def test_how_old(store):
    for older_than in (timedelta(0), timedelta(minutes=1), 3600, None):
        with pytest.raises(InvalidArgumentError, match="older_than"):
            await store.remove_unfinished(older_than=older_than)
