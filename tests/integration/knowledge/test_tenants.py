"""One tenant never finds, counts, changes or deletes what is another's."""

from __future__ import annotations

import random

import pytest

from langchain_tablestore_memory import (
    CursorError,
    Document,
    Filters,
    InvalidArgumentError,
    KnowledgeStore,
    SchemaMismatchError,
)

NAMES = ("t1", "t2", "t3", "t1 ", "T1", "租户")


def corpus(count=60):
    chance = random.Random(5)
    return [
        Document(
            f"d{n % 20}",
            NAMES[n % len(NAMES)],
            text=" ".join(chance.choices(["tea", "coffee", "milk", "茶"], k=4)),
            embedding=[chance.uniform(-1, 1) for _ in range(3)],
            metadata={"year": chance.randrange(5), "lang": chance.choice(["en", "zh"]), "owner": NAMES[n % len(NAMES)]},
        )
        for n in range(count)
    ]


@pytest.fixture
async def filled(tenants):
    await tenants.put_documents(corpus())
    return tenants


def any_filter(chance):
    return chance.choice(
        [
            None,
            Filters.all(),
            {"year": {"$gte": chance.randrange(5)}},
            {"$not": {"lang": "en"}},
            {"$or": [{"year": 1}, {"lang": {"$exists": True}}, {"tenant_id": {"$exists": True}}]},
            {"tenant_id": {"$ne": "t1"}},
            Filters.not_eq("document_id", "d1") | Filters.text_match("text", "tea"),
            {"text": {"$text": "tea 茶"}},
        ]
    )


@pytest.mark.slow
async def test_a_thousand_searches_stay_with_their_tenants(filled, mode):
    chance = random.Random(mode)
    documents = corpus()
    owned = {name: {d.document_id for d in documents if d.tenant_id == name} for name in NAMES}
    for _ in range(500):
        wanted = any_filter(chance)
        named = chance.choice([chance.choice(NAMES), chance.sample(NAMES, 2)])
        asked = {named} if isinstance(named, str) else set(named)
        vector = [chance.uniform(-1, 1) for _ in range(3)]
        kind = chance.randrange(6)
        if kind == 0:
            found = [
                h.document for h in (await filled.search_documents(named, wanted, limit=chance.randint(1, 50))).items
            ]
        elif kind == 1:
            found = [h.document for h in (await filled.full_text_search("tea 茶", named, wanted)).items]
        elif kind == 2:
            found = [h.document for h in (await filled.vector_search(vector, 50, named, wanted)).items]
        elif kind == 3:
            found = [h.document for h in (await filled.hybrid_search("coffee", vector, named, wanted)).items]
        elif kind == 4:
            found = await filled.list_documents(named, wanted)
        else:
            assert await filled.count_documents(named, wanted) <= sum(len(owned[name]) for name in asked)
            continue
        assert {document.tenant_id for document in found} <= asked
        assert all(document.metadata["owner"] == document.tenant_id for document in found)
        if wanted is None and kind in {2, 4}:
            assert len(found) == sum(len(owned[name]) for name in asked)


@pytest.mark.parametrize("tenant", [None, [], "", "__default", [None], ["t1", ""], ["__default"]])
async def test_without_a_tenant_nothing_is_searched_or_deleted(filled, tenant):
    calls = (
        filled.search_documents(tenant),
        filled.full_text_search("tea", tenant),
        filled.vector_search([1, 0, 0], tenant_id=tenant),
        filled.hybrid_search("tea", [1, 0, 0], tenant),
        filled.count_documents(tenant),
        filled.delete_document_by_tenant(tenant),
        filled.delete_by_filter(Filters.all(), tenant_id=tenant),
        filled.update_by_filter(Filters.all(), {"year": 9}, tenant_id=tenant),
        filled.list_documents(tenant),
    )
    for call in calls:
        with pytest.raises(InvalidArgumentError, match="tenant_id"):
            await call
    assert len(await filled.get_all_documents()) == 60


async def test_single_documents_need_a_tenant(filled):
    for call in (
        filled.get_document("d1"),
        filled.delete_document("d1"),
        filled.put_document(Document("d1")),
        filled.update_document(Document("d1", "__default")),
        filled.wait_until_searchable(["d1"]),
    ):
        with pytest.raises(InvalidArgumentError, match="tenant_id is missing"):
            await call


async def test_deleting_a_tenant_leaves_the_others(filled):
    assert await filled.delete_document_by_tenant("t1") == 10
    assert {document.tenant_id for document in await filled.get_all_documents()} == set(NAMES) - {"t1"}
    assert await filled.delete_document_by_tenant(["t2", "T1"]) == 20
    assert {document.tenant_id for document in await filled.get_all_documents()} == {"t3", "t1 ", "租户"}


async def test_deleting_and_updating_by_filter_leave_the_others(filled):
    assert await filled.update_by_filter({"year": {"$gte": 0}}, {"year": 99}, tenant_id="t1") == 10
    changed = [d for d in await filled.get_all_documents() if d.metadata["year"] == 99]
    assert {document.tenant_id for document in changed} == {"t1"}
    assert await filled.delete_by_filter({"tenant_id": {"$exists": True}}, tenant_id="t2") == 10
    assert len(await filled.get_all_documents()) == 50


async def test_one_id_in_several_tenants(tenants):
    await tenants.put_documents([Document("d1", name, text=name) for name in ("t1", "t2")])
    await tenants.delete_document("d1", "t1")
    assert await tenants.get_document("d1", "t1") is None
    assert (await tenants.get_document("d1", "t2")).text == "t2"


async def test_cursors_of_one_tenant_are_refused_for_another(filled):
    cursor = (await filled.search_documents("t1", limit=2)).cursor
    with pytest.raises(CursorError):
        await filled.search_documents("t2", limit=2, next_token=cursor)


async def test_searches_name_the_partitions(filled):
    index = await filled.index()
    assert index.routing == ("tenant_id",)


async def test_a_store_without_tenants_refuses_them(store):
    await store.put_document(Document("d1"))
    for call in (
        store.get_document("d1", "t1"),
        store.search_documents("t1"),
        store.delete_document_by_tenant("t1"),
        store.delete_document_by_tenant(None),
        store.delete_by_filter({"year": 1}, tenant_id=["t1"]),
        store.put_document(Document("d2", "t1")),
    ):
        with pytest.raises(InvalidArgumentError, match=r"this store has no tenants|This store has no tenants"):
            await call
    assert len(await store.get_all_documents()) == 1


async def test_a_table_with_tenants_is_not_opened_without(filled, open_store):
    other = open_store(table_name="shared")
    with pytest.raises(SchemaMismatchError, match="enable_multi_tenant=True"):
        await other.search_documents()


async def test_a_table_without_tenants_is_not_opened_with_them(store, open_store):
    """Otherwise the store without tenants would show what is theirs."""
    await store.put_document(Document("d1"))
    other = open_store(enable_multi_tenant=True)
    for call in (other.put_document(Document("d2", "t1")), other.search_documents("t1"), other.setup()):
        with pytest.raises(SchemaMismatchError, match="not partitioned by tenant_id"):
            await call
    assert len(await store.get_all_documents()) == 1


def test_tenants_need_a_key_column(connection):
    with pytest.raises(ValueError, match="tenant_field"):
        KnowledgeStore(connection, 3, enable_multi_tenant=True, tenant_field=None)


async def test_the_nearest_vectors_in_a_filter_are_the_tenant_s(filled):
    for name in NAMES:
        page = await filled.search_documents(name, Filters.vector_query("embedding", [1, 0, 0], top_k=10))
        expected = await filled.vector_search([1, 0, 0], 10, name)
        assert [(h.document.document_id, h.score) for h in page.items] == [
            (h.document.document_id, h.score) for h in expected.items
        ]
