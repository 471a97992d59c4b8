"""Other packages' stores as clients: their own searches work over HTTP."""

from __future__ import annotations

import warnings

import pytest
from langchain_core.embeddings import Embeddings
from tablestore import FieldSchema, FieldType, TermQuery
from tablestore_for_agent_memory.base.base_knowledge_store import Document
from tablestore_for_agent_memory.base.filter import Filters
from tablestore_for_agent_memory.knowledge import knowledge_store

with warnings.catch_warnings():
    # The package says that it is being retired.
    warnings.simplefilter("ignore", DeprecationWarning)
    from langchain_community.vectorstores import TablestoreVectorStore

WORDS = ["red", "blue", "green"]


class WordCounts(Embeddings):
    """How often each word occurs, and a 1."""

    def embed_query(self, text):
        return [float(text.split().count(word)) for word in WORDS] + [1.0]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


@pytest.fixture
def store(client, monkeypatch):
    monkeypatch.setattr(knowledge_store.time, "sleep", lambda seconds: None)
    schema = [FieldSchema("kind", FieldType.KEYWORD), FieldSchema("year", FieldType.LONG)]
    found = knowledge_store.KnowledgeStore(
        client, vector_dimension=4, enable_multi_tenant=True, search_index_schema=schema
    )
    found.init_table()
    texts = ["red red", "red blue", "blue green", "green"]
    for number, text in enumerate(texts):
        for tenant in ("u", "w"):
            found.put_document(
                Document(
                    f"d{number}",
                    tenant,
                    text,
                    WordCounts().embed_query(text),
                    {"kind": "odd" if number % 2 else "even", "year": 2000 + number},
                )
            )
    return found


def names(response):
    return [(hit.document.document_id, hit.document.tenant_id) for hit in response.hits]


class TestKnowledgeStore:
    def test_vector_search(self, store):
        found = store.vector_search([2.0, 0.0, 0.0, 1.0], top_k=2, tenant_id="u")
        assert names(found) == [("d0", "u"), ("d1", "u")]
        assert found.hits[0].score == pytest.approx(1.0, rel=1e-6)
        found = store.vector_search([2.0, 0.0, 0.0, 1.0], 9, "w", Filters.eq("kind", "odd"))
        assert names(found) == [("d1", "w"), ("d3", "w")]

    def test_full_text_search(self, store):
        assert names(store.full_text_search("red", tenant_id="w")) == [("d0", "w"), ("d1", "w")]
        found = store.full_text_search("blue", tenant_id="u", metadata_filter=Filters.gt("year", 2001))
        assert names(found) == [("d2", "u")]

    def test_filters_and_pages(self, store):
        found = store.search_documents(tenant_id="u", metadata_filter=Filters.gte("year", 2001), limit=2)
        assert names(found) == [("d1", "u"), ("d2", "u")]
        found = store.search_documents(
            tenant_id="u", metadata_filter=Filters.gte("year", 2001), limit=2, next_token=found.next_token
        )
        assert names(found) == [("d3", "u")]
        assert not found.next_token

    def test_deleting_a_tenant(self, store):
        store.delete_document_by_tenant("u")
        assert {document.tenant_id for document in store.get_all_documents()} == {"w"}
        assert names(store.search_documents(tenant_id="u")) == []


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot_product"])
def test_community_vector_store(server_url, instance_name, metric):
    store = TablestoreVectorStore(
        WordCounts(),
        endpoint=server_url,
        instance_name=instance_name,
        access_key_id="local",
        access_key_secret="local",
        vector_dimension=4,
        vector_metric_type=metric,
        metadata_mappings=[FieldSchema("kind", FieldType.KEYWORD)],
    )
    store.create_table_if_not_exist()
    store.create_search_index_if_not_exist()
    store.add_texts(["red red", "blue", "green"], [{"kind": "a"}, {"kind": "b"}, {"kind": "b"}], ids=["1", "2", "3"])
    assert [document.id for document in store.similarity_search("red red", k=1)] == ["1"]
    found = store.similarity_search_with_score("red red", k=3, tablestore_filter_query=TermQuery("kind", "b"))
    assert sorted(document.id for document, _ in found) == ["2", "3"]
    store.delete(["1"])
    assert sorted(document.id for document in store.similarity_search("red", k=3)) == ["2", "3"]
    for client in vars(store).values():
        if hasattr(client, "connection"):
            client.connection.pool.clear()
