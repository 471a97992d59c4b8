"""Tables of langchain-community's vector store: both read what the other wrote, over HTTP."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import tablestore
from core.support import MODES, Face

from langchain_tablestore_memory import TablestoreVectorStore, connect
from langchain_tablestore_memory.local import Server, Tablestore

from .support import TopicEmbeddings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    community = pytest.importorskip(
        "langchain_community.vectorstores.tablestore", reason="langchain-community is not installed"
    )

FIELDS = [
    tablestore.FieldSchema("year", tablestore.FieldType.LONG, index=True, enable_sort_and_agg=True),
    tablestore.FieldSchema("lang", tablestore.FieldType.KEYWORD, index=True, enable_sort_and_agg=True),
]
KEYS = {"access_key_id": "local", "access_key_secret": "local"}


@pytest.fixture
def url() -> Iterator[str]:
    with Tablestore(None) as service, Server(service, port=0) as server:
        yield server.url


@pytest.fixture(params=["cosine", "euclidean", "dot_product"])
def metric(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def theirs(url: str, metric: str) -> Any:
    store = community.TablestoreVectorStore(
        TopicEmbeddings(),
        endpoint=url,
        instance_name="shared",
        vector_dimension=4,
        vector_metric_type=metric,
        metadata_mappings=FIELDS,
        **KEYS,
    )
    store.create_table_if_not_exist()
    store.create_search_index_if_not_exist()
    return store


@pytest.fixture(params=MODES)
def ours(request: pytest.FixtureRequest, url: str, metric: str, theirs: Any) -> Iterator[Face]:
    with connect(url, instance_name="shared", **KEYS) as connection:
        store = TablestoreVectorStore.of_community_table(
            TopicEmbeddings(), connection=connection, metric=metric, filterable={"year": int, "lang": str}
        )
        yield Face(store, request.param)


async def test_what_they_write_is_found_here(theirs, ours):
    theirs.add_texts(["tea", "coffee"], [{"year": 1, "lang": "en"}, {"year": 2, "other": 1.5}], ids=["a", "b"])
    for search in ("similarity_search", "full_text_search", "hybrid_search", "max_marginal_relevance_search"):
        found = await getattr(ours, search)("tea", k=1)
        assert [(d.id, d.page_content, d.metadata) for d in found] == [("a", "tea", {"year": 1, "lang": "en"})], search
    assert [d.metadata for d in await ours.get_by_ids(["b", "missing"])] == [{"year": 2, "other": 1.5}]
    assert [d.id for d in await ours.similarity_search("tea", filter={"year": {"$gt": 1}})] == ["b"]
    scored = {d.id: score for d, score in theirs.similarity_search_with_score("tea")}
    assert {d.id: score for d, score in await ours.similarity_search_with_score("tea")} == pytest.approx(scored)


async def test_what_is_written_here_is_found_by_them(theirs, ours):
    await ours.add_texts(["tea", "coffee"], [{"year": 1, "tags": ["x"]}, {"year": 2}], ids=["a", "b"])
    [found] = theirs.similarity_search("tea", k=1, tablestore_filter_query=tablestore.TermQuery("year", 1))
    assert (found.id, found.page_content, found.metadata["year"]) == ("a", "tea", 1)
    assert theirs.get_by_ids(["b"])[0].page_content == "coffee"


async def test_their_documents_are_changed_and_deleted_here(theirs, ours):
    theirs.add_texts(["tea", "coffee", "rice"], [{"year": n} for n in range(3)], ids=["a", "b", "c"])
    assert await ours.update_metadata({"a": {"lang": "en"}}) == 1
    assert theirs.get_by_ids(["a"])[0].metadata.items() >= {"year": 0, "lang": "en"}.items()
    await ours.delete(filter={"year": {"$gte": 1}})
    assert [d.id for d in theirs.similarity_search("tea")] == ["a"]
    await ours.delete(["a"])
    assert theirs.similarity_search("tea") == []


async def test_waiting_for_documents_by_id(theirs, ours):
    await ours.add_texts(["tea"], ids=["a"])
    # Their index does not hold ids: everything is waited for.
    await ours.wait_until_searchable(["a"], timeout=10)
    assert [d.id for d in theirs.similarity_search("tea")] == ["a"]


async def test_what_either_writes_both_find_alike(theirs, ours):
    """Random documents, some of theirs and some of ours, deleted by either, searched with and without a filter."""
    chance = random.Random(11)
    for number in range(40):
        text = " ".join(chance.choices(["tea", "coffee", "bread", "rice"], k=4))
        metadata = {"year": chance.randrange(3), "lang": chance.choice(["en", "zh"])}
        if number % 2:
            theirs.add_texts([text], [metadata], ids=[f"d{number:02}"])
        else:
            await ours.add_texts([text], [metadata], ids=[f"d{number:02}"])
    theirs.delete(["d00", "d01"])
    await ours.delete(["d02", "d03"])
    await ours.update_metadata({"d04": {"year": 9}, "d05": {"year": 9}})

    for query in ("tea", "coffee and bread", "rice rice"):
        for wanted, condition in (
            (None, None),
            ({"year": {"$gte": 1}}, tablestore.RangeQuery("year", 1, None)),
            ({"lang": "zh"}, tablestore.TermQuery("lang", "zh")),
        ):
            found = theirs.similarity_search_with_score(query, k=100, tablestore_filter_query=condition)
            scored = await ours.similarity_search_with_score(query, k=100, filter=wanted)
            expected = {document.id: score for document, score in found}
            assert len(scored) == len(expected)
            assert {document.id: score for document, score in scored} == pytest.approx(expected)
            texts = {document.id: document.page_content for document, _ in found}
            assert {document.id: document.page_content for document, _ in scored} == texts
    assert {document.metadata["year"] for document in theirs.get_by_ids(["d04", "d05"])} == {9}
    assert sorted(d.id for d in await ours.similarity_search("tea", k=9, filter={"year": 9})) == ["d04", "d05"]
