"""More vectors than the service finds at once (1,000): what is further away is asked for once more."""

from __future__ import annotations

import pytest
from langgraph.store.base import PutOp

from .support import keys_of, topic_index

NS = ("docs",)


@pytest.mark.slow
async def test_one_item_with_very_many(open_store, engine):
    """Its vectors, all nearer than any other, hide nothing."""
    store = open_store(index=topic_index(fields=["texts[*]"]))
    await store.put(NS, "big", {"texts": [f"tea {number}" for number in range(1100)]})
    await store.batch([PutOp(NS, "other", {"texts": ["tea bread"]}), PutOp(NS, "none", {})])
    assert keys_of(await store.search(NS, query="tea", limit=3)) == ["big", "other", "none"]
    assert keys_of(await store.search(NS, query="tea", limit=1, offset=1)) == ["other"]
    assert keys_of(await store.search(NS, query="tea bread", limit=2, search_type="hybrid")) == ["other", "big"]


@pytest.mark.slow
async def test_very_many_items(open_store):
    store = open_store(index=topic_index())
    await store.batch([PutOp(NS, f"k{number}", {"text": "rice"}) for number in range(1100)])
    await store.put(NS, "other", {"text": "rice bread"})
    found = await store.search(NS, query="rice", limit=5000)
    assert len(found) == len(set(keys_of(found))) == 1101
    assert found[-1].key == "other"
    assert keys_of(await store.search(NS, query="rice", limit=1, offset=1100)) == ["other"]
