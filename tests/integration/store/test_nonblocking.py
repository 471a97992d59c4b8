"""No async call of the store blocks its event loop, with any front."""

from __future__ import annotations

import time

import pytest
from blockbuster import blockbuster_ctx
from langgraph.store.base import GetOp, PutOp, SearchOp
from vectorstore.support import vector

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import topic_index

NS = ("docs",)


@pytest.mark.parametrize("front", ["folder", "memory", "http"])
async def test_every_call(front, tmp_path, server_url, instance_name):
    address = {"folder": f"local:{tmp_path}", "memory": "local::memory:", "http": server_url}[front]
    keys = {"instance_name": instance_name, "access_key_id": "local", "access_key_secret": "local"}
    connection = connect(address, **(keys if front == "http" else {}))
    with blockbuster_ctx():
        store = TablestoreStore(
            connection,
            index=topic_index(fields=["text", "more[*]"]),
            filterable={"n": int},
            ttl={"default_ttl": 60, "sweep_interval_minutes": 1},
        )
        assert await store.aget(NS, "k") is None
        await store.aput(NS, "k", {"text": "tea", "more": ["bread", "rice"], "n": 1})
        await store.aput(NS, "k", {"text": "tea", "more": ["bread"], "large": "x" * 50_000, "n": 1})
        assert (await store.aget(NS, "k")).value["n"] == 1
        for search_type in ("similarity", "full_text", "hybrid"):
            assert await store.asearch(NS, query="tea", filter={"n": 1}, search_type=search_type)
        await store.abatch([GetOp(NS, "k"), PutOp(NS, "l", {}), SearchOp(NS, {"n": 1}), SearchOp(NS, query="tea")])
        assert await store.alist_namespaces(prefix=("*",)) == [NS]
        await store.await_until_searchable()
        await store.adelete(NS, "k")
        assert await store.asweep_ttl() == 0
        await store.asetup()
        await store.adrop()
        await connection.aclose()


async def test_a_function_that_blocks():
    """What embeds is not always async: then it runs in a thread."""

    def embed(texts):
        time.sleep(0.01)
        return [vector(text) for text in texts]

    connection = connect("local::memory:")
    store = TablestoreStore(connection, index=topic_index(embed))
    with blockbuster_ctx():
        await store.aput(NS, "k", {"text": "tea"})
        [found] = await store.asearch(NS, query="tea")
        await connection.aclose()
    assert found.score == pytest.approx(1, abs=1e-6)
