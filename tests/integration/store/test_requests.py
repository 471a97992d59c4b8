"""How many requests things take, and that each is within what the service takes."""

from __future__ import annotations

from collections import Counter

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp
from tablestore.protobuf import table_store_pb2 as messages

from .support import TopicEmbeddings, keys_of, topic_index

NS = ("docs",)
MAX_ROWS, MAX_BYTES, MAX_GETS = 200, 4 * 1024 * 1024, 100


@pytest.fixture(autouse=True)
def within_limits(engine):
    """The embedded engine refuses what the service refuses; what it was sent is looked at here all the same."""
    sizes = []
    handle = engine.handle

    def watched(path, headers, body):
        api = path.rsplit("/", 1)[-1]
        if api == "BatchWriteRow":
            asked = messages.BatchWriteRowRequest.FromString(body)
            sizes.append(("rows", sum(len(table.rows) for table in asked.tables), MAX_ROWS))
            sizes.append(("bytes", len(body), MAX_BYTES + 64 * 1024))
        if api == "BatchGetRow":
            asked = messages.BatchGetRowRequest.FromString(body)
            sizes.append(("gets", sum(len(table.primary_key) for table in asked.tables), MAX_GETS))
        return handle(path, headers, body)

    engine.handle = watched
    yield sizes
    assert [each for each in sizes if each[1] > each[2]] == []


@pytest.fixture
async def ready(open_store, engine):
    """A store that has looked up its tables before."""
    store = open_store()
    await store.setup()
    await store.put(("other",), "k", {})
    engine.calls.clear()
    return store


@pytest.fixture
async def indexed(open_store, engine, model):
    store = open_store(index=topic_index(model, fields=["text", "more[*]"]), filterable={"n": int})
    await store.setup()
    await store.put(("other",), "k", {"text": "tea"})
    await store.search(("other",), query="tea")
    engine.calls.clear()
    model.calls.clear()
    model.queries.clear()
    return store


async def test_one_item(ready, engine):
    assert await ready.get(NS, "k") is None
    assert engine.taken() in (["GetRow"], ["BatchGetRow"])
    await ready.put(NS, "k", {"n": 1})
    assert len(engine.taken()) == 2
    await ready.put(NS, "k", {"n": 2})
    assert len(engine.taken()) == 2
    await ready.get(NS, "k")
    assert len(engine.taken()) == 1
    await ready.delete(NS, "k")
    assert len(engine.taken()) <= 2
    await ready.search(NS)
    assert engine.taken() == ["GetRange"]
    await ready.search(NS, filter={"n": {"$gt": 1}}, limit=3)
    assert engine.taken() == ["GetRange"]
    await ready.list_namespaces()
    assert engine.taken() == ["GetRange"]


async def test_fifty_at_once(ready, engine):
    await ready.batch([PutOp(NS, f"k{n}", {"n": n}) for n in range(50)])
    assert Counter(engine.taken()) == {"BatchGetRow": 1, "BatchWriteRow": 1}
    await ready.batch([GetOp(NS, f"k{n % 45}") for n in range(50)])
    assert engine.taken() == ["BatchGetRow"]
    await ready.batch([PutOp((f"n{n % 7}",), f"k{n}", {"n": n} if n % 5 else None) for n in range(50)])
    assert Counter(engine.taken()) == {"BatchGetRow": 1, "BatchWriteRow": 1}


async def test_an_empty_batch(ready, engine):
    assert await ready.batch([]) == []
    assert engine.taken() == []


async def test_everything_of_a_batch(ready, engine):
    """Gets together, puts together; each search and each list is a request of its own."""
    await ready.batch([PutOp(NS, f"k{n}", {"n": n}) for n in range(5)])
    engine.calls.clear()
    await ready.batch(
        [
            *(GetOp(NS, f"k{n}") for n in range(9)),
            SearchOp(NS),
            *(PutOp(NS, f"k{n}", {"n": -n}) for n in range(9)),
            ListNamespacesOp(),
            SearchOp(("other",)),
        ]
    )
    assert Counter(engine.taken()) == {"BatchGetRow": 2, "BatchWriteRow": 1, "GetRange": 3}


async def test_more_than_one_request_holds(ready, engine):
    await ready.batch([PutOp(NS, f"k{n}", {"n": n}) for n in range(401)])
    assert Counter(engine.taken()) == {"BatchGetRow": 5, "BatchWriteRow": 3}
    await ready.batch([GetOp(NS, f"k{n}") for n in range(401)])
    assert Counter(engine.taken()) == {"BatchGetRow": 5}


@pytest.mark.slow
async def test_more_bytes_than_one_request_holds(ready, engine):
    await ready.batch([PutOp(NS, f"k{n}", {"text": "x" * 1_500_000}) for n in range(6)])
    assert Counter(engine.taken()) == {"BatchGetRow": 1, "BatchWriteRow": 3}
    items = await ready.batch([GetOp(NS, f"k{n}") for n in range(6)])
    assert [len(item.value["text"]) for item in items] == [1_500_000] * 6
    assert len(engine.taken()) <= 6


async def test_vectors(indexed, engine, model: TopicEmbeddings):
    """Texts of a batch are embedded in one call, vectors are written with their items."""
    await indexed.batch([PutOp(NS, f"k{n}", {"text": f"tea {n}", "more": ["bread", f"rice {n}"]}) for n in range(20)])
    assert Counter(engine.taken()) == {"BatchGetRow": 1, "BatchWriteRow": 1}
    assert len(model.calls) == 1
    # Equal texts once
    assert model.calls[0] <= 41
    found = await indexed.search(NS, query="tea", filter={"n": {"$exists": False}}, limit=5)
    assert len(found) == 5
    assert engine.taken() in (["Search", "BatchGetRow"], ["Search"])
    assert model.queries == ["tea"]
    await indexed.put(NS, "k1", {"text": "coffee"})
    assert Counter(engine.taken()) == {"BatchGetRow": 1, "BatchWriteRow": 1} or len(engine.calls) == 0


async def test_texts_in_one_call_of_the_model(open_store, model: TopicEmbeddings):
    """Services of models take only so many at a time."""
    store = open_store(index=topic_index(model), embedding_batch_size=10)
    await store.batch([PutOp(NS, f"k{n}", {"text": f"tea {n}"}) for n in range(25)])
    assert sorted(model.calls) == [5, 10, 10]
    assert {item.score for item in await store.search(NS, query="tea", limit=100)} != {None}


async def test_queries_of_a_batch(indexed, engine, model: TopicEmbeddings):
    await indexed.batch([PutOp(NS, f"k{n}", {"text": f"tea {n}"}) for n in range(5)])
    engine.calls.clear()
    model.calls.clear()
    await indexed.batch([SearchOp(NS, query=query, limit=2) for query in ("tea", "bread", "tea")])
    calls = Counter(engine.taken())
    assert calls["Search"] <= 3
    assert len(model.queries) + len(model.calls) <= 2
    assert set(calls) <= {"Search", "BatchGetRow", "GetRow"}


async def test_what_is_not_indexed_is_not_embedded(indexed, model: TopicEmbeddings):
    await indexed.put(NS, "k", {"text": "tea"}, index=False)
    await indexed.put(NS, "k", {"other": "tea"})
    await indexed.put(NS, "k", {"text": "tea"}, index=["absent"])
    await indexed.delete(NS, "k")
    assert model.calls == []


@pytest.mark.slow
async def test_two_thousand_namespaces(ready, engine):
    namespaces = [("n", f"{n:04}") for n in range(2000)]
    for start in range(0, 2000, 400):
        await ready.batch([PutOp(namespace, "k", {"n": 1}) for namespace in namespaces[start : start + 400]])
    engine.calls.clear()
    assert await ready.list_namespaces(limit=5000) == [*namespaces, ("other",)]
    assert len(engine.taken()) <= 10
    assert await ready.list_namespaces(limit=10) == namespaces[:10]
    assert len(engine.taken()) == 1
    # Not one of them is looked at, besides the first page.
    assert await ready.list_namespaces(max_depth=1) == [("n",), ("other",)]
    assert len(engine.taken()) <= 3
    assert await ready.list_namespaces(prefix=("n", "1234")) == [("n", "1234")]
    assert len(engine.taken()) == 1
    assert await ready.list_namespaces(suffix=("1999",)) == [("n", "1999")]
    assert len(engine.taken()) <= 10


@pytest.mark.slow
async def test_two_thousand_items_of_a_namespace(ready, engine):
    for start in range(0, 2000, 400):
        await ready.batch([PutOp(NS, f"k{n:04}", {"n": n}) for n in range(start, start + 400)])
    await ready.put(("docs", "more"), "k", {})
    engine.calls.clear()
    assert await ready.list_namespaces() == [NS, ("docs", "more"), ("other",)]
    assert len(engine.taken()) <= 4
    assert keys_of(await ready.search(NS, limit=10)) == [f"k{n:04}" for n in range(10)]
    assert len(engine.taken()) == 1
    assert keys_of(await ready.search(NS, limit=10, offset=1500)) == [f"k{n:04}" for n in range(1500, 1510)]
    assert len(engine.taken()) <= 4


async def test_reading_that_lets_items_last(open_store, engine):
    store = open_store(ttl={"default_ttl": 10})
    await store.setup()
    for n in range(20):
        await store.put(NS, f"k{n}", {})
    engine.calls.clear()
    await store.search(NS, limit=100)
    assert Counter(engine.taken()) == {"GetRange": 1, "BatchWriteRow": 1}
    await store.batch([GetOp(NS, f"k{n}") for n in range(20)])
    assert Counter(engine.taken()) == {"BatchGetRow": 1, "BatchWriteRow": 1}


async def test_reading_that_lets_items_last_beside_puts(open_store, engine):
    store = open_store(ttl={"default_ttl": 10})
    await store.setup()
    await store.put(NS, "read", {})
    engine.calls.clear()
    await store.batch([GetOp(NS, "read"), PutOp(NS, "new", {"n": 1})])
    calls = Counter(engine.taken())
    assert calls["BatchWriteRow"] + calls["UpdateRow"] <= 2


async def test_the_first_use_makes_what_is_missing(open_store, engine):
    """One that reads makes a table too, as everywhere in this package; making the object asks nothing."""
    store = open_store(index=topic_index())
    assert engine.calls == []
    await store.put(NS, "k", {"text": "tea"})
    assert await store.search(NS, query="tea") != []
    again = open_store(index=topic_index())
    engine.calls.clear()
    assert await again.get(NS, "k") is not None
    assert engine.taken() in (["GetRow"], ["BatchGetRow"])
