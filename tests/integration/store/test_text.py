"""Search by words, and by words and meaning together: what no other store of LangGraph has."""

from __future__ import annotations

import pytest
from langgraph.store.base import PutOp
from tablestore import FieldSchema, FieldType

from langchain_tablestore_memory import FilterError, Filters, InvalidArgumentError

from .support import keys_of, topic_index

NS = ("docs",)

TEXTS = {
    "green": "green tea from the mountains",
    "black": "black tea with milk",
    "bread": "bread with butter",
    "zh": "我喜欢喝绿茶和咖啡",
    "number": "order 4711 of the red kettle",
}


async def fill(store, namespace=NS, **more):
    await store.batch([PutOp(namespace, key, {"text": text, **more}) for key, text in TEXTS.items()])


@pytest.fixture
async def words(open_store):
    """No embedding model: words alone."""
    store = open_store(index={"fields": ["text"]}, filterable={"year": int, "lang": str, "tags": list[str]})
    await fill(store)
    return store


@pytest.fixture
async def both(open_store):
    store = open_store(index=topic_index(), filterable={"year": int})
    await fill(store)
    return store


async def found(store, query, **options):
    return [item.key for item in await store.search(NS, query=query, **options) if item.score is not None]


async def test_words(words):
    assert sorted(await found(words, "tea")) == ["black", "green"]
    assert await found(words, "green tea") == ["green", "black"]
    assert await found(words, "Kettle 4711") == ["number"]
    assert await found(words, "绿茶") == ["zh"]
    assert await found(words, "nothing of it") == ["number"]  # "of"
    assert await found(words, "absent") == []


async def test_scores(words):
    """Lucene's BM25: more of what was asked, and rarer, is more."""
    items = [item for item in await words.search(NS, query="green tea") if item.score is not None]
    assert items[0].score > items[1].score > 0
    [rare] = [item for item in await words.search(NS, query="kettle") if item.score is not None]
    assert rare.score > items[1].score


async def test_what_has_none_of_the_words_is_not_found(words):
    """Search by words finds what has them, unlike search by meaning, where all items are more or less near."""
    await words.put(NS, "textless", {})
    assert keys_of(await words.search(NS, query="kettle")) == ["number"]
    assert len(await words.search(NS)) == 6


async def test_without_a_model_nothing_is_embedded(words):
    for search_type in ("similarity", "hybrid"):
        with pytest.raises(InvalidArgumentError, match="embed"):
            await words.search(NS, query="tea", search_type=search_type)


async def test_the_kind_of_search_by_call(both):
    near = await both.search(NS, query="tea", limit=2)
    assert sorted(keys_of(near)) == ["black", "green"]
    assert all(item.score <= 1 + 1e-6 for item in near)
    assert sorted(await found(both, "tea", search_type="full_text")) == ["black", "green"]
    assert await found(both, "kettle", search_type="full_text") == ["number"]
    # Nothing of its topics is in these words; a vector knows no kettle.
    assert set(await found(both, "kettle", search_type="similarity")) == set(TEXTS)
    mixed = await both.search(NS, query="milk tea", search_type="hybrid", limit=2)
    assert mixed[0].key == "black"
    assert mixed[0].score >= mixed[1].score


@pytest.mark.parametrize("search_type", ["similarity", "full_text", "hybrid"])
async def test_the_kind_of_search_by_default(open_store, search_type):
    store = open_store(index=topic_index(), search_type=search_type)
    await fill(store)
    for query in ("milk tea", "kettle", "butter"):
        one = await store.search(NS, query=query, limit=3)
        other = await store.search(NS, query=query, limit=3, search_type=search_type)
        assert [(item.key, item.score) for item in one] == [(item.key, item.score) for item in other]


async def test_both_legs_of_hybrid(both):
    """What is found by one of them alone is found."""
    await both.put(NS, "words only", {"text": "a samovar is a kettle"}, index=["text"])
    keys = keys_of(await both.search(NS, query="samovar tea", search_type="hybrid", limit=4))
    assert {"words only", "green", "black"} <= set(keys)


async def test_several_texts_of_an_item(open_store):
    store = open_store(index={"fields": ["title", "notes[*].text"]})
    await store.put(NS, "a", {"title": "shopping", "notes": [{"text": "buy a kettle"}, {"text": "and tea"}]})
    await store.put(NS, "b", {"title": "kettle", "other": "tea"})
    assert sorted(await found(store, "kettle")) == ["a", "b"]
    assert await found(store, "tea") == ["a"]
    assert await found(store, "shopping") == ["a"]


async def test_what_is_not_indexed_is_not_found(words):
    await words.put(NS, "hidden", {"text": "samovar"}, index=False)
    assert await found(words, "samovar") == []
    await words.put(NS, "hidden", {"text": "samovar"})
    assert await found(words, "samovar") == ["hidden"]
    await words.put(NS, "hidden", {"text": "kettle"})
    assert await found(words, "samovar") == []
    await words.delete(NS, "number")
    assert await found(words, "kettle") == ["hidden"]


@pytest.mark.parametrize("search_type", ["similarity", "full_text", "hybrid"])
async def test_pages(open_store, search_type):
    store = open_store(index=topic_index())
    await store.batch(
        [PutOp(NS, f"{n:02}", {"text": "tea " * (n + 1) + "bread " * (40 - n)}) for n in range(25)]
        + [PutOp(NS, f"none {n}", {}) for n in range(5)]
    )
    whole = await store.search(NS, query="tea", search_type=search_type, limit=100)
    assert keys_of(whole)[:25] == [f"{n:02}" for n in range(24, -1, -1)]
    assert keys_of(whole)[25:] == ([f"none {n}" for n in range(5)] if search_type == "similarity" else [])
    if search_type != "hybrid":
        # How far apart the ranks of two searches are depends on how many of each were looked at.
        paged = []
        for offset in range(0, 35, 7):
            paged += await store.search(NS, query="tea", search_type=search_type, limit=7, offset=offset)
        assert paged == whole


@pytest.mark.parametrize("search_type", ["similarity", "full_text", "hybrid"])
async def test_namespaces_and_filters(open_store, search_type):
    store = open_store(index=topic_index(), filterable={"year": int})
    for namespace in (("a",), ("ab",), ("a", "b")):
        await fill(store, namespace, year=len(namespace))
    items = await store.search(("a",), query="tea", search_type=search_type, limit=4)
    assert {item.namespace for item in items} == {("a",), ("a", "b")}
    items = await store.search((), query="tea", search_type=search_type, filter={"year": {"$gt": 1}}, limit=100)
    assert {item.namespace for item in items} == {("a", "b")}
    assert len(items) == (2 if search_type == "full_text" else 5)


async def test_filters_that_langgraph_has_not(words):
    for number, key in enumerate(TEXTS):
        tags = ["x"] * (number % 2) + ["y"]
        await words.put(NS, key, {"text": TEXTS[key], "year": 2020 + number, "lang": key[:2], "tags": tags})
    for query in (None, "green black bread 绿茶 kettle"):
        # Words of all texts: each is found.
        for wanted, expected in (
            ({"year": {"$in": [2020, 2022.0]}}, "green bread"),
            ({"year": {"$between": [2021, 2022]}}, "black bread"),
            ({"year": {"$nin": [2020, 2021, 2022]}}, "zh number"),
            ({"lang": {"$prefix": "b"}}, "black bread"),
            ({"lang": {"$like": "_r"}}, "green bread"),
            ({"tags": {"$contains": "x"}}, "black zh"),
            ({"tags": {"$contains_any": ["x", "z"]}}, "black zh"),
            ({"$or": [{"year": 2020}, {"lang": "zh"}]}, "green zh"),
            ({"$not": {"year": {"$gte": 2021}}}, "green"),
            ({"$and": [{"year": {"$gt": 2020}}, {"year": {"$lt": 2022}}]}, "black"),
            ({"lang": {"$exists": False}}, ""),
            (Filters.gte("year", 2023) & Filters.eq("lang", "zh"), "zh"),
            (Filters.logical_not([Filters.contains("tags", "x")]), "green bread number"),
        ):
            items = await words.search(NS, query=query, filter=wanted)
            assert sorted(keys_of(items)) == sorted(expected.split()), (query, wanted)


async def test_kinds_of_values_are_told_apart(open_store):
    """Known differences: to `InMemoryStore` 1 and True are one, and text is read as a number where it can be."""
    store = open_store()
    values = {"int": 1, "bool": True, "text": "1", "none": None, "list": [1], "ten": "10"}
    for key, value in values.items():
        await store.put(NS, key, {"v": value})
    await store.put(NS, "absent", {})
    for wanted, expected in (
        ({"v": 1}, "int"),
        ({"v": 1.0}, "int"),
        ({"v": True}, "bool"),
        ({"v": "1"}, "text"),
        ({"v": {"$gte": 1}}, "int"),
        ({"v": {"$lt": 5}}, "int"),
        ({"v": {"$gte": "1"}}, "text ten"),
        ({"v": {"$lt": "2"}}, "text ten"),
        ({"v": [1]}, "list"),
        ({"v": {"$ne": 1}}, "bool text none list ten absent"),
    ):
        assert keys_of(await store.search(NS, filter=wanted)) == expected.split(), wanted


async def test_a_missing_field_matches_no_comparison(open_store):
    """Known difference: `InMemoryStore` fails with a TypeError."""
    store = open_store()
    await store.put(NS, "there", {"n": 1})
    await store.put(NS, "null", {"n": None})
    await store.put(NS, "missing", {})
    for operator in ("$gt", "$gte", "$lt", "$lte"):
        found = keys_of(await store.search(NS, filter={"n": {operator: 1}}))
        assert found == (["there"] if operator.endswith("e") else [])


async def test_a_field_that_searches_do_not_know(both, engine):
    """A query needs an index, which has the fields that were declared. Nothing is searched for half of a filter."""
    for wanted in ({"lang": "en"}, {"year": 2020, "lang": {"$ne": "en"}}, Filters.exists("lang"), {"meta": {"n": 1}}):
        for search_type in ("similarity", "full_text", "hybrid"):
            engine.calls.clear()
            with pytest.raises(FilterError, match=r"'lang'|'meta|meta") as caught:
                await both.search(NS, query="tea", filter=wanted, search_type=search_type)
            assert "year" in str(caught.value)
            assert engine.calls == []
    # Without a query any field will do.
    assert await both.search(NS, filter={"lang": "en"}) == []


async def test_declared_fields_below_others(open_store):
    store = open_store(index=topic_index(), filterable={"meta.n": int, "a.b.c": str})
    await store.put(NS, "one", {"text": "tea", "meta": {"n": 1}, "a": {"b": {"c": "x"}}})
    await store.put(NS, "two", {"text": "tea tea", "meta": {"n": 2}, "a": {"b": {"c": "y"}}})
    for query in (None, "tea"):
        assert keys_of(await store.search(NS, query=query, filter={"meta": {"n": {"$gt": 1}}})) == ["two"]
        assert keys_of(await store.search(NS, query=query, filter={"a": {"b": {"c": "x"}}})) == ["one"]


async def test_filters_by_words(open_store):
    """A field that is declared to hold full text is asked for words, by searches with a query alone."""
    store = open_store(index=topic_index(), filterable={"note": "text", "n": int, "tags": list[str]})
    await store.put(NS, "red", {"text": "tea", "note": "a red kettle", "n": 1})
    await store.put(NS, "blue", {"text": "tea", "note": "the kettle is not red but blue", "n": 2})
    await store.put(NS, "none", {"text": "tea", "note": 5})
    for search_type in ("similarity", "full_text", "hybrid"):
        for wanted, expected in (
            ({"note": {"$text": "kettle"}}, ["blue", "red"]),
            ({"note": {"$phrase": "red kettle"}}, ["red"]),
            ({"note": {"$text": "kettle"}, "n": {"$gt": 1}}, ["blue"]),
            ({"$not": {"note": {"$text": "red"}}}, ["none"]),
            ({"note": {"$not": {"$phrase": "red kettle"}}}, ["blue", "none"]),
            ({"$not": {"note": {"$text": "blue"}, "n": 2}}, ["none", "red"]),
            ({"n": 1, "$not": {"note": {"$text": "blue"}}}, ["red"]),
            ({"$or": [{"note": {"$text": "blue"}}, {"n": 1}]}, ["blue", "red"]),
            ({"$not": {"$or": [{"note": {"$text": "blue"}}, {"n": 1}]}}, ["none"]),
            ({"note": {"$text": "red"}, "tags": None}, ["blue", "red"]),
        ):
            found = await store.search(NS, query="tea", filter=wanted, search_type=search_type)
            assert sorted(keys_of(found)) == expected, (wanted, search_type)
    for wanted in ({"note": {"$text": "kettle"}}, {"$not": {"note": {"$text": "kettle"}}}):
        with pytest.raises(FilterError, match="text"):
            await store.search(NS, filter=wanted)
    # Neither the index, which knows words, nor the table, which knows lists, can tell this alone.
    whole = {"tags": ["x"]}
    for wanted in (
        {"$or": [{"note": {"$text": "kettle"}}, whole]},
        {"$not": {"note": {"$text": "kettle"}, **whole}},
        {"tags": [{"$text": "x"}]},
    ):
        for query in ("tea", None):
            with pytest.raises(FilterError, match="text"):
                await store.search(NS, query=query, filter=wanted)
    with pytest.raises(FilterError, match="note"):
        await store.search(NS, query="tea", filter={"note": "a red kettle"})


async def test_fields_of_the_sdk(open_store):
    """Declared as the SDK declares them."""
    store = open_store(index={"fields": ["text"]}, filterable=[FieldSchema("n", FieldType.LONG)])
    await store.put(NS, "one", {"text": "tea", "n": 1})
    await store.put(NS, "two", {"text": "tea", "n": 2})
    assert keys_of(await store.search(NS, query="tea", filter={"n": {"$gt": 1}})) == ["two"]


async def test_a_filter_that_cannot_be_read(both, engine):
    engine.calls.clear()
    for wanted in ({"year": {"$near": 1}}, {"$xor": []}, {"year": {"$gt": None}}, "year", 5, ["year"]):
        for query in (None, "tea"):
            with pytest.raises(FilterError):
                await both.search(NS, query=query, filter=wanted)
    assert engine.calls == []


async def test_declared_fields_of_other_kinds(open_store):
    """A value that is not of its field's kind is kept as it is; it is not found as one of that kind."""
    store = open_store(index=topic_index(), filterable={"n": int, "s": str, "flag": bool, "tags": list[str]})
    odd = {"n": "text", "s": 5, "flag": "yes", "tags": "x", "text": "tea"}
    await store.put(NS, "odd", odd)
    await store.put(NS, "even", {"n": 5, "s": "text", "flag": True, "tags": ["x"], "text": "tea tea"})
    assert (await store.get(NS, "odd")).value == odd
    for query in (None, "tea"):
        for wanted in ({"n": 5}, {"s": "text"}, {"flag": True}, {"tags": {"$contains": "x"}}, {"n": {"$gte": 0}}):
            assert keys_of(await store.search(NS, query=query, filter=wanted)) == ["even"], (query, wanted)


async def test_long_texts_in_lists(open_store):
    """The index holds 4 KB of a text that is not cut into words. What is longer does not hide what is beside it."""
    store = open_store(index=topic_index(), filterable={"tags": list[str]})
    longest, longer = "é" * 2048, "é" * 2049
    await store.put(NS, "both", {"text": "tea", "tags": ["x", longer, longest]})
    await store.put(NS, "long", {"text": "tea", "tags": [longer]})
    for query in (None, "tea"):
        for wanted in ("x", longest):
            assert keys_of(await store.search(NS, query=query, filter={"tags": {"$contains": wanted}})) == ["both"]
    assert (await store.get(NS, "both")).value["tags"] == ["x", longer, longest]
