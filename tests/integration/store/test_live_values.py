"""Values belong to who puts them and to who gets them: changing one changes nothing that is stored, or that others got."""

from __future__ import annotations

import asyncio

from langgraph.store.base import GetOp

from langchain_tablestore_memory.langgraph import TablestoreStore

NS = ("docs",)


async def test_a_value_that_changes_while_it_is_stored(engine):
    """What was put is what it was when it was put."""
    store = TablestoreStore(engine.connection("async"))
    value = {"n": 1, "list": [1]}
    task = asyncio.create_task(store.aput(NS, "k", value))
    await asyncio.sleep(0)
    value["n"] = 2
    value["list"].append(2)
    await task
    assert (await store.aget(NS, "k")).value == {"n": 1, "list": [1]}


async def test_what_is_got_twice(store):
    await store.put(NS, "k", {"list": [1]})
    one, other = await store.batch([GetOp(NS, "k"), GetOp(NS, "k")])
    assert one == other
    one.value["list"].append(2)
    assert other.value == {"list": [1]}
