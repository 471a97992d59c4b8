"""Random calls of the vector stores of many tenants on one table: each finds and changes exactly what is its own."""

from __future__ import annotations

import pytest
from core.support import Face
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from langchain_tablestore_memory import Filters, TablestoreVectorStore

from .model import FILTERABLE, TENANTS, Chance, Model, vector_of


class WordCounts(Embeddings):
    def embed_documents(self, texts):
        return [vector_of(text) for text in texts]

    def embed_query(self, text):
        return vector_of(text)

    async def aembed_documents(self, texts):
        return self.embed_documents(texts)

    async def aembed_query(self, text):
        return self.embed_query(text)


class Tried:
    """The stores of all tenants, and what should be in them."""

    def __init__(self, connection, mode, chance):
        self.chance, self.model = chance, Model()
        self.stores = {
            tenant: Face(
                TablestoreVectorStore(
                    WordCounts(), connection=connection, tenant_id=tenant, filterable=FILTERABLE, dimension=4
                ),
                mode,
            )
            for tenant in TENANTS
        }

    async def add(self, tenant, ids):
        given = {document_id: (self.chance.text(), self.chance.metadata(tenant)) for document_id in ids}
        self.model.documents[tenant].update(given)
        documents = [Document(text, id=i, metadata=dict(metadata)) for i, (text, metadata) in given.items()]
        assert await self.stores[tenant].add_documents(documents) == list(given)

    def check(self, tenant, found, expected):
        documents = [each[0] if isinstance(each, tuple) else each for each in found]
        assert sorted(document.id for document in documents) == sorted(expected)
        own = self.model.documents[tenant]
        for document in documents:
            assert (document.page_content, document.metadata) == own[document.id]

    async def search(self, tenant, wanted):
        store, text = self.stores[tenant], self.chance.text()
        method = self.chance.choice(
            [
                "similarity_search",
                "similarity_search_with_score",
                "similarity_search_with_relevance_scores",
                "max_marginal_relevance_search",
                "hybrid_search_with_score",
            ]
        )
        found = await getattr(store, method)(text, k=100, filter=wanted)
        self.check(tenant, found, self.model.matching(tenant, wanted))

    async def nearest(self, tenant, wanted):
        expected = self.model.matching(tenant, wanted)
        found = await self.stores[tenant].similarity_search_by_vector(vector_of(self.chance.text()), 2, wanted)
        assert len(found) == min(2, len(expected))
        self.check(tenant, found, [document.id for document in found])

    async def full_text(self, tenant, wanted):
        word = self.chance.choice(["tea", "milk", "茶"])
        expected = {
            i for i in self.model.matching(tenant, wanted) if word in self.model.documents[tenant][i][0].split()
        }
        self.check(tenant, await self.stores[tenant].full_text_search(word, 100, wanted), expected)

    async def retrieve(self, tenant, wanted):
        store = self.stores[tenant]
        retriever = store.target.as_retriever(
            search_type=self.chance.choice(["similarity", "mmr", "hybrid"]), k=100, search_kwargs={"filter": wanted}
        )
        found = await Face(retriever, store.mode).invoke(self.chance.text())
        self.check(tenant, found, self.model.matching(tenant, wanted))

    async def get(self, tenant, _):
        ids = [f"d{n}" for n in range(12)]
        found = await self.stores[tenant].get_by_ids(ids)
        self.check(tenant, found, self.model.documents[tenant])

    async def put(self, tenant, _):
        await self.add(tenant, {self.chance.document_id() for _ in range(2)})

    async def update(self, tenant, _):
        own, ids = self.model.documents[tenant], {self.chance.document_id() for _ in range(2)}
        for document_id in ids & own.keys():
            own[document_id] = (own[document_id][0], {**own[document_id][1], "year": 9})
        await self.stores[tenant].update_metadata({document_id: {"year": 9} for document_id in ids})

    async def update_by_filter(self, tenant, wanted):
        own, change = self.model.documents[tenant], {"lang": "fr", "mark": self.chance.random()}
        expected = self.model.matching(tenant, wanted)
        for document_id in expected:
            own[document_id] = (own[document_id][0], {**own[document_id][1], **change})
        wanted = wanted or Filters.all()
        assert await self.stores[tenant].update_metadata_by_filter(wanted, change) == len(expected)

    async def delete(self, tenant, _):
        ids = [self.chance.document_id() for _ in range(2)]
        for document_id in ids:
            self.model.documents[tenant].pop(document_id, None)
        await self.stores[tenant].delete(ids)

    async def delete_by_filter(self, tenant, wanted):
        for document_id in self.model.matching(tenant, wanted):
            del self.model.documents[tenant][document_id]
        await self.stores[tenant].delete(filter=wanted or Filters.all())

    async def check_stored(self, tenants):
        for tenant in tenants:
            await self.get(tenant, None)


READS = ("search", "search", "nearest", "full_text", "retrieve", "get")
CHANGES = ("put", "put", "update", "update_by_filter", "delete", "delete_by_filter")


async def test_random_queries(connection, mode, queries):
    chance = Chance(f"{mode} {queries}")
    tried = Tried(connection, mode, chance)
    for tenant in TENANTS:
        await tried.add(tenant, [f"d{n}" for n in range(9)])
    for number in range(queries):
        tenant, call = chance.choice(TENANTS), chance.choice([*READS, *CHANGES])
        wanted = chance.filter(tenant)
        try:
            await getattr(tried, call)(tenant, wanted)
            if call not in READS:
                await tried.check_stored({tenant, *chance.sample(TENANTS, 2)})
        except BaseException as error:
            error.add_note(f"query {number}: {call} of {tenant!r} with {wanted}")
            raise
    await tried.check_stored(TENANTS)


@pytest.mark.parametrize("option", ["tenant_id", "tenant", "tenant_ids"])
async def test_a_call_cannot_name_another_tenant(connection, mode, option):
    tried = Tried(connection, mode, Chance(1))
    store = tried.stores["t1"]
    calls = {
        "similarity_search": ("tea",),
        "full_text_search": ("tea",),
        "hybrid_search": ("tea",),
        "max_marginal_relevance_search": ("tea",),
        "delete": (["d1"],),
        "add_texts": (["tea"],),
    }
    for method, arguments in calls.items():
        with pytest.raises(ValueError, match=f"takes no {option}"):
            await getattr(store, method)(*arguments, **{option: "t"})
    with pytest.raises(ValueError, match=f"takes no {option}"):
        await Face(store.target.as_retriever(), mode).invoke("tea", **{option: "t"})
