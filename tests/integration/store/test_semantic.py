"""The contract of a store: search by meaning. Which texts of an item have vectors, and what comes first."""

from __future__ import annotations

import math

import pytest
from langgraph.store.base import PutOp, SearchOp
from vectorstore.support import vector

from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import DIMENSIONS, TopicEmbeddings, keys_of, topic_index

NS = ("docs",)


def cosine(one: str, other: str) -> float:
    a, b = vector(one), vector(other)
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def scores_of(items) -> dict[str, float | None]:
    return {item.key: item.score for item in items}


@pytest.fixture
def by_text(open_any):
    return open_any(topic_index())


async def test_nearest_first(by_text):
    texts = {"t": "tea tea tea", "tc": "tea tea coffee", "c": "coffee coffee", "b": "bread", "none": "x"}
    await by_text.batch([PutOp(NS, key, {"text": text}) for key, text in texts.items()])
    found = await by_text.search(NS, query="tea", limit=3)
    assert keys_of(found) == ["t", "tc", "none"]
    assert scores_of(found) == pytest.approx({key: cosine("tea", texts[key]) for key in ("t", "tc", "none")}, abs=1e-6)
    [best] = await by_text.search(NS, query="coffee", limit=1)
    assert (best.key, best.value, best.namespace) == ("c", {"text": "coffee coffee"}, NS)
    item = await by_text.get(NS, "c")
    assert (best.created_at, best.updated_at) == (item.created_at, item.updated_at)


async def test_an_item_counts_by_its_best_text(open_any):
    store = open_any(topic_index(fields=["title", "notes[*].text"]))
    await store.put(
        NS, "many", {"title": "rice", "notes": [{"text": "bread tea"}, {"text": "coffee"}, {"text": "tea"}]}
    )
    await store.put(NS, "one", {"title": "tea coffee"})
    await store.put(NS, "far", {"title": "bread", "notes": [{"text": "bread bread"}, {"other": "tea"}, "tea"]})
    found = await store.search(NS, query="tea")
    assert keys_of(found) == ["many", "one", "far"]
    assert scores_of(found) == pytest.approx(
        {"many": 1, "one": cosine("tea", "tea coffee"), "far": cosine("tea", "bread")}, abs=1e-6
    )
    assert keys_of(await store.search(NS, query="rice", limit=1)) == ["many"]
    # Each item once, however many of its texts are near.
    assert len({item.key for item in await store.search(NS, query="bread", limit=3)}) == 3


PATHS = [
    (["text"], {"text": "tea"}),
    (["a.b.c"], {"a": {"b": {"c": "tea"}}}),
    (["list[0]"], {"list": ["tea", "bread"]}),
    (["list[-1]"], {"list": ["bread", "tea"]}),
    (["list[*]"], {"list": ["bread", "coffee", "tea"]}),
    (["list[1].text"], {"list": [{"text": "bread"}, {"text": "tea"}]}),
    (["list[*].parts[*]"], {"list": [{"parts": ["bread"]}, {"parts": ["coffee", "tea"]}]}),
    (["notes.*"], {"notes": {"x": "bread", "y": "tea"}}),
    (["{a,b}"], {"a": "bread", "b": "tea", "c": "rice"}),
    (["text", "other"], {"other": "tea"}),
    (["whole"], {"whole": "tea"}),
    (["$"], {"tea": 1}),
    (None, {"x": "tea"}),
    (["键"], {"键": "tea 茶"}),
]


async def test_paths(open_any):
    """What of the value is embedded, as the store is set up."""
    for number, (fields, value) in enumerate(PATHS):
        store = open_any(topic_index(fields=fields))
        await store.put((f"n{number}",), "k", value)
        [found] = await store.search((f"n{number}",), query="tea")
        assert found.score == pytest.approx(cosine("tea", "tea"), abs=1e-6), fields
        assert found.value == value


async def test_paths_of_a_put(open_any, kind):
    """What of the value is embedded, as a put says."""
    store = open_any(topic_index(fields=["nothing"]))
    for number, (fields, value) in enumerate(PATHS):
        # Known difference: for a put, InMemoryStore takes the whole for a field called $.
        if fields is None or (kind == "in memory" and fields == ["$"]):
            continue
        await store.put((f"n{number}",), "k", value, index=fields)
        [found] = await store.search((f"n{number}",), query="tea")
        assert found.score == pytest.approx(cosine("tea", "tea"), abs=1e-6), fields


async def test_items_without_a_vector_come_last(by_text):
    """They have no score. They are as many as there are places left."""
    await by_text.put(NS, "tea", {"text": "tea"})
    await by_text.put(NS, "unindexed", {"text": "tea"}, index=False)
    await by_text.put(NS, "bread", {"text": "bread"})
    await by_text.put(NS, "textless", {"other": "tea"})
    await by_text.put(NS, "null", {"text": None})
    await by_text.put(NS, "elsewhere", {"text": "rice", "title": "tea"}, index=["absent"])
    found = await by_text.search(NS, query="tea")
    assert keys_of(found) == ["tea", "bread", "unindexed", "textless", "null", "elsewhere"]
    assert [item.score is None for item in found] == [False] * 2 + [True] * 4
    assert keys_of(await by_text.search(NS, query="tea", limit=3)) == ["tea", "bread", "unindexed"]
    assert keys_of(await by_text.search(NS, query="tea", limit=1)) == ["tea"]


async def test_what_a_put_says_of_its_index(by_text):
    value = {"text": "bread", "title": "tea", "tags": ["rice", "coffee"]}
    await by_text.put(NS, "k", value, index=["title", "tags[*]"])
    await by_text.put(NS, "other", {"text": "tea bread rice coffee"})
    for query in ("tea", "rice", "coffee"):
        best = (await by_text.search(NS, query=query))[0]
        assert (best.key, best.score) == ("k", pytest.approx(1, abs=1e-6))
    assert keys_of(await by_text.search(NS, query="bread")) == ["other", "k"]


async def test_numbers_and_objects_have_text(open_any):
    store = open_any(topic_index(fields=["n", "o", "flag"]))
    await store.put(NS, "number", {"n": 5})
    await store.put(NS, "object", {"o": {"tea": "tea"}})
    await store.put(NS, "list", {"o": ["tea", "bread"]})
    await store.put(NS, "bool", {"flag": True})
    found = await store.search(NS, query="tea")
    assert [item.key for item in found][:2] == ["object", "list"]
    assert scores_of(found) == pytest.approx(
        {
            "number": cosine("tea", "5"),
            "bool": cosine("tea", "True"),
            "object": cosine("tea", "tea tea"),
            "list": cosine("tea", "tea bread"),
        },
        abs=1e-6,
    )


async def test_filters_and_prefixes_with_a_query(open_any):
    """What is nearer but does not match takes no place."""
    store = open_any(topic_index(), filterable={"n": int, "lang": str})
    ops = [PutOp(("a", f"{n}"), "near", {"text": f"tea tea tea {n}", "n": n, "lang": "en"}) for n in range(12)]
    ops += [PutOp(("ab", f"{n}"), "nearest", {"text": f"tea {n}", "n": n, "lang": "zh"}) for n in range(12)]
    ops += [PutOp(("a", f"{n}"), "far", {"text": f"bread {n}", "n": n, "lang": "zh"}) for n in range(12)]
    await store.batch(ops)
    found = await store.search(("a",), query="tea", filter={"n": {"$gte": 9}}, limit=3)
    assert sorted((item.key, item.value["n"]) for item in found) == [("near", 9), ("near", 10), ("near", 11)]
    found = await store.search(("a",), query="tea", filter={"lang": "zh", "n": {"$lt": 2}})
    assert sorted((item.key, item.value["n"]) for item in found) == [("far", 0), ("far", 1)]
    found = await store.search(("a", "5"), query="tea")
    assert [(item.key, item.value["n"]) for item in found] == [("near", 5), ("far", 5)]
    assert await store.search(("a", "x"), query="tea") == []
    assert {item.namespace[0] for item in await store.search((), query="tea", limit=12)} == {"ab"}


async def test_pages(by_text):
    """Of items that all have vectors, each of its own score."""
    ops = [PutOp(NS, f"k{n:02}", {"text": "tea " * (n * 7 % 23) + "bread " * 12}) for n in range(23)]
    await by_text.batch(ops)
    whole = await by_text.search(NS, query="tea", limit=100)
    assert keys_of(whole) == [f"k{n:02}" for n in sorted(range(23), key=lambda n: -(n * 7 % 23))]
    for limit in (1, 4, 10, 23):
        for offset in range(0, 25, limit):
            page = await by_text.search(NS, query="tea", limit=limit, offset=offset)
            assert page == whole[offset : offset + limit]


async def test_pages_of_items_of_several_texts(open_any):
    """Pages are of items, not of texts."""
    store = open_any(topic_index(fields=["texts[*]"]))
    ops = [
        PutOp(NS, f"k{n:02}", {"texts": ["tea " * (n + 1) + "bread " * 12 + f"{n}.{i}" for i in range(7)]})
        for n in range(12)
    ]
    await store.batch(ops)
    whole = await store.search(NS, query="tea", limit=100)
    assert keys_of(whole) == [f"k{n:02}" for n in range(11, -1, -1)]
    for offset in range(0, 12, 5):
        assert await store.search(NS, query="tea", limit=5, offset=offset) == whole[offset : offset + 5]


async def test_deleted_items_are_not_found(by_text):
    await by_text.put(NS, "k", {"text": "tea"})
    await by_text.put(NS, "other", {"text": "bread"})
    await by_text.delete(NS, "k")
    assert keys_of(await by_text.search(NS, query="tea")) == ["other"]
    await by_text.put(NS, "k", {"text": "rice"})
    found = await by_text.search(NS, query="rice")
    assert scores_of(found) == pytest.approx({"k": 1, "other": cosine("rice", "bread")}, abs=1e-6)


async def test_searches_of_one_batch(by_text):
    for topic in ("tea", "coffee", "bread"):
        await by_text.put(NS, topic, {"text": topic})
    results = await by_text.batch(
        [
            SearchOp(NS, query="bread", limit=1),
            PutOp(NS, "new", {"text": "tea tea"}),
            SearchOp(NS, query="tea", limit=1),
            SearchOp(NS, limit=2),
            SearchOp(NS, query="bread", limit=1, offset=1),
            SearchOp(("x",), query="bread"),
        ]
    )
    assert [keys_of(found) for found in results if found is not None] == [
        ["bread"],
        ["tea"],
        ["tea", "coffee"],
        [keys_of(await by_text.search(NS, query="bread", limit=3))[1]],
        [],
    ]


async def test_an_empty_query_is_none(by_text):
    await by_text.put(NS, "b", {"text": "bread"})
    await by_text.put(NS, "a", {"text": "tea"})
    assert [(item.key, item.score) for item in await by_text.search(NS, query="")] == [("b", None), ("a", None)]


@pytest.mark.parametrize("how", ["model", "function", "async function"])
async def test_what_embeds(open_any, mode, how):
    def embed(texts):
        return [vector(text) for text in texts]

    async def aembed(texts):
        return embed(texts)

    if how == "async function" and mode == "sync":
        pytest.skip("needs a loop")
    given = {"model": TopicEmbeddings(), "function": embed, "async function": aembed}[how]
    store = open_any(topic_index(given))
    await store.put(NS, "t", {"text": "tea"})
    await store.put(NS, "b", {"text": "bread"})
    assert keys_of(await store.search(NS, query="bread", limit=1)) == ["b"]


async def test_the_configuration_stays_as_it_was(open_any):
    index = topic_index(fields=["text"])
    before = dict(index)
    store = open_any(index)
    await store.put(NS, "k", {"text": "tea"})
    assert index == before


# What InMemoryStore does not do


async def test_vectors_of_former_values_are_gone(open_store):
    """Known difference: `InMemoryStore` keeps the vector of each path until a put sets it anew."""
    store = open_store(index=topic_index(fields=["texts[*]"]))
    await store.put(NS, "far", {"texts": ["coffee"]})
    await store.put(NS, "k", {"texts": ["bread", "rice", "tea", "coffee"]})
    await store.put(NS, "k", {"texts": ["bread"]})
    found = await store.search(NS, query="tea")
    assert scores_of(found) == pytest.approx(dict.fromkeys(["far", "k"], cosine("tea", "bread")), abs=1e-6)
    await store.put(NS, "k", {"texts": ["tea"]}, index=False)
    assert [(item.key, item.score is None) for item in await store.search(NS, query="tea")] == [
        ("far", False),
        ("k", True),
    ]
    await store.put(NS, "k", {"texts": ["tea"]})
    await store.delete(NS, "k")
    assert keys_of(await store.search(NS, query="tea")) == ["far"]


async def test_an_empty_text_has_no_vector(open_store):
    """Known difference: `InMemoryStore` has models embed it, which services of models refuse."""
    store = open_store(index=topic_index(fields=["a", "b"]))
    await store.put(NS, "empty", {"a": "", "b": " \n"})
    await store.put(NS, "half", {"a": "", "b": "tea"})
    found = await store.search(NS, query="tea")
    assert scores_of(found) == {"half": pytest.approx(1, abs=1e-6), "empty": None}


async def test_equal_texts_of_a_batch(open_store):
    """Known difference: `InMemoryStore` refuses the batch."""
    store = open_store(index=topic_index(fields=["a", "b"]))
    await store.batch([PutOp(NS, f"k{n}", {"a": "tea", "b": "tea"}) for n in range(3)])
    found = await store.search(NS, query="tea")
    assert scores_of(found) == pytest.approx({"k0": 1, "k1": 1, "k2": 1}, abs=1e-6)


async def test_pages_with_items_without_vectors(open_store):
    """Known difference: each page of `InMemoryStore` has room for the first of them again."""
    store = open_store(index=topic_index())
    for n in range(4):
        await store.put(NS, f"scored {n}", {"text": "tea " * (4 - n) + "bread"})
        await store.put(NS, f"unscored {n}", {})
    expected = [f"scored {n}" for n in range(4)] + [f"unscored {n}" for n in range(4)]
    assert keys_of(await store.search(NS, query="tea")) == expected
    for limit in (1, 3, 5):
        paged = []
        for offset in range(0, 10, limit):
            paged += keys_of(await store.search(NS, query="tea", limit=limit, offset=offset))
        assert paged == expected


async def test_an_item_that_loses_its_vector_while_it_is_searched(open_store, engine):
    """Found with its vector, it is not found once more among those that have none."""
    store = open_store(index=topic_index())
    other = TablestoreStore(engine.connection("sync"), index=topic_index())
    await store.put(NS, "k", {"text": "tea"})
    await store.search(NS, query="tea")
    searches = 0

    def before(api):
        nonlocal searches
        searches += api == "Search"
        if searches == 2:
            engine.before = None
            other.put(NS, "k", {"text": "tea"}, index=False)

    engine.before = before
    assert keys_of(await store.search(NS, query="tea")) == ["k"]
    assert engine.before is None


async def test_a_vector_of_zeros(open_any):
    """Cosine has no meaning there; nothing fails."""

    def embed(texts):
        return [[0.0] * DIMENSIONS if text == "zero" else vector(text) for text in texts]

    store = open_any(topic_index(embed))
    await store.put(NS, "t", {"text": "tea"})
    try:
        await store.put(NS, "z", {"text": "zero"})
    except ValueError:
        return
    assert keys_of(await store.search(NS, query="tea"))[0] == "t"
