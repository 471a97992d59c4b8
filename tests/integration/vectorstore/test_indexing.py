"""`langchain_core.indexing.index` keeps a store up to date with a source."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index


def pages(**texts):
    return [Document(text, metadata={"source": source}) for source, text in texts.items()]


async def run(mode, *arguments, **options):
    if mode == "async":
        return await aindex(*arguments, **options)
    return index(*arguments, **options)


@pytest.fixture
def records():
    manager = InMemoryRecordManager("test")
    manager.create_schema()
    return manager


@pytest.mark.parametrize("cleanup", ["incremental", "full"])
async def test_what_changed_is_replaced_and_the_rest_is_left_alone(store, mode, model, records, cleanup):
    options = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256"}
    result = await run(mode, pages(a="tea", b="coffee", c="rice"), records, store.target, **options)
    assert result == {"num_added": 3, "num_updated": 0, "num_skipped": 0, "num_deleted": 0}
    assert sum(model.calls) == 3

    result = await run(mode, pages(a="tea tea", b="coffee"), records, store.target, **options)
    assert result["num_added"] == 1
    assert result["num_skipped"] == 1
    # A full clean-up also deletes what the source has no more.
    assert result["num_deleted"] == (2 if cleanup == "full" else 1)
    assert sum(model.calls) == 4

    left = {document.page_content for document in await store.similarity_search("tea", k=10)}
    assert left == ({"tea tea", "coffee"} if cleanup == "full" else {"tea tea", "coffee", "rice"})


async def test_nothing_left_in_the_source(store, mode, records):
    options = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    await run(mode, pages(**{f"p{n}": f"tea {n}" for n in range(250)}), records, store.target, **options)
    assert len(await store.similarity_search("tea", k=1000)) == 250
    result = await run(mode, [], records, store.target, **options)
    assert result["num_deleted"] == 250
    assert await store.similarity_search("tea") == []
