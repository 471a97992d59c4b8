"""Bad input at every door: one error of ours that says what is allowed, and nothing is written."""

from __future__ import annotations

import logging
import math

import pytest
from core.support import Face
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from langchain_tablestore_memory import (
    ConfigurationError,
    EmbeddingError,
    InvalidArgumentError,
    SchemaMismatchError,
    TablestoreMemoryError,
)
from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import DIMENSIONS, TopicEmbeddings, keys_of, topic_index

NS = ("docs",)
SECRET = "SECRET-4711"


@pytest.fixture
async def filled(open_store, engine):
    store = open_store(index=topic_index(), filterable={"n": int})
    await store.put(NS, "k", {"text": "tea", "n": 1})
    await store.search(NS, query="tea")
    engine.calls.clear()
    yield store
    assert engine.writes == []
    assert (await store.get(NS, "k")).value == {"text": "tea", "n": 1}
    assert keys_of(await store.search(())) == ["k"]


# Namespaces

NAMESPACES = [
    ("",),
    ("a", ""),
    ("a.b",),
    ("a", "b.c"),
    ("a\x00",),
    (5,),
    ("a", None),
    ("a", b"b"),
    (("a",),),
    ("\ud800",),
]
STORED = [*NAMESPACES, (), ("langgraph",), ("langgraph", "x"), ("x" * 1100,), ("é" * 600,), tuple("ab" * 300)]


def namespaced(namespace):
    """Every door through which a namespace goes, as operations and as calls."""
    return {
        "get": lambda s: s.get(namespace, "k"),
        "delete": lambda s: s.delete(namespace, "k"),
        "search": lambda s: s.search(namespace),
        "query": lambda s: s.search(namespace, query="tea"),
        "prefix": lambda s: s.list_namespaces(prefix=namespace),
        "suffix": lambda s: s.list_namespaces(suffix=namespace),
        "GetOp": lambda s: s.batch([GetOp(namespace, "k")]),
        "PutOp": lambda s: s.batch([PutOp(NS, "new", {}), PutOp(namespace, "k", {"n": 2})]),
        "PutOp None": lambda s: s.batch([PutOp(NS, "k", None), PutOp(namespace, "k", None)]),
        "SearchOp": lambda s: s.batch([SearchOp(NS), SearchOp(namespace)]),
        "SearchOp query": lambda s: s.batch([SearchOp(namespace, query="tea")]),
        "ListNamespacesOp": lambda s: s.batch([ListNamespacesOp((MatchCondition("suffix", namespace),))]),
    }


@pytest.mark.parametrize("namespace", NAMESPACES, ids=ascii)
async def test_namespaces(filled, engine, namespace):
    for door, call in {**namespaced(namespace), "put": lambda s: s.put(namespace, "k", {})}.items():
        with pytest.raises(InvalidNamespaceError) as caught:
            await call(filled)
        assert isinstance(caught.value, InvalidArgumentError) or door not in {"GetOp", "PutOp", "SearchOp"}, door
        assert isinstance(caught.value, ValueError)
    assert engine.calls == []


@pytest.mark.parametrize("namespace", STORED, ids=lambda each: ascii(each)[:30])
async def test_namespaces_to_store_in(filled, engine, namespace):
    for call in (
        lambda: filled.put(namespace, "k", {"text": "tea"}),
        lambda: filled.batch([PutOp(NS, "k", None), PutOp(namespace, "k", {})]),
        lambda: filled.batch([GetOp(NS, "k"), PutOp(namespace, "k", {})]),
    ):
        with pytest.raises(InvalidNamespaceError):
            await call()
    assert engine.calls == []


async def test_a_text_is_no_namespace(filled, engine):
    """Not a tuple of its letters."""
    for door, call in namespaced("docs").items():
        what = door if door in {"prefix", "suffix"} else "suffix" if "List" in door else "namespace"
        with pytest.raises(InvalidArgumentError, match=f"The {what} is a str"):
            await call(filled)
        assert engine.calls == [], door


async def test_namespaces_that_are_there_all_the_same(filled):
    """What cannot be put in is not there: reading it is no error, where LangGraph has none."""
    assert await filled.search(()) != []
    assert await filled.list_namespaces(prefix=("langgraph",)) == []
    assert await filled.search(("langgraph",)) == []
    assert await filled.get(("langgraph",), "k") is None


# Keys and values


async def test_keys(filled, engine):
    for key in ("x" * 1025, "é" * 513, "\ud800", None, 5, b"k", ["k"]):
        for ops in ([PutOp(NS, "k", None), PutOp(NS, key, {"n": 2})], [GetOp(NS, key)], [PutOp(NS, key, None)]):
            with pytest.raises(InvalidArgumentError, match="key"):
                await filled.batch(ops)
    for key in ("x" * 1025, "\ud800"):
        for call in (filled.get(NS, key), filled.delete(NS, key), filled.put(NS, key, {})):
            with pytest.raises(InvalidArgumentError, match="key"):
                await call
    assert engine.calls == []


class Unknown:
    pass


VALUES = [
    ([], "list"),
    ("text", "str"),
    (5, "int"),
    (Unknown(), "Unknown"),
    ({"a": Unknown()}, "a"),
    ({"a": [{"b": (1, Unknown())}]}, "b"),
    ({"a": lambda: None}, "a"),
    ({"a": "\ud800"}, "surrogate|UTF-8"),
    ({"\ud800": 1}, "surrogate|UTF-8"),
]


@pytest.mark.parametrize(("value", "message"), VALUES, ids=lambda each: ascii(each)[:30])
async def test_values(filled, engine, value, message):
    for call in (
        lambda: filled.put(NS, "k", value),
        lambda: filled.batch([PutOp(NS, "new", {}), PutOp(NS, "k", value)]),
        lambda: filled.batch([PutOp(NS, "k", value, index=False)]),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            await call()
    assert engine.calls == []


async def test_a_value_that_contains_itself(filled, engine):
    value = {"a": {}}
    value["a"]["b"] = value
    with pytest.raises(InvalidArgumentError):
        await filled.put(NS, "k", value, index=False)
    assert engine.calls == []


async def test_values_that_are_too_large(filled, engine):
    """A write takes 4 MB in the service, nothing more; refused with the whole batch, before anything is written."""
    for text in ("x" * 5_000_000, "茶" * 1_500_000):
        for ops in ([PutOp(NS, "k", {"large": text})], [PutOp(NS, "new", {}), PutOp(NS, "k", {"large": text})]):
            with pytest.raises(InvalidArgumentError, match="k"):
                await filled.batch(ops)
    assert engine.writes == []


async def test_texts_that_are_too_large_to_search(open_store, engine):
    """A search index takes 2 MB; the item can be stored without."""
    store = open_store(index={"fields": ["text"]})
    value = {"text": "tea " * 600_000}
    with pytest.raises(InvalidArgumentError, match="index"):
        await store.put(NS, "k", value)
    assert engine.writes == []
    await store.put(NS, "k", value, index=False)
    assert (await store.get(NS, "k")).value == value


# Other arguments


async def test_ttl(filled, engine):
    for ttl in (0, -1, math.nan, math.inf, "1", True, [1], 10**30):
        with pytest.raises(InvalidArgumentError, match="ttl"):
            await filled.put(NS, "k", {}, ttl=ttl)
        with pytest.raises(InvalidArgumentError, match="ttl"):
            await filled.batch([PutOp(NS, "new", {}), PutOp(NS, "k", {}, ttl=ttl)])
    assert engine.calls == []


async def test_index(filled, engine):
    for index in (True, "text", 5, [5], [None], {"text": 1}, [""]):
        with pytest.raises(InvalidArgumentError, match="index"):
            await filled.put(NS, "k", {"text": "tea"}, index=index)
    assert engine.calls == []


async def test_numbers(filled, engine):
    for number in (-1, 1.5, "1", None, True):
        for call in (
            lambda n=number: filled.search(NS, limit=n),
            lambda n=number: filled.search(NS, offset=n),
            lambda n=number: filled.search(NS, query="tea", limit=n),
            lambda n=number: filled.search(NS, query="tea", offset=n),
            lambda n=number: filled.list_namespaces(limit=n),
            lambda n=number: filled.list_namespaces(offset=n),
        ):
            with pytest.raises(InvalidArgumentError, match=r"limit|offset"):
                await call()
        if number is not None:
            with pytest.raises(InvalidArgumentError, match="max_depth"):
                await filled.list_namespaces(max_depth=number)
    assert engine.calls == []


async def test_queries(filled, engine):
    for query in (5, ["tea"], b"tea"):
        with pytest.raises(InvalidArgumentError, match="query"):
            await filled.search(NS, query=query)
    for query in ("\ud800", " \n"):
        for search_type in ("full_text", "hybrid"):
            with pytest.raises(InvalidArgumentError, match="query"):
                await filled.search(NS, query=query, search_type=search_type)
    for search_type in ("", "vector", "fulltext", 5, ["hybrid"]):
        for query in ("tea", None):
            with pytest.raises(InvalidArgumentError, match="search_type"):
                await filled.search(NS, query=query, search_type=search_type)
    with pytest.raises(InvalidArgumentError, match="hybrid"):
        await filled.search(NS, query="tea", hybrid=5)
    assert engine.calls == []


async def test_pages_beyond_what_hybrid_searches_rank(filled, engine):
    """The service finds the nearest 1,000 at once. Fewer than were asked for, without a word, would be wrong."""
    for page in ({"limit": 1001}, {"limit": 1, "offset": 1000}):
        with pytest.raises(InvalidArgumentError, match="1000"):
            await filled.search(NS, query="tea", search_type="hybrid", **page)
    assert engine.calls == []
    # The nearest beyond these are asked for once more.
    assert keys_of(await filled.search(NS, query="tea", search_type="similarity", limit=5000)) == ["k"]


async def test_conditions(filled, engine):
    for conditions in ((MatchCondition("infix", ("a",)),), [MatchCondition(5, ("a",))]):
        with pytest.raises(InvalidArgumentError, match="match_type"):
            await filled.batch([ListNamespacesOp(conditions)])
    for conditions in ((("prefix", "a"),), "prefix", 5):
        with pytest.raises(InvalidArgumentError, match="match_conditions"):
            await filled.batch([ListNamespacesOp(conditions)])
    assert engine.calls == []


async def test_operations(filled, engine):
    for ops in ([None], [PutOp(NS, "k", {}), "put"], [("get", NS, "k")], 5, None, "ops", [GetOp]):
        with pytest.raises(InvalidArgumentError):
            await filled.batch(ops)
    assert engine.calls == []


# Settings

INDEXES = [
    (5, "index"),
    ([], "index"),
    ({"dims": 0, "embed": TopicEmbeddings()}, "dims"),
    ({"dims": -1, "embed": TopicEmbeddings()}, "dims"),
    ({"dims": 5000, "embed": TopicEmbeddings()}, "dims"),
    ({"dims": "4", "embed": TopicEmbeddings()}, "dims"),
    ({"dims": True, "embed": TopicEmbeddings()}, "dims"),
    ({"dims": 4, "fields": ["text"]}, "embed"),
    ({"dims": 4, "embed": "nosuch:model"}, "embed"),
    ({"dims": 4, "embed": 5}, "embed"),
    ({"dims": 4, "embed": TopicEmbeddings(), "fields": "text"}, "fields"),
    ({"dims": 4, "embed": TopicEmbeddings(), "fields": [5]}, "fields"),
    ({"dims": 4, "embed": TopicEmbeddings(), "fields": [""]}, "fields"),
    ({"dims": 4, "embed": TopicEmbeddings(), "feilds": ["text"]}, "feilds"),
]


@pytest.mark.parametrize(("index", "message"), INDEXES, ids=lambda each: str(each)[:40])
def test_index_settings(open_store, index, message):
    with pytest.raises((ConfigurationError, InvalidArgumentError), match=message):
        open_store(index=index)


TTLS = [
    5,
    [],
    {"default_ttl": 0},
    {"default_ttl": "1"},
    {"default_ttl": math.nan},
    {"refresh_on_read": 1},
    {"omit_expired": "no"},
    {"sweep_interval_minutes": 0},
    {"ttl": 5},
]


@pytest.mark.parametrize("ttl", TTLS, ids=str)
def test_ttl_settings(open_store, ttl):
    with pytest.raises((ConfigurationError, InvalidArgumentError), match="ttl"):
        open_store(ttl=ttl)


OTHERS = [
    ({"index": {"fields": ["text"]}, "filterable": {"n": dict}}, "n"),
    ({"index": {"fields": ["text"]}, "filterable": ["n"]}, "filterable"),
    ({"index": {"fields": ["text"]}, "filterable": {"": int}}, "filterable"),
    ({"index": {"fields": ["text"]}, "filterable": {5: int}}, "filterable"),
    ({"index": {"fields": ["text"]}, "filterable": {"x" * 300: int}}, "filterable"),
    ({"table_name": ""}, "table_name"),
    ({"table_name": "no spaces"}, "table_name"),
    ({"index": {"fields": ["text"]}, "search_type": "vector"}, "search_type"),
    ({"search_type": "similarity"}, "search_type"),
    ({"filterable": {"n": int}}, "filterable"),
    ({"search_index_name": "s"}, "search_index_name"),
    ({"embedding_batch_size": 0}, "embedding_batch_size"),
    ({"search_type": "hybrid", "index": {"fields": ["text"]}}, "search_type|embed"),
    ({"connection": 5}, "connection|Connection"),
    ({"hybrid": 5}, "hybrid"),
]


@pytest.mark.parametrize(("options", "message"), OTHERS, ids=lambda each: str(each)[:40])
def test_other_settings(open_store, options, message):
    with pytest.raises(TablestoreMemoryError, match=message) as caught:
        open_store(**options)
    assert isinstance(caught.value, ValueError)


async def test_a_table_of_something_else(open_store, connection, mode):
    from langchain_tablestore_memory import SessionRegistry

    await Face(SessionRegistry(connection), mode).setup()
    store = open_store(table_name="session")
    for call in (
        store.setup(),
        store.get(NS, "k"),
        store.put(NS, "k", {}),
        store.delete(NS, "k"),
        store.search(NS),
        store.list_namespaces(),
        store.sweep_ttl(),
    ):
        with pytest.raises(SchemaMismatchError, match="session"):
            await call


async def test_other_dimensions_than_before(open_store, engine):
    store = open_store(index=topic_index())
    await store.put(NS, "k", {"text": "tea"})
    await store.search(NS, query="tea")

    def embed(texts):
        return [[1.0] * 8 for _ in texts]

    other = open_store(index={"dims": 8, "embed": embed, "fields": ["text"]})
    engine.calls.clear()
    for call in (other.setup(), other.search(NS, query="tea"), other.put(NS, "k", {"text": "tea"})):
        with pytest.raises(SchemaMismatchError, match=r"4|8|dim"):
            await call
    assert engine.writes == []


async def test_a_field_that_is_declared_later(open_store, engine):
    """A second index is built over rows that exist, and these have no column of the field. That is said, and is so."""
    store = open_store(index={"fields": ["text"]})
    await store.put(NS, "before", {"text": "tea", "year": 2024})
    wider = {"index": {"fields": ["text"]}, "filterable": {"year": int}}
    with pytest.raises(SchemaMismatchError, match=r"search_index_name.* put again"):
        await open_store(**wider).put(NS, "after", {"text": "tea", "year": 2024})
    other = open_store(**wider, search_index_name="years")
    await other.put(NS, "after", {"text": "tea", "year": 2024})
    for filter_, expected in ((None, ["before", "after"]), ({"year": 2024}, ["after"])):
        assert sorted(keys_of(await other.search(NS, query="tea", filter=filter_))) == sorted(expected)
    await other.put(NS, "before", (await other.get(NS, "before")).value)
    assert len(await other.search(NS, query="tea", filter={"year": 2024})) == 2


async def test_dimensions_that_the_model_has_not(open_store, engine):
    """Said of what was given, not of a table that may not be there yet."""
    store = open_store(index=topic_index(dims=7))
    for call in (store.put(NS, "k", {"text": "tea"}), store.search(NS, query="tea")):
        with pytest.raises(EmbeddingError, match=rf"{DIMENSIONS} dimensions; index\[\"dims\"\] is 7\. Correct it"):
            await call
    assert engine.calls == []


async def test_the_model_says_its_dimension(open_store):
    """LangGraph's `dims` may be left out."""
    store = open_store(index={"embed": TopicEmbeddings(), "fields": ["text"]})
    await store.put(NS, "k", {"text": "tea"})
    [found] = await store.search(NS, query="tea")
    assert found.score == pytest.approx(1, abs=1e-6)


# The model


def failing(_texts, _vectors):
    raise ConnectionError("gone")


ANSWERS = [
    ("fails", failing),
    ("too few", lambda _, vectors: vectors[:-1]),
    ("too many", lambda _, vectors: [*vectors, vectors[0]]),
    ("none", lambda _, __: None),
    ("too short", lambda _, vectors: [vector[:-1] for vector in vectors]),
    ("too long", lambda _, vectors: [[*vector, 1.0] for vector in vectors]),
    ("nan", lambda _, vectors: [[math.nan] * DIMENSIONS for _ in vectors]),
    ("infinite", lambda _, vectors: [[math.inf] * DIMENSIONS for _ in vectors]),
    ("text", lambda _, vectors: ["abcd" for _ in vectors]),
]


@pytest.mark.parametrize(("name", "answer"), ANSWERS, ids=[name for name, _ in ANSWERS])
async def test_a_model_that_does_not_do_its_work(open_store, engine, model, name, answer):
    store = open_store(index=topic_index(model))
    await store.put(NS, "k", {"text": "tea"})
    engine.calls.clear()
    model.answer = answer
    for call in (
        lambda: store.put(NS, "k", {"text": "bread"}),
        lambda: store.batch([PutOp(NS, "plain", {}), PutOp(NS, "k", {"text": "bread"}), PutOp(NS, "l", {"text": "x"})]),
    ):
        with pytest.raises(EmbeddingError):
            await call()
    assert engine.writes == []
    assert (await store.get(NS, "k")).value == {"text": "tea"}
    assert keys_of(await store.search(NS)) == ["k"]


async def test_a_model_that_fails_in_the_end(open_store, engine, model):
    """Of texts that go out in several calls, all have to come back before anything is written."""
    store = open_store(index=topic_index(model), embedding_batch_size=2)
    await store.put(NS, "k", {"text": "tea"})
    engine.calls.clear()

    def answer(texts, vectors):
        if "the last" in texts:
            raise ConnectionError("gone")
        return vectors

    model.answer = answer
    texts = [f"tea {n}" for n in range(6)]
    with pytest.raises(EmbeddingError, match="gone"):
        await store.batch([PutOp(NS, text, {"text": text}) for text in (*texts, "the last")])
    assert engine.writes == []


async def test_a_model_that_fails_for_a_query(open_store, model):
    store = open_store(index=topic_index(model))
    await store.put(NS, "k", {"text": "tea"})

    def embed_query(_):
        raise ConnectionError("gone")

    model.embed_query = embed_query
    model.answer = failing
    with pytest.raises(EmbeddingError, match="gone"):
        await store.search(NS, query="tea")


async def test_an_async_function_for_sync_calls(engine):
    """There is no loop to run it on: said so, before anything is written."""

    async def embed(texts):
        return [[1.0] * DIMENSIONS for _ in texts]

    store = TablestoreStore(engine.connection("sync"), index=topic_index(embed))
    for call in (lambda: store.put(NS, "k", {"text": "tea"}), lambda: store.search(NS, query="tea")):
        with pytest.raises(TablestoreMemoryError, match=r"async|sync"):
            call()
    assert engine.writes == []


async def test_nothing_of_it_is_told(open_store, caplog):
    """What users store appears in no log; what is secret in no error."""
    caplog.set_level(logging.DEBUG)
    store = open_store(index=topic_index())
    await store.put(NS, "k", {"text": SECRET})
    await store.search(NS, query=SECRET)
    await store.search(NS, filter={"text": SECRET})
    with pytest.raises(InvalidArgumentError) as caught:
        await store.put(NS, "k", {"text": SECRET, "other": Unknown()})
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text
    assert SECRET not in repr(store.target)
