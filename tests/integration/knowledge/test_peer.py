"""`KnowledgeStore` of tablestore-for-agent-memory and ours, over HTTP on one server: each searches what the other wrote."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace

import pytest
import tablestore
from core.support import MODES, Face
from tablestore_for_agent_memory.base.base_knowledge_store import Document as PeerDocument
from tablestore_for_agent_memory.base.filter import Filters as PeerFilters
from tablestore_for_agent_memory.knowledge.async_knowledge_store import AsyncKnowledgeStore as AsyncPeerStore
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


class PeerFace(Face):
    """Awaits the sync peer and the async one, whose methods have the same names."""

    def twin(self, name):
        return getattr(self.target, name)


async def listed(result):
    """What iterates, as a list."""
    if isinstance(result, AsyncIterator):
        return [item async for item in result]
    return list(result) if isinstance(result, Iterator) else result


@pytest.fixture(params=MODES)
async def both(request, address, monkeypatch):
    """The peer and this package on one table with tenants, both sync or both async."""

    async def no_sleep(_):
        pass

    module = "tablestore_for_agent_memory.knowledge"
    monkeypatch.setattr(f"{module}.knowledge_store.time", SimpleNamespace(sleep=lambda _: None), raising=False)
    monkeypatch.setattr(f"{module}.async_knowledge_store.asyncio", SimpleNamespace(sleep=no_sleep), raising=False)
    keys = address["endpoint"], "local", "local", "local"
    options = {"search_index_schema": list(FIELDS), "enable_multi_tenant": True}
    if request.param == "sync":
        client, kind = tablestore.OTSClient(*keys), PeerStore
    else:
        client, kind = tablestore.AsyncOTSClient(*keys), AsyncPeerStore
    theirs = PeerFace(kind(client, 3, **options), request.param)
    await theirs.init_table()
    async with connect(**address) as connection:
        yield theirs, Face(KnowledgeStore(connection, 3, **options), request.param)
    if request.param == "async":
        await client.close()


def hits(found):
    return [(hit.document.document_id, hit.document.tenant_id, hit.score) for hit in found.items]


def peer_hits(found):
    return [(hit.document.document_id, hit.document.tenant_id, hit.score) for hit in found.hits]


def same(left, right):
    """The same documents with the same scores; those of equal scores in any order."""
    assert sorted(left, key=lambda hit: (-hit[2], hit)) == [
        (name, tenant, pytest.approx(score, rel=1e-6))
        for name, tenant, score in sorted(right, key=lambda hit: (-hit[2], hit))
    ]


async def test_what_either_writes_both_find_alike(both):
    """Random documents, some of the peer's and some of ours, changed and deleted by either."""
    theirs, ours = both
    chance = random.Random(7)
    for number in range(60):
        tenant = chance.choice(["t1", "t2"])
        text = " ".join(chance.choices(["tea", "coffee", "milk", "茶"], k=chance.randint(1, 6)))
        metadata = {"year": chance.randrange(3), "price": chance.random(), "lang": chance.choice(["en", "zh"])}
        arguments = (f"d{number:02}", tenant, text, [chance.uniform(-1, 1) for _ in range(3)], metadata)
        if number % 2:
            await theirs.put_document(PeerDocument(*arguments))
        else:
            await ours.put_document(Document(*arguments))
    for number in range(0, 60, 5):
        for tenant in ("t1", "t2"):
            if number % 2:
                await ours.delete_document(f"d{number:02}", tenant)
            else:
                await theirs.delete_document(f"d{number:02}", tenant)
    everyone = {tenant: (await ours.search_documents(tenant)).items for tenant in ("t1", "t2")}
    assert sum(map(len, everyone.values())) == 48
    some = everyone["t1"][3].document
    await theirs.update_document(PeerDocument(some.document_id, "t1", text="milk milk", metadata={"year": 9}))
    other = everyone["t1"][4].document
    await ours.update_document(Document(other.document_id, "t1", text="tea tea", metadata={"year": 9}))

    for tenant in ("t1", "t2"):
        for words in ("tea", "milk 茶", "coffee tea milk"):
            found = hits(await ours.full_text_search(words, tenant))
            expected = peer_hits(await theirs.full_text_search(words, tenant_id=tenant, limit=100))
            # Their condition on the tenant adds the same to every score.
            added = expected[0][2] - found[0][2]
            same([(name, owner, score + added) for name, owner, score in found], expected)
        for _ in range(4):
            vector = [chance.uniform(-1, 1) for _ in range(3)]
            same(
                hits(await ours.vector_search(vector, 10, tenant)),
                peer_hits(await theirs.vector_search(vector, 10, tenant_id=tenant, limit=10)),
            )
        for wanted, query in (
            ({"year": {"$gte": 1}, "lang": "en"}, [PeerFilters.gte("year", 1), PeerFilters.eq("lang", "en")]),
            ({"year": 9}, [PeerFilters.eq("year", 9)]),
            ({"price": {"$lt": 0.5}}, [PeerFilters.lt("price", 0.5)]),
        ):
            found = await theirs.search_documents(
                tenant_id=tenant, metadata_filter=PeerFilters.logical_and(query), limit=100
            )
            page = await ours.search_documents(tenant, wanted)
            assert [hit.document.document_id for hit in page.items] == [hit.document.document_id for hit in found.hits]
            for hit, peer_hit in zip(page.items, found.hits, strict=True):
                assert hit.document.text == peer_hit.document.text
                # They show our column beside theirs.
                assert hit.document.metadata.items() <= peer_hit.document.metadata.items()
    theirs_all = await listed(await theirs.get_all_documents())
    ours_all = await ours.get_all_documents()
    assert [(d.document_id, d.tenant_id, d.text, d.embedding) for d in theirs_all] == [
        (d.document_id, d.tenant_id, d.text, d.embedding) for d in ours_all
    ]
    await theirs.delete_document_by_tenant("t1")
    assert await ours.count_documents("t1") == 0
    assert await ours.delete_document_by_tenant("t2") == len(everyone["t2"])
    assert await listed(await theirs.get_all_documents()) == []


async def test_metadata_of_either_returns_to_both(both):
    theirs, ours = both
    plain = {"year": -(2**63), "price": 0.1, "lang": "中文 \U0001f600", "flag": True, "colour": "red"}
    await theirs.put_document(PeerDocument("p", "t1", text="tea", embedding=[1.0, 2.0, 3.0], metadata=dict(plain)))
    await ours.put_document(Document("o", "t1", text="tea", embedding=[1, 2, 3], metadata=dict(plain)))
    for name in ("p", "o"):
        assert (await ours.get_document(name, "t1")).metadata == plain
        assert plain.items() <= (await theirs.get_document(name, "t1")).metadata.items()
        assert (await theirs.get_document(name, "t1")).embedding == [1.0, 2.0, 3.0]
    found = await ours.full_text_search("tea", "t1")
    assert [hit.document.metadata for hit in found.items] == [plain, plain]
    read = [document.document_id for document in await theirs.get_documents(["p", "o"], "t1")]
    assert read == ["p", "o"]
