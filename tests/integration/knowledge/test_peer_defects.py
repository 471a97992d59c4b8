"""What other packages' stores get wrong (reference: peers, sections 4.1, 4.2 and 4.4), asked of this one."""

from __future__ import annotations

import base64
import logging

import pytest
from core.support import Face
from tablestore.protobuf import search_pb2

from langchain_tablestore_memory import Document, Filters
from langchain_tablestore_memory.core.cursors import encode_cursor
from langchain_tablestore_memory.core.search import scope_of


@pytest.fixture
def searches(engine, monkeypatch):
    """The bodies of the searches made, as they went out: the request and the query in it."""
    seen = []
    handle = engine.handle

    def listening(path, headers, body):
        if path.endswith("Search"):
            request = search_pb2.SearchRequest.FromString(body)
            seen.append((request, search_pb2.SearchQuery.FromString(request.search_query)))
        return handle(path, headers, body)

    monkeypatch.setattr(engine, "handle", listening)
    return seen


def numbered(count, tenant="__default"):
    return [
        Document(f"d{n:04}", tenant, text="tea", embedding=[1, n, 0], metadata={"year": n % 3, "owner": tenant})
        for n in range(count)
    ]


async def test_a_later_page_does_not_repeat_the_order(store, searches):
    """B-T17: the token holds it."""
    await store.put_documents(numbered(9))
    first = await store.search_documents(limit=3, order_by=["-year"])
    second = await store.search_documents(limit=3, order_by=["-year"], next_token=first.cursor)
    assert [query.HasField("sort") for _, query in searches] == [True, False]
    years = [hit.document.metadata["year"] for hit in (*first.items, *second.items)]
    assert years == sorted(years, reverse=True)


async def test_conditions_go_where_they_are_not_scored(tenants, searches):
    """B-T15: filters and tenants leave scores alone, and go inside the search for the nearest."""
    await tenants.put_documents([*numbered(9, "t1"), *numbered(9, "t2")])
    plain = {h.document.document_id: h.score for h in (await tenants.full_text_search("tea", ["t1", "t2"])).items}
    for wanted in ({"year": 1}, {"year": {"$gte": 0, "$lt": 9}, "tenant_id": "t1"}, Filters.all()):
        found = (await tenants.full_text_search("tea", "t1", wanted)).items
        assert found
        assert {h.document.document_id: h.score for h in found}.items() <= plain.items()
    searches.clear()
    await tenants.vector_search([1, 0, 0], 5, "t1", {"year": 1})
    [(request, query)] = searches
    nearest = search_pb2.KnnVectorQuery.FromString(query.query.query)
    assert query.query.type == search_pb2.KNN_VECTOR_QUERY
    assert nearest.HasField("filter")
    # One tenant's partition is asked, and no other.
    assert len(request.routing_values) == 1


async def test_a_cursor_that_was_forged_shows_nothing_of_others(tenants):
    """B-T23: whoever makes up a cursor stays among what they may read anyway."""
    await tenants.put_documents([*numbered(20, "t1"), *numbered(20, "t2")])
    theirs = (await tenants.search_documents("t2", limit=3)).cursor
    raw = base64.b64decode(theirs + "=" * (-len(theirs) % 4), altchars=b"-_")
    token = raw[9:].decode().strip('[]"')
    scope = scope_of({"table": "shared", "tenants": ("t1",), "filter": Filters.all(), "search": "by []"})
    forged = encode_cursor(scope, [token])
    page = await tenants.search_documents("t1", limit=100, next_token=forged)
    assert page.items
    assert {hit.document.metadata["owner"] for hit in page.items} == {"t1"}


@pytest.mark.slow
async def test_thousands_are_deleted_in_few_requests(store, engine):
    """4.4: not one search and one deletion for each row."""
    await store.put_documents(numbered(1000))
    engine.taken()
    assert await store.delete_by_filter(Filters.all()) == 1000
    calls = engine.taken()
    assert calls.count("BatchWriteRow") == 5
    assert calls.count("Search") <= 5
    assert {"PutRow", "DeleteRow", "GetRow"} & set(calls) == set()


async def test_nothing_is_asked_before_somebody_wants_it(store, engine):
    """B-T26: making an iterator sends nothing, in both modes."""
    await store.put_documents(numbered(3))
    engine.taken()
    iterator = store.twin("list_documents")()
    everything = store.twin("get_all_documents")()
    assert engine.taken() == []
    first = [await anext(each) if store.mode == "async" else next(each) for each in (iterator, everything)]
    assert [document.document_id for document in first] == ["d0000", "d0000"]


async def test_what_is_searched_for_is_not_logged(tenants, caplog):
    """B-T19: neither text nor vectors, at any level."""
    caplog.set_level(logging.DEBUG, "langchain_tablestore_memory")
    await tenants.put_document(
        Document("d1", "t1", text="SECRET tea", embedding=[0.125, 1, 1], metadata={"lang": "SECRET"})
    )
    await tenants.full_text_search("SECRET", "t1", {"lang": "SECRET"})
    await tenants.vector_search([0.125, 1, 1], 5, "t1", {"lang": "SECRET"})
    await tenants.hybrid_search("SECRET", [0.125, 1, 1], "t1")
    await tenants.delete_by_filter({"lang": "SECRET"}, tenant_id="t1")
    ours = [record for record in caplog.records if record.name.startswith("langchain_tablestore_memory")]
    assert [record for record in ours if "SECRET" in record.getMessage() or "0.125" in record.getMessage()] == []


async def test_the_caller_s_objects_stay_as_they_were(store):
    """B-T22."""
    document, metadata, ids = Document("d1", text="tea", metadata={"tags": ["a"]}), {"year": 1}, ["d1"]
    await store.put_document(document)
    await store.update_by_filter(Filters.all(), metadata)
    found = await store.get_documents(ids)
    found[0].metadata["tags"].append("b")
    assert document == Document("d1", text="tea", metadata={"tags": ["a"]})
    assert (metadata, ids) == ({"year": 1}, ["d1"])
    assert (await store.get_document("d1")).metadata == {"tags": ["a"], "year": 1}


async def test_a_number_of_none_is_refused(store):
    """B-T13: it is no way to ask for everything."""
    await store.put_documents(numbered(3))
    for call in (store.list_documents(limit=0), store.search_documents(limit=0), store.vector_search([1, 0, 0], 0)):
        with pytest.raises(ValueError, match=r"is 0\. Give"):
            await call


async def test_two_stores_at_once_set_up_one_table(engine, mode, open_store):
    """B-T20: whoever comes second attaches; both see what the other writes."""
    one, other = open_store(), Face(type(open_store().target)(engine.connection(mode), 3), mode)
    await one.setup()
    await other.setup()
    await one.put_document(Document("d1", text="tea", metadata={"year": 1}))
    assert (await other.full_text_search("tea")).items[0].document.metadata == {"year": 1}
