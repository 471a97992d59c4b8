"""Very many writers of one item: each is served, the last one wins as a whole."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.store.base import PutOp

from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import keys_of, topic_index

NS = ("docs",)
WRITERS = 30


@pytest.fixture
def store(engine):
    return TablestoreStore(engine.connection("async"), index=topic_index(fields=["texts[*]"]))


def value(number):
    topic = ("tea", "coffee", "bread", "rice")[number % 4]
    return {"number": number, "texts": [topic, f"{topic} {topic}"]}


async def test_puts(store):
    await store.asetup()
    await asyncio.gather(*(store.aput(NS, "k", value(number)) for number in range(WRITERS)))
    item = await store.aget(NS, "k")
    assert item.value == value(item.value["number"])
    for topic in ("tea", "coffee", "bread", "rice"):
        [found] = await store.asearch(NS, query=topic)
        assert (found.score > 0.9) == (topic in item.value["texts"])


async def test_puts_and_deletions(store):
    await store.asetup()
    ops = [PutOp(NS, "k", value(number) if number % 3 else None) for number in range(WRITERS)]
    await asyncio.gather(*(store.abatch([op]) for op in ops))
    item = await store.aget(NS, "k")
    assert item is None or item.value == value(item.value["number"])
    assert keys_of(await store.asearch(NS, query="tea")) == ([] if item is None else ["k"])
    await store.adelete(NS, "k")
    assert await store.asearch(NS, query="tea") == []


async def test_somebody_who_is_always_faster(engine, store):
    """In the end it is written whatever is there, and is what it says."""
    other = TablestoreStore(engine.connection("sync"), index=topic_index(fields=["texts[*]"]))
    await store.aput(NS, "k", value(0))
    created_at = (await store.aget(NS, "k")).created_at
    busy = False

    def before(api):
        nonlocal busy
        if api == "BatchWriteRow" and not busy:
            busy = True
            other.put(NS, "k", value(1))
            busy = False

    engine.before = before
    await store.aput(NS, "k", value(2))
    engine.before = None
    item = await store.aget(NS, "k")
    assert item.value == value(2)
    assert item.created_at == created_at
    for topic in ("tea", "coffee", "bread"):
        [found] = await store.asearch(NS, query=topic)
        assert (found.score > 0.9) == (topic == "bread")
