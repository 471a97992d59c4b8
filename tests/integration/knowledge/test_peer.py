"""`KnowledgeStore` of tablestore-for-agent-memory and ours, over HTTP on one server: each searches what the other wrote."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tablestore
from tablestore_for_agent_memory.base.base_knowledge_store import Document as PeerDocument
from tablestore_for_agent_memory.base.filter import Filters as PeerFilters
from tablestore_for_agent_memory.knowledge.knowledge_store import KnowledgeStore as PeerStore

from langchain_tablestore_memory import Document, KnowledgeStore, connect
from langchain_tablestore_memory.local import Server, Tablestore

FIELDS = [
    tablestore.FieldSchema("year", tablestore.FieldType.LONG),
    tablestore.FieldSchema("price", tablestore.FieldType.DOUBLE),
    tablestore.FieldSchema("lang", tablestore.FieldType.KEYWORD),
    tablestore.FieldSchema("tags", tablestore.FieldType.KEYWORD, is_array=True),
]


@pytest.fixture
def address():
    with Tablestore(None) as engine, Server(engine, port=0) as server:
        yield {
            "endpoint": server.url,
            "instance_name": "local",
            "access_key_id": "local",
            "access_key_secret": "local",
        }


@pytest.fixture
def peer(address, monkeypatch):
    # `init_table` sleeps a second for the service's sake.
    monkeypatch.setattr(
        "tablestore_for_agent_memory.knowledge.knowledge_store.time",
        SimpleNamespace(sleep=lambda _: None),
        raising=False,
    )
    client = tablestore.OTSClient(
        address["endpoint"], address["access_key_id"], address["access_key_secret"], address["instance_name"]
    )

    def make(**options):
        store = PeerStore(client, 3, search_index_schema=list(FIELDS), **options)
        store.init_table()
        return store

    return make


@pytest.fixture
def ours(address):
    with connect(**address) as connection:
        yield lambda **options: KnowledgeStore(connection, 3, search_index_schema=list(FIELDS), **options)


def test_what_the_peer_writes_is_found_here(peer, ours):
    theirs = peer()
    theirs.put_document(
        PeerDocument(
            "d1", text="green tea", embedding=[1.0, 0.0, 0.25], metadata={"year": 2024, "price": 1.5, "colour": "red"}
        )
    )
    theirs.put_document(PeerDocument("d2", text="coffee", embedding=[0.0, 1.0, 0.0], metadata={"tags": '["a","b"]'}))
    store = ours()
    assert store.index().name == "knowledge_search_index_name"
    green = Document("d1", text="green tea", metadata={"year": 2024, "price": 1.5, "colour": "red"})
    assert store.vector_search([1, 0, 0], top_k=1).items[0].document == green
    assert store.full_text_search("tea", metadata_filter={"year": {"$gte": 2000}}).items[0].document == green
    assert store.search_documents(metadata_filter={"tags": {"$contains": "b"}}).items[0].document.document_id == "d2"
    assert store.get_document("d1").embedding == [1.0, 0.0, 0.25]
    assert store.update_by_filter({"year": 2024}, {"lang": "en"}) == 1
    assert theirs.get_document("d1").metadata["lang"] == "en"
    assert store.delete_by_filter({"lang": "en"}) == 1
    assert theirs.get_document("d1") is None


def test_what_is_written_here_is_found_by_the_peer(peer, ours):
    theirs, store = peer(), ours()
    metadata = {"year": 2024, "price": 2, "lang": "en", "tags": ["a"], "nested": {"x": None}}
    store.put_documents(
        [Document("d1", text="green tea", embedding=[1, 0, 0.25], metadata=metadata), Document("d2", text="coffee")]
    )
    (hit,) = theirs.vector_search([1.0, 0.0, 0.0], top_k=1).hits
    assert (hit.document.document_id, hit.document.text) == ("d1", "green tea")
    assert hit.score == pytest.approx(store.vector_search([1, 0, 0], top_k=1).items[0].score)
    (hit,) = theirs.full_text_search("tea", metadata_filter=PeerFilters.eq("year", 2024)).hits
    assert hit.document.metadata["year"] == 2024
    assert hit.document.metadata["price"] == 2.0
    (found,) = theirs.search_documents(metadata_filter=PeerFilters.eq("tags", "a")).hits
    assert found.document.document_id == "d1"
    assert theirs.get_document("d1").embedding == [1.0, 0.0, 0.25]
    theirs.update_document(PeerDocument("d1", metadata={"year": 2025, "colour": "red"}))
    assert store.get_document("d1").metadata == {**metadata, "year": 2025, "colour": "red"}
    assert store.search_documents(metadata_filter={"year": 2025}).items[0].document.metadata["year"] == 2025


def test_tenants_of_both(peer, ours):
    theirs = peer(enable_multi_tenant=True)
    store = ours(enable_multi_tenant=True)
    theirs.put_document(PeerDocument("d1", "t1", text="tea"))
    store.put_document(Document("d2", "t1", text="tea"))
    store.put_document(Document("d3", "t2", text="tea"))
    assert {hit.document.document_id for hit in theirs.full_text_search("tea", tenant_id="t1").hits} == {"d1", "d2"}
    assert {hit.document.document_id for hit in store.full_text_search("tea", "t1").items} == {"d1", "d2"}
    assert store.delete_document_by_tenant("t1") == 2
    assert [document.document_id for document in theirs.get_all_documents()] == ["d3"]
