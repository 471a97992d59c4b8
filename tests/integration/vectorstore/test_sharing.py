"""One store used by many threads, tasks and event loops, and several stores on one table."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_tablestore_memory import (
    Connection,
    Document,
    Filters,
    KnowledgeStore,
    TablestoreVectorStore,
    connect,
)
from langchain_tablestore_memory.local import Server, Tablestore

from .conftest import FILTERABLE
from .support import TopicEmbeddings, vector

KEYS = {"instance_name": "local", "access_key_id": "local", "access_key_secret": "local"}


@pytest.fixture(params=["folder", "http"])
def shared(request, tmp_path) -> Iterator[Connection]:
    if request.param == "folder":
        with connect(f"local:{tmp_path}", durability="normal") as connection:
            yield connection
    else:
        with Tablestore(None) as service, Server(service, port=0) as server, connect(server.url, **KEYS) as connection:
            yield connection


def store_of(connection):
    return TablestoreVectorStore(TopicEmbeddings(), connection=connection, filterable=FILTERABLE)


def test_many_threads(shared):
    """From the first call on, which nobody has prepared."""
    store = store_of(shared)

    def work(n):
        ids = [f"{n}-{part}" for part in range(4)]
        store.add_texts([f"tea {document_id}" for document_id in ids], [{"year": n}] * 4, ids=ids)
        # One's own writes are found at once.
        assert sorted(d.id for d in store.similarity_search("tea", k=10, filter={"year": n})) == ids
        store.update_metadata({ids[0]: {"lang": "en"}})
        store.delete(ids[3:])
        assert [d.id for d in store.full_text_search("tea", k=10, filter={"year": n, "lang": "en"})] == ids[:1]
        return ids[:3]

    with ThreadPoolExecutor(8) as pool:
        left = [document_id for ids in pool.map(work, range(16)) for document_id in ids]
    assert sorted(d.id for d in store.similarity_search("tea", k=1000)) == sorted(left)


def test_one_loop_after_the_other(shared):
    store = store_of(shared)

    async def work(n):
        await asyncio.gather(*(store.aadd_texts([f"tea {n}"], ids=[f"{n}-{part}"]) for part in range(6)))
        found = await asyncio.gather(
            store.asimilarity_search("tea", k=100),
            store.ahybrid_search("tea", k=100),
            store.afull_text_search("tea", k=100),
            store.as_retriever(search_type="mmr", k=100, search_kwargs={"fetch_k": 100}).ainvoke("tea"),
        )
        return [len(each) for each in found]

    for n in range(3):
        assert asyncio.run(work(n)) == [6 * (n + 1)] * 4
    store.delete(filter=Filters.all())
    assert asyncio.run(store.asimilarity_search("tea")) == []


def test_changes_of_one_document_at_once_are_all_kept(shared):
    store = store_of(shared)
    store.add_texts(["tea"], ids=["a"])
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda n: store.update_metadata({"a": {f"k{n}": n}}), range(8)))
    assert written == [1] * 8
    assert store.get_by_ids(["a"])[0].metadata == {f"k{n}": n for n in range(8)}


def test_both_kinds_of_store_on_one_table(shared):
    """What one writes the other finds, exactly; each keeps what only the other knows."""
    vectors, knowledge = store_of(shared), KnowledgeStore(shared, 4, filterable=FILTERABLE)
    metadata = {"year": 1, "none": None, "nested": {"a": [1]}}
    vectors.add_texts(["tea"], [metadata], ids=["a"])
    knowledge.put_document(Document("b", text="coffee", embedding=vector("coffee"), metadata=metadata))
    knowledge.put_document(Document("c", metadata=metadata))
    assert [hit.document.document_id for hit in knowledge.vector_search(vector("tea"), 1).items] == ["a"]
    assert knowledge.get_document("a").metadata == metadata
    assert [d.id for d in vectors.similarity_search("coffee", k=1)] == ["b"]
    # One without text or embedding is a document without text, and is not near anything.
    assert [(d.page_content, d.metadata) for d in vectors.get_by_ids(["c"])] == [("", metadata)]
    assert sorted(d.id for d in vectors.similarity_search("tea", k=9)) == ["a", "b"]


def test_a_table_that_is_opened_with_fewer_and_with_more_fields(shared):
    full = store_of(shared)
    full.add_texts(["tea"], [{"year": 1, "lang": "en", "tags": ["x"], "colour": "red"}], ids=["a"])
    # Nothing declared: what the table has counts.
    plain = TablestoreVectorStore(TopicEmbeddings(), connection=shared)
    assert [d.id for d in plain.similarity_search("tea", filter={"year": 1, "tags": {"$contains": "x"}})] == ["a"]
    plain.add_texts(["tea"], [{"year": 2, "tags": ["y"]}], ids=["b"])
    assert [d.id for d in full.similarity_search("tea", filter={"tags": {"$contains": "y"}})] == ["b"]
    # More: an index of its own, built over the rows that are there.
    more = TablestoreVectorStore(
        TopicEmbeddings(), connection=shared, filterable={"colour": str}, search_index_name="by_colour"
    )
    assert [d.id for d in more.similarity_search("tea", filter={"colour": "red"})] == ["a"]
    more.update_metadata({"b": {"colour": "red"}})
    assert sorted(d.id for d in more.similarity_search("tea", filter={"colour": "red"})) == ["a", "b"]
    assert [d.metadata for d in full.get_by_ids(["b"])] == [{"year": 2, "tags": ["y"], "colour": "red"}]
