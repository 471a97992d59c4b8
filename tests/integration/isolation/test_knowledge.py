"""Random calls of many tenants on one table of a `KnowledgeStore`: each finds and changes exactly what is its own."""

from __future__ import annotations

import pytest
from core.support import Face

from langchain_tablestore_memory import CursorError, Document, KnowledgeStore

from .model import FILTERABLE, TENANTS, Chance, Model, vector_of


class Tried:
    """A store with tenants, and what should be in it."""

    def __init__(self, store, chance):
        self.store, self.chance, self.model = store, chance, Model()

    def document(self, tenant, document_id):
        text, metadata = self.chance.text(), self.chance.metadata(tenant)
        self.model.documents[tenant][document_id] = (text, metadata)
        return Document(document_id, tenant, text, vector_of(text), dict(metadata))

    async def fill(self):
        await self.store.put_documents([self.document(tenant, f"d{n}") for tenant in TENANTS for n in range(9)])

    def check(self, tenant, hits, expected):
        """These documents of this tenant, as they are, and nothing else."""
        documents = [getattr(hit, "document", hit) for hit in hits]
        assert {document.tenant_id for document in documents} <= {tenant}
        assert sorted(document.document_id for document in documents) == sorted(expected)
        for document in documents:
            text, metadata = self.model.documents[tenant][document.document_id]
            assert (document.text, document.metadata) == (text, metadata)

    # Reading

    async def search_documents(self, tenant, wanted):
        expected, found, cursor = self.model.matching(tenant, wanted), [], None
        limit = self.chance.randint(1, 6)
        while True:
            page = await self.store.search_documents(tenant, wanted, limit, cursor)
            found += page.items
            cursor = page.cursor
            if cursor is None:
                break
            other = self.chance.choice([name for name in TENANTS if name != tenant])
            for stranger in (other, [tenant, other]):
                with pytest.raises(CursorError):
                    await self.store.search_documents(stranger, wanted, limit, cursor)
        self.check(tenant, found, expected)

    async def list_documents(self, tenant, wanted):
        found = await self.store.list_documents(tenant, wanted, order_by=["-year"])
        self.check(tenant, found, self.model.matching(tenant, wanted))

    async def count_documents(self, tenant, wanted):
        assert await self.store.count_documents(tenant, wanted) == len(self.model.matching(tenant, wanted))

    async def several_tenants(self, tenant, wanted):
        named = self.chance.sample(TENANTS, 3)
        expected = {(name, i) for name in named for i in self.model.matching(name, wanted)}
        page = await self.store.search_documents(named, wanted, 1000)
        assert {(hit.document.tenant_id, hit.document.document_id) for hit in page.items} == expected
        assert await self.store.count_documents(named, wanted) == len(expected)

    async def full_text_search(self, tenant, wanted):
        word = self.chance.choice(["tea", "milk", "茶"])
        expected = {
            i for i in self.model.matching(tenant, wanted) if word in self.model.documents[tenant][i][0].split()
        }
        self.check(tenant, (await self.store.full_text_search(word, tenant, wanted)).items, expected)

    async def vector_search(self, tenant, wanted):
        page = await self.store.vector_search(vector_of(self.chance.text()), 100, tenant, wanted)
        self.check(tenant, page.items, self.model.matching(tenant, wanted))

    async def nearest(self, tenant, wanted):
        """Those of others are nearer, and do not take the places of one's own."""
        expected = self.model.matching(tenant, wanted)
        page = await self.store.vector_search(vector_of(self.chance.text()), 2, tenant, wanted)
        assert len(page.items) == min(2, len(expected))
        assert {hit.document.tenant_id for hit in page.items} <= {tenant}

    async def hybrid_search(self, tenant, wanted):
        text = self.chance.text()
        page = await self.store.hybrid_search(text, vector_of(text), tenant, wanted, 100)
        self.check(tenant, page.items, self.model.matching(tenant, wanted))

    async def get_documents(self, tenant, _):
        own = self.model.documents[tenant]
        found = await self.store.get_documents([f"d{n}" for n in range(12)], tenant, include_embedding=False)
        assert [document is not None for document in found] == [f"d{n}" in own for n in range(12)]
        self.check(tenant, [document for document in found if document is not None], own)

    # Changing

    async def put_document(self, tenant, _):
        await self.store.put_document(self.document(tenant, self.chance.document_id()))

    async def update_document(self, tenant, _):
        document_id = self.chance.document_id()
        if document_id in self.model.documents[tenant]:
            text, metadata = self.model.documents[tenant][document_id]
            self.model.documents[tenant][document_id] = (text, {**metadata, "year": 9})
            await self.store.update_document(Document(document_id, tenant, metadata={"year": 9}))

    async def delete_documents(self, tenant, _):
        ids = [self.chance.document_id() for _ in range(2)]
        for document_id in ids:
            self.model.documents[tenant].pop(document_id, None)
        await self.store.delete_documents(ids, tenant)

    async def delete_by_filter(self, tenant, wanted):
        if wanted is None:
            return
        expected = self.model.matching(tenant, wanted)
        assert await self.store.delete_by_filter(wanted, tenant_id=tenant) == len(expected)
        for document_id in expected:
            del self.model.documents[tenant][document_id]

    async def update_by_filter(self, tenant, wanted):
        if wanted is None:
            return
        own = self.model.documents[tenant]
        change = {"lang": self.chance.choice(["en", "fr"]), "mark": self.chance.random()}
        expected = self.model.matching(tenant, wanted)
        for document_id in expected:
            own[document_id] = (own[document_id][0], {**own[document_id][1], **change})
        assert await self.store.update_by_filter(wanted, change, tenant_id=tenant) == len(expected)

    async def delete_document_by_tenant(self, tenant, _):
        assert await self.store.delete_document_by_tenant(tenant) == len(self.model.documents[tenant])
        self.model.documents[tenant].clear()


READS = (
    "search_documents",
    "list_documents",
    "count_documents",
    "several_tenants",
    "full_text_search",
    "vector_search",
    "nearest",
    "hybrid_search",
    "get_documents",
)
CHANGES = (
    "put_document",
    "put_document",
    "update_document",
    "delete_documents",
    "delete_by_filter",
    "update_by_filter",
)


async def test_random_queries(connection, mode, queries):
    chance = Chance(f"{mode} {queries}")
    store = KnowledgeStore(connection, 4, enable_multi_tenant=True, filterable=FILTERABLE)
    tried = Tried(Face(store, mode), chance)
    await tried.fill()
    for number in range(queries):
        tenant = chance.choice(TENANTS)
        call = chance.choice([*READS, *CHANGES])
        if number % 50 == 49:
            call = "delete_document_by_tenant"
        wanted = chance.filter(tenant)
        try:
            await getattr(tried, call)(tenant, wanted)
        except BaseException as error:
            error.add_note(f"query {number}: {call} of {tenant!r} with {wanted}")
            raise
        if call not in READS:
            rows = {
                (d.tenant_id, d.document_id, d.text, repr(sorted(d.metadata.items())))
                async for d in store.aget_all_documents()
            }
            assert rows == tried.model.rows(), f"query {number}: {call} of {tenant!r} with {wanted}"


def test_the_model_reads_filters():
    """Random filters match some documents of a tenant and not others, with and without the tenant being named."""
    chance = Chance(1)
    tried = Tried(None, chance)
    for tenant in TENANTS:
        for n in range(9):
            tried.document(tenant, f"d{n}")
    sizes = [len(tried.model.matching("t1", chance.filter("t1"))) for _ in range(200)]
    assert {0, 9} < set(sizes)
